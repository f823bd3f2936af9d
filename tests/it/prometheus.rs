//! A real Prometheus scrapes the real binary, and its API gives the numbers back.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::common::exporter::request_head;
use super::common::{Exporter, Load, Need, eventually, free_uid, need};
use super::live_logs::append;

/// Prometheus on a free port of loopback, with its data in a temporary directory.
struct Prometheus {
    child: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Prometheus {
    fn scraping(exporter: &Exporter) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n  - job_name: telltale\n    static_configs:\n      \
             - targets: ['{}']\n",
            exporter.address
        );
        std::fs::write(&config, text).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _data: data }
    }

    /// The value of an instant query that gives one sample, if it does.
    fn query(&self, expression: &str) -> Option<f64> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = request_head("GET", &format!("/api/v1/query?query={query}"), &[]);
        stream.write_all(&head).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let body = &answer[answer.find('{')?..=answer.rfind('}')?];
        let answer: serde_json::Value = serde_json::from_str(body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_sees_a_user_at_its_limit() {
    if !need(&[Need::Root, Need::Tool("prometheus")]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let prometheus = Prometheus::scraping(&exporter);
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
    let prometheus = Prometheus::scraping(&exporter);
    let matches = "telltale_log_signature_matches_total{signature=\"audit-backlog-exceeded\"}";
    eventually("it is 0 from the start", || prometheus.query(matches) == Some(0.0));
    append(&log, "Nov 20 05:08:29 web04 kernel: [ 1237.4] audit: backlog limit exceeded\n");
    eventually("the line is counted", || prometheus.query(matches) == Some(1.0));
    let limit = "telltale_audit_backlog_limit";
    eventually("audit status", || prometheus.query(limit).is_some_and(|limit| limit >= 0.0));
}
