//! The collector `audit_events` beside `logs`: each is switched and asked for by itself, and both keep one state.

use std::path::Path;

use rustix::process::Signal;

use super::common::{Exporter, Scrape, eventually};
use super::live_logs::append;

const AUDIT_LINES: &str = "telltale_log_lines_total{source=\"audit\"}";
const LOG_LINES: &str = "telltale_log_lines_total{source=\"app\"}";
const MATCHES: &str = "telltale_log_signature_matches_total{signature=\"kernel-oom-kill\"";

/// SIGKILL of a process of uid 500, as `30-telltale.rules` has it recorded; so many of them.
fn kills(log: &Path, first: u32, count: u32) {
    for serial in first..first + count {
        let stamp = format!("msg=audit(1763615143.337:{serial})");
        let records = format!(
            "type=SYSCALL {stamp}: arch=c000003e syscall=62 success=yes exit=0 a0=2b67 a1=9 a2=0 a3=0 items=0 ppid=1 \
             pid=77 auid=500 uid=500 gid=500 euid=500 suid=500 fsuid=500 egid=500 sgid=500 fsgid=500 tty=pts0 ses=3 \
             comm=\"bash\" exe=\"/bin/bash\" key=\"telltale_kill\"\n\
             type=OBJ_PID {stamp}: opid=11111 oauid=500 ouid=500 oses=3 ocomm=\"java\"\n\
             type=PROCTITLE {stamp}: proctitle=62617368\n"
        );
        append(log, &records);
    }
}

fn matched(scrape: &Scrape) -> Option<f64> {
    let series = scrape.series().find(|series| series.starts_with(MATCHES))?;
    scrape.get(series)
}

fn signals(scrape: &Scrape) -> f64 {
    let series =
        scrape.series().filter(|series| series.starts_with("telltale_audit_signals_total{"));
    series.map(|series| scrape.value(series)).sum()
}

/// A log and an audit log, both empty, and the flag that names them as sources.
fn scene() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let (audit, app) = (dir.path().join("audit.log"), dir.path().join("app.log"));
    std::fs::write(&audit, "").unwrap();
    std::fs::write(&app, "").unwrap();
    let text = format!(
        "logs:\n  sources:\n    - {{name: app, files: ['{}']}}\n    - {{name: audit, format: audit, files: ['{}']}}\n",
        app.display(),
        audit.display()
    );
    let config = dir.path().join("telltale.yml");
    std::fs::write(&config, text).unwrap();
    let flag = format!("--config.file={}", config.display());
    (dir, flag)
}

#[test]
fn each_is_switched_and_asked_for_by_itself() {
    let (dir, config) = scene();
    let (audit, app) = (dir.path().join("audit.log"), dir.path().join("app.log"));
    let both = Exporter::start(&[&config]);
    let without_logs = Exporter::start(&[&config, "--no-collector.logs"]);
    let without_events = Exporter::start(&[&config, "--no-collector.audit_events"]);
    kills(&audit, 1, 3);
    append(
        &app,
        "Nov 20 05:08:29 web04 kernel: Out of memory: Killed process 4242 (java) total-vm:1kB\n",
    );
    eventually("both count", || {
        let scrape = both.scrape();
        signals(&scrape) == 3.0 && matched(&scrape) == Some(1.0)
    });
    let events = both.scrape_path("/metrics?collect[]=audit_events");
    assert!(events.get(AUDIT_LINES) == Some(9.0) && events.get(LOG_LINES).is_none());
    assert!(signals(&events) == 3.0 && matched(&events).is_none());
    let logs = both.scrape_path("/metrics?collect[]=logs");
    assert!(logs.get(LOG_LINES) == Some(1.0) && logs.get(AUDIT_LINES).is_none());
    assert!(!logs.families.contains_key("telltale_audit_signals_total"));

    eventually("events are counted without logs", || signals(&without_logs.scrape()) == 3.0);
    let scrape = without_logs.scrape();
    assert!(scrape.get(LOG_LINES).is_none() && matched(&scrape).is_none());
    assert!(scrape.get("telltale_log_sources").is_none(), "nothing is said of logs");
    let page = without_logs.get("/kills").text();
    assert!(page.contains("bash (pid 77)") || page.contains("java"), "{page}");
    assert_eq!(without_logs.get("/metrics?collect[]=logs").status, 400);

    eventually("logs are counted without events", || {
        matched(&without_events.scrape()) == Some(1.0)
    });
    let scrape = without_events.scrape();
    assert!(scrape.get(AUDIT_LINES).is_none());
    assert!(!scrape.families.contains_key("telltale_audit_signals_total"));
    let page = without_events.get("/kills").text();
    assert!(page.contains("the collector audit_events is off"), "{page}");
    assert_eq!(without_events.get("/metrics?collect[]=audit_events").status, 400);
}

/// A run without one of them forgets neither where it stood nor what it had counted.
#[test]
fn one_that_is_off_for_a_while_goes_on_where_it_was() {
    let (dir, config) = scene();
    let (audit, app) = (dir.path().join("audit.log"), dir.path().join("app.log"));
    let (mut lines, mut events) = (0, 0);
    let runs: [&[&str]; 5] =
        [&[], &["--no-collector.logs"], &[], &["--no-collector.audit_events"], &[]];
    for (nth, off) in (1..).zip(runs) {
        // What is written while nobody runs, and while the run goes on.
        let mut exporter = None;
        for step in 0..2 {
            append(&app, "Nov 20 05:08:29 web04 app[7]: a line\n");
            lines += 1;
            kills(&audit, nth * 10 + step, 1);
            events += 1;
            let flags = [&[&*config][..], off].concat();
            let running = exporter.get_or_insert_with(|| Exporter::start_in(dir.path(), &flags));
            // The first start begins with what is written from then on.
            if (nth, step) == (1, 0) {
                (lines, events) = (0, 0);
            }
            eventually(&format!("run {nth}: {lines} lines, {events} events"), || {
                let scrape = running.scrape();
                let is = |name: &str, series: &str, expected: u32| {
                    off.iter().any(|flag| flag.ends_with(name))
                        || scrape.get(series) == Some(f64::from(expected))
                };
                is("collector.logs", LOG_LINES, lines)
                    && is("audit_events", AUDIT_LINES, events * 3)
            });
        }
        exporter.unwrap().stop(Signal::TERM);
    }
}

/// Whichever of them is scraped, what both have counted is kept.
#[test]
fn one_that_is_never_scraped_loses_nothing_to_a_kill() {
    let (dir, config) = scene();
    let (audit, app) = (dir.path().join("audit.log"), dir.path().join("app.log"));
    for round in 1..=4 {
        let mut exporter = Exporter::start_in(dir.path(), &[&config]);
        kills(&audit, round * 10, 2);
        for _ in 0..round {
            append(&app, "Nov 20 05:08:29 web04 app[7]: a line\n");
        }
        let asked = if round % 2 == 0 { "logs" } else { "audit_events" };
        let series = if round % 2 == 0 { LOG_LINES } else { AUDIT_LINES };
        let expected = if round % 2 == 0 { round * (round + 1) / 2 } else { round * 6 };
        eventually(&format!("{asked} in round {round}"), || {
            let scrape = exporter.scrape_path(&format!("/metrics?collect[]={asked}"));
            let seen = scrape.value(series);
            assert!(seen <= f64::from(expected), "{seen} of {expected}");
            seen == f64::from(expected)
        });
        exporter.stop(Signal::KILL);
    }
    let exporter = Exporter::start_in(dir.path(), &[&config]);
    eventually("all are counted once", || {
        let scrape = exporter.scrape();
        assert!(signals(&scrape) <= 8.0, "{}", signals(&scrape));
        scrape.value(LOG_LINES) == 10.0
            && scrape.value(AUDIT_LINES) == 24.0
            && signals(&scrape) == 8.0
    });
}
