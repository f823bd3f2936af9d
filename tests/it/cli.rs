//! The command line: exit codes, one line for every mistake, a clean stop.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::common::{Exporter, eventually, exporter_command};

/// Runs it to its end; it must not serve.
fn run(flags: &[&str]) -> Output {
    exporter_command().args(flags).stdin(Stdio::null()).output().unwrap()
}

/// The one line on standard error of a refused start.
fn refused(flags: &[&str]) -> String {
    let output = run(flags);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("telltale_exporter: "), "{said}");
    said
}

#[test]
fn version_and_help() {
    let output = run(&["--version"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("telltale_exporter 0."), "{said}");
    let output = run(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--web.listen-address"));
}

#[test]
fn mistakes_exit_with_2_and_one_line() {
    assert!(refused(&["--collector.user"]).contains("did you mean"));
    assert!(refused(&["serve"]).contains("--help"));
    assert!(refused(&["--collector.users.exclude=("]).contains("--collector.users.exclude"));
    let missing = refused(&["--config.file=/nonexistent/telltale.yml"]);
    assert!(missing.contains("/nonexistent/telltale.yml") && missing.contains("No such file"));
    assert!(refused(&["--config.file=/dev/zero"]).contains("not a regular file"));
    assert!(refused(&["--config.file=/"]).contains("not a regular file"));

    assert!(refused(&["--path.procfs=/nonexistent"]).contains("--path.procfs /nonexistent"));
    assert!(refused(&["--path.procfs=/sys"]).contains("no procfs is there"));
    let twice = "--web.listen-address=127.0.0.1:20999";
    assert!(refused(&[twice, twice]).contains("given twice"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "users:\n  exclud: x\n").unwrap();
    let line = refused(&["--config.file", &file.path().display().to_string()]);
    assert!(line.contains(":2:") && line.contains("exclud"), "{line}");
}

#[test]
fn a_port_in_use_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = refused(&["--web.listen-address", &address]);
    assert!(line.contains(&address) && line.contains("another --web.listen-address"), "{line}");
}

#[test]
fn configuration_file_is_read_and_flags_override_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = format!("--config.file={}", file.path().display());
    let root = "telltale_user_tasks{user=\"root\",uid=\"0\"}";
    std::fs::write(&file, "users:\n  exclude: '^root$'\n").unwrap();
    assert_eq!(Exporter::start(&[&config]).scrape().get(root), None);
    let flags = [&*config, "--collector.users.exclude="];
    assert!(Exporter::start(&flags).scrape().get(root).is_some());
    std::fs::write(&file, "").unwrap();
    assert!(Exporter::start(&[&config]).scrape().get(root).is_some());
}

#[test]
fn collectors_are_switched_off() {
    let exporter = Exporter::start(&["--no-collector.users", "--no-collector.process"]);
    let scrape = exporter.scrape();
    let on: Vec<_> = scrape
        .series()
        .filter(|series| series.starts_with("telltale_scrape_collector_success"))
        .collect();
    assert_eq!(on.len(), 6, "{on:?}");
    assert!(!scrape.families.contains_key("telltale_user_tasks"));
    let page = exporter.get("/").text();
    let users = page.lines().find(|line| line.starts_with("users "));
    assert!(users.is_some_and(|line| line.contains(" off")), "{page}");
}

#[test]
fn signals_stop_it_cleanly_and_the_port_is_free_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut exporter = Exporter::start(&[]);
        exporter.scrape();
        // An idle connection must not hold it up.
        let _idle = std::net::TcpStream::connect(exporter.address).unwrap();
        let (status, took) = exporter.stop(signal);
        assert_eq!((status.code(), status.signal()), (Some(0), None));
        // It would be ended after 20 s.
        assert!(took < Duration::from_secs(15), "{took:?}");
        TcpListener::bind(exporter.address).unwrap();
        assert!(exporter.log().contains("stopping"));
    }
}

#[test]
fn it_never_waits_for_its_log() {
    // A pipe that nobody reads, as when journald is stopped: both streams go there under systemd.
    let (_reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut child = exporter_command()
        .args(["--log.level=debug", "--web.listen-address", &port.to_string()])
        .env("STATE_DIRECTORY", home.path())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    eventually("it listens", || std::net::TcpStream::connect(port).is_ok());
    // Each of these connections ends in an error that is logged: more lines than the queue holds.
    for _ in 0..2000 {
        let mut stream = std::net::TcpStream::connect(port).unwrap();
        std::io::Write::write_all(&mut stream, b"nonsense\r\n\r\n").unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    eventually("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_are_logfmt_or_json() {
    let exporter = Exporter::start(&[]);
    assert!(exporter.log().starts_with("ts=20"), "{}", exporter.log());
    let home = tempfile::tempdir().unwrap();
    let mut child = exporter_command()
        .args(["--log.format=json", "--web.listen-address=127.0.0.1:0"])
        .env("STATE_DIRECTORY", home.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(log)
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let line = lines.find(|line| line["message"] == "listening").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line["address"].as_str().unwrap().starts_with("127.0.0.1:"));
}
