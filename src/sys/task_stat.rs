//! What `/proc/PID/stat` says of a task, `proc_pid_stat(5)`.

/// The fields that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskStat {
    /// The letter of its state, field 3.
    pub state: u8,
    /// The pid of its parent, field 4; 0 where that is outside of our pid namespace.
    pub parent: u32,
    /// When it was started, in clock ticks after the boot, field 22: with the pid it names the process for good.
    pub start: u64,
}

impl TaskStat {
    /// Takes the file apart; `None` where it is none.
    pub(crate) fn parse(stat: &[u8]) -> Option<Self> {
        // The name in parentheses may hold anything; nothing after it holds a parenthesis.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let [state] = *fields.next()?.as_bytes() else { return None };
        let parent = fields.next()?.parse().ok()?;
        // The next is field 5.
        let start = fields.nth(22 - 5)?.parse().ok()?;
        Some(Self { state, parent, start })
    }

    /// Whether a signal or a tracer has stopped it.
    pub(crate) fn is_stopped(self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether it has ended, and is there only until its parent has asked for its exit code.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_may_hold_anything() {
        for name in ["auditd", "a b", ") T 1 (", "x) Z 7 7", "", "\u{1b}"] {
            let stat = format!("7 ({name}) t 1 7 7 0 -1 4 0 0 0 0 1 2 3 4 20 0 5 0 8899 6 7\n");
            let stat = TaskStat::parse(stat.as_bytes()).expect(name);
            assert_eq!(stat, TaskStat { state: b't', parent: 1, start: 8899 }, "{name}");
            assert!(stat.is_stopped() && !stat.has_ended());
        }
        let bytes = b"7 (\xff) Z 0 7 7 0 -1 4 0 0 0 0 1 2 3 4 20 0 5 0 1\n";
        assert!(TaskStat::parse(bytes).unwrap().has_ended());
    }

    #[test]
    fn what_is_cut_is_none() {
        let whole = b"7 (a) S 1 7 7 0 -1 4 0 0 0 0 1 2 3 4 20 0 5 0 8899 6";
        for end in 0..whole.len() - 6 {
            assert_eq!(TaskStat::parse(&whole[..end]), None, "{end}");
        }
        assert_eq!(TaskStat::parse(b"7 (a) SS 1 7 7 0 -1 4 0 0 0 0 1 2 3 4 20 0 5 0 8899 6"), None);
    }

    #[test]
    fn our_own_is_read() {
        let own = TaskStat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert!(own.start > 0 && !own.is_stopped() && !own.has_ended());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(
            prop_oneof![Just(b' '), Just(b')'), Just(b'1'), any::<u8>()], 0..120)) {
            let _ = TaskStat::parse(&bytes);
        }
    }
}
