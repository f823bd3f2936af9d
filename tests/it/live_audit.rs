//! The audit status of a real kernel with a real auditd: what it says, and that it goes on saying it
//! while the queue overflows.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::common::audit::{auditctl, status};
use super::common::{AuditScene, Exporter, Scrape, eventually, exporter_command};

const PATH: &str = "/metrics?collect[]=audit";
const SUCCESS: &str = "telltale_scrape_collector_success{collector=\"audit\"}";

fn audit(exporter: &Exporter) -> Scrape {
    exporter.scrape_path(PATH)
}

fn value(exporter: &Exporter, name: &str) -> f64 {
    audit(exporter).value(&format!("telltale_audit_{name}"))
}

#[test]
fn every_field_is_that_of_auditctl() {
    let Some(_scene) = AuditScene::start() else { return };
    let exporter = Exporter::start(&[]);
    assert_eq!(value(&exporter, "enabled"), 1.0, "the first scrape has it");
    for words in ["-b 321", "--backlog_wait_time 1234", "-r 5000", "-f 0"] {
        auditctl(words);
    }
    let kernel = status();
    eventually("the change is seen", || value(&exporter, "backlog_limit") == 321.0);
    let scrape = audit(&exporter);
    for (ours, theirs) in [
        ("enabled", "enabled"),
        ("failure_mode", "failure"),
        ("rate_limit", "rate_limit"),
        ("backlog_limit", "backlog_limit"),
        ("lost_total", "lost"),
        ("backlog", "backlog"),
        ("backlog_wait_time_jiffies", "backlog_wait_time"),
        ("backlog_waited_jiffies_total", "backlog_wait_time_actual"),
    ] {
        let ours = scrape.value(&format!("telltale_audit_{ours}"));
        assert_eq!(ours, kernel[theirs] as f64, "{theirs}");
    }
    assert_eq!(scrape.value("telltale_audit_backlog_limit_bytes"), 321.0 * 8970.0);
    assert_eq!(scrape.value("telltale_audit_required"), 0.0);
    assert_eq!(scrape.value("telltale_audit_daemon_up"), 1.0);
    assert!(scrape.value("telltale_audit_status_age_seconds") < 3.0);
    let page = exporter.get("/").text();
    assert!(page.contains(&format!("pid {}", kernel["pid"])), "{page}");

    // As journald does at its start, and somebody who repairs it.
    auditctl("-e 0");
    eventually("off is seen", || value(&exporter, "enabled") == 0.0);
    auditctl("-e 1");
    eventually("on is seen", || value(&exporter, "enabled") == 1.0);
}

#[test]
fn rules_and_their_keys() {
    let Some(mut scene) = AuditScene::start() else { return };
    let uid = scene.uid;
    scene.rule(&format!("always,exit -F arch=b64 -S getppid -F uid={uid} -k telltale_here"));
    let config = tempfile::NamedTempFile::new().unwrap();
    let text = "audit: {required: true, expected_keys: [telltale_here, telltale_missing]}\n";
    std::fs::write(&config, text).unwrap();
    let exporter = Exporter::start(&[&format!("--config.file={}", config.path().display())]);
    eventually("rules are counted", || audit(&exporter).get("telltale_audit_rules").is_some());
    let scrape = audit(&exporter);
    assert!(scrape.value("telltale_audit_rules") >= 1.0);
    assert_eq!(scrape.value("telltale_audit_rule_loaded{key=\"telltale_here\"}"), 1.0);
    assert_eq!(scrape.value("telltale_audit_rule_loaded{key=\"telltale_missing\"}"), 0.0);
    assert_eq!(scrape.value("telltale_audit_required"), 1.0);
}

#[test]
fn a_daemon_that_is_stopped_or_killed_is_not_up_whatever_the_kernel_says() {
    let Some(mut scene) = AuditScene::start() else { return };
    let exporter = Exporter::start(&[]);
    let up = |what: &str, expected: f64| {
        eventually(what, || value(&exporter, "daemon_up") == expected);
    };
    up("running", 1.0);
    scene.signal(Signal::STOP);
    up("stopped", 0.0);
    scene.signal(Signal::CONT);
    up("going on", 1.0);
    scene.signal(Signal::KILL);
    let pid = u64::from(scene.auditd().id());
    scene.auditd().wait().unwrap();
    // The kernel has nothing to send it, so it has not noticed.
    assert_eq!(status()["pid"], pid, "the kernel's pid is stale");
    up("killed", 0.0);
}

/// An exporter that is stopped during an overflow is gone soon, and another can take its place.
fn stop_and_start_again() {
    let mut exporter = Exporter::start(&[]);
    audit(&exporter);
    let (status, took) = exporter.stop(Signal::TERM);
    // Whoever waits for the kernel waits up to 60 s.
    assert!(status.success() && took < Duration::from_secs(30), "{status} {took:?}");
    TcpListener::bind(exporter.address).unwrap();
    let exporter = Exporter::start_on(&format!("--web.listen-address={}", exporter.address));
    // Where other tests have stopped theirs as well, it says that it waits for the askers of those.
    let crowded = "askers of exporters that were stopped during this overflow";
    eventually("it has the status, or says why not", || {
        audit(&exporter).value(SUCCESS) == 1.0 || exporter.get("/").text().contains(crowded)
    });
}

/// The overflow of the seed, with each wait time: scrapes answer, the status is young, and when it is
/// over everything is as before.
fn overflow(wait_jiffies: u32, seconds: u64) {
    let Some(mut scene) = AuditScene::start() else { return };
    // As the exporter assumes the slowest clock: HZ=100, and 3 askers while the question for the rules sleeps too.
    let spacing = (f64::from(wait_jiffies) / 100.0 / 3.0).max(1.0);
    let exporter = Exporter::start(&[]);
    audit(&exporter);
    let storm = scene.overflow(wait_jiffies);
    eventually("the queue is full", || audit(&exporter).value("telltale_audit_backlog") >= 16.0);
    let (started, half) = (Instant::now(), Duration::from_secs(seconds / 2));
    let mut fullest = 0.0_f64;
    // Where each scrape or each question waited for the kernel, none would be quick and none young.
    let (mut quickest, mut youngest) = (Duration::MAX, f64::MAX);
    while started.elapsed() < Duration::from_secs(seconds) {
        let asked = Instant::now();
        let scrape = audit(&exporter);
        quickest = quickest.min(asked.elapsed());
        assert_eq!(scrape.value(SUCCESS), 1.0, "after {:?}", started.elapsed());
        let age = scrape.value("telltale_audit_status_age_seconds");
        if started.elapsed() > half {
            youngest = youngest.min(age);
        }
        let backlog = scrape.value("telltale_audit_backlog");
        assert!(scrape.value("telltale_audit_backlog_peak") >= backlog);
        fullest = fullest.max(backlog);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    assert!(youngest <= spacing + 1.0, "{youngest} s old, where {spacing} + 1 s is promised");
    // Hardly more than the limit: whoever would add to it sleeps.
    assert!((16.0..40.0).contains(&fullest), "the queue was full: {fullest}");
    stop_and_start_again();
    scene.relieve(storm);
    let relieved = Instant::now();
    eventually("back to normal", || {
        let scrape = audit(&exporter);
        scrape.value(SUCCESS) == 1.0
            && scrape.value("telltale_audit_backlog") < 16.0
            && scrape.value("telltale_audit_status_age_seconds") < 1.5
            && scrape.value("telltale_audit_daemon_up") == 1.0
    });
    let took = relieved.elapsed();
    // Not only when the next question was due, which is up to 50 s.
    assert!(took < Duration::from_secs(40), "back to normal after {took:?}");
    // What the kernel says when nothing moves any more.
    eventually("what is lost is that of the kernel", || {
        value(&exporter, "lost_total") == status()["lost"] as f64
    });
    let kernel = status();
    assert_eq!(value(&exporter, "backlog_limit"), 16.0);
    if kernel["lost"] > 0 {
        auditctl("--reset-lost");
        eventually("the reset is seen", || value(&exporter, "lost_total") == 0.0);
    }
}

#[test]
fn overflow_with_a_wait_of_2_seconds() {
    overflow(500, 16);
}

#[test]
fn overflow_with_a_wait_of_6_seconds() {
    overflow(1500, 24);
}

#[test]
fn overflow_with_a_wait_of_60_seconds() {
    overflow(15_000, 20);
}

/// The processes of this exporter that ask; its other children listen.
fn helpers_of(exporter: &Exporter) -> Vec<u32> {
    let children = format!("/proc/{0}/task/{0}/children", exporter.pid());
    let children = std::fs::read_to_string(children).unwrap();
    let asks = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim() == "telltale-audit")
    };
    children.split_whitespace().map(|pid| pid.parse().unwrap()).filter(asks).collect()
}

/// The process that asks for this exporter.
pub fn helper_of(exporter: &Exporter) -> u32 {
    helpers_of(exporter)[0]
}

/// Threads of these helpers that sleep in the kernel. Helpers of other tests sleep beside them.
fn asleep(helpers: &[u32]) -> usize {
    let tasks = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let stats = helpers.iter().flat_map(tasks).flatten().map(|task| task.path().join("stat"));
    stats.filter(|stat| std::fs::read_to_string(stat).is_ok_and(|s| s.contains(") D "))).count()
}

/// Waits until no helper of any test sleeps: the longest wait is 60 s, and each record that the kernel writes
/// wakes one of them.
fn all_awake() {
    for _ in 0..1200 {
        let tasks = Command::new("ps").args(["-eLo", "comm=,stat="]).output().unwrap();
        let tasks = String::from_utf8(tasks.stdout).unwrap();
        if !tasks.lines().any(|l| l.starts_with("telltale-audit") && l.contains(" D")) {
            return;
        }
        auditctl("-m wake");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("helpers of other tests sleep for two minutes");
}

/// In a mount namespace where `kernel.hung_task_panic` reads 1, which the kernel does not know of.
#[test]
fn where_a_sleeper_would_make_the_kernel_panic_one_at_most_sleeps() {
    let Some(mut scene) = AuditScene::start() else { return };
    let one = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&one, "1\n").unwrap();
    let script = "mount --bind \"$1\" /proc/sys/kernel/hung_task_panic && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(one.path()).arg(exporter_command().get_program());
    // One that sleeps already is one too many.
    all_awake();
    let exporter = Exporter::spawn(command);
    audit(&exporter);
    let helper = [helper_of(&exporter)];
    // Longer than the default hung_task_timeout_secs of 120 s, by the slowest clock.
    let storm = scene.overflow(15_000);
    eventually("a question sleeps", || asleep(&helper) == 1);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(1));
        assert!(asleep(&helper) <= 1);
    }
    let page = exporter.get("/").text();
    assert!(page.contains("kernel.hung_task_panic=1"), "{page}");
    scene.relieve(storm);
}

#[test]
fn restarts_during_an_overflow_do_not_pile_up_sleepers() {
    let Some(mut scene) = AuditScene::start() else { return };
    let storm = scene.overflow(15_000);
    let (mut helpers, mut most) = (Vec::new(), 0);
    for _ in 0..20 {
        let mut exporter = Exporter::start(&[]);
        audit(&exporter);
        std::thread::sleep(Duration::from_millis(300));
        helpers.push(helper_of(&exporter));
        most = most.max(asleep(&helpers));
        exporter.stop(Signal::KILL);
    }
    assert!((1..=16).contains(&most), "{most} askers asleep");
    scene.relieve(storm);
}

#[test]
fn a_helper_that_dies_stays_down_and_that_is_said() {
    let Some(_scene) = AuditScene::start() else { return };
    let exporter = Exporter::start(&[]);
    audit(&exporter);
    let helper = i32::try_from(helper_of(&exporter)).unwrap();
    let helper = rustix::process::Pid::from_raw(helper).unwrap();
    rustix::process::kill_process(helper, Signal::KILL).unwrap();
    eventually("it is missed", || audit(&exporter).value(SUCCESS) == 0.0);
    let scrape = exporter.scrape();
    assert_eq!(scrape.get("telltale_audit_enabled"), None, "no value that may be wrong");
    assert_eq!(scrape.value("telltale_scrape_collector_success{collector=\"users\"}"), 1.0);
    assert!(exporter.get("/").text().contains("the audit helper process has ended"));
    assert!(helpers_of(&exporter).is_empty(), "nobody starts another");
}
