//! A real Prometheus scrapes the real binary, and its API gives the numbers back.

use super::common::{Exporter, Load, Need, Prometheus, eventually, free_uid, need};
use super::live_logs::append;

#[test]
fn a_real_prometheus_sees_a_user_at_its_limit() {
    if !need(&[Need::Root, Need::Tool("prometheus")]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let prometheus = Prometheus::scraping(exporter.address.port(), &[]);
    let sees = |what: &str, expression: &str, value: f64| {
        eventually(what, || prometheus.query(expression) == Some(value));
    };
    sees("up", "up{job=\"telltale\"}", 1.0);
    let load = Load::start(&["--uid", &uid.to_string(), "--nproc", "64:64", "fork", "100"]);
    assert!(load.refused);
    sees("tasks", &format!("telltale_user_tasks{{uid=\"{uid}\"}}"), 64.0);
    let headroom = format!("telltale_user_fork_headroom_tasks{{uid=\"{uid}\",ceiling=\"rlimit\"}}");
    sees("headroom", &headroom, 0.0);
    sees("blocked", &format!("telltale_user_processes_blocked{{uid=\"{uid}\"}}"), 64.0);
    sees("success", "min(telltale_scrape_collector_success)", 1.0);
    drop(load);
    sees("tasks gone", &format!("telltale_user_tasks{{uid=\"{uid}\"}}"), 0.0);
}

#[test]
fn a_real_prometheus_sees_log_lines_and_the_audit_queue() {
    if !need(&[Need::Root, Need::Tool("prometheus")]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, config) = (dir.path().join("messages"), dir.path().join("telltale.yml"));
    std::fs::write(&log, "").unwrap();
    let text = format!("logs: {{sources: [{{name: messages, files: ['{}']}}]}}\n", log.display());
    std::fs::write(&config, text).unwrap();
    let exporter = Exporter::start(&[&format!("--config.file={}", config.display())]);
    let prometheus = Prometheus::scraping(exporter.address.port(), &[]);
    let matches = "telltale_log_signature_matches_total{signature=\"audit-backlog-exceeded\"}";
    eventually("it is 0 from the start", || prometheus.query(matches) == Some(0.0));
    append(&log, "Nov 20 05:08:29 web04 kernel: [ 1237.4] audit: backlog limit exceeded\n");
    eventually("the line is counted", || prometheus.query(matches) == Some(1.0));
    let limit = "telltale_audit_backlog_limit";
    eventually("audit status", || prometheus.query(limit).is_some_and(|limit| limit >= 0.0));
}
