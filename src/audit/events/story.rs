//! Stories: one event as a sentence for people, and as JSON for machines.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::actor::Actor;
use super::anomalies::{Change, ConfigChange, Crash, Daemon};
use super::forks::FailedFork;
use super::json::Object;
use super::script::Script;
use super::signals::{Kill, Outcome, Scope, Target, name};
use crate::audit::record::time::{clock, rfc3339};
use crate::text::{escape, json_string};

/// Targets that a sentence names.
const NAMED: usize = 4;

/// For whom a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Everybody: user and command names, and numbers.
    Public,
    /// Who has shown who they are: also command line, program, session and terminal.
    Trusted,
}

/// What [`Reader::Public`] is not shown, as the members of JSON are called.
pub(crate) const WITHHELD: [&str; 5] = ["exe", "session", "terminal", "command_line", "script"];

/// Tells stories.
#[derive(Debug, Clone, Copy)]
pub struct Teller {
    /// For whom.
    pub reader: Reader,
    /// Seconds east of Greenwich, for the time of day in sentences. JSON is in UTC.
    pub offset: i32,
}

impl Teller {
    /// For a story of this time (in milliseconds since 1970) told in a zone, and the day that it is of there.
    pub fn local(reader: Reader, millis: u64, zone: &TimeZone) -> (Self, Date) {
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        let zoned = time.to_zoned_datetime(zone.clone());
        (Self { reader, offset: zoned.offset().seconds() }, zoned.date())
    }

    /// `10:55:48 SIGKILL to java (687802) by bash kill_test.sh (688289), uid 0, session 12, pts/1`
    pub fn kill(self, kill: &Kill) -> String {
        let time = clock(kill.id.stamp.millis, self.offset);
        let end = match (kill.success, kill.exit) {
            (Some(false), Some(exit)) => format!(": failed, {}", error(exit)),
            (Some(false), None) => ": failed".to_owned(),
            _ => String::new(),
        };
        format!("{time} {} to {} by {}{end}", name(kill.signal), aim(kill), self.who(&kill.sender))
    }

    /// `05:06:55 clone refused (EAGAIN) to np (12657), uid 1500`
    pub fn fork(self, fork: &FailedFork) -> String {
        let time = clock(fork.id.stamp.millis, self.offset);
        let (call, who) = (fork.call.name(), self.who(&fork.actor));
        let program = fork.program.as_ref().filter(|_| self.reader == Reader::Trusted);
        let program = program.map(|program| format!(" of {}", escape(program)));
        let reason = if fork.may_be_process_limit() {
            ""
        } else {
            ": not the process limit, which root does not have"
        };
        format!("{time} {call}{} refused (EAGAIN) to {who}{reason}", program.unwrap_or_default())
    }

    /// `05:07:04 SIGSEGV ended bash (12855), uid 1500`
    pub fn crash(self, crash: &Crash) -> String {
        let time = clock(crash.id.stamp.millis, self.offset);
        format!("{time} {} ended {}", name(crash.signal), self.who(&crash.process))
    }

    /// `05:05:52 audit rule removed (key my_temporary_kill_audit) by auditctl (12194), uid 0`
    pub fn change(self, change: &ConfigChange) -> String {
        let time = clock(change.id.stamp.millis, self.offset);
        let what = match &change.change {
            Change::Setting { name, new, old } => {
                format!("{} set to {new}, was {old}", escape(name))
            }
            Change::RuleRemoved => "audit rule removed".to_owned(),
            Change::RuleAdded { .. } => "audit rule added".to_owned(),
            Change::Other(op) => format!("audit configuration: {}", escape(op)),
        };
        let keys = match &*change.keys.join(", ") {
            "" => String::new(),
            keys => format!(" (key {})", escape(keys)),
        };
        let end = if change.done { "" } else { ": refused" };
        format!("{time} {what}{keys} by {}{end}", self.who(&change.by))
    }

    /// `05:05:53 DAEMON_END (terminate) by process 11977, uid 0`
    pub fn daemon(self, daemon: &Daemon) -> String {
        let time = clock(daemon.id.stamp.millis, self.offset);
        let reason = daemon.reason.as_deref().map(|op| format!(" ({})", escape(op)));
        let end = if daemon.done { "" } else { ": failed" };
        let (reason, who) = (reason.unwrap_or_default(), self.who(&daemon.by));
        format!("{time} {}{reason} by {who}{end}", escape(&daemon.what))
    }

    /// `bash kill_test.sh (688289), uid 0, session 12, pts/1`
    fn who(self, actor: &Actor) -> String {
        let trusted = self.reader == Reader::Trusted;
        let script = if trusted { Script::of(actor) } else { None };
        let script = match &script {
            Some(Script::File(file)) if !is_named_like(actor, file) => {
                format!(" {}", escape(file))
            }
            Some(Script::Module(module)) => format!(" -m {}", escape(module)),
            Some(Script::Code) => " -c".to_owned(),
            _ => String::new(),
        };
        let mut parts = vec![named(actor.comm.as_deref(), actor.pid, &script)];
        parts.extend(actor.uid.map(|uid| format!("uid {uid}")));
        // Who came in as somebody else: the trace that sudo leaves.
        if let Some(auid) = actor.auid.filter(|auid| Some(*auid) != actor.uid) {
            let login = actor.names.login.as_deref().map_or_else(|| auid.to_string(), escape);
            parts.push(format!("logged in as {login}"));
        }
        if trusted {
            parts.extend(actor.session.map(|session| format!("session {session}")));
            parts.extend(actor.terminal.as_deref().map(escape));
        }
        parts.join(", ")
    }

    /// The object of `kills --format json`.
    pub fn kill_json(self, kill: &Kill) -> String {
        let mut object = Object::default();
        object
            .text("time", Some(&rfc3339(kill.id.stamp.millis)))
            .value("serial", Some(kill.id.stamp.serial))
            .text("signal", Some(&name(kill.signal)))
            .value("success", kill.success)
            .value("exit", kill.exit)
            .text("key", kill.keys.first().map(String::as_str))
            .raw("sender", &self.actor_json(&kill.sender))
            .list("targets", kill.targets.iter().map(target_json))
            .list("keys", kill.keys.iter().map(|key| json_string(key)))
            .text("call", Some(kill.call.name()))
            .text("scope", Some(&scope(kill.scope)))
            .value("signal_number", Some(kill.signal));
        if kill.targets_left_out > 0 {
            object.value("targets_left_out", Some(kill.targets_left_out));
        }
        self.end(object, &kill.id.node)
    }

    /// The object of `/api/v1/forks`.
    pub fn fork_json(self, fork: &FailedFork) -> String {
        let mut object = Object::default();
        object
            .text("time", Some(&rfc3339(fork.id.stamp.millis)))
            .value("serial", Some(fork.id.stamp.serial))
            .text("call", Some(fork.call.name()))
            .text("key", fork.keys.first().map(String::as_str))
            .value("may_be_process_limit", Some(fork.may_be_process_limit()))
            .raw("process", &self.actor_json(&fork.actor));
        if self.reader == Reader::Trusted {
            object.text("program", fork.program.as_deref());
        }
        self.end(object, &fork.id.node)
    }

    fn actor_json(self, actor: &Actor) -> String {
        let mut object = Object::default();
        object
            .value("pid", actor.pid)
            .value("ppid", actor.ppid)
            .text("comm", actor.comm.as_deref());
        if self.reader == Reader::Trusted {
            object.text("exe", actor.exe.as_deref());
        }
        object.value("uid", actor.uid).value("auid", actor.auid);
        if self.reader == Reader::Trusted {
            let script = match Script::of(actor) {
                Some(Script::File(script) | Script::Module(script)) => Some(script),
                _ => None,
            };
            object
                .value("session", actor.session)
                .text("terminal", actor.terminal.as_deref())
                .text("command_line", actor.command_line().as_deref())
                .text("script", script.as_deref());
        }
        object
            .text("user", actor.names.user.as_deref())
            .text("login", actor.names.login.as_deref())
            .end()
    }

    fn end(self, mut object: Object, node: &[u8]) -> String {
        if !node.is_empty() {
            object.text("node", Some(&String::from_utf8_lossy(node)));
        }
        if self.reader == Reader::Public {
            object.list("withheld", WITHHELD.iter().map(|name| json_string(name)));
        }
        object.end()
    }
}

/// The script is what the command is called already: `#!/bin/bash` gives a script its own name.
fn is_named_like(actor: &Actor, file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    // At most 15 bytes of it.
    actor
        .comm
        .as_deref()
        .is_some_and(|comm| comm == name || comm.len() == 15 && name.starts_with(comm))
}

/// `java (687802)`, or what there is of it.
fn named(comm: Option<&str>, pid: Option<u32>, script: &str) -> String {
    match (comm, pid) {
        (Some(comm), Some(pid)) => format!("{}{script} ({pid})", escape(comm)),
        (Some(comm), None) => format!("{}{script}", escape(comm)),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => "an unknown process".to_owned(),
    }
}

/// To whom: `java (687802)`, `process group 12021: sleep (12024), …`.
fn aim(kill: &Kill) -> String {
    let one = |target: &Target| named(target.comm.as_deref(), target.pid, "");
    let what: Cow<'_, str> = match kill.scope {
        Scope::Thread(thread) => match kill.targets.first() {
            Some(target) if target.pid.is_some_and(|pid| i64::from(pid) == i64::from(thread)) => {
                return one(target);
            }
            Some(target) => return format!("thread {thread} of {}", one(target)),
            None => return format!("thread {thread}"),
        },
        Scope::Process(pid) if kill.targets.is_empty() => return format!("process {pid}"),
        Scope::Descriptor(_) if kill.targets.is_empty() => return "an unknown process".to_owned(),
        Scope::Process(_) | Scope::Descriptor(_) => "".into(),
        Scope::Group(group) => format!("process group {group}").into(),
        Scope::OwnGroup => "its own process group".into(),
        Scope::Everyone => "every process it may signal".into(),
    };
    // Those who were hit first.
    let (hit, spared): (Vec<_>, Vec<_>) =
        kill.targets.iter().partition(|target| target.outcome == Outcome::Delivered);
    let names: Vec<_> = hit.iter().chain(&spared).take(NAMED).map(|target| one(target)).collect();
    let more = match (kill.targets.len() - names.len()) as u64 + kill.targets_left_out {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let unproven = spared
        .iter()
        .filter(|target| target.outcome == Outcome::Unproven && kill.success.is_some());
    let unproven = match unproven.count() as u64 + kill.unproven_left_out {
        0 => String::new(),
        count => format!(" ({count} of other users, most likely spared)"),
    };
    let part = if what.is_empty() || names.is_empty() { "" } else { ": " };
    format!("{what}{part}{}{more}{unproven}", names.join(", "))
}

fn target_json(target: &Target) -> String {
    let mut object = Object::default();
    object
        .value("pid", target.pid)
        .text("comm", target.comm.as_deref())
        .value("uid", target.uid)
        .text("user", target.user.as_deref())
        .text("success", Some(target.outcome.label()))
        .end()
}

fn scope(scope: Scope) -> Cow<'static, str> {
    match scope {
        Scope::Process(_) | Scope::Descriptor(_) => "process".into(),
        Scope::Thread(thread) => format!("thread {thread}").into(),
        Scope::Group(group) => format!("process group {group}").into(),
        Scope::OwnGroup => "own process group".into(),
        Scope::Everyone => "everyone".into(),
    }
}

/// The errors that sending a signal gives.
fn error(exit: i64) -> Cow<'static, str> {
    match -exit {
        1 => "EPERM (not permitted)".into(),
        3 => "ESRCH (no such process)".into(),
        9 => "EBADF (no such file descriptor)".into(),
        11 => "EAGAIN (too many signals queued)".into(),
        22 => "EINVAL (no such signal)".into(),
        errno => format!("error {errno}").into(),
    }
}
