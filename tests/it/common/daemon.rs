//! Daemons beside the exporter, on loopback and ended by pid when dropped.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::exporter::request_head;

/// A child that is ended when dropped.
pub struct Daemon(Child);

impl Daemon {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }

    #[allow(dead_code, reason = "the chaos run uses it")]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of loopback that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The answer of who listens there, head and body, if anybody does.
pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(&request_head("GET", path, &[])).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Prometheus on a free port, with its data in a temporary directory.
pub struct Prometheus {
    _daemon: Daemon,
    port: u16,
    _data: TempDir,
}

impl Prometheus {
    /// Scrapes a port each second; `collect`: these collectors, or all.
    pub fn scraping(target: u16, collect: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = data.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n  - job_name: telltale\n    params: {{'collect[]': {collect:?}}}\n    \
             static_configs:\n      - targets: ['127.0.0.1:{target}']\n"
        );
        std::fs::write(&config, text).unwrap();
        Self::start(data)
    }

    /// With the `prometheus.yml` in this directory, which is removed in the end.
    pub fn start(data: TempDir) -> Self {
        let port = free_port();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", data.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("tsdb").display()))
            .arg("--rules.alert.resend-delay=1s")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Self { _daemon: Daemon::start(&mut command), port, _data: data }
    }

    /// How many series an instant query gives, or what is wrong with it.
    #[allow(dead_code, reason = "the dashboards' test uses it")]
    pub fn ask(&self, expression: &str) -> Result<usize, String> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = get(self.port, &format!("/api/v1/query?query={query}")).unwrap();
        let body = &answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()];
        let answer: Value = serde_json::from_str(body).unwrap();
        match answer.pointer("/data/result").and_then(Value::as_array) {
            Some(result) => Ok(result.len()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// The first series of an instant query's result, if it has one.
    fn first(&self, expression: &str) -> Option<Value> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = get(self.port, &format!("/api/v1/query?query={query}"))?;
        let body = &answer[answer.find('{')?..=answer.rfind('}')?];
        let mut answer: Value = serde_json::from_str(body).ok()?;
        Some(answer.pointer_mut("/data/result/0")?.take())
    }

    /// The value of an instant query that gives one sample, if it does.
    pub fn query(&self, expression: &str) -> Option<f64> {
        number(&self.first(expression)?["value"])
    }

    /// The raw samples of a series.
    #[allow(dead_code, reason = "the chaos run uses it")]
    pub fn samples(&self, series: &str) -> Vec<f64> {
        let first = self.first(&format!("{series}[1d]")).unwrap_or_default();
        let samples = first["values"].as_array().map_or(&[][..], Vec::as_slice);
        samples.iter().filter_map(number).collect()
    }
}

/// The value of a `[time, "value"]`.
fn number(sample: &Value) -> Option<f64> {
    sample[1].as_str()?.parse().ok()
}
