//! The daemons that write and follow logs beside the exporter, in the directory of the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::daemon::{Daemon, free_port, get};
use super::common::eventually;

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
        let mut command = Command::new("rsyslogd");
        command.args(["-n", "-f"]).arg(dir.join("rsyslog.conf"));
        command.arg("-i").arg(dir.join("rsyslogd.pid"));
        let daemon = Daemon::start(&mut command);
        eventually("rsyslogd listens", || socket.exists());
        Self { daemon, socket }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
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
        let logs = ["file/*.log", "copy/log", "syslog/messages", "app/*.log", "swap/*.log"];
        let logs = logs.map(|name| dir.join(name));
        let mut command = Command::new("mtail");
        command
            .arg("--progs")
            .arg(&programs)
            .args(logs.map(|log| format!("--logs={}", log.display())))
            .args(["--address=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--log_dir={}", dir.display()));
        let mtail = Self { _daemon: Daemon::start(&mut command), port };
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
