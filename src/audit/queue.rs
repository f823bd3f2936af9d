//! Collector `audit`: the kernel's audit queue and who empties it.
//!
//! The [`helper`], a process of its own, asks the kernel ([`netlink`], [`status`], [`rules`]) at a
//! [`pace`] that an overflow cannot stop, and tells over the [`link`]. Here a thread listens to it, and
//! the collector shows what came last, with its age.

pub(crate) mod helper;
pub(crate) mod link;
pub(crate) mod netlink;
pub(crate) mod pace;
pub(crate) mod rules;
pub(crate) mod status;
mod tasks;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::collector::{Collector, Error, Found};
use crate::config;
use crate::live::{Live, lock};
use crate::metrics::{Desc, Metrics};
use crate::peak::Peak;
use crate::supervised;
use link::Frame;
use pace::Rhythm;
use status::Status;

/// How long the first collection waits for the first answer; an answer takes less than a millisecond.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// How much later than promised the status may be before that is said.
const LATE: Duration = Duration::from_secs(3);

const ENABLED: Desc = Desc::gauge(
    "telltale_audit_enabled",
    "Whether the kernel audits: 0 off, 1 on, 2 on and locked until reboot.",
);
const FAILURE_MODE: Desc = Desc::gauge(
    "telltale_audit_failure_mode",
    "What the kernel does when it cannot log a record: 0 nothing, 1 printk, 2 panic.",
);
const BACKLOG: Desc =
    Desc::gauge("telltale_audit_backlog", "Records that wait for the audit daemon.");
const BACKLOG_PEAK: Desc = Desc::gauge(
    "telltale_audit_backlog_peak",
    "Highest backlog in the last 2 minutes, sampled each second while the queue does not overflow.",
);
const BACKLOG_LIMIT: Desc =
    Desc::gauge("telltale_audit_backlog_limit", "Records that may wait; 0 for no limit.");
const BACKLOG_LIMIT_BYTES: Desc = Desc::gauge(
    "telltale_audit_backlog_limit_bytes",
    "Memory that a full backlog may take: its limit times 8970 bytes.",
);
const RATE_LIMIT: Desc = Desc::gauge(
    "telltale_audit_rate_limit",
    "Records per second that are let through; 0 for no limit.",
);
const LOST: Desc = Desc::counter(
    "telltale_audit_lost_total",
    "Records lost since boot or the last auditctl --reset-lost.",
);
const WAIT_TIME: Desc = Desc::gauge(
    "telltale_audit_backlog_wait_time_jiffies",
    "How long a task that causes a record waits for room in a full backlog, in jiffies of the kernel's HZ.",
);
const WAITED: Desc = Desc::counter(
    "telltale_audit_backlog_waited_jiffies_total",
    "How long tasks have waited for room in all, in jiffies of the kernel's HZ.",
);
const AGE: Desc = Desc::gauge(
    "telltale_audit_status_age_seconds",
    "Age of the status shown; during an overflow the kernel limits how often one may ask.",
);
const DAEMON_UP: Desc = Desc::gauge(
    "telltale_audit_daemon_up",
    "1 when the registered audit daemon is alive and not stopped, else 0.",
);
const REQUIRED: Desc = Desc::gauge(
    "telltale_audit_required",
    "1 when the configuration says that auditing must be on (audit.required).",
);
const RULES: Desc = Desc::gauge("telltale_audit_rules", "Audit rules in the kernel.");
const RULE_LOADED: Desc = Desc::gauge(
    "telltale_audit_rule_loaded",
    "Whether a rule with this key, one of audit.expected_keys, is in the kernel.",
);

/// What the helper has told.
#[derive(Default)]
pub(crate) struct State {
    /// The newest status and when it came.
    pub status: Option<(Status, Instant)>,
    /// Number of rules and their keys.
    rules: Option<(u32, BTreeSet<Vec<u8>>)>,
    peak: Peak,
    rhythm: Option<Rhythm>,
    /// Why the newest question has no answer.
    trouble: Option<Trouble>,
    /// What a panic of the threads that ask and listen said, until a status comes.
    panicked: Option<String>,
    /// The daemon when it was first seen under its pid: pid and start time.
    daemon: Option<(u32, Option<u64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Refused(i32),
    Unanswered,
    Crowded(u32),
    HelperGone,
}

/// The helper's news, shared between who listens and who shows them.
type Shared = Arc<(Mutex<State>, Condvar)>;

pub(crate) struct Audit {
    shared: Shared,
    procfs: PathBuf,
    config: Live<config::Audit>,
}

/// What the pages show of the audit subsystem.
#[derive(Clone, Default)]
pub(crate) struct View(Shared);

impl View {
    /// Name and value of each fact; empty while there is no status.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let state = lock(&self.0.0);
        let Some((status, at)) = state.status else { return Vec::new() };
        let named = |names: [&str; 3], value: u32| {
            let name = usize::try_from(value).ok().and_then(|value| names.get(value).copied());
            name.map_or_else(|| value.to_string(), str::to_owned)
        };
        let optional = |value: Option<u32>, unit: &str| {
            value.map_or_else(
                || "unknown to this kernel".to_owned(),
                |value| format!("{value}{unit}"),
            )
        };
        let or_none =
            |limit: u32| if limit == 0 { "no limit".to_owned() } else { limit.to_string() };
        let daemon = match status.pid {
            0 => "none registered".to_owned(),
            pid => format!("pid {pid}"),
        };
        vec![
            ("auditing", named(["off", "on", "on, locked until reboot"], status.enabled)),
            (
                "when a record cannot be logged",
                named(["silent", "printk", "panic"], status.failure),
            ),
            ("daemon", daemon),
            ("backlog", format!("{} of {}", status.backlog, or_none(status.backlog_limit))),
            ("lost records", status.lost.to_string()),
            ("rate limit", or_none(status.rate_limit)),
            ("backlog wait time", optional(status.backlog_wait_time, " jiffies")),
            ("waited in all", optional(status.backlog_wait_time_actual, " jiffies")),
            ("features", optional(status.feature_bitmap, "")),
            ("rules", state.rules.as_ref().map_or_else(String::new, |rules| rules.0.to_string())),
            ("age of this", format!("{:.1} s", at.elapsed().as_secs_f64())),
        ]
    }
}

impl Audit {
    /// What the pages show.
    pub(crate) fn view(&self) -> View {
        View(Arc::clone(&self.shared))
    }

    /// Listens to the helper on a thread.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub(crate) fn start(
        (mut child, pair): (Child, UnixStream),
        procfs: PathBuf,
        config: Live<config::Audit>,
    ) -> io::Result<Self> {
        let shared = Shared::default();
        let listener = Arc::clone(&shared);
        std::thread::Builder::new().name("audit-link".to_owned()).stack_size(128 * 1024).spawn(
            move || {
                let tell = |text: &str| {
                    let (state, news) = &*listener;
                    lock(state).panicked = Some(text.to_owned());
                    news.notify_all();
                };
                supervised::run("audit-link", tell, || listen(&mut child, &pair, &listener));
            },
        )?;
        Ok(Self { shared, procfs, config })
    }
}

/// Takes the helper's frames in until it ends.
fn listen(child: &mut Child, pair: &UnixStream, shared: &Shared) {
    loop {
        let frame = Frame::receive(pair);
        supervised::panic_if_asked("audit-link");
        let (state, news) = &**shared;
        let mut state = lock(state);
        match frame {
            Ok(frame) => state.take(frame, Instant::now()),
            Err(_) => state.trouble = Some(Trouble::HelperGone),
        }
        news.notify_all();
        if state.trouble == Some(Trouble::HelperGone) {
            break;
        }
    }
    // Its end of the pair is closed, so it has ended or never will speak again.
    let _ = child.kill();
    let _ = child.wait();
}

impl State {
    fn take(&mut self, frame: Frame, now: Instant) {
        match frame {
            Frame::Status(payload) => {
                if let Some(status) = status::parse(&payload) {
                    self.peak.push(now, status.backlog.into());
                    self.status = Some((status, now));
                    (self.trouble, self.panicked) = (None, None);
                }
            }
            Frame::Rules(count, keys) => self.rules = Some((count, keys.into_iter().collect())),
            Frame::Rhythm(rhythm) => self.rhythm = Some(rhythm),
            Frame::Refused(errno) => self.trouble = Some(Trouble::Refused(errno)),
            Frame::Unanswered => self.trouble = Some(Trouble::Unanswered),
            Frame::Crowded(sleepers) => self.trouble = Some(Trouble::Crowded(sleepers)),
            Frame::Panicked(thread, text) => {
                tracing::error!(thread, error = text, "a thread of the audit helper panicked");
                supervised::count(&thread, &text);
                self.panicked = Some(text);
            }
        }
    }

    /// What makes the status older than a second, and why that is so.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.trouble {
            Some(Trouble::Unanswered) => warnings.push(
                "the kernel took the question and could not start the thread that answers it \
                 (threads-max or pid_max is reached): the last values are shown, with their age"
                    .to_owned(),
            ),
            Some(Trouble::Crowded(_)) => warnings.push(
                "askers of exporters that were stopped during this overflow still sleep in the \
                 kernel; nothing is asked until they wake, so that they do not pile up"
                    .to_owned(),
            ),
            _ => {}
        }
        match self.rhythm {
            Some(rhythm) if rhythm.panics => warnings.push(
                "the audit queue overflows, and kernel.hung_task_panic=1 would make the kernel \
                 panic over a question that sleeps too long: nothing is asked until the one that sleeps \
                 is back, although the overflow may be over by then"
                    .to_owned(),
            ),
            Some(rhythm) if rhythm.sleeping > 0 => warnings.push(format!(
                "the audit queue overflows, and the kernel puts whoever asks to sleep: asked every \
                 {} s only (raise the limit: auditctl -b, or look what the audit daemon waits for)",
                rhythm.spacing.as_secs()
            )),
            _ => {}
        }
        warnings
    }
}

/// What to do about a kernel that does not tell.
fn cure(trouble: Trouble) -> Option<String> {
    let errno = match trouble {
        Trouble::Refused(errno) => Errno::from_raw_os_error(errno),
        Trouble::HelperGone => {
            return Some(
                "the audit helper process has ended; restart telltale_exporter to have audit \
                 status again"
                    .to_owned(),
            );
        }
        Trouble::Unanswered | Trouble::Crowded(_) => return None,
    };
    let switch_off = "or switch it off with --no-collector.audit";
    Some(match errno {
        Errno::PERM | Errno::ACCESS => format!(
            "the kernel tells the audit status only to CAP_AUDIT_CONTROL in the initial pid \
             namespace: give the exporter that capability (systemd: AmbientCapabilities=\
             CAP_AUDIT_CONTROL; container: --pid=host --cap-add=AUDIT_CONTROL), {switch_off}"
        ),
        Errno::CONNREFUSED => format!(
            "the kernel does not talk about audit in a user namespace: run the exporter in the \
             host's, {switch_off}"
        ),
        Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
            format!("this kernel has no audit (CONFIG_AUDIT): nothing to watch, {switch_off}")
        }
        errno => format!("asking the kernel for the audit status failed: {errno}"),
    })
}

impl Collector for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let (state, news) = &*self.shared;
        let mut state = lock(state);
        let waits = |state: &mut State| {
            state.status.is_none() && state.trouble.is_none() && state.panicked.is_none()
        };
        if waits(&mut state) {
            let waited = news.wait_timeout_while(state, FIRST_ANSWER, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let config = self.config.get();
        let required = if config.required { 1.0 } else { 0.0 };
        found.metrics.add(&REQUIRED, &[], required);
        if let Some(cure) = state.trouble.and_then(cure) {
            return Err(cure.into());
        }
        found.warnings = state.warnings();
        let Some((status, at)) = state.status else {
            let why = "the kernel has not answered yet".to_owned();
            return Err(state.panicked.clone().unwrap_or(why).into());
        };
        let now = Instant::now();
        let up = self.daemon_up(status.pid, &mut state.daemon);
        let peak = state.peak.highest(now).max(status.backlog.into());
        export(&status, &mut found.metrics);
        found.metrics.add(&BACKLOG_PEAK, &[], peak as f64);
        found.metrics.add(&AGE, &[], now.duration_since(at).as_secs_f64());
        match up {
            Some(up) => found.metrics.add(&DAEMON_UP, &[], if up { 1.0 } else { 0.0 }),
            None => found.warnings.push(
                "the audit daemon's process cannot be read (hidepid), so whether it is up is not \
                 known; give the exporter CAP_SYS_PTRACE, or the group of the mount's gid= option"
                    .to_owned(),
            ),
        }
        let age = now.duration_since(at);
        let promised = state.rhythm.filter(|rhythm| !rhythm.panics).map(|rhythm| rhythm.spacing);
        if state.trouble.is_none() && promised.is_some_and(|spacing| age > spacing + LATE) {
            let late = "the audit helper process is late with its answers: is it stopped?";
            found.warnings.push(late.to_owned());
        }
        if let Some((count, keys)) = &state.rules {
            found.metrics.add(&RULES, &[], f64::from(*count));
            for key in &config.expected_keys {
                let loaded = if keys.contains(key.as_bytes()) { 1.0 } else { 0.0 };
                found.metrics.add(&RULE_LOADED, &[("key", key)], loaded);
            }
        }
        // What came last is shown, with its age.
        state.panicked.clone().map_or(Ok(()), |text| Err(text.into()))
    }
}

impl Audit {
    /// Whether the registered daemon lives and is not stopped. The kernel keeps a pid until it fails
    /// to send it a record, so a killed daemon stays registered, and the pid may be another's by then:
    /// the start time tells.
    ///
    /// `None` where the process exists and may not be read.
    fn daemon_up(&self, pid: u32, first: &mut Option<(u32, Option<u64>)>) -> Option<bool> {
        if pid == 0 {
            *first = None;
            return Some(false);
        }
        let stat = std::fs::read(self.procfs.join(format!("{pid}/stat"))).ok();
        let seen = stat.as_deref().and_then(state_and_start);
        let known = match *first {
            Some((known, start)) if known == pid => start,
            _ => {
                let start = seen.map(|(_, start)| start);
                *first = Some((pid, start));
                start
            }
        };
        let Some((state, start)) = seen else {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
            // EPERM: it is there.
            return (test_kill_process(pid) == Err(Errno::SRCH)).then_some(false);
        };
        Some(Some(start) == known && !matches!(state, b'T' | b't' | b'Z' | b'X'))
    }
}

/// State letter and start time (in clock ticks after boot) of a `stat` file, `proc_pid_stat(5)`.
fn state_and_start(stat: &[u8]) -> Option<(u8, u64)> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat.get(end + 2..)?.split(|&byte| byte == b' ');
    let state = *fields.next()?.first()?;
    // State is field 3, the start time field 22.
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.trim().parse().ok()?;
    Some((state, start))
}

fn export(status: &Status, metrics: &mut Metrics) {
    let limit = u64::from(status.backlog_limit);
    for (desc, value) in [
        (&ENABLED, status.enabled),
        (&FAILURE_MODE, status.failure),
        (&BACKLOG, status.backlog),
        (&BACKLOG_LIMIT, status.backlog_limit),
        (&RATE_LIMIT, status.rate_limit),
        (&LOST, status.lost),
    ] {
        metrics.add(desc, &[], f64::from(value));
    }
    let bytes = if limit == 0 { f64::INFINITY } else { (limit * status::BUFFER_BYTES) as f64 };
    metrics.add(&BACKLOG_LIMIT_BYTES, &[], bytes);
    let waits =
        [(&WAIT_TIME, status.backlog_wait_time), (&WAITED, status.backlog_wait_time_actual)];
    for (desc, value) in waits {
        if let Some(value) = value {
            metrics.add(desc, &[], f64::from(value));
        }
    }
}
