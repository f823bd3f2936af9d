//! Headers of all kinds of systems: what `scan` makes of files in each form.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::common;

const OOM: &str = "Out of memory: Killed process 1234 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB, \
                   shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0";
const FAILED: &str = "Failed password for joe from 192.0.2.9 port 38066 ssh2";

fn run(words: &[&str]) -> Output {
    common::exporter_command().arg("scan").args(words).env("TZ", "UTC").output().unwrap()
}

/// Counts by signature, and the first time of all.
fn scan(name: &str, text: &str) -> (Vec<(String, u64)>, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    scan_file(&path, &[])
}

fn scan_file(path: &Path, words: &[&str]) -> (Vec<(String, u64)>, String) {
    let words = [&["--format", "json", path.to_str().unwrap()], words].concat();
    let report: Value = serde_json::from_slice(&run(&words).stdout).unwrap();
    let found = report["signatures"].as_array().unwrap();
    let count =
        |one: &Value| (one["id"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap());
    let mut counts: Vec<_> = found.iter().map(count).collect();
    counts.sort();
    let first = found.iter().filter_map(|one| one["first"].as_str()).min().unwrap_or_default();
    (counts, first.to_owned())
}

fn both() -> Vec<(String, u64)> {
    vec![("kernel-oom-kill".to_owned(), 1), ("sshd-failed-login".to_owned(), 1)]
}

#[test]
fn the_same_events_in_every_form() {
    for (form, sshd, kernel) in [
        (
            "busybox",
            "Apr 28 13:11:39 localhost auth.info sshd[27366]: ",
            "Apr 28 13:11:40 localhost kern.err kernel: [123.456789] ",
        ),
        (
            "busybox -S",
            "Apr 28 13:11:39 auth.info sshd[27366]: ",
            "Apr 28 13:11:40 kern.err kernel: [123.456789] ",
        ),
        (
            "logread",
            "Sun Jan 15 21:18:04 2023 auth.info sshd[27366]: ",
            "Sun Jan 15 21:18:04 2023 kern.err kernel: [15687.115716] ",
        ),
        ("pasted", "Jun 7 01:11:57 nas sshd[27366]: ", "Jan 5 11:15:05 nas kernel: "),
        ("no time", "sshd[27366]: ", "kernel: "),
        (
            "local",
            "2024-03-01T10:00:00 web04 sshd[27366]: ",
            "2024-03-01T10:00:00.5 web04 kernel: [ 12.345678] ",
        ),
        (
            "year behind the day",
            "Mar 1 2024 10:00:00 web04 sshd[27366]: ",
            "Mar  1 2024 10:00:00 web04 kernel: ",
        ),
        (
            "year behind the time",
            "Mar 1 10:00:00 2024 web04 sshd[27366]: ",
            "Mar  1 10:00:00 2024 web04 kernel: ",
        ),
        (
            "year first",
            "2024 Mar 1 10:00:00 web04 sshd[27366]: ",
            "2024 Mar  1 10:00:00 web04 kernel: ",
        ),
        (
            "container",
            "2024-03-01T10:00:00.123456789Z stderr F ",
            "2024-03-01T10:00:00.123456789+01:00 stdout P ",
        ),
        (
            "relay",
            "Mar  1 10:00:00 gw web04 sshd[27366]: ",
            "Mar  1 10:00:00 gw 192.0.2.7 kernel: [ 12.345678] ",
        ),
        (
            "relay with a header",
            "Mar  1 10:00:00 gw Mar  1 10:00:00 web04 sshd[27366]: ",
            "Mar  1 10:00:00 gw 2024-03-01T10:00:00Z web04 kernel: ",
        ),
        (
            "brackets",
            "[Sun Dec 1 14:54:40 2024] web04 sshd[27366]: ",
            "[Sun Dec 1 14:54:40 2024] web04 kernel: ",
        ),
        ("short-unix", "1709287200.123456 web04 sshd[27366]: ", "1709287200.123456 web04 kernel: "),
        (
            "tai64n",
            "@400000006affd5d80756b5b3 sshd[27366]: ",
            "@400000006affd5d80756b5b3 kernel: [ 12.345678] ",
        ),
        (
            "RFC 5424",
            "1 2024-03-01T10:00:00Z web04 sshd 27366 - - ",
            "1 2024-03-01T10:00:00Z web04 kernel - - - [ 12.345678] ",
        ),
        ("short-monotonic", "[ 1237.492680] web04 sshd[27366]: ", "[ 1237.492680] web04 kernel: "),
        (
            "socklog",
            "2024-03-01T10:00:00.12345 auth.info: Mar  1 10:00:00 sshd[27366]: ",
            "2024-03-01T10:00:00.12345 kern.err: [ 12.345678] ",
        ),
        (
            "mixed",
            "Apr 28 13:11:39 localhost auth.info sshd[27366]: ",
            "Sun Jan 15 21:18:04 2023 kern.err kernel: [15687.115716] ",
        ),
    ] {
        let (counts, _) = scan("log", &format!("{sshd}{FAILED}\n{kernel}{OOM}\n"));
        assert_eq!(counts, both(), "{form}");
    }
}

#[test]
fn lines_in_json() {
    let docker = format!(
        "{}\n{}\n",
        serde_json::json!({"log": format!("{FAILED}\n"), "stream": "stderr", "time": "2024-03-01T10:00:00.5Z"}),
        serde_json::json!({"log": format!("{OOM}\n"), "stream": "stdout", "time": "2024-03-01T10:00:00.5Z"}),
    );
    let (counts, first) = scan("c-json.log", &docker);
    assert_eq!((counts, &*first), (both(), "2024-03-01T10:00:00.5Z"));
    let journal = format!(
        "{}\n{}\n",
        serde_json::json!({"__REALTIME_TIMESTAMP": "1709287200500000", "_HOSTNAME": "web04", "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "sshd", "_PID": "7", "MESSAGE": FAILED}),
        serde_json::json!({"__REALTIME_TIMESTAMP": "1709287200600000", "_HOSTNAME": "web04", "PRIORITY": "3",
            "SYSLOG_IDENTIFIER": "kernel", "_TRANSPORT": "kernel", "MESSAGE": OOM}),
    );
    let (counts, first) = scan("journal.json", &journal);
    assert_eq!((counts, &*first), (both(), "2024-03-01T10:00:00.5Z"));
}

/// A copied file has the time of the copy.
#[test]
fn the_year_is_that_of_the_files_own_evidence() {
    let oom = |time: &str| format!("{time} web04 kernel: {OOM}\n");
    let head =
        "-- Logs begin at Fri 2022-02-04 09:34:04 UTC, end at Thu 2022-02-10 16:19:19 UTC. --\n";
    assert_eq!(
        scan("journalctl", &format!("{head}{}", oom("Feb 10 09:11:24"))).1,
        "2022-02-10T09:11:24Z"
    );
    let stamp =
        "Feb  4 09:16:57 web04 kernel: [ 12.5] audit: type=1400 audit(1643967817.139:271): x\n";
    assert_eq!(
        scan("kern.log", &format!("{stamp}{}", oom("Feb  4 09:20:00"))).1,
        "2022-02-04T09:20:00Z"
    );
    assert_eq!(scan("messages-20220210", &oom("Feb  9 09:11:24")).1, "2022-02-09T09:11:24Z");
    // Which is what a window asks for.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("messages-20220210");
    std::fs::write(&path, oom("Feb  9 09:11:24")).unwrap();
    assert_eq!(scan_file(&path, &["--since", "2023-01-01"]).0, []);
    assert_eq!(
        scan_file(&path, &["--since", "Feb 9 2022 09:11", "--until", "2022-02-09 09:12"]).0.len(),
        1
    );
}

#[test]
fn a_line_is_explained() {
    let told = |line: &str| {
        let output = run(&["--explain", line]);
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    let (text, code) =
        told(&format!("Apr 28 13:11:40 localhost kern.err kernel: [123.456789] {OOM}"));
    for row in [
        "header    traditional\n",
        "priority  3 (facility 0, severity 3)\n",
        "host      localhost\n",
        "program   kernel\n",
        "message   Out of memory: Killed",
        "kernel-oom-kill                  matches\n",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
    assert_eq!(code, 1, "it asks to act");
    let (text, code) = told(&format!("Apr 28 13:11:40 localhost app[7]: {FAILED}"));
    assert!(text.contains("sshd-failed-login") && text.contains("but it is for sshd"), "{text}");
    assert_eq!(code, 0);
    let (text, _) = told("hello");
    assert!(
        text.contains("header    none\n") && text.contains("signatures has a word of it"),
        "{text}"
    );
    let (text, _) = told(
        "{\"log\":\"a\\u001b[1mb\\n\",\"stream\":\"stderr\",\"time\":\"2024-03-01T10:00:00Z\"}",
    );
    assert!(
        text.contains("header    output of a container\n") && !text.contains('\u{1b}'),
        "{text}"
    );
    // It reads no file beside the line.
    assert_eq!(run(&["--explain", "x", "file"]).status.code(), Some(2));
}
