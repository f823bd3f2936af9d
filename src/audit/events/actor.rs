//! Who did it: what a SYSCALL record and the command line beside it say of a process.

use std::borrow::Cow;

use crate::audit::record::event::Event;
use crate::audit::record::kind::Kind;
use crate::audit::record::{Record, Value};

/// Longest command line that the kernel writes (`MAX_PROCTITLE_AUDIT_LEN`).
const MAX_TITLE: usize = 128;

/// A process that did something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// Its number in the initial namespace.
    pub pid: Option<u32>,
    pub ppid: Option<u32>,
    /// Its command name: at most 15 bytes, and the process can change it.
    pub comm: Option<String>,
    /// The program it runs; the process cannot forge it.
    pub exe: Option<String>,
    /// Its real user.
    pub uid: Option<u32>,
    /// The user it acts as.
    pub euid: Option<u32>,
    /// The user who logged in, kept over su and sudo; none for what no login started.
    pub auid: Option<u32>,
    /// Their names, where auditd wrote them (`log_format = ENRICHED`).
    pub names: Names,
    /// The login's number.
    pub session: Option<u32>,
    /// The terminal, as `ps` shows it: `pts/1`.
    pub terminal: Option<String>,
    /// The command line, arguments parted by NUL, cut after 128 bytes; the process can change it.
    pub title: Vec<u8>,
}

/// Names that auditd wrote when it wrote the record: better than a look into a later passwd file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Of the real user.
    pub user: Option<String>,
    /// Of the user who logged in.
    pub login: Option<String>,
}

impl Actor {
    /// From a record that has these fields, and the command line of its event.
    pub fn of(record: &Record<'_>, event: &Event) -> Self {
        let text = |name| record.text(name).map(|text| lossy(&text));
        let name = |name| record.name_of(name).and_then(known);
        let title = event.record(Kind::PROCTITLE).and_then(|record| record.text("proctitle"));
        Self {
            pid: record.number("pid"),
            ppid: record.number("ppid"),
            comm: text("comm"),
            exe: text("exe"),
            uid: record.id("uid"),
            euid: record.id("euid"),
            auid: record.id("auid"),
            names: Names { user: name("UID"), login: name("AUID") },
            session: record.id("ses"),
            terminal: record.get("tty").and_then(terminal),
            title: title.map(Cow::into_owned).unwrap_or_default(),
        }
    }

    /// The command line with spaces; an argument that has some cannot be told from two.
    pub fn command_line(&self) -> Option<String> {
        if self.title.is_empty() {
            return None;
        }
        let spaced: Vec<u8> =
            self.title.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect();
        Some(lossy(spaced.trim_ascii_end()))
    }

    /// The command line may have been longer. One less, for the NUL that the kernel trims.
    pub fn is_title_cut(&self) -> bool {
        self.title.len() + 1 >= MAX_TITLE
    }
}

/// What a name that auditd added says; it writes `unset` and `unknown(1500)` where there is none.
pub(super) fn known(value: Value<'_>) -> Option<String> {
    let name = value.raw();
    let unknown = name.is_empty() || name == b"unset" || name.starts_with(b"unknown");
    (!unknown).then(|| lossy(name))
}

/// `pts1` of the kernel is `pts/1` to everybody else.
fn terminal(value: Value<'_>) -> Option<String> {
    let raw = value.raw();
    let number =
        raw.strip_prefix(b"pts").filter(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    match number {
        Some(number) => Some(format!("pts/{}", lossy(number))),
        None => (!raw.is_empty()).then(|| lossy(raw)),
    }
}

/// Bytes as text; what is no UTF-8 becomes the replacement character.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::event;

    fn actor(fields: &str, title: &str) -> Actor {
        let event = event(&format!(
            "type=SYSCALL msg=audit(1.2:3): {fields}\ntype=PROCTITLE msg=audit(1.2:3): proctitle={title}"
        ));
        Actor::of(&event.record(Kind::SYSCALL).unwrap(), &event)
    }

    #[test]
    fn all_that_is_said() {
        let actor = actor(
            "ppid=4 pid=5 auid=1000 uid=0 euid=33 tty=pts1 ses=12 comm=\"bash\" exe=\"/bin/bash\"\
             \x1dAUID=\"ann\" UID=\"root\"",
            "62617368002D78",
        );
        assert_eq!((actor.pid, actor.ppid), (Some(5), Some(4)));
        assert_eq!((actor.uid, actor.euid, actor.auid), (Some(0), Some(33), Some(1000)));
        assert_eq!((actor.session, actor.terminal.as_deref()), (Some(12), Some("pts/1")));
        assert_eq!(
            (actor.comm.as_deref(), actor.exe.as_deref()),
            (Some("bash"), Some("/bin/bash"))
        );
        assert_eq!(actor.names.login.as_deref(), Some("ann"));
        assert_eq!(actor.command_line().as_deref(), Some("bash -x"));
        assert!(!actor.is_title_cut());
    }

    #[test]
    fn what_is_not_there_is_none() {
        let unset = actor(
            "pid=5 auid=4294967295 tty=(none) ses=4294967295 comm=(null) exe=(null)\
             \x1dAUID=\"unset\" UID=\"unknown(7)\"",
            "(null)",
        );
        assert_eq!(unset, Actor { pid: Some(5), ..Actor::default() });
        assert_eq!(unset.command_line(), None);
        for (tty, terminal) in [("tty1", "tty1"), ("ttyS0", "ttyS0"), ("ptsx", "ptsx")] {
            assert_eq!(actor(&format!("tty={tty}"), "(null)").terminal.as_deref(), Some(terminal));
        }
        assert!(actor("pid=1", &"61".repeat(128)).is_title_cut());
    }
}
