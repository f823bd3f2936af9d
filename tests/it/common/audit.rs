//! The audit subsystem of this kernel, borrowed: one test at a time, given back as it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Load, Need, eventually, free_uid, need};

/// Waits until no other test, of whatever run, uses the audit subsystem.
pub fn lock() -> File {
    let lock = File::create(std::env::temp_dir().join("telltale-audit-tests.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Runs auditctl, which must succeed.
pub fn auditctl(words: &str) -> String {
    let output = Command::new("auditctl").args(words.split(' ')).output().unwrap();
    assert!(
        output.status.success(),
        "auditctl {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What `auditctl -s` says, by name.
pub fn status() -> BTreeMap<String, u64> {
    let said = auditctl("-s");
    let fields = said.lines().filter_map(|line| line.split_once(' '));
    fields.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// The audit subsystem with a real auditd, its log in a temporary directory.
pub struct AuditScene {
    auditd: Child,
    before: BTreeMap<String, u64>,
    rules: Vec<String>,
    /// Its records are of this uid.
    pub uid: u32,
    dir: tempfile::TempDir,
    _lock: File,
}

/// `AUDIT_BACKLOG_WAIT_TIME` of `kernel/audit.c`, at HZ=250.
const DEFAULT_WAIT_JIFFIES: u32 = 15_000;

impl AuditScene {
    /// `None` where the test cannot run: it needs root and a host without an audit daemon.
    pub fn start() -> Option<Self> {
        if !need(&[Need::Root, Need::Tool("auditctl"), Need::Tool("auditd")]) {
            return None;
        }
        let lock = lock();
        let before = status();
        if before["pid"] != 0 {
            // We would have to stop the host's own.
            assert!(!need(&[Need::Tool("a host without a running auditd")]));
            return None;
        }
        // Whatever may fail comes before there is a daemon to be left behind.
        let uid = free_uid();
        let dir = tempfile::tempdir().unwrap();
        configure(dir.path());
        let auditd = Command::new("auditd")
            .arg("-n")
            .arg("-c")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("auditd registers", || status()["pid"] == u64::from(auditd.id()));
        // The kernel's own; a test that was killed may have left a shorter one.
        auditctl(&format!("--backlog_wait_time {DEFAULT_WAIT_JIFFIES}"));
        Some(Self { auditd, before, rules: Vec::new(), uid, dir, _lock: lock })
    }

    /// Adds a rule, to be removed at the end.
    pub fn rule(&mut self, rule: &str) {
        auditctl(&format!("-a {rule}"));
        self.rules.push(rule.to_owned());
    }

    /// The log that auditd writes.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    /// Adds the rules of one of the files that we ship, for the tasks of one user; the host's others are not
    /// the test's business.
    pub fn rules_of(&mut self, file: &str, uid: u32) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/audit").join(file);
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if let Some(rule) = line.strip_prefix("-a ") {
                let (head, key) = rule.split_once(" -F key=").unwrap();
                self.rule(&format!("{head} -F uid={uid} -F key={key}"));
            }
        }
    }

    /// Sends a signal to auditd.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.auditd), signal).unwrap();
    }

    pub fn auditd(&mut self) -> &mut Child {
        &mut self.auditd
    }

    /// Tasks that cause more records than a tiny queue takes, while auditd is stopped.
    pub fn overflow(&mut self, wait_jiffies: u32) -> Load {
        auditctl("-b 16");
        auditctl(&format!("--backlog_wait_time {wait_jiffies}"));
        let uid = self.uid;
        self.rule(&format!("always,exit -F arch=b64 -S getppid -F uid={uid} -k telltale_storm"));
        self.signal(Signal::STOP);
        Load::start(&["--uid", &uid.to_string(), "storm", "20"])
    }

    /// Lets auditd take records again.
    pub fn relieve(&mut self, storm: Load) {
        // First the rule: whoever sleeps then wakes for the last time.
        self.signal(Signal::CONT);
        drop(storm);
    }
}

impl Drop for AuditScene {
    fn drop(&mut self) {
        // Not to sleep for the queue ourselves.
        let _ = kill_process(Pid::from_child(&self.auditd), Signal::CONT);
        for rule in self.rules.drain(..) {
            auditctl(&format!("-d {rule}"));
        }
        auditctl("-e 0");
        let _ = kill_process(Pid::from_child(&self.auditd), Signal::TERM);
        let _ = self.auditd.wait();
        auditctl(&format!("-b {}", self.before["backlog_limit"]));
        auditctl(&format!("--backlog_wait_time {}", self.before["backlog_wait_time"]));
        auditctl(&format!("-r {}", self.before["rate_limit"]));
        auditctl(&format!("-f {}", self.before["failure"]));
        auditctl(&format!("-e {}", self.before["enabled"]));
    }
}

fn configure(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(dir.join("plugins.d")).unwrap();
    let text = format!(
        "local_events = yes\nwrite_logs = yes\nlog_file = {0}/audit.log\nlog_format = RAW\n\
         flush = NONE\nmax_log_file = 50\nnum_logs = 9\npriority_boost = 0\nname_format = NONE\n\
         max_log_file_action = ROTATE\nspace_left = 2\nspace_left_action = IGNORE\n\
         admin_space_left = 1\nadmin_space_left_action = IGNORE\ndisk_full_action = IGNORE\n\
         disk_error_action = IGNORE\nplugin_dir = {0}/plugins.d\n",
        dir.display()
    );
    std::fs::write(dir.join("auditd.conf"), text).unwrap();
}
