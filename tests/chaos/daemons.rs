//! The daemons beside the exporter, each on loopback and in the directory of the run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::common::eventually;
use super::common::exporter::request_head;

/// A port of loopback that nobody has.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(&request_head("GET", path, &[])).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Ended by pid when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// rsyslogd with a socket and a log of its own.
pub(crate) struct Rsyslog {
    daemon: Daemon,
    pub(crate) socket: PathBuf,
}

impl Rsyslog {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("devlog");
        let config = format!(
            "global(workDirectory=\"{0}\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{1}\" RateLimit.Interval=\"0\")\n\
             action(type=\"omfile\" file=\"{0}/syslog/messages\")\n",
            dir.display(),
            socket.display()
        );
        fs::write(dir.join("rsyslog.conf"), config).unwrap();
        let child = Command::new("rsyslogd")
            .args(["-n", "-f"])
            .arg(dir.join("rsyslog.conf"))
            .arg("-i")
            .arg(dir.join("rsyslogd.pid"))
            .stderr(Stdio::null())
            .spawn();
        let daemon = Daemon(child.unwrap());
        eventually("rsyslogd listens", || socket.exists());
        Self { daemon, socket }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.0.id()
    }
}

/// Prometheus, which scrapes the exporter each second.
pub(crate) struct Prometheus {
    _daemon: Daemon,
    port: u16,
}

impl Prometheus {
    pub(crate) fn scraping(dir: &Path, target: u16) -> Self {
        let config = dir.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs:\n  - job_name: telltale\n    params: {{'collect[]': [logs]}}\n    \
             static_configs:\n      - targets: ['127.0.0.1:{target}']\n"
        );
        fs::write(&config, text).unwrap();
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(Stdio::null())
            .spawn();
        Self { _daemon: Daemon(child.unwrap()), port }
    }

    /// The raw samples of a series.
    pub(crate) fn samples(&self, series: &str) -> Vec<f64> {
        let query = format!("{series}[1d]");
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(self.port, &format!("/api/v1/query?query={query}")).unwrap_or_default();
        let body = answer.find('{').zip(answer.rfind('}')).map(|(from, to)| &answer[from..=to]);
        let answer: serde_json::Value =
            body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(|sample| sample[1].as_str()?.parse().ok()).collect()
    }
}

/// What `increase()` makes of raw samples without its extrapolation: a fall is a reset.
pub(crate) fn increase(samples: &[f64]) -> f64 {
    let step = |pair: &[f64]| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] };
    samples.windows(2).map(step).sum()
}

/// mtail over the same logs, which nobody kills.
pub(crate) struct Mtail {
    _daemon: Daemon,
    port: u16,
}

impl Mtail {
    pub(crate) fn start(dir: &Path) -> Self {
        let programs = dir.join("mtail");
        fs::create_dir(&programs).unwrap();
        let program = "counter events by kind\n/(?P<kind>\\w+)-event / {\n  events[$kind]++\n}\n";
        fs::write(programs.join("events.mtail"), program).unwrap();
        let port = free_port();
        let logs = ["file/*.log", "copy/log", "syslog/messages"].map(|name| dir.join(name));
        let child = Command::new("mtail")
            .arg("--progs")
            .arg(&programs)
            .args(logs.map(|log| format!("--logs={}", log.display())))
            .args(["--address=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--log_dir={}", dir.display()))
            .stderr(Stdio::null())
            .spawn();
        let mtail = Self { _daemon: Daemon(child.unwrap()), port };
        eventually("mtail answers", || get(port, "/metrics").is_some());
        mtail
    }

    /// Lines of a kind that it has counted.
    pub(crate) fn lines(&self, kind: &str) -> u64 {
        let metrics = get(self.port, "/metrics").unwrap();
        let series = format!("kind=\"{kind}\"");
        let line =
            metrics.lines().find(|line| line.starts_with("events{") && line.contains(&series));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }
}
