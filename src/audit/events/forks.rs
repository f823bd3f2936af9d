//! Forks and program starts that the kernel refused with EAGAIN.

use super::actor::{Actor, lossy};
use super::signals::exit;
use super::syscalls::Call;
use crate::audit::record::event::{Event, Id};
use crate::audit::record::kind::Kind;

const EAGAIN: i64 = -11;

/// A task that was not made, or a program that was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedFork {
    pub id: Id,
    pub call: Call,
    /// Who tried; the real user is the one that the limit counts.
    pub actor: Actor,
    /// The program that was not started; none for a fork.
    pub program: Option<String>,
    /// The keys of the rule that saw it.
    pub keys: Vec<String>,
}

impl FailedFork {
    /// From an event; none where it is about something else.
    pub fn of(event: &Event) -> Option<Self> {
        let record = event.record(Kind::SYSCALL)?;
        let call = Call::of(&record)?;
        if !(call.is_fork() || call.is_exec()) || exit(&record) != Some(EAGAIN) {
            return None;
        }
        let program = event.record(Kind::PATH).and_then(|path| path.text("name"));
        Some(Self {
            id: event.id.clone(),
            call,
            actor: Actor::of(&record, event),
            program: program.filter(|_| call.is_exec()).map(|program| lossy(&program)),
            keys: event.keys(),
        })
    }

    /// Whether `RLIMIT_NPROC` may be the reason.
    ///
    /// Real uid 0 is exempt from it: there it is the pids cgroup, `pid_max` or `threads-max`. For
    /// other users it may be those as well; the record does not tell.
    pub fn may_be_process_limit(&self) -> bool {
        self.actor.uid != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::{event, events};

    #[test]
    fn the_recorded_scenes() {
        let forks: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/nproc.log"))
            .iter()
            .filter_map(FailedFork::of)
            .map(|fork| {
                (
                    fork.call.name(),
                    fork.actor.uid.unwrap(),
                    fork.actor.comm.clone().unwrap(),
                    fork.keys.join(","),
                    fork.program.clone(),
                    fork.may_be_process_limit(),
                )
            })
            .collect();
        let is = |nth: usize| {
            let (call, uid, comm, key, program, limit) = &forks[nth];
            (*call, *uid, &**comm, &**key, program.as_deref(), *limit)
        };
        assert_eq!(is(0), ("clone", 1500, "np", "nproc_exhausted", None, true));
        assert_eq!(is(1), ("clone3", 1500, "np", "nproc_exhausted", None, true));
        assert_eq!(
            is(3),
            ("execve", 1500, "relief", "nproc_exec_exhausted", Some("/bin/echo"), true)
        );
        let lines = include_str!("../../../tests/fixtures/audit/nproc.log").lines();
        let refused = lines.filter(|line| line.contains(" exit=-11 ")).count();
        assert_eq!(forks.len(), refused);
    }

    #[test]
    fn both_widths_and_both_machines() {
        let of = |fields: &str| {
            FailedFork::of(&event(&format!("type=SYSCALL msg=audit(1.2:3): {fields} uid=5")))
                .is_some()
        };
        for refused in [
            "arch=c000003e syscall=57 success=no exit=-11",
            "arch=40000003 syscall=2 success=no exit=-11",
            "arch=40000003 syscall=120 success=no exit=4294967285",
            "arch=c00000b7 syscall=220 success=no exit=-11",
            "arch=c00000b7 syscall=281 success=no exit=-11",
            "arch=40000028 syscall=435 success=no exit=-11",
        ] {
            assert!(of(refused), "{refused}");
        }
        for other in [
            "arch=c000003e syscall=57 success=yes exit=11",
            "arch=c000003e syscall=57 success=no exit=-12",
            "arch=c000003e syscall=62 success=no exit=-11",
            "arch=c000003e syscall=57",
        ] {
            assert!(!of(other), "{other}");
        }
        let root = "type=SYSCALL msg=audit(1.2:3): arch=c000003e syscall=56 exit=-11 uid=0";
        assert!(!FailedFork::of(&event(root)).unwrap().may_be_process_limit());
    }
}
