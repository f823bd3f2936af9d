//! `telltale_exporter kills` over the recordings, beside what `ausearch -k … -i` printed of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::common::exporter_command;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audit").join(name)
}

fn kills(words: &[&str], files: &[&Path]) -> Output {
    let mut command = exporter_command();
    command.arg("kills").args(words).env("TZ", "UTC");
    for file in files {
        command.arg("--file").arg(file);
    }
    command.output().unwrap()
}

fn told(words: &[&str], files: &[&Path]) -> String {
    String::from_utf8(kills(words, files).stdout).unwrap()
}

/// Signal, sender's pid, success and pids of targets by serial number.
type Facts = BTreeMap<String, (String, String, String, Vec<String>)>;

/// What ausearch says of every event that has the key and sends a signal.
fn of_ausearch(text: &str) -> Facts {
    let field = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
        rest.split(' ').next().unwrap().to_owned()
    };
    let mut facts = Facts::new();
    for event in text.split("----\n").filter(|event| !event.is_empty()) {
        let call = event.lines().find(|line| line.contains("type=SYSCALL ")).unwrap();
        let name = field(call, "syscall");
        let argument = if name == "tgkill" { "a2" } else { "a1" };
        if !["kill", "tkill", "tgkill"].contains(&name.as_str()) {
            continue;
        }
        let serial = call.split_once(") : ").unwrap().0.rsplit_once(':').unwrap().1;
        let targets = event.lines().filter(|line| line.contains("type=OBJ_PID "));
        let mut targets: Vec<_> = targets.map(|line| field(line, "opid")).collect();
        targets.sort();
        let (signal, pid, success) =
            (field(call, argument), field(call, "pid"), field(call, "success"));
        facts.insert(serial.to_owned(), (signal, pid, success, targets));
    }
    facts
}

fn of_json(text: &str) -> Facts {
    let mut facts = Facts::new();
    for line in text.lines() {
        let kill: serde_json::Value = serde_json::from_str(line).unwrap();
        let targets = kill["targets"].as_array().unwrap().iter();
        // One without a name was not there: ausearch has no record of it.
        let targets = targets.filter(|target| !target["comm"].is_null());
        let mut targets: Vec<_> = targets.map(|target| target["pid"].to_string()).collect();
        targets.sort();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let success = if kill["success"].as_bool().unwrap() { "yes" } else { "no" };
        let fact =
            (text(&kill["signal"]), kill["sender"]["pid"].to_string(), success.to_owned(), targets);
        assert!(facts.insert(kill["serial"].to_string(), fact).is_none());
    }
    facts
}

#[test]
fn a_byte_order_mark_hides_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read(fixture("raw.log")).unwrap();
    // From the first record of a signal on.
    let kill = text.split_inclusive(|&byte| byte == b'\n');
    let is_obj = |line: &[u8]| {
        line.starts_with(b"type=SYSCALL") && line.windows(11).any(|at| at == b"syscall=62 ")
    };
    let before: usize = kill.take_while(|line| !is_obj(line)).map(<[u8]>::len).sum();
    let (plain, marked) = (dir.path().join("plain"), dir.path().join("marked"));
    std::fs::write(&plain, &text[before..]).unwrap();
    std::fs::write(&marked, [b"\xef\xbb\xbf", &text[before..]].concat()).unwrap();
    let said = told(&["--format", "json"], &[&plain]);
    assert!(!said.is_empty());
    assert_eq!(told(&["--format", "json"], &[&marked]), said);
}

#[test]
fn it_agrees_with_ausearch_event_by_event() {
    for name in ["raw", "enriched"] {
        let text = std::fs::read_to_string(fixture(&format!("{name}_ausearch.txt"))).unwrap();
        let words = ["--format", "json", "--key", "my_temporary_kill_audit"];
        let ours = of_json(&told(&words, &[&fixture(&format!("{name}.log"))]));
        let printed = of_ausearch(&text);
        assert!(printed.len() >= 30, "{name}: {}", printed.len());
        assert_eq!(ours, printed, "{name}");
    }
}

#[test]
fn the_documents_show_real_stories() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = super::documents::document("deploy/docs/AUDIT.md");
    let (_, rest) = text.split_once("```console\n$ telltale_exporter kills ").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let (words, shown) = shown.split_once('\n').unwrap();
    let mut command = exporter_command();
    let output = command.arg("kills").args(words.split(' ')).current_dir(root).env("TZ", "UTC");
    assert_eq!(String::from_utf8(output.output().unwrap().stdout).unwrap(), shown);
}

#[test]
fn compressed_rotated_and_from_standard_input() {
    let plain = told(&["--format", "json"], &[&fixture("raw.log")]);
    assert!(plain.lines().count() > 30);
    let bytes = std::fs::read(fixture("raw.log")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // Cut in the middle of an event, the older half compressed; named the newer first.
    let half = bytes.len() / 2;
    let (old, new) = (dir.path().join("audit.log.1"), dir.path().join("audit.log"));
    std::fs::write(&old, &bytes[..half]).unwrap();
    assert!(Command::new("gzip").arg(&old).status().unwrap().success());
    let old = dir.path().join("audit.log.1.gz");
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&new, &bytes[half..]).unwrap();
    // auditd rotates between lines; here one is cut, which costs its event's record and nothing else.
    let whole = bytes[..half].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    assert!(whole <= half);
    let split = told(&["--format", "json"], &[&new, &old]);
    assert!(split.lines().count() + 1 >= plain.lines().count(), "{split}");
    // Between lines, and in the middle of an event: nothing is missing, whichever is named first.
    let event = b"msg=audit(1795151143.";
    let within = memchr::memmem::rfind(&bytes[..half], event).unwrap_or(half);
    let cut = bytes[..within].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    let (old, new) = (dir.path().join("log.1"), dir.path().join("log"));
    std::fs::write(&old, &bytes[..cut]).unwrap();
    std::fs::write(&new, &bytes[cut..]).unwrap();
    for files in [[&*new, &*old], [&*old, &*new]] {
        assert_eq!(told(&["--format", "json"], &files), plain);
    }
    let mut both = exporter_command();
    both.args(["kills", "--format", "json", "--file"]).args([&new, &old]);
    assert_eq!(String::from_utf8(both.output().unwrap().stdout).unwrap(), plain);
    let mut stdin = exporter_command();
    stdin
        .args(["kills", "--format", "json", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = stdin.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), plain);
}

#[test]
fn filters_choose() {
    let raw = fixture("raw.log");
    let count = |words: &[&str]| {
        let words = [&["--format", "json"], words].concat();
        told(&words, &[&raw]).lines().count()
    };
    let all = count(&[]);
    assert_eq!(count(&["--signal", "KILL"]), count(&["--signal", "9"]));
    assert!((1..all).contains(&count(&["--signal", "SIGTERM"])));
    assert_eq!(count(&["--target", "12008"]), 1);
    assert!((1..all).contains(&count(&["--target", "sleep"])));
    assert_eq!(count(&["--key", "another"]), 0);
    assert_eq!(count(&["--since", "2026-11-20T05:05:43Z", "--until", "2026-11-21"]), all);
    assert_eq!(count(&["--until", "2026-11-20T05:05:42Z"]), 0);
    // What is shown with this second is of it.
    assert!((1..all).contains(&count(&["--until", "2026-11-20T05:05:43Z"])));
}

#[test]
fn mistakes_are_told_with_the_cure() {
    let said = |words: &[&str], files: &[&Path]| {
        let output = kills(words, files);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let raw = fixture("raw.log");
    let (code, error) = said(&["--signal", "nonsense"], &[&raw]);
    assert!(code == Some(2) && error.contains("kill -l"), "{error}");
    let (code, error) = said(&["--since", "soon"], &[&raw]);
    assert!(code == Some(2) && error.contains("--since"), "{error}");
    let (code, error) = said(&[], &[Path::new("/nonexistent.log"), &raw]);
    assert!(code == Some(2) && error.contains("/nonexistent.log"), "{error}");
    let (code, error) =
        said(&[], &[Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md").as_path()]);
    assert!(code == Some(2) && error.contains("no audit record"), "{error}");
    let (code, error) = said(&["--target", "nobody-is-called-so"], &[&raw]);
    assert!(code == Some(0) && error.contains("none of them was asked for"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let quiet = dir.path().join("audit.log");
    std::fs::write(&quiet, "type=DAEMON_START msg=audit(1795151143.1:2): op=start res=success\n")
        .unwrap();
    let (code, error) = said(&[], &[&quiet]);
    assert!(code == Some(0) && error.contains("30-telltale.rules"), "{error}");
}
