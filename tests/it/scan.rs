//! `scan`: the same lines give the same counts in whichever form they stand, and the exit code says what
//! is to be done.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::common::exporter_command;
use super::common::pack::{gz, xz, zstd};

/// Program and message: one that asks to act, one harmless, two unknown, one of the kernel.
const LINES: [(&str, &str); 6] = [
    ("sshd", "fatal: setresuid 500: Resource temporarily unavailable"),
    ("sshd", "Accepted password for ann from 10.0.0.7 port 63922 ssh2"),
    ("app", "worker 7 has nothing to do"),
    ("app", "worker 8 has nothing to do"),
    ("kernel", "audit: backlog limit exceeded"),
    ("kernel", "audit: backlog limit exceeded"),
];

fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn syslog() -> String {
    let mut text = String::new();
    for (second, (program, message)) in LINES.iter().enumerate() {
        writeln!(text, "2026-11-20T05:13:{second:02}+00:00 web04 {program}: {message}").unwrap();
    }
    text
}

fn export() -> String {
    let mut text = String::new();
    for (second, (program, message)) in LINES.iter().enumerate() {
        let micros = 1_795_151_580_000_000u64 + second as u64 * 1_000_000;
        write!(
            text,
            "__CURSOR=s=1;i={second}\n__REALTIME_TIMESTAMP={micros}\n_HOSTNAME=web04\n\
             SYSLOG_IDENTIFIER={program}\nMESSAGE={message}\n\n"
        )
        .unwrap();
    }
    text
}

fn scan(words: &[&str], files: &[&Path]) -> Output {
    let mut command = exporter_command();
    command.arg("scan").args(words).args(files).stdin(Stdio::null()).output().unwrap()
}

/// The report as JSON, and the exit code.
fn json(words: &[&str], files: &[&Path]) -> (Value, i32) {
    let output = scan(&[&["--format=json"], words].concat(), files);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.is_empty(), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

/// Counts by id, and how many lines are unknown.
fn counts(report: &Value) -> (Vec<(String, u64)>, u64) {
    let found = report["signatures"].as_array().unwrap().iter();
    let mut found: Vec<_> = found
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap()))
        .collect();
    found.sort();
    (found, report["unmatched"].as_u64().unwrap())
}

#[test]
fn every_form_gives_the_same_counts() {
    let dir = tempfile::tempdir().unwrap();
    let text = syslog();
    let plain = file(dir.path(), "plain", text.as_bytes());
    let (report, code) = json(&[], &[&plain]);
    let expected = counts(&report);
    assert_eq!((expected.0.len(), expected.1, code), (3, 2, 1), "{report:#}");
    assert_eq!(report["lines"], 6);
    for (name, bytes) in [
        ("gz", gz(text.as_bytes())),
        ("xz", xz(text.as_bytes())),
        ("zst", zstd(text.as_bytes())),
        ("marked", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("export", export().into_bytes()),
        ("export.gz", gz(export().as_bytes())),
    ] {
        let (report, code) = json(&[], &[&file(dir.path(), name, &bytes)]);
        assert_eq!((counts(&report), code), (expected.clone(), 1), "{name}");
        assert_eq!(report["lines"], 6, "{name}");
        let shape = &report["unknown"][0];
        assert_eq!((&shape["count"], &shape["about"]), (&2.into(), &false.into()), "{name}");
        assert!(shape["shape"].as_str().unwrap().starts_with("app: worker "), "{shape}");
        for time in ["first", "last"] {
            let time = report["signatures"][0][time].as_str().unwrap();
            assert!(time.starts_with("2026-11-20T05:13:0") && time.ends_with('Z'), "{time}");
        }
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let mut child = exporter_command()
        .args(["scan", "--format=json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&gz(syslog().as_bytes())).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((counts(&report).1, output.status.code()), (2, Some(1)));
}

#[test]
fn the_kernels_log_in_all_its_forms() {
    let dir = tempfile::tempdir().unwrap();
    let message = "audit: backlog limit exceeded";
    for (name, text) in [
        ("kmsg", format!("4,1,2000000,-;{message}\n SUBSYSTEM=x\n6,2,3000000,-;what is this\n")),
        ("dmesg", format!("[    2.000000] {message}\n[    3.000000] what is this\n")),
        (
            "dated",
            format!(
                "[Fri Nov 20 05:08:30 2026] {message}\n[Fri Nov 20 05:08:31 2026] what is this\n"
            ),
        ),
        ("raw", format!("<4>[    2.000000] {message}\n<6>[    3.000000] what is this\n")),
        (
            "decoded",
            format!(
                "kern  :warn  : [    2.000000] {message}\nkern  :info  : [    3.000000] what is this\n"
            ),
        ),
        ("human", format!("[Nov20 05:08] {message}\n[  +0.000012] what is this\n")),
    ] {
        let (report, _) = json(&[], &[&file(dir.path(), name, text.as_bytes())]);
        let (found, unknown) = counts(&report);
        assert_eq!((found.len(), found[0].1, unknown), (1, 1, 1), "{name}: {report:#}");
        // Nobody knows when the boot was.
        let knows = report["signatures"][0]["first"].is_string();
        assert_eq!(knows, ["dated", "human"].contains(&name));
        assert_eq!(report["unknown"][0]["shape"], "kernel: what is this");
    }
}

#[test]
fn since_and_until_cut() {
    let dir = tempfile::tempdir().unwrap();
    // The line without a time goes with the one before.
    let text = syslog() + "worker without a header\n";
    let path = file(dir.path(), "log", text.as_bytes());
    let lines = |words: &[&str]| json(words, &[&path]).0["lines"].as_u64().unwrap();
    assert_eq!(lines(&[]), 7);
    assert_eq!(lines(&["--since=2026-11-20T05:13:04Z"]), 3);
    assert_eq!(lines(&["--until=2026-11-20T05:13:01Z"]), 2);
    assert_eq!(lines(&["--since=2026-11-20T05:13:01Z", "--until=2026-11-20T05:13:02Z"]), 2);
    let export = file(dir.path(), "export", export().as_bytes());
    assert_eq!(json(&["--since=2026-11-20T05:13:04Z"], &[&export]).0["lines"], 2);
    for (words, says) in [
        (&["--since=noon"][..], "--since: 'noon' is no time"),
        (&["--since=now", "--until=-2h"], "--since is after --until"),
    ] {
        let output = scan(words, &[&path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn repeated_lines_count_as_often_as_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let header = "Nov 20 05:13:11 web04";
    let text = format!(
        "{header} sshd[1]: {0}\n{header} last message repeated 3 times\n\
         {header} sshd[1]: message repeated 2 times: [ {0}]\n\
         {header} app: unknown\n{header} last message repeated 5 times\n",
        LINES[0].1
    );
    let (report, _) = json(&[], &[&file(dir.path(), "log", text.as_bytes())]);
    assert_eq!(report["signatures"][0]["count"], 6);
    assert_eq!((&report["lines"], &report["unmatched"]), (&5.into(), &2.into()));
}

#[test]
fn exit_codes_and_damage() {
    let dir = tempfile::tempdir().unwrap();
    let fine = file(dir.path(), "fine", b"Nov 20 05:13:11 web04 app: fine\n");
    let act = file(dir.path(), "act", syslog().as_bytes());
    let empty = file(dir.path(), "empty", b"");
    let whole = gz(&syslog().into_bytes().repeat(100));
    let cut = file(dir.path(), "cut.gz", &whole[..whole.len() - 20]);
    let missing = dir.path().join("missing");
    let code = |files: &[&Path]| scan(&[], files).status.code().unwrap();
    assert_eq!(code(&[&fine]), 0);
    assert_eq!(code(&[&empty]), 0);
    assert_eq!(code(&[&act]), 1);
    assert_eq!(code(&[&missing]), 2);
    assert_eq!(code(&[&missing, &fine]), 2);
    assert_eq!(code(&[&missing, &act]), 1, "what asks to act comes first");
    let (report, _) = json(&[], &[&cut, &fine]);
    let errors = report["errors"].as_array().unwrap();
    assert!(errors[0].as_str().unwrap().contains("cut.gz: at byte "), "{errors:?}");
    // What could be read counts, and the other file too.
    let shapes = report["unknown"].as_array().unwrap();
    assert!(shapes.iter().any(|shape| shape["shape"] == "app: fine"), "{shapes:?}");
    assert!(scan(&[], &[]).status.code() == Some(2));
    let text = String::from_utf8(scan(&[], &[&missing]).stdout).unwrap();
    assert!(text.contains("NOT READ (1)") && text.contains("No such file"), "{text}");
}

#[test]
fn what_cannot_be_read_is_told_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let journal = file(dir.path(), "system.journal", b"LPKSHHRH\0\0\0\0");
    let bzip2 = file(dir.path(), "log.bz2", b"BZh91AY&SY");
    let long = file(dir.path(), "long", &vec![b'x'; 200_000]);
    let wide: Vec<u8> = syslog().encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (path, says) in [
        (&journal, "journalctl --file"),
        (&bzip2, "bzcat"),
        (&file(dir.path(), "wide", b"\xff\xfeN\0o\0v\0"), "iconv"),
        (&file(dir.path(), "unmarked", &wide), "UTF-16LE"),
        (&file(dir.path(), "twice.gz", &gz(&gz(syslog().as_bytes()))), "compressed twice"),
        (&long, "134464 bytes of lines longer than 64 KiB"),
    ] {
        let (report, code) = json(&[], &[path]);
        let error = report["errors"][0].as_str().unwrap_or_default();
        assert!(code == 2 && error.contains(says), "{code} {report}");
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for nth in 0..3000 {
        writeln!(text, "Nov 20 05:13:11 web04 app: {} kind", "word ".repeat(nth % 60 + 1)).unwrap();
    }
    let path = file(dir.path(), "log", text.as_bytes());
    let mut child = exporter_command()
        .args(["scan", "--format=json", "--unknown=1000"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn many_unknown_lines_are_counted_about() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for nth in 0..300_000 {
        let kind = if nth % 3 == 0 { "rare" } else { "frequent" };
        writeln!(text, "Nov 20 05:13:11 web04 app: job {nth} is {kind} today").unwrap();
    }
    let path = file(dir.path(), "log", text.as_bytes());
    let (report, code) = json(&["--unknown=2"], &[&path]);
    assert_eq!((code, report["unmatched"].as_u64()), (0, Some(300_000)));
    let count = |nth: usize| report["unknown"][nth]["count"].as_u64().unwrap();
    let sum = if report["unknown"].as_array().unwrap().len() == 1 {
        count(0)
    } else {
        count(0) + count(1)
    };
    assert!((280_000..320_000).contains(&sum), "{report:#}");
    assert_eq!(report["unknown"][0]["about"], true);
    let said = String::from_utf8(scan(&[], &[&path]).stdout).unwrap();
    assert!(said.contains("of each kind about"), "{said}");
    let (report, _) = json(&["--unknown=0"], &[&path]);
    assert!(report["unknown"].as_array().unwrap().is_empty());
}

/// From a line that nobody knows to a signature that finds it, without a hand.
#[test]
fn the_stub_of_an_unknown_line_is_a_signature() {
    let dir = tempfile::tempdir().unwrap();
    let (syslog, export) = (syslog(), export());
    let kmsg = "4,1,2000000,-;worker thread 7 gave up on disk 12\n".repeat(2);
    for (name, text, id) in
        [("a", &syslog, "app-worker"), ("b", &export, "app-worker"), ("c", &kmsg, "kernel-worker")]
    {
        let log = file(dir.path(), name, text.as_bytes());
        let (report, _) = json(&[], &[&log]);
        let stub = report["unknown"][0]["stub"].as_str().unwrap();
        let signatures = file(dir.path(), "mine.yml", stub.as_bytes());
        let config = format!("logs: {{signatures: [{}]}}\n", signatures.display());
        let config = file(dir.path(), "telltale.yml", config.as_bytes());
        let config = format!("--config.file={}", config.display());
        let output = exporter_command().args([&config, "check"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("1 of yours"), "{said}");
        let (report, _) = json(&[&config], &[&log]);
        let (found, unknown) = counts(&report);
        let own = found.iter().find(|(found, _)| found.starts_with(id));
        assert_eq!((own.map(|(_, count)| *count), unknown), (Some(2), 0), "{stub} {report:#}");
    }
}

#[test]
fn the_other_forms_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "log", syslog().as_bytes());
    let text = String::from_utf8(scan(&[], &[&path]).stdout).unwrap();
    assert!(text.starts_with("6 lines (") && text.contains("\nACT (2)\n"), "{text}");
    assert!(text.contains("harmless: 1 line in 1 signature (sshd-accepted\u{a0}×1)"), "{text}");
    assert!(text.contains("Lines nobody knows: 2\n"), "{text}");
    let markdown = String::from_utf8(scan(&["--format=markdown"], &[&path]).stdout).unwrap();
    assert!(
        markdown.contains("| act | critical | 1 | sshd could not become the user"),
        "{markdown}"
    );
}

/// What SCAN.md shows is what a reader gets; the year is that of the checkout.
#[test]
fn the_documents_show_a_real_scan() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = super::documents::document("deploy/docs/SCAN.md");
    let (_, rest) = text.split_once("```console\n$ telltale_exporter scan ").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let (words, shown) = shown.split_once('\n').unwrap();
    let script = format!("exec \"$0\" scan {words}");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_telltale_exporter")])
        .current_dir(root)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let without_year = |line: &str| match line.split_once(", 20") {
        Some((start, rest)) => format!("{start}{}", rest.get(2..).unwrap_or_default()),
        None => line.to_owned(),
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = said.lines().map(without_year).collect();
    for line in shown.lines().filter(|line| *line != "[…]").map(without_year) {
        assert!(said.contains(&line), "{line}\n{said:#?}");
    }
}

/// On a terminal it has colours and its width; a bar appears only for what takes a while.
#[test]
fn on_a_terminal_there_are_colours() {
    if !super::common::need(&[super::common::Need::Tool("script")]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "log", syslog().as_bytes());
    let command = format!("{} scan {}", env!("CARGO_BIN_EXE_telltale_exporter"), path.display());
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\u{1b}[1mACT (2)\u{1b}[0m"), "{said:?}");
    assert_eq!(output.status.code(), Some(1));
}
