//! `scan`: one event counts once, and stands where the clock of its own puts it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::common::exporter_command;

/// 05:05:50 in UTC, when the kernel of these lines started.
const BOOT: u64 = 1_795_151_150;

const OOM: &str = "Out of memory: Killed process 4242 (java) total-vm:8388608kB, anon-rss:4194304kB, \
    file-rss:0kB, shmem-rss:0kB, UID:994 pgtables:9000kB oom_score_adj:0";

fn report(dir: &Path, words: &[&str], files: &[&str]) -> Value {
    let mut command = exporter_command();
    command.current_dir(dir).env("TZ", "UTC").args(["scan", "--format=json"]);
    let output = command.args(words).args(files).stdin(Stdio::null()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path: PathBuf = dir.path().join(name);
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn one<'r>(report: &'r Value, id: &str) -> &'r Value {
    let mut found = report["signatures"].as_array().unwrap().iter();
    found.find(|one| one["id"] == id).unwrap_or(&Value::Null)
}

fn count(report: &Value, id: &str) -> u64 {
    one(report, id)["count"].as_u64().unwrap_or(0)
}

/// A kernel line as rsyslog writes it at this time.
fn kernel(time: &str, uptime: f64, message: &str) -> String {
    format!("2026-11-20T{time}+00:00 web04 kernel: [{uptime:12.6}] {message}\n")
}

fn denied(nth: u32) -> String {
    format!(
        "apparmor=\"DENIED\" operation=\"open\" profile=\"snap.x\" name=\"/a\" pid={nth} comm=\"x\""
    )
}

/// What journald has of it, and what it has of it from the kernel's ring.
fn both(second: u32, serial: u32, pid: u32) -> (String, String) {
    let header = format!("Nov 20 05:06:{second:02} web04");
    let epoch = BOOT + 10 + u64::from(second);
    (
        format!("{header} audit[{pid}]: AVC {}\n", denied(pid)),
        format!("{header} kernel: audit: type=1400 audit({epoch}.139:{serial}): {}\n", denied(pid)),
    )
}

#[test]
fn an_audit_event_that_one_log_tells_twice_counts_once() {
    let (a1, k1) = both(1, 271, 7);
    let (a2, k2) = both(1, 272, 8);
    let (a3, k3) = both(1, 273, 7);
    let (_, later) = both(9, 280, 7);
    for (lines, expected) in [
        (vec![&a1, &k1], 1),
        (vec![&k1, &a1], 1),
        (vec![&a1, &a2, &k1, &k2], 2),
        (vec![&k2, &a1, &k1, &a2], 2),
        (vec![&a1, &a3, &k1, &k3], 2),
        (vec![&a1, &k1, &a3, &k3], 2),
        (vec![&a1, &later], 2),
        (vec![&k1, &k1], 1),
        (vec![&a1], 1),
        (vec![&k1], 1),
    ] {
        let text: String = lines.iter().map(|line| line.as_str()).collect();
        let dir = directory(&[("journal", &text)]);
        let report = report(dir.path(), &[], &["journal"]);
        assert_eq!(count(&report, "apparmor-denied"), expected, "{text}{report:#}");
        assert_eq!(
            (&report["lines"], &report["unmatched"], &report["left_out"]),
            (&lines.len().into(), &0.into(), &0.into())
        );
    }
}

#[test]
fn an_audit_event_of_the_journals_export_counts_once() {
    let mut text = String::new();
    let mut entry = |transport: &str, fields: &str, message: &str| {
        write!(
            text,
            "__CURSOR=c\n__REALTIME_TIMESTAMP=1795151160000000\n__MONOTONIC_TIMESTAMP=10000000\n\
             _TRANSPORT={transport}\n_HOSTNAME=web04\n{fields}MESSAGE={message}\n\n"
        )
        .unwrap();
    };
    for serial in [271, 272, 273] {
        let audit = format!("SYSLOG_IDENTIFIER=audit\n_PID=7\n_AUDIT_ID={serial}\n");
        entry("audit", &audit, &format!("AVC {}", denied(7)));
    }
    for serial in [271, 272, 274] {
        let message = format!("audit: type=1400 audit(1795151159.500:{serial}): {}", denied(7));
        let fields = "SYSLOG_IDENTIFIER=kernel\n_SOURCE_MONOTONIC_TIMESTAMP=9500000\n";
        entry("kernel", fields, &message);
    }
    let dir = directory(&[("export", &text)]);
    assert_eq!(count(&report(dir.path(), &[], &["export"]), "apparmor-denied"), 4);
}

#[test]
fn a_kernel_line_stands_where_the_kernels_clock_puts_it() {
    let oom = kernel("05:30:00", 80.0, OOM);
    let pair = format!("audit: type=1305 audit({}.000:2): op=set", BOOT + 40);
    let pair = kernel("05:30:00", 40.0, &pair);
    let live = kernel("05:30:50", 1500.0, "audit: backlog limit exceeded");
    let first = |files: &[(&str, &str)], words: &[&str]| {
        let dir = directory(files);
        let report = report(dir.path(), words, &[files[0].0]);
        one(&report, "kernel-oom-kill")["first"].as_str().unwrap_or("none").to_owned()
    };
    let later = format!("audit: type=1305 audit({}.000:2): op=set", BOOT + 90);
    let later = kernel("05:30:00", 90.0, &later);
    // The line with both clocks comes before or after it.
    for text in [format!("{pair}{oom}"), format!("{oom}{later}")] {
        assert_eq!(first(&[("log", &text)], &[]), "2026-11-20T05:07:10Z", "{text}");
    }
    // Else that which is least late.
    assert_eq!(first(&[("log", &format!("{oom}{live}"))], &[]), "2026-11-20T05:07:10Z");
    assert_eq!(first(&[("log", &oom)], &[]), "2026-11-20T05:30:00Z");
    // Of another boot nothing is known by that.
    let text = format!("{pair}{}", kernel("05:30:00", 0.5, OOM));
    assert_eq!(first(&[("log", &text)], &[]), "2026-11-20T05:30:00Z");
    // dmesg has no other clock.
    let dmesg = format!(
        "[   40.000000] audit: type=1305 audit({}.000:2): op=set\n[   80.000000] {OOM}\n",
        BOOT + 40
    );
    assert_eq!(first(&[("dmesg", &dmesg)], &[]), "2026-11-20T05:07:10Z");
    let text = format!("{pair}{oom}");
    assert_eq!(first(&[("log", &text)], &["--until=2026-11-20T05:07:10Z"]), "2026-11-20T05:07:10Z");
    assert_eq!(first(&[("log", &text)], &["--since=2026-11-20T05:07:11Z"]), "none");
}

#[test]
fn an_event_in_several_logs_counts_as_often_as_in_the_one_that_has_it_most_often() {
    let oom = kernel("05:07:10", 80.0, OOM);
    let sshd = "2026-11-20T05:07:11+00:00 web04 sshd[7]: fatal: setresuid 500: Resource temporarily unavailable\n";
    let traditional =
        "Nov 20 05:07:11 web04 sshd[7]: fatal: setresuid 500: Resource temporarily unavailable\n";
    let export = format!(
        "__CURSOR=c\n__REALTIME_TIMESTAMP=1795151231400000\n__MONOTONIC_TIMESTAMP=81000000\n\
         _TRANSPORT=kernel\nSYSLOG_IDENTIFIER=kernel\n_SOURCE_MONOTONIC_TIMESTAMP=80000000\n_HOSTNAME=web04\n\
         MESSAGE={OOM}\n\n\
         __CURSOR=d\n__REALTIME_TIMESTAMP=1795151231500000\n_TRANSPORT=syslog\nSYSLOG_IDENTIFIER=sshd\n\
         SYSLOG_PID=7\n_HOSTNAME=web04\nMESSAGE=fatal: setresuid 500: Resource temporarily unavailable\n\n"
    );
    let untimed = "fatal: setresuid 500: Resource temporarily unavailable\n";
    let (double, syslog) = (format!("{sshd}{sshd}"), format!("{oom}{sshd}"));
    let dmesg = format!("[   80.000000] {OOM}\n");
    let dir = directory(&[
        ("kern.log", &oom),
        ("syslog", &syslog),
        ("syslog.1", sshd),
        ("auth.log", &double),
        ("old", traditional),
        ("export", &export),
        ("dmesg", &dmesg),
        ("console", untimed),
        ("console2", untimed),
    ]);
    for (files, ooms, refused, left_out) in [
        (&["kern.log", "syslog"][..], 1, 1, 1),
        (&["syslog", "kern.log"], 1, 1, 1),
        (&["kern.log", "kern.log"], 1, 0, 1),
        (&["syslog", "syslog.1"], 1, 2, 0),
        (&["syslog", "auth.log"], 1, 2, 1),
        (&["auth.log", "syslog"], 1, 2, 1),
        (&["syslog", "auth.log", "syslog.1"], 1, 2, 2),
        (&["syslog", "old"], 1, 1, 1),
        (&["syslog", "export", "dmesg"], 1, 1, 3),
        (&["console", "console2"], 0, 2, 0),
    ] {
        let report = report(dir.path(), &[], files);
        assert_eq!(
            (count(&report, "kernel-oom-kill"), count(&report, "sshd-setresuid-nproc")),
            (ooms, refused),
            "{files:?} {report:#}"
        );
        assert_eq!(report["left_out"], left_out, "{files:?}");
    }
    let mut command = exporter_command();
    let output =
        command.current_dir(dir.path()).args(["scan", "kern.log", "syslog"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1 event left out that another log tells too."), "{text}");
}

/// The audit daemon's line is in one log, both in another.
#[test]
fn an_audit_event_that_two_logs_tell_in_different_words_counts_once() {
    let (a, k) = both(1, 271, 7);
    let both_lines = format!("{a}{k}");
    let dir = directory(&[("kern.log", &k), ("syslog", &both_lines)]);
    for files in [["kern.log", "syslog"], ["syslog", "kern.log"]] {
        assert_eq!(count(&report(dir.path(), &[], &files), "apparmor-denied"), 1, "{files:?}");
    }
}
