//! The exporter as a child process on a free port of loopback, ended when dropped.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Scrape, eventually};

/// A command that runs the built exporter.
pub fn exporter_command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_telltale_exporter"))
}

/// A running exporter.
pub struct Exporter {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its log, as it comes.
    log: Arc<Mutex<String>>,
    /// Its state and runtime directories, where no test has given others.
    #[allow(dead_code, reason = "removed with the exporter")]
    home: Option<TempDir>,
}

/// An HTTP response.
pub struct Response {
    pub status: u16,
    /// Header lines in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl Exporter {
    /// Starts it with these flags on a free port.
    pub fn start(flags: &[&str]) -> Self {
        let mut command = exporter_command();
        command.args(flags);
        Self::spawn(command)
    }

    /// Starts it with state and runtime directories in this one, which outlive it.
    pub fn start_in(home: &Path, flags: &[&str]) -> Self {
        let mut command = exporter_command();
        command.args(flags).arg("--web.listen-address=127.0.0.1:0");
        Self::run_in(home, command)
    }

    /// Starts it on the address of this flag.
    pub fn start_on(flag: &str) -> Self {
        let mut command = exporter_command();
        command.arg(flag);
        Self::run(command)
    }

    /// Starts a command that ends up as an exporter; adds the address to its arguments.
    pub fn spawn(mut command: Command) -> Self {
        command.arg("--web.listen-address=127.0.0.1:0");
        Self::run(command)
    }

    fn run(command: Command) -> Self {
        let home = tempfile::tempdir().unwrap();
        // Whoever it runs as.
        std::fs::set_permissions(&home, Permissions::from_mode(0o777)).unwrap();
        let mut exporter = Self::run_in(home.path(), command);
        exporter.home = Some(home);
        exporter
    }

    /// Runs a command that ends up as an exporter, with its state and runtime directories in this one.
    pub fn run_in(home: &Path, mut command: Command) -> Self {
        command
            .env("STATE_DIRECTORY", home.join("state"))
            .env("RUNTIME_DIRECTORY", home.join("run"));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        let mut address = None;
        eventually("the exporter says where it listens", || {
            let log = log.lock().unwrap();
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "the exporter ended:\n{log}");
            let said = log.split_once("address=").and_then(|(_, rest)| rest.split_once(' '));
            address = said.map(|(address, _)| address.parse().unwrap());
            address.is_some()
        });
        Self { child, address: address.unwrap(), log, home: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends one request on a connection of its own, with these further header lines.
    pub fn request(&self, path: &str, headers: &[&str]) -> Response {
        self.send(&request_head("GET", path, headers))
    }

    /// Sends these bytes and reads until the end of the connection.
    pub fn send(&self, bytes: &[u8]) -> Response {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        parse(&answer)
    }

    pub fn get(&self, path: &str) -> Response {
        self.request(path, &[])
    }

    pub fn scrape(&self) -> Scrape {
        self.scrape_path("/metrics")
    }

    pub fn scrape_path(&self, path: &str) -> Scrape {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{}", response.text());
        Scrape::parse(&response.text())
    }

    /// Sends a signal and waits for the end; returns how it ended and how long that took.
    pub fn stop(&mut self, signal: rustix::process::Signal) -> (ExitStatus, Duration) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let started = Instant::now();
        rustix::process::kill_process(pid, signal).unwrap();
        (self.child.wait().unwrap(), started.elapsed())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn request_head(method: &str, path: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn parse(answer: &[u8]) -> Response {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a response head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_lowercase(), body: answer[end + 4..].to_vec() }
}

/// Reads the log on a thread, so that the exporter never waits for us.
fn follow(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            kept.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    log
}
