//! `/metrics` of the real binary on the reference host, line by line.
//!
//! After a wanted change: `UPDATE_GOLDEN=1 cargo test --test it golden`, and read the diff.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::common::{Exporter, Need, Scrape, eventually, need};
use super::host::Host;
use super::live_logs::{SEEDS, append};

/// Series that Prometheus may expect of one host (300 processes, 30 users) at most.
const SERIES_BUDGET: usize = 1000;

fn golden_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/metrics.txt")
}

/// The committed scrape of the reference host.
pub fn golden() -> String {
    std::fs::read_to_string(golden_path()).unwrap()
}

const RAW: &str = include_str!("../fixtures/audit/raw.log");
const NPROC: &str = include_str!("../fixtures/audit/nproc.log");

fn reference_scrape() -> String {
    // The audit status is that of the kernel we run on: no other test's daemon is registered meanwhile, of which
    // this host's procfs knows nothing.
    let _audit = super::common::audit::lock();
    let host = Host::reference();
    let config = host.path("telltale.yml");
    let logs = host.path("root/var/log");
    let logs = logs.display();
    // The journal is none that can be read: its series are there all the same.
    let text = format!(
        "audit: {{expected_keys: [telltale_kill]}}\nlogs:\n  sources:\n    \
         - {{name: syslog, files: [{logs}/syslog]}}\n    - {{name: auth, files: [{logs}/auth.log]}}\n    \
         - {{name: audit, format: audit, files: [{logs}/audit.log]}}\n    \
         - {{name: journal, journal: true, directories: [{logs}/journal]}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = format!("--config.file={}", config.display());
    let flags = host.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.push(&config);
    let exporter = Exporter::start(&flags);
    // A fork that is rejected while we look; those before are not ours.
    exporter.scrape();
    host.cgroup("machine.slice/build", "60", "max", 4);
    // Every line that is known, and one that is not.
    let syslog = host.path("root/var/log/syslog");
    for (line, ..) in SEEDS {
        append(&syslog, &format!("{line}\n"));
    }
    append(&syslog, "Nov 20 05:08:31 web04 app[7]: nobody knows this line\n");
    // Signals, failed forks, crashes and changes, as recorded.
    let records = [RAW, NPROC].concat();
    append(&host.path("root/var/log/audit.log"), &records);
    let audited = records.lines().count() as f64;
    eventually("lines and audit rules are read", || {
        let scrape = exporter.scrape();
        let lines = scrape.value("telltale_log_lines_total{source=\"syslog\"}");
        let audit = scrape.value("telltale_log_lines_total{source=\"audit\"}");
        lines > SEEDS.len() as f64
            && audit == audited
            && scrape.get("telltale_audit_rules").is_some()
    });
    exporter.get("/metrics").text()
}

/// Replaces what differs from run to run: our own process, durations, times, the source revision, and
/// the audit status of the kernel that we run on, which no directory of fixtures can stand for.
fn settled(text: &str) -> String {
    let volatile = ["process_"];
    // Not so what is read from the audit daemon's log.
    let of_log = ["events", "keyed", "signals", "failed", "crashes", "weakened"];
    let of_kernel = |line: &str| {
        let rest = line.strip_prefix("telltale_audit_");
        rest.is_some_and(|rest| !of_log.iter().any(|name| rest.starts_with(name)))
    };
    let within = ["_duration_seconds{", "_timestamp_seconds{", "_timestamp_seconds "];
    let mut lines = Vec::new();
    for line in text.lines() {
        let volatile = volatile.iter().any(|start| line.starts_with(start))
            || of_kernel(line)
            || (!line.starts_with('#') && within.iter().any(|part| line.contains(part)));
        lines.push(if volatile {
            format!("{} 0", line.rsplit_once(' ').unwrap().0)
        } else if line.starts_with("telltale_exporter_build_info{") {
            "telltale_exporter_build_info{version=\"0\",revision=\"0\"} 1".to_owned()
        } else if line.starts_with("telltale_exporter_page_info{") {
            "telltale_exporter_page_info{url=\"http://127.0.0.1:0/\"} 1".to_owned()
        } else {
            line.to_owned()
        });
    }
    lines.join("\n") + "\n"
}

#[test]
fn metrics_of_the_reference_host() {
    if !need(&[Need::Root]) {
        return;
    }
    let text = settled(&reference_scrape());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden_path(), &text).unwrap();
    }
    let golden = golden();
    let differ = text.lines().zip(golden.lines()).position(|(ours, kept)| ours != kept);
    if let Some(line) = differ {
        let at = |text: &str| text.lines().nth(line).unwrap().to_owned();
        panic!("line {}:\n  now    {}\n  golden {}", line + 1, at(&text), at(&golden));
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn the_series_budget_is_kept() {
    let series = Scrape::parse(&golden()).series().count();
    assert!(series <= SERIES_BUDGET, "{series} series");
    // The host must be worth the budget: all its users are there.
    assert_eq!(golden().matches("\ntelltale_user_tasks{").count(), 30);
}

#[test]
fn promtool_has_nothing_to_say() {
    if !need(&[Need::Root, Need::Tool("promtool")]) {
        return;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(reference_scrape().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}
