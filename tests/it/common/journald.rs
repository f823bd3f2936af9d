//! systemd-journald in namespaces of its own, and `journalctl` as the one who knows.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::eventually;
use rustix::process::{Pid, Signal, kill_process};
use telltale_exporter::internals::journal::{Position, Reader};

pub const JOURNALD: &str = "/lib/systemd/systemd-journald";
pub const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// What is compared of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub realtime: u64,
    pub message: Vec<u8>,
    pub identifier: Option<Vec<u8>>,
    pub pid: Option<u32>,
    pub priority: Option<u8>,
    pub transport: Vec<u8>,
    pub hostname: Vec<u8>,
    pub boot: u128,
}

/// What `journalctl` says, with these arguments.
pub fn oracle(arguments: &[&str]) -> Vec<Seen> {
    let fields = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_COMM,_PID,SYSLOG_PID,PRIORITY,_TRANSPORT,_HOSTNAME";
    let output = Command::new("journalctl")
        .args(["-o", "export", "-a", "-q", fields])
        .args(arguments)
        .output()
        .unwrap();
    let (mut rest, mut entries) = (&output.stdout[..], Vec::new());
    let mut entry: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            entries.push(seen(&std::mem::take(&mut entry)));
        } else if let Some(equals) = line.iter().position(|&byte| byte == b'=') {
            let name = String::from_utf8_lossy(&line[..equals]).into_owned();
            entry.entry(name).or_insert_with(|| line[equals + 1..].to_vec());
        } else {
            let size = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            let name = String::from_utf8_lossy(line).into_owned();
            entry.entry(name).or_insert_with(|| rest[8..8 + size].to_vec());
            rest = &rest[8 + size + 1..];
        }
    }
    entries
}

fn seen(entry: &BTreeMap<String, Vec<u8>>) -> Seen {
    let get = |name: &str| entry.get(name).cloned();
    let number = |name: &str| String::from_utf8(get(name)?).ok()?.parse::<u64>().ok();
    let mut message = get("MESSAGE").unwrap_or_default();
    message.truncate(64 * 1024);
    let boot = String::from_utf8(get("_BOOT_ID").unwrap()).unwrap();
    Seen {
        realtime: number("__REALTIME_TIMESTAMP").unwrap(),
        message,
        identifier: get("SYSLOG_IDENTIFIER").or_else(|| get("_COMM")),
        pid: number("_PID").or_else(|| number("SYSLOG_PID")).map(|pid| u32::try_from(pid).unwrap()),
        priority: number("PRIORITY").map(|priority| u8::try_from(priority).unwrap()),
        transport: get("_TRANSPORT").unwrap_or_default(),
        hostname: get("_HOSTNAME").unwrap_or_default(),
        boot: u128::from_str_radix(&boot, 16).unwrap(),
    }
}

/// A reader with what it handed out.
pub struct Follower {
    pub reader: Reader,
    pub directories: Vec<PathBuf>,
    pub seen: Vec<Seen>,
    pub lost: u64,
}

impl Follower {
    pub fn new(directories: &[PathBuf], from_start: bool) -> Self {
        let reader = Reader::new(directories.to_vec(), None, from_start);
        Self { reader, directories: directories.to_vec(), seen: Vec::new(), lost: 0 }
    }

    /// Reads what is there; `true` if something is waited for.
    pub fn once(&mut self, max_bytes: usize) -> bool {
        loop {
            let (seen, mut count) = (&mut self.seen, 0);
            let outcome = self.reader.read(max_bytes, Instant::now(), |entry| {
                count += 1;
                seen.push(Seen {
                    realtime: entry.realtime_usec.unwrap(),
                    message: entry.message.to_vec(),
                    identifier: entry.identifier.map(<[u8]>::to_vec),
                    pid: entry.pid,
                    priority: entry.priority,
                    transport: entry.transport.to_vec(),
                    hostname: entry.hostname.to_vec(),
                    boot: entry.boot_id.unwrap(),
                });
            });
            assert_eq!(outcome.entries, count);
            self.lost += outcome.lost;
            if !outcome.more {
                return outcome.waiting;
            }
        }
    }

    /// Reads until nothing is waited for.
    pub fn all(&mut self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.once(1 << 20) {
            assert!(Instant::now() < end, "it waits for ever");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A new start, with the position as it would be kept.
    pub fn restart(&mut self) {
        let kept = postcard::to_allocvec(self.reader.position()).unwrap();
        let position: Position = postcard::from_bytes(&kept).unwrap();
        assert_eq!(&position, self.reader.position());
        self.reader = Reader::new(self.directories.clone(), Some(position), false);
    }

    /// The entries of these texts, with how often.
    pub fn count(&self, message: &str) -> usize {
        self.seen.iter().filter(|seen| seen.message == message.as_bytes()).count()
    }
}

/// Both lists, sorted, are the same.
pub fn assert_same(mut got: Vec<Seen>, mut expected: Vec<Seen>) {
    got.sort();
    expected.sort();
    let short = |seen: &Seen| {
        let text =
            String::from_utf8_lossy(&seen.message[..seen.message.len().min(60)]).into_owned();
        format!("{} {text}", seen.realtime)
    };
    for (got, expected) in got.iter().zip(&expected) {
        assert!(got == expected, "{} instead of {}", short(got), short(expected));
    }
    assert_eq!(got.len(), expected.len());
}

/// A mount namespace with its own `/run/systemd`, `/run/log` and `/var/log/journal`, and a journald in it.
/// The network namespace keeps the kernel's audit events out of it, which go to the host's only: those of a test
/// beside this one would be entries that nobody here counts with.
pub struct Scene {
    holder: Child,
    daemon: Option<Child>,
    instance: Option<&'static str>,
    pub root: PathBuf,
}

impl Scene {
    /// `settings` are lines of journald.conf; `instance` is a namespace of journald's.
    pub fn new(settings: &str, instance: Option<&'static str>) -> Self {
        let script = "mount --make-rprivate / && mount -t tmpfs none /run/systemd && \
                      mount -t tmpfs -o size=700m none /var/log/journal && mount -t tmpfs none /run/log && \
                      mkdir -p /run/systemd/journal /run/systemd/journald.conf.d \
                      /run/systemd/journald@apart.conf.d && \
                      for name in journald journald@apart; do \
                      printf '%s' \"$SETTINGS\" > /run/systemd/$name.conf.d/test.conf; done && \
                      touch /run/systemd/ready && exec sleep 600";
        // An empty Audit= leaves the kernel's audit as it is; yes or no switch it on or off for the
        // whole machine, and with it for the tests beside this one.
        let settings = format!(
            "[Journal]\nAudit=\nReadKMsg=no\nForwardToSyslog=no\nForwardToWall=no\nSplitMode=uid\n\
             RateLimitIntervalSec=0\n{settings}\n"
        );
        let holder = Command::new("unshare")
            .args(["-m", "-n", "sh", "-c", script])
            .env("SETTINGS", settings)
            .spawn()
            .unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let mut scene = Self { holder, daemon: None, instance, root };
        eventually("the namespace", || scene.path("/run/systemd/ready").exists());
        scene.start();
        scene
    }

    /// A file of the namespace, from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("{}{path}", self.root.display()))
    }

    /// A program in the namespace.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-n", "-t", &self.holder.id().to_string(), program]);
        command
    }

    fn sockets(&self) -> PathBuf {
        let name = self.instance.map_or(String::new(), |name| format!(".{name}"));
        self.path(&format!("/run/systemd/journal{name}"))
    }

    pub fn start(&mut self) {
        let _ = std::fs::remove_file(self.sockets().join("socket"));
        let daemon =
            self.inside(JOURNALD).args(self.instance).stderr(Stdio::null()).spawn().unwrap();
        let mark = format!("started {}", daemon.id());
        self.daemon = Some(daemon);
        let socket = self.sockets().join("socket");
        eventually("journald", || UnixDatagram::unbound().unwrap().connect(&socket).is_ok());
        // It has a socket before it has handlers of signals.
        // One that is sent before that may be lost.
        let mut next = Instant::now();
        eventually(&mark, || {
            if next <= Instant::now() {
                self.send(mark.as_bytes());
                next += Duration::from_secs(1);
            }
            self.has(&mark)
        });
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.daemon.as_ref().unwrap().id();
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal).unwrap();
    }

    pub fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        self.daemon.take().unwrap().wait().unwrap();
    }

    /// The directories of this journald: `/run`, `/var`.
    pub fn directories(&self) -> Vec<PathBuf> {
        let id = std::fs::read_to_string("/etc/machine-id").unwrap();
        let name = self.instance.map_or(String::new(), |name| format!(".{name}"));
        ["run", "var"]
            .map(|top| self.path(&format!("/{top}/log/journal/{}{name}", id.trim())))
            .to_vec()
    }

    /// By the native protocol; a field with a newline goes with its length.
    pub fn send(&self, message: &[u8]) {
        let mut bytes = b"PRIORITY=4\nSYSLOG_IDENTIFIER=native\nMESSAGE".to_vec();
        bytes.push(b'\n');
        bytes.extend((message.len() as u64).to_le_bytes());
        bytes.extend(message);
        bytes.push(b'\n');
        UnixDatagram::unbound().unwrap().send_to(&bytes, self.sockets().join("socket")).unwrap();
    }

    /// By syslog, from root as this program.
    pub fn log_from(&self, program: &str, message: &str) {
        let mut logger = self.inside("logger");
        logger.args(["--socket", "/run/systemd/journal/dev-log", "-t", program, "-p", "auth.err"]);
        assert!(logger.arg(message).status().unwrap().success());
    }

    /// By syslog, of a user with a journal of its own.
    pub fn log_as(&self, user: u32, message: &str) {
        let status = self
            .inside("setpriv")
            .args(["--reuid", &user.to_string(), "--clear-groups", "logger", "--socket"])
            .args(["/run/systemd/journal/dev-log", "-t", "someone", "-p", "auth.err", message])
            .status();
        assert!(status.unwrap().success());
    }

    /// Until journald has written this one.
    pub fn flushed(&self, mark: &str) {
        self.send(mark.as_bytes());
        eventually(mark, || self.has(mark));
    }

    fn has(&self, mark: &str) -> bool {
        self.directories().iter().any(|directory| {
            let last = oracle(&["-D", directory.to_str().unwrap(), "-n", "50"]);
            last.iter().any(|seen| seen.message == mark.as_bytes())
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for child in self.daemon.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
