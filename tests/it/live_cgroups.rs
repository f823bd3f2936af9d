//! A real pids cgroup at its limit.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::{Exporter, Load, Need, eventually, free_uid, load, need};

/// A pids cgroup of our own below the root, removed with everything in it.
pub struct Cgroup(PathBuf);

impl Cgroup {
    pub fn new(parent: &Path, name: &str, max: &str) -> Self {
        let path = parent.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("pids.max"), max).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Lets groups be made below it that have limits of their own; cgroup v1 needs nothing for that.
    pub fn delegate(&self) {
        if self.0.join("cgroup.controllers").exists() {
            std::fs::write(self.0.join("cgroup.subtree_control"), "+pids").unwrap();
        }
    }

    /// A load that enters the cgroup before it becomes a user.
    pub fn load(&self, uid: u32, count: u32) -> Load {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$1/cgroup.procs\"; shift; exec \"$@\"", "sh"]);
        command.arg(&self.0).arg(load::load_command().get_program());
        command.args(["--uid", &uid.to_string(), "fork", &count.to_string()]);
        Load::spawn(command)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        eventually("the cgroup is empty", || std::fs::remove_dir(&self.0).is_ok());
    }
}

/// Where this host has the pids controller, with it enabled for groups below the root.
pub fn pids_root() -> PathBuf {
    let version_1 = PathBuf::from("/sys/fs/cgroup/pids");
    if version_1.exists() {
        return version_1;
    }
    let root = PathBuf::from("/sys/fs/cgroup");
    std::fs::write(root.join("cgroup.subtree_control"), "+pids").expect("a pids controller");
    root
}

#[test]
fn a_pids_cgroup_at_its_limit() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let outer = Cgroup::new(&pids_root(), &format!("telltale-{uid}"), "12");
    let exporter = Exporter::start(&[]);
    exporter.scrape();

    let load = outer.load(uid, 100);
    assert!(load.refused && load.made == 11);
    let scrape = exporter.scrape();
    let of = |family: &str| {
        scrape.value(&format!("telltale_cgroup_{family}{{cgroup=\"/telltale-{uid}\"}}"))
    };
    assert_eq!(of("tasks"), 12.0);
    assert_eq!(of("tasks_limit"), 12.0);
    assert_eq!(of("rejected_forks_total"), 1.0);
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"cgroup\""), Some(0.0));
    assert_eq!(
        scrape.user("processes_blocked", uid, ""),
        Some(0.0),
        "its own limit is not reached"
    );
    assert_eq!(scrape.user("command_tasks", uid, ",command=\"load\""), Some(12.0));
}

#[test]
fn the_cgroups_above_count_too() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let outer = Cgroup::new(&pids_root(), &format!("telltale-{uid}"), "10");
    outer.delegate();
    let inner = Cgroup::new(&outer.0, "inner", "max");
    let load = inner.load(uid, 6);
    assert!(!load.refused);
    let scrape = Exporter::start(&[]).scrape();
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"cgroup\""), Some(3.0));
    let unlimited = format!("telltale_cgroup_tasks{{cgroup=\"/telltale-{uid}/inner\"}}");
    assert_eq!(scrape.get(&unlimited), None, "a cgroup without a limit is not listed");
}
