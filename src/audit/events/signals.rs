//! Who sent which signal to whom.

use std::borrow::Cow;

use super::actor::{Actor, known, lossy};
use super::syscalls::Call;
use crate::audit::record::event::{Event, Id};
use crate::audit::record::kind::Kind;
use crate::audit::record::{Record, Value};

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `PIDFD_SIGNAL_PROCESS_GROUP`, Linux 6.9.
const PIDFD_GROUP: u64 = 4;

/// The name of a signal as bash's `kill -l` gives it.
///
/// It has none for 32 and 33, which glibc keeps for itself: those are `SIG32` and `SIG33`. What is
/// no signal (the kernel refuses it) is `invalid`: as a label it must not be the caller's choice.
pub(crate) fn name(signal: i32) -> Cow<'static, str> {
    let index = usize::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
    if let Some(name) = index.and_then(|index| NAMES.get(index)) {
        return Cow::Owned(format!("SIG{name}"));
    }
    match signal {
        32 | 33 => Cow::Owned(format!("SIG{signal}")),
        34 => Cow::Borrowed("SIGRTMIN"),
        35..=49 => Cow::Owned(format!("SIGRTMIN+{}", signal - 34)),
        50..=63 => Cow::Owned(format!("SIGRTMAX-{}", 64 - signal)),
        64 => Cow::Borrowed("SIGRTMAX"),
        _ => Cow::Borrowed("invalid"),
    }
}

/// The number of a signal from its name with or without `SIG`, or its number.
pub(crate) fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let named = || (1..=64).find(|&signal| name(signal) == full);
    text.parse().ok().filter(|signal| (1..=64).contains(signal)).or_else(named)
}

/// To whom a signal was sent, by the arguments of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Process(i32),
    /// One thread, perhaps with its process. `OBJ_PID` names the process, not the thread.
    Thread(i32),
    /// All processes of this group.
    Group(i64),
    /// All processes of the sender's own group.
    OwnGroup,
    /// `kill -1`: everybody the sender may signal.
    Everyone,
    /// The process behind this file descriptor of the sender; only `OBJ_PID` says who that is.
    Descriptor(i32),
}

impl Scope {
    /// Whether it may be aimed at several processes.
    pub fn is_many(self) -> bool {
        matches!(self, Self::Group(_) | Self::OwnGroup | Self::Everyone)
    }
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Delivered,
    /// The kernel refused.
    Failed,
    /// Nobody knows: the call said yes for several targets, and this one belongs to another user
    /// than the sender, so it was most likely spared (`kill -9 -1` of an ordinary user names every
    /// process of the host, PID 1 included); or the record does not say how the call ended.
    Unproven,
}

impl Outcome {
    /// The value of the label `success`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Delivered => "yes",
            Self::Failed => "no",
            Self::Unproven => "unknown",
        }
    }
}

/// A process that a signal was aimed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its number: the process, also where a thread was meant.
    pub pid: Option<u32>,
    /// Its command name; none where there is no such process, or its record was lost.
    pub comm: Option<String>,
    /// Its real user.
    pub uid: Option<u32>,
    /// That user's name, where auditd wrote it.
    pub user: Option<String>,
    /// Who had logged in.
    pub auid: Option<u32>,
    /// The login's number.
    pub session: Option<u32>,
    /// Whether it got the signal.
    pub outcome: Outcome,
}

/// A signal, or the attempt to send one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    pub id: Id,
    pub call: Call,
    pub signal: i32,
    /// To whom by the call's arguments.
    pub scope: Scope,
    /// What the call returned; none where the record does not say.
    pub success: Option<bool>,
    /// Its return value: 0 or minus an error number.
    pub exit: Option<i64>,
    /// The keys of the rule that saw it.
    pub keys: Vec<String>,
    pub sender: Actor,
    /// Whom it was aimed at, in the order of the log.
    pub targets: Vec<Target>,
    /// Targets that are not listed.
    pub targets_left_out: u64,
    /// Those of them that were most likely spared.
    pub unproven_left_out: u64,
}

impl Kill {
    /// From an event; none where it is about something else.
    ///
    /// Signal 0 is no signal: it asks whether a process is there. A rule with `-F a1!=0` does not
    /// keep it out for tgkill, whose second argument is the thread.
    pub fn of(event: &Event) -> Option<Self> {
        let record = event.record(Kind::SYSCALL)?;
        let call = Call::of(&record)?;
        let (process, thread, signal) = call.signal_arguments()?;
        let signal = int(&record, signal)?;
        if signal == 0 {
            return None;
        }
        let scope = match (process, thread) {
            (_, Some(thread)) => Scope::Thread(int(&record, thread)?),
            (Some(process), None) => aimed_at(call, int(&record, process)?),
            (None, None) => Scope::Descriptor(int(&record, 0)?),
        };
        let exit = exit(&record);
        let success = match record.get("success").map(Value::raw) {
            Some(b"yes") => Some(true),
            Some(b"no") => Some(false),
            _ => exit.map(|exit| exit == 0),
        };
        let sender = Actor::of(&record, event);
        let many = scope.is_many()
            || call == Call::PidfdSignal && argument(&record, 3).unwrap_or(0) & PIDFD_GROUP != 0;
        let outcome = |uid| outcome(success, many, &sender, uid);
        let mut targets: Vec<_> = event
            .of_type(|number| Kind::Number(number) == Kind::OBJ_PID)
            .map(|record| target(&record, outcome))
            .collect();
        if targets.is_empty()
            && let Some(pid) = self::process(scope, process, &record)
        {
            let (comm, user, outcome) = (None, None, outcome(None));
            targets.push(Target {
                pid: Some(pid),
                comm,
                uid: None,
                user,
                auid: None,
                session: None,
                outcome,
            });
        }
        let (keys, targets_left_out) = (event.keys(), event.left_out);
        let id = event.id.clone();
        Some(Self {
            id,
            call,
            signal,
            scope,
            success,
            exit,
            keys,
            sender,
            targets,
            targets_left_out,
            unproven_left_out: 0,
        })
    }

    /// What to count: command name of the target and outcome, once for each target; once without a
    /// name where nobody was hit. A target that is not there or whose record is lost has no name.
    pub fn counts(&self) -> impl Iterator<Item = (Option<&str>, Outcome)> {
        let nobody = self
            .targets
            .is_empty()
            .then(|| (None, outcome(self.success, false, &self.sender, None)));
        self.targets.iter().map(|target| (target.comm.as_deref(), target.outcome)).chain(nobody)
    }

    /// Keeps at most so many targets: those that got the signal first.
    pub fn keep_targets(&mut self, most: usize) {
        if self.targets.len() > most {
            self.targets.sort_by_key(|target| target.outcome != Outcome::Delivered);
            let left_out = self.targets.split_off(most);
            let unproven = left_out.iter().filter(|one| one.outcome == Outcome::Unproven);
            self.unproven_left_out += unproven.count() as u64;
            self.targets_left_out += left_out.len() as u64;
        }
    }
}

fn target(record: &Record<'_>, outcome: impl Fn(Option<u32>) -> Outcome) -> Target {
    let uid = record.id("ouid");
    Target {
        pid: record.number("opid"),
        comm: record.text("ocomm").map(|comm| lossy(&comm)),
        uid,
        user: record.name_of("OUID").and_then(known),
        auid: record.id("oauid"),
        session: record.id("oses"),
        outcome: outcome(uid),
    }
}

/// `OBJ_PID` alone proves nothing: it is written before the permission is checked.
///
/// For several targets the call succeeds when one of them was reached, and `kill -1` even when none
/// was. What decides then is the rule of kill(2): root, or the same user.
fn outcome(success: Option<bool>, many: bool, sender: &Actor, uid: Option<u32>) -> Outcome {
    let may = sender.euid == Some(0) || uid.is_some() && (uid == sender.uid || uid == sender.euid);
    match success {
        Some(false) => Outcome::Failed,
        Some(true) if !many || may => Outcome::Delivered,
        _ => Outcome::Unproven,
    }
}

/// The process that the arguments name, for when no `OBJ_PID` does.
fn process(scope: Scope, process: Option<usize>, record: &Record<'_>) -> Option<u32> {
    match scope {
        Scope::Process(pid) => u32::try_from(pid).ok(),
        Scope::Thread(_) => u32::try_from(int(record, process?)?).ok(),
        _ => None,
    }
}

/// The first argument of kill. The others that take a process take no group.
fn aimed_at(call: Call, pid: i32) -> Scope {
    match pid {
        0 if call == Call::Kill => Scope::OwnGroup,
        -1 if call == Call::Kill => Scope::Everyone,
        ..0 if call == Call::Kill => Scope::Group(-i64::from(pid)),
        pid => Scope::Process(pid),
    }
}

fn argument(record: &Record<'_>, nth: usize) -> Option<u64> {
    record.get(["a0", "a1", "a2", "a3"].get(nth)?)?.hex()
}

/// An argument that is an `int`: its low 32 bits, whatever the caller left above them.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
fn int(record: &Record<'_>, nth: usize) -> Option<i32> {
    argument(record, nth).map(|value| value as u32 as i32)
}

/// The return value; of a 32-bit process it may come without its sign.
pub(super) fn exit(record: &Record<'_>) -> Option<i64> {
    const UNSIGNED: i64 = 1 << 32;
    let exit: i64 = record.number("exit")?;
    Some(if (UNSIGNED - 4095..UNSIGNED).contains(&exit) { exit - UNSIGNED } else { exit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::event;

    const TAIL: &str = "ppid=4 pid=5 auid=1000 uid=1500 euid=1500 tty=pts1 ses=12 comm=\"bash\" \
                        exe=\"/bin/bash\" key=6F6E650174776F";

    fn kill(arch: &str, fields: &str, objects: &[(u32, u32, &str)]) -> Option<Kill> {
        let mut lines = format!("type=SYSCALL msg=audit(1.2:3): arch={arch} {fields} {TAIL}");
        for (pid, uid, comm) in objects {
            let fields = format!("opid={pid} oauid=-1 ouid={uid} oses=-1 ocomm={comm}");
            lines = format!("{lines}\ntype=OBJ_PID msg=audit(1.2:3): {fields}");
        }
        Kill::of(&event(&lines))
    }

    fn counts(kill: &Kill) -> Vec<(Option<&str>, &'static str)> {
        kill.counts().map(|(comm, outcome)| (comm, outcome.label())).collect()
    }

    #[test]
    fn names_and_numbers() {
        for signal in 1..=64 {
            assert_eq!(number(&name(signal)), Some(signal));
            assert_eq!(number(&signal.to_string()), Some(signal));
        }
        assert_eq!(
            (number("kill"), number("Term"), number("sigHUP")),
            (Some(9), Some(15), Some(1))
        );
        for other in ["", "SIG", "0", "65", "-9", "KILLED", "invalid"] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_those_of_kill_l() {
        // bash -c 'kill -l': number) name
        let table = "1) SIGHUP 2) SIGINT 3) SIGQUIT 4) SIGILL 5) SIGTRAP 6) SIGABRT 7) SIGBUS \
            8) SIGFPE 9) SIGKILL 10) SIGUSR1 11) SIGSEGV 12) SIGUSR2 13) SIGPIPE 14) SIGALRM \
            15) SIGTERM 16) SIGSTKFLT 17) SIGCHLD 18) SIGCONT 19) SIGSTOP 20) SIGTSTP 21) SIGTTIN \
            22) SIGTTOU 23) SIGURG 24) SIGXCPU 25) SIGXFSZ 26) SIGVTALRM 27) SIGPROF 28) SIGWINCH \
            29) SIGIO 30) SIGPWR 31) SIGSYS 34) SIGRTMIN 35) SIGRTMIN+1 48) SIGRTMIN+14 \
            49) SIGRTMIN+15 50) SIGRTMAX-14 51) SIGRTMAX-13 63) SIGRTMAX-1 64) SIGRTMAX";
        let words: Vec<_> = table.split_whitespace().collect();
        for pair in words.chunks(2) {
            assert_eq!(name(pair[0].trim_end_matches(')').parse().unwrap()), pair[1]);
        }
        assert_eq!((name(32), name(33)), ("SIG32".into(), "SIG33".into()));
        for bad in [0, -9, 65, i32::MAX, i32::MIN] {
            assert_eq!(name(bad), "invalid");
        }
    }

    #[test]
    fn each_call_has_an_order_of_its_own() {
        let one = [(7, 1500, "\"java\"")];
        for (arch, fields, scope, signal) in [
            ("c000003e", "syscall=62 success=yes exit=0 a0=7 a1=9 a2=0", Scope::Process(7), 9),
            ("c000003e", "syscall=200 success=yes exit=0 a0=8 a1=f a2=1", Scope::Thread(8), 15),
            ("c000003e", "syscall=234 success=yes exit=0 a0=7 a1=8 a2=a", Scope::Thread(8), 10),
            (
                "c000003e",
                "syscall=129 success=yes exit=0 a0=7 a1=22 a2=7ffc",
                Scope::Process(7),
                34,
            ),
            (
                "c000003e",
                "syscall=297 success=yes exit=0 a0=7 a1=8 a2=40 a3=7f",
                Scope::Thread(8),
                64,
            ),
            (
                "c000003e",
                "syscall=424 success=yes exit=0 a0=3 a1=9 a2=0 a3=0",
                Scope::Descriptor(3),
                9,
            ),
            ("40000003", "syscall=37 success=yes exit=0 a0=7 a1=9 a2=0", Scope::Process(7), 9),
            ("40000003", "syscall=270 success=yes exit=0 a0=7 a1=8 a2=6", Scope::Thread(8), 6),
            ("c00000b7", "syscall=129 success=yes exit=0 a0=7 a1=9 a2=0", Scope::Process(7), 9),
            ("c00000b7", "syscall=131 success=yes exit=0 a0=7 a1=8 a2=6", Scope::Thread(8), 6),
            ("40000028", "syscall=268 success=yes exit=0 a0=7 a1=8 a2=6", Scope::Thread(8), 6),
        ] {
            let kill = kill(arch, fields, &one).unwrap();
            assert_eq!((kill.scope, kill.signal), (scope, signal), "{arch} {fields}");
            assert_eq!(counts(&kill), [(Some("java"), "yes")]);
            assert_eq!(kill.keys, ["one", "two"]);
        }
        // Another architecture's kill is getpid's neighbour here, and an open is no kill.
        assert!(kill("c000003e", "syscall=37 success=yes exit=0 a0=7 a1=9", &one).is_none());
        assert!(kill("c000003e", "syscall=257 success=yes exit=3 a0=7 a1=9", &one).is_none());
    }

    #[test]
    fn signal_0_is_no_signal() {
        for fields in
            ["syscall=62 a0=7 a1=0", "syscall=234 a0=7 a1=8 a2=0", "syscall=424 a0=3 a1=0"]
        {
            assert!(kill("c000003e", &format!("{fields} success=yes exit=0"), &[]).is_none());
        }
        // The low half counts.
        assert!(kill("c000003e", "syscall=62 success=yes a0=7 a1=100000000", &[]).is_none());
    }

    #[test]
    fn groups_and_everyone() {
        let of = |pid| {
            kill("c000003e", &format!("syscall=62 success=yes exit=0 a0={pid} a1=9"), &[])
                .unwrap()
                .scope
        };
        assert_eq!(of("ffffd10b"), Scope::Group(12021));
        assert_eq!(of("ffffffffffffd10b"), Scope::Group(12021));
        assert_eq!(of("80000000"), Scope::Group(1 << 31));
        assert_eq!(of("0"), Scope::OwnGroup);
        assert_eq!(of("ffffffff"), Scope::Everyone);
        // No group there: the kernel refuses.
        let queue =
            kill("c000003e", "syscall=129 success=no exit=-22 a0=ffffffff a1=9", &[]).unwrap();
        assert_eq!(queue.scope, Scope::Process(-1));
        assert_eq!(counts(&queue), [(None, "no")]);
    }

    #[test]
    fn delivered_failed_and_what_nobody_knows() {
        let objects = [(7, 1500, "\"a\""), (8, 0, "6D7920617070"), (9, 0, "\"c\"")];
        let of = |fields: &str| {
            let kill = kill("c000003e", &format!("syscall=62 {fields}"), &objects).unwrap();
            counts(&kill)
                .into_iter()
                .map(|(comm, label)| (comm.map(str::to_owned), label))
                .collect::<Vec<_>>()
        };
        let labels =
            |fields: &str| of(fields).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(of("success=yes exit=0 a0=7 a1=9")[1], (Some("my app".to_owned()), "yes"));
        assert_eq!(labels("success=no exit=-1 a0=ffffffff a1=9"), ["no"; 3]);
        assert_eq!(labels("success=yes exit=0 a0=ffffffff a1=9"), ["yes", "unknown", "unknown"]);
        assert_eq!(labels("success=yes exit=0 a0=ffffd10b a1=9"), ["yes", "unknown", "unknown"]);
        assert_eq!(labels("a0=7 a1=9"), ["unknown"; 3]);
        assert_eq!(labels("exit=4294967295 a0=7 a1=9"), ["no"; 3]);
        let none = kill("c000003e", "syscall=62 success=no exit=-3 a0=7530 a1=9", &[]).unwrap();
        assert_eq!((none.targets[0].pid, counts(&none)), (Some(30000), vec![(None, "no")]));
        let thread =
            kill("c000003e", "syscall=234 success=no exit=-3 a0=7 a1=8 a2=9", &[]).unwrap();
        assert_eq!(thread.targets[0].pid, Some(7));
    }

    #[test]
    fn a_story_keeps_those_who_were_hit() {
        let objects = [(1, 0, "\"init\""), (8, 0, "\"b\""), (9, 1500, "\"c\"")];
        let fields = "syscall=62 success=yes exit=0 a0=ffffffff a1=9";
        let mut kill = kill("c000003e", fields, &objects).unwrap();
        kill.keep_targets(2);
        assert_eq!(
            kill.targets.iter().map(|target| target.pid.unwrap()).collect::<Vec<_>>(),
            [9, 1]
        );
        assert_eq!(kill.targets_left_out, 1);
    }
}
