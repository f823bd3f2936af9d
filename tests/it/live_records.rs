//! The exporter on the kernel's ring and on a real journald: each message once, over kill -9, rotation and
//! restart of either.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use super::common::journald::{JOURNALD, Scene};
use super::common::{Exporter, Need, eventually, need};
use super::live_kmsg::Log;

const SETRESUID: &str = "fatal: setresuid 500: Resource temporarily unavailable";

/// An exporter that is killed and started again on the same state.
struct Home {
    dir: TempDir,
    flags: Vec<String>,
}

impl Home {
    fn new(source: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("telltale.yml");
        fs::write(&config, format!("logs: {{sources: [{source}]}}\n")).unwrap();
        let flags = vec![format!("--config.file={}", config.display())];
        Self { dir, flags }
    }

    fn start(&self) -> Exporter {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        Exporter::start_in(self.dir.path(), &flags)
    }
}

/// Matches of sshd's line for a user out of processes.
fn matches(exporter: &Exporter) -> f64 {
    let name = "telltale_log_signature_matches_total{signature=\"sshd-setresuid-nproc\"";
    value(exporter, &format!("{name},severity=\"critical\",verdict=\"act\"}}")).unwrap()
}

fn value(exporter: &Exporter, series: &str) -> Option<f64> {
    exporter.scrape_path("/metrics?collect[]=logs").get(series)
}

#[test]
fn the_kernels_ring_is_counted_once_over_kill_and_restart() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut log = Log::open().unwrap();
    let home = Home::new("{name: kernel, kmsg: true}");
    log.write(&format!("sshd[1]: {SETRESUID}, before the start"));
    let mut exporter = home.start();
    let unmatched = "telltale_log_unmatched_lines_total{source=\"kernel\",level=\"warning\"}";
    assert_eq!(value(&exporter, "telltale_log_source_up{source=\"kernel\"}"), Some(1.0));
    let before = value(&exporter, unmatched).unwrap();
    for round in 0..4 {
        log.write(&format!("sshd[{}]: {SETRESUID}", 1000 + round));
        log.write("stranger: words that nobody knows");
        eventually("it is counted", || matches(&exporter) == f64::from(2 * round + 1));
        exporter.stop(Signal::KILL);
        log.write(&format!("sshd[{}]: {SETRESUID}", 2000 + round));
        exporter = home.start();
        eventually("it is counted after the start", || {
            matches(&exporter) == f64::from(2 * round + 2)
        });
    }
    eventually("by level", || value(&exporter, unmatched).unwrap() >= before + 4.0);
    let lost = "telltale_log_lost_messages_total{source=\"kernel\",reason=\"overwritten\"}";
    assert_eq!(value(&exporter, lost), Some(0.0));
}

#[test]
fn the_journal_is_counted_once_over_kill_rotation_and_restart() {
    if !need(&[Need::Root, Need::Tool(JOURNALD), Need::Tool("logger")]) {
        return;
    }
    let mut scene = Scene::new("Storage=persistent", None);
    let directories: Vec<_> =
        scene.directories().iter().map(|path| path.display().to_string()).collect();
    let home =
        Home::new(&format!("{{name: journal, journal: true, directories: {directories:?}}}"));
    scene.log_from("sshd", SETRESUID);
    scene.flushed("before the start");
    let mut exporter = home.start();
    assert_eq!(value(&exporter, "telltale_log_source_up{source=\"journal\"}"), Some(1.0));
    let mut written = 0.0;
    for round in 0..6 {
        scene.log_from("sshd", SETRESUID);
        scene.log_as(1234, SETRESUID);
        written += 1.0;
        eventually("it is counted", || matches(&exporter) == written);
        match round {
            0 => scene.signal(Signal::USR1),
            1 | 4 => scene.signal(Signal::USR2),
            2 => {
                scene.stop(Signal::KILL);
                scene.start();
            }
            _ => {}
        }
        exporter.stop(Signal::KILL);
        scene.log_from("sshd", SETRESUID);
        written += 1.0;
        scene.flushed(&format!("round {round}"));
        exporter = home.start();
        eventually("it is counted after the start", || matches(&exporter) == written);
    }
    // Whoever calls themselves kernel is not.
    scene.log_from("kernel", "audit: backlog limit exceeded");
    scene.flushed("forged");
    let backlog = "telltale_log_signature_matches_total{signature=\"audit-backlog-exceeded\",severity=\"critical\",verdict=\"act\"}";
    let unmatched = "telltale_log_unmatched_lines_total{source=\"journal\",level=\"err\"}";
    // Six of another program, and this one.
    eventually("it is read", || value(&exporter, unmatched) == Some(7.0));
    assert_eq!(value(&exporter, backlog), Some(0.0));
    let lost = "telltale_log_lost_messages_total{source=\"journal\",reason=\"missing\"}";
    assert_eq!(value(&exporter, lost), Some(0.0));
}

fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs_f64()
}

const LAST: &str =
    "telltale_log_signature_last_match_timestamp_seconds{signature=\"sshd-setresuid-nproc\"}";

/// What was written while nobody read is dated by its own time.
#[test]
fn a_message_that_is_read_late_has_its_own_time() {
    if !need(&[Need::Root, Need::Tool(JOURNALD), Need::Tool("logger")]) {
        return;
    }
    let (mut log, scene) = (Log::open().unwrap(), Scene::new("Storage=persistent", None));
    let directories: Vec<_> =
        scene.directories().iter().map(|path| path.display().to_string()).collect();
    let journal = format!("{{name: journal, journal: true, directories: {directories:?}}}");
    for journald in [false, true] {
        let home = Home::new(if journald { &journal } else { "{name: kernel, kmsg: true}" });
        scene.flushed("before the start");
        let mut exporter = home.start();
        let series = if journald { "journal" } else { "kernel" };
        let up = format!("telltale_log_source_up{{source=\"{series}\"}}");
        eventually("it is up", || value(&exporter, &up) == Some(1.0));
        exporter.stop(Signal::KILL);
        let start = now();
        if journald {
            scene.log_from("sshd", SETRESUID);
            scene.flushed("while nobody reads");
        } else {
            log.write(&format!("sshd[7]: {SETRESUID}"));
        }
        let end = now();
        // Longer than the kernel's clocks differ.
        std::thread::sleep(std::time::Duration::from_secs(3));
        exporter = home.start();
        eventually("it is counted", || matches(&exporter) == 1.0);
        let last = value(&exporter, LAST).unwrap();
        assert!((start - 1.0..end + 1.0).contains(&last), "{series}: {start} {last} {end}");
    }
}

#[test]
fn a_host_with_a_journal_is_read_there_and_nowhere_else() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let mut scene = Scene::new("Storage=persistent", None);
    scene.signal(Signal::USR1);
    eventually("the flush", || scene.directories()[1].join("system.journal").exists());
    let rootfs = format!("--path.rootfs={}", scene.root.display());
    let exporter = Exporter::start(&[&rootfs, "--no-collector.audit"]);
    let scrape = exporter.scrape_path("/metrics?collect[]=logs");
    // Audit events are followed beside it, where there is an audit daemon.
    let audit = "telltale_log_lines_total{source=\"audit\"}";
    let lines = scrape.series().filter(|series| series.starts_with("telltale_log_lines_total"));
    let lines = lines.filter(|series| *series != audit);
    assert_eq!(lines.collect::<Vec<_>>(), ["telltale_log_lines_total{source=\"journal\"}"]);
    let page = exporter.get("/").text();
    assert!(page.contains("the journal is read"), "{page}");
    scene.stop(Signal::TERM);
    for directory in scene.directories() {
        let _ = fs::remove_dir_all(directory);
    }
    let up = "telltale_log_source_up{source=\"journal\"}";
    eventually("it tells that there is none", || value(&exporter, up) == Some(0.0));
    assert!(Path::new(&scene.root).exists());
}
