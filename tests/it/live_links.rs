//! Links to logs, as Kubernetes makes them in `/var/log/containers`: followed where root made them and it is asked for.

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::PathBuf;

use super::common::{Need, Scrape, eventually, need};
use super::live_rotation::Scene;

/// Nobody's.
const OTHER: u32 = 65534;

/// A node of Kubernetes: the pattern has links alone, which lead to the logs of pods through a link of their own.
struct Node(Scene);

impl Node {
    fn new(follows: bool) -> Self {
        let keys = format!("format: plain, follow_links: {follows}");
        let scene = Scene::with("containers/*.log", &keys);
        for name in ["containers", "pods", "storage"] {
            fs::create_dir(scene.path(name)).unwrap();
        }
        Self(scene)
    }

    fn pod(&self, name: &str) -> String {
        let directory = format!("pods/{name}/web");
        fs::create_dir_all(self.0.path(&directory)).unwrap();
        format!("{directory}/0.log")
    }

    fn link(&self, target: impl Into<PathBuf>, name: &str) {
        symlink(target.into(), self.0.path(&format!("containers/{name}.log"))).unwrap();
    }

    /// The last line of a container that ends, and the log of the next one, to which the link is switched.
    fn switch_to_second_file(&mut self) {
        self.0.append("pods/first/web/0.log", 1);
        self.0.append("pods/first/web/1.log", 2);
        symlink("../pods/first/web/1.log", self.0.path("next")).unwrap();
        fs::rename(self.0.path("next"), self.0.path("containers/first.log")).unwrap();
    }

    /// Why a log is not followed.
    fn told(&self, what: &str) {
        let mut page = String::new();
        eventually(what, || {
            page = self.0.exporter().get("/").text();
            page.contains(what)
        });
    }
}

fn up(scrape: &Scrape) -> f64 {
    scrape.value("telltale_log_source_up{source=\"app\"}")
}

#[test]
fn the_logs_of_pods_are_followed_through_the_links_of_root() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut node = Node::new(true);
    let first = node.pod("first");
    node.link(format!("../{first}"), "first");
    node.0.append(&first, 1);
    node.0.start();
    node.0.written = 0;
    node.0.append(&first, 4);
    assert_eq!(up(&node.0.counted()), 1.0);
    // A pod that comes later: its link leads to a link, by its whole path.
    let second = node.pod("second");
    let stored = node.0.path("storage/second-json.log");
    symlink(&stored, node.0.path(&second)).unwrap();
    node.link(node.0.path(&second), "second");
    node.0.append("storage/second-json.log", 3);
    node.0.counted();
    // The kubelet rotates what the link leads to.
    for file in [&first, "storage/second-json.log"] {
        fs::rename(node.0.path(file), node.0.path(&format!("{file}.20261120-050700"))).unwrap();
        node.0.append(file, 2);
        node.0.counted();
    }
    // A container that is started anew has another file, to which the link is switched.
    node.switch_to_second_file();
    node.0.counted();
    // The pod goes, its link first, and comes again.
    fs::remove_file(node.0.path("containers/second.log")).unwrap();
    fs::remove_dir_all(node.0.path("pods/second")).unwrap();
    fs::remove_file(stored).unwrap();
    let second = node.pod("second");
    node.0.append(&second, 2);
    node.link(format!("../{second}"), "second");
    node.0.counted();
}

/// What was not read of the file that the link led to before is counted, or it is told that it is not.
#[test]
fn a_link_that_is_switched_while_nobody_looks_loses_nothing_in_silence() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut node = Node::new(true);
    let log = node.pod("first");
    node.link(format!("../{log}"), "first");
    node.0.append(&log, 0);
    node.0.start();
    node.0.append(&log, 3);
    node.0.counted();
    node.0.kill();
    node.switch_to_second_file();
    node.0.start();
    let lines = |node: &Node| node.0.scrape().value("telltale_log_lines_total{source=\"app\"}");
    let told = |node: &Node| node.0.exporter().log().contains("cannot be found");
    eventually("all is counted or told", || {
        lines(&node) == 6.0 || (lines(&node) == 5.0 && told(&node))
    });
    let before = lines(&node);
    node.0.append("pods/first/web/1.log", 1);
    eventually("it goes on", || lines(&node) == before + 1.0);
}

#[test]
fn one_file_counts_once_whatever_names_lead_to_it() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut node = Node::new(true);
    let log = node.pod("a");
    node.0.append(&log, 0);
    for name in ["one", "two"] {
        node.link(format!("../{log}"), name);
    }
    node.link("one.log", "three");
    node.0.start();
    node.0.append(&log, 3);
    node.0.counted();
    // Names that come later, and one that goes.
    node.link(node.0.path(&log), "four");
    fs::hard_link(node.0.path(&log), node.0.path("containers/five.log")).unwrap();
    node.0.append(&log, 2);
    node.0.counted();
    fs::remove_file(node.0.path("containers/one.log")).unwrap();
    node.0.append(&log, 2);
    node.0.counted();
    node.0.kill();
    fs::remove_file(node.0.path("containers/two.log")).unwrap();
    node.0.append(&log, 2);
    node.0.start();
    node.0.counted();
}

#[test]
fn links_of_others_loops_and_what_is_no_file_are_refused_and_told() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut node = Node::new(true);
    let log = node.pod("a");
    node.0.append(&log, 0);
    node.link(format!("../{log}"), "good");
    let secret = node.0.path("storage/secret.log");
    fs::write(&secret, "event 99 happened\n").unwrap();
    // A link of somebody else's, and one of root's that leads through theirs, or through their directory.
    node.link("../storage/secret.log", "planted");
    lchown(node.0.path("containers/planted.log"), Some(OTHER), None).unwrap();
    node.link("planted.log", "by-planted");
    fs::create_dir(node.0.path("theirs")).unwrap();
    symlink("../storage/secret.log", node.0.path("theirs/log")).unwrap();
    chown(node.0.path("theirs"), Some(OTHER), None).unwrap();
    node.link("../theirs/log", "through");
    // Two that lead to each other, one to itself, one to nothing, and to what has no lines.
    node.link("pong.log", "ping");
    node.link("ping.log", "pong");
    node.link("self.log", "self");
    node.link("nothing", "dangling");
    node.link("/dev/zero", "device");
    node.link("../pods", "directory");
    node.0.start();
    node.0.append(&log, 3);
    assert_eq!(up(&node.0.counted()), 1.0);
    for name in ["planted", "by-planted"] {
        node.told(&format!("{name}.log: a link that root does not own is not followed"));
    }
    node.told("through.log: a link through a directory that root does not own is not followed");
    // One that is followed and planted since.
    let path = node.0.path("containers/good.log");
    fs::remove_file(&path).unwrap();
    node.link("../storage/secret.log", "good");
    lchown(&path, Some(OTHER), None).unwrap();
    node.told("good.log: a link that root does not own is not followed");
    node.0.counted_events();
}

#[test]
fn without_the_option_a_link_out_of_the_patterns_directory_is_told_with_the_cure() {
    let mut node = Node::new(false);
    let log = node.pod("a");
    node.0.append(&log, 0);
    node.link(format!("../{log}"), "a");
    node.0.start();
    node.told("set 'follow_links: true' for the source");
    assert_eq!(up(&node.0.scrape()), 0.0);
    // A link that the configuration itself names is followed, whoever made it.
    let mut scene = Scene::new("current.log");
    fs::create_dir(scene.path("elsewhere")).unwrap();
    scene.append("elsewhere/0.log", 0);
    symlink("elsewhere/0.log", scene.path("current.log")).unwrap();
    scene.start();
    scene.append("elsewhere/0.log", 2);
    scene.counted();
}
