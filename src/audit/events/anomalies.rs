//! Crashes, changes of the audit configuration, and auditd's own coming and going.

use super::actor::{Actor, lossy};
use crate::audit::record::event::{Event, Id};
use crate::audit::record::kind::Kind;
use crate::audit::record::{Record, Value};

/// Lists whose rules make the kernel write less: `AUDIT_FILTER_USER` (what programs write), `AUDIT_FILTER_TASK`
/// (`never,task`, with which a task is not audited at all) and `AUDIT_FILTER_EXCLUDE`. A `never` among the rules for
/// system calls (4) cannot be told from another.
const LESS: [u32; 3] = [0, 1, 5];

/// A process that ended by a signal that dumps core; SIGKILL and SIGTERM do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    pub id: Id,
    /// Who crashed; parent, terminal and command line are not recorded.
    pub process: Actor,
    pub signal: i32,
}

impl Crash {
    /// From an event; none where it is about something else.
    pub fn of(event: &Event) -> Option<Self> {
        let record = event.record(Kind::ANOM_ABEND)?;
        let (id, process) = (event.id.clone(), Actor::of(&record, event));
        Some(Self { id, process, signal: record.number("sig")? })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One of the numbers of `auditctl -s`: `audit_enabled`, `audit_failure`, `audit_backlog_limit`,
    /// `audit_backlog_wait_time`, `audit_rate_limit`, `audit_pid`, `lost`, …
    Setting {
        /// Its name in the record.
        name: String,
        /// What it is now.
        new: i64,
        /// What it was.
        old: i64,
    },
    /// A rule was removed, by somebody or because what it watched is gone.
    RuleRemoved,
    /// A rule was added to this list.
    RuleAdded {
        /// 4 for system calls, 5 for records that are not to be written.
        list: Option<u32>,
    },
    /// Something else, by its `op`.
    Other(String),
}

/// A change of the audit configuration, or the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Which event; one may hold several changes.
    pub id: Id,
    pub change: Change,
    /// The keys of the rule it is about.
    pub keys: Vec<String>,
    /// It was done; a locked configuration (`auditctl -e 2`) refuses.
    pub done: bool,
    /// Who did it: login and session always, the rest where the kernel wrote the system call too.
    pub by: Actor,
}

impl ConfigChange {
    /// All changes of an event.
    pub fn of(event: &Event) -> Vec<Self> {
        let changes = event.of_type(|number| Kind::Number(number) == Kind::CONFIG_CHANGE);
        changes.map(|record| Self::from_record(&record, event)).collect()
    }

    fn from_record(record: &Record<'_>, event: &Event) -> Self {
        let by = event.record(Kind::SYSCALL).unwrap_or(*record);
        let mut by = Actor::of(&by, event);
        by.auid = by.auid.or_else(|| record.id("auid"));
        by.session = by.session.or_else(|| record.id("ses"));
        let keys = record.text("key").unwrap_or_default();
        let keys = keys.split(|&byte| byte == 1).filter(|key| !key.is_empty()).map(lossy);
        Self {
            id: event.id.clone(),
            change: change(record),
            keys: keys.collect(),
            // Old kernels do not say.
            done: !matches!(record.get("res").map(Value::raw), Some(b"0" | b"no" | b"failed")),
            by,
        }
    }

    /// Whether less is recorded, or more is lost, than before.
    pub fn weakens(&self) -> bool {
        self.done
            && match &self.change {
                Change::Setting { name, new, old } => weakens(name, *new, *old),
                Change::RuleRemoved => true,
                Change::RuleAdded { list } => list.is_some_and(|list| LESS.contains(&list)),
                Change::Other(_) => false,
            }
    }
}

/// The wait time counts too: with 0 the kernel drops records instead of letting their causers wait.
/// With `audit_pid` 0 nobody listens any more, whoever made it so.
fn weakens(name: &str, new: i64, old: i64) -> bool {
    // 0 stands for no limit.
    let limit = |limit: i64| if limit == 0 { i64::MAX } else { limit };
    match name {
        "audit_enabled" | "audit_failure" | "audit_backlog_wait_time" => new < old,
        "audit_backlog_limit" | "audit_rate_limit" => limit(new) < limit(old),
        "audit_pid" => new == 0 && old != 0,
        _ => false,
    }
}

fn change(record: &Record<'_>) -> Change {
    // "remove_rule", "remove rule" (3.10, quoted), "autoremove_rule"; before 3.10 not quoted.
    let op = record.get("op").map(Value::raw).unwrap_or_default();
    let is = |word: &[u8]| op.windows(word.len()).any(|window| window == word);
    if is(b"remove") {
        return Change::RuleRemoved;
    }
    if is(b"add") {
        return Change::RuleAdded { list: record.number("list") };
    }
    let old = record.number("old");
    let setting = record.fields().find(|(name, _)| *name != b"op" && *name != b"old");
    if let (Some((name, value)), Some(old)) = (setting, old)
        && let Some(new) = value.number()
    {
        return Change::Setting { name: lossy(name), new, old };
    }
    Change::Other(lossy(op))
}

/// What auditd says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pub id: Id,
    /// `DAEMON_START`, `DAEMON_END`, `DAEMON_ABORT`, `DAEMON_ROTATE`, …
    pub what: String,
    /// Who made it so: the sender of the signal that ended it.
    pub by: Actor,
    /// Why, in its own words: `op`.
    pub reason: Option<String>,
    /// Whether it went well.
    pub done: bool,
}

impl Daemon {
    /// From an event; none where it is about something else.
    pub fn of(event: &Event) -> Option<Self> {
        let record = event.of_type(|number| (1200..1300).contains(&number)).next()?;
        Some(Self {
            id: event.id.clone(),
            what: record.kind.label().into_owned(),
            by: Actor::of(&record, event),
            reason: record.get("op").map(|op| lossy(op.raw())),
            done: record.get("res").map(Value::raw) != Some(b"failed"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::{event, events};

    fn one(fields: &str) -> ConfigChange {
        let mut changes =
            ConfigChange::of(&event(&format!("type=CONFIG_CHANGE msg=audit(1.2:3): {fields}")));
        assert_eq!(changes.len(), 1);
        changes.remove(0)
    }

    #[test]
    fn the_recorded_crashes() {
        let crashes: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/nproc.log"))
            .iter()
            .filter_map(Crash::of)
            .collect();
        let said: Vec<_> = crashes
            .iter()
            .map(|crash| {
                (crash.process.comm.as_deref().unwrap(), crash.process.uid.unwrap(), crash.signal)
            })
            .collect();
        assert_eq!(
            said,
            [("bash", 1500, 11), ("sv", 0, 11), ("sv", 1500, 11), ("python3", 1500, 6)]
        );
        assert_eq!(crashes[3].process.exe.as_deref(), Some("/usr/bin/python3.11"));
    }

    #[test]
    fn the_recorded_changes_and_who_made_them() {
        let changes: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/raw.log"))
            .iter()
            .flat_map(ConfigChange::of)
            .collect();
        assert_eq!(changes.len(), 3);
        assert_eq!(
            changes[0].change,
            Change::Setting { name: "audit_pid".to_owned(), new: 11997, old: 0 }
        );
        assert_eq!(changes[1].change, Change::RuleAdded { list: Some(4) });
        assert_eq!(changes[2].change, Change::RuleRemoved);
        assert_eq!(changes[2].keys, ["my_temporary_kill_audit"]);
        assert_eq!(
            changes.iter().map(ConfigChange::weakens).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(changes[2].by.comm.as_deref(), Some("auditctl"));
        assert_eq!(changes[2].by.pid, Some(12194));
        assert!(changes[2].by.command_line().unwrap().starts_with("auditctl -d always,exit"));
        // Printed by the kernel: nobody listened.
        let printed: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/kmsg.txt"))
            .iter()
            .flat_map(ConfigChange::of)
            .collect();
        let weak: Vec<_> = printed.iter().filter(|change| change.weakens()).collect();
        assert!(weak.iter().any(|change| change.change
            == Change::Setting { name: "audit_backlog_limit".to_owned(), new: 16, old: 64 }));
        assert!(weak.iter().any(|change| change.change
            == Change::Setting { name: "audit_backlog_wait_time".to_owned(), new: 0, old: 15000 }));
        assert!(weak.iter().all(|change| change.by.comm.is_some()));
    }

    #[test]
    fn what_weakens_and_what_does_not() {
        for weak in [
            "op=set audit_enabled=0 old=1 auid=0 ses=3 res=1",
            "audit_enabled=0 old=1 auid=0 ses=3 res=1",
            "audit_enabled=0 old=2",
            "op=set audit_failure=0 old=1 res=1",
            "op=set audit_backlog_limit=64 old=8192 res=1",
            "op=set audit_backlog_limit=8192 old=0 res=1",
            "op=set audit_rate_limit=100 old=0 res=1",
            "auid=0 ses=3 op=\"remove rule\" key=\"k\" list=4 res=1",
            "auid=0 ses=3 op=remove rule key=\"k\" list=4 res=1",
            "op=autoremove_rule path=\"/etc/passwd\" key=\"k\" list=4 res=1",
            "auid=0 ses=3 op=add_rule key=(null) list=5 res=1",
            "auid=0 ses=3 op=add_rule key=(null) list=1 res=1",
            "op=set audit_pid=0 old=345 res=1",
        ] {
            assert!(one(weak).weakens(), "{weak}");
        }
        for not in [
            "op=set audit_enabled=1 old=0 res=1",
            "op=set audit_enabled=0 old=1 auid=0 ses=3 res=0",
            "op=set audit_enabled=0 old=0 res=1",
            "op=set audit_failure=2 old=1 res=1",
            "op=set audit_pid=345 old=0 res=1",
            "op=set audit_backlog_limit=0 old=64 res=1",
            "op=set lost=0 old=5 res=1",
            "op=add_rule key=\"k\" list=4 res=1",
            "op=remove_rule key=\"k\" list=4 res=0",
            "op=updated_rules path=\"/etc/passwd\" key=\"k\" list=4 res=1",
            "op=trim res=1",
            "x",
        ] {
            assert!(!one(not).weakens(), "{not}");
        }
        let old = one("audit_enabled=0 old=1 auid=1000 ses=3");
        assert_eq!((old.by.auid, old.by.session, old.done), (Some(1000), Some(3), true));
        assert_eq!(one("op=trim res=1").change, Change::Other("trim".to_owned()));
    }

    #[test]
    fn auditd_says_what_it_does() {
        let daemons: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/raw.log"))
            .iter()
            .filter_map(Daemon::of)
            .collect();
        let said: Vec<_> = daemons
            .iter()
            .map(|daemon| (&*daemon.what, daemon.reason.as_deref().unwrap(), daemon.by.pid))
            .collect();
        assert_eq!(
            said,
            [("DAEMON_START", "start", Some(11997)), ("DAEMON_END", "terminate", Some(11977))]
        );
        let abort = event(
            "type=DAEMON_ABORT msg=audit(1.2:3): op=error-halt auid=4294967295 pid=7 res=failed",
        );
        let abort = Daemon::of(&abort).unwrap();
        assert!(&*abort.what == "DAEMON_ABORT" && !abort.done);
    }
}
