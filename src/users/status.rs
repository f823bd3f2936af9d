//! The parts of `/proc/PID/status` that decide whom the kernel charges.
//!
//! Parsed from the bytes: `procfs` 0.18 splits the file into UTF-8 lines and so loses every process
//! whose command name is not UTF-8, a hole that any user could hide in.

use std::borrow::Cow;

/// What the leader of a thread group is doing; the `state` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// R
    Running,
    /// S
    Sleeping,
    /// D
    DiskSleep,
    /// T and t
    Stopped,
    /// Z, and no other thread of the group is left
    Zombie,
    /// I: a kernel thread that does not count as load
    Idle,
    /// Anything else, such as a dead leader whose other threads live on
    Other,
}

impl State {
    /// All states with their label, in the order of the discriminants.
    pub const ALL: [(Self, &str); 7] = [
        (Self::Running, "running"),
        (Self::Sleeping, "sleeping"),
        (Self::DiskSleep, "disk_sleep"),
        (Self::Stopped, "stopped"),
        (Self::Zombie, "zombie"),
        (Self::Idle, "idle"),
        (Self::Other, "other"),
    ];

    fn of(letter: u8, threads: u32) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' | b't' => Self::Stopped,
            b'Z' if threads <= 1 => Self::Zombie,
            b'I' => Self::Idle,
            _ => Self::Other,
        }
    }
}

/// What one `status` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status<'a> {
    /// Command name: arbitrary bytes, as the kernel keeps them.
    pub command: Cow<'a, [u8]>,
    /// State of the leader.
    pub state: State,
    /// Real uid, as the reader's user namespace sees it: the one the kernel charges.
    pub real_uid: u32,
    /// Tasks of the thread group. An unreaped zombie still has 1, and is still charged.
    pub threads: u32,
    /// Effective capabilities, one bit each (capabilities(7)).
    pub effective_capabilities: u64,
    /// Pid namespaces from that of `/proc` down to its own, both counted; 0 before Linux 4.1.
    pub pid_namespaces: u32,
}

/// Parses a whole `status` file (`fs/proc/array.c`); `None` when a needed line is missing.
///
/// The kernel escapes a newline in the command name, so no name can forge a line.
pub(crate) fn parse(bytes: &[u8]) -> Option<Status<'_>> {
    let (mut name, mut letter, mut real_uid, mut threads, mut capabilities) =
        (None, None, None, None, None);
    let mut pid_namespaces = 0;
    for line in bytes.split(|&byte| byte == b'\n') {
        match line.first() {
            Some(b'N') if name.is_none() => name = line.strip_prefix(b"Name:\t"),
            Some(b'N') => {
                if let Some(pids) = line.strip_prefix(b"NSpid:\t") {
                    let count =
                        pids.split(u8::is_ascii_whitespace).filter(|p| !p.is_empty()).count();
                    pid_namespaces = u32::try_from(count).unwrap_or(0);
                }
            }
            Some(b'S') if letter.is_none() => {
                letter = line.strip_prefix(b"State:\t").and_then(|rest| rest.first().copied());
            }
            Some(b'U') if real_uid.is_none() => {
                real_uid = line.strip_prefix(b"Uid:\t").and_then(number);
            }
            Some(b'T') if threads.is_none() => {
                threads = line.strip_prefix(b"Threads:\t").and_then(number);
            }
            Some(b'C') => {
                if let Some(hex) = line.strip_prefix(b"CapEff:\t") {
                    capabilities = std::str::from_utf8(hex)
                        .ok()
                        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
                    break;
                }
            }
            _ => {}
        }
    }
    let threads = threads?.max(1);
    Some(Status {
        command: unescape(name?),
        state: State::of(letter?, threads),
        real_uid: real_uid?,
        threads,
        effective_capabilities: capabilities?,
        pid_namespaces,
    })
}

/// The decimal number that `bytes` start with.
fn number(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()
}

/// Undoes what `proc_task_name` escapes in the name: newline and backslash, nothing else.
fn unescape(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match (byte, tail.first()) {
            (b'\\', Some(b'n')) => (b'\n', &tail[1..]),
            (b'\\', Some(b'\\')) => (b'\\', &tail[1..]),
            _ => (byte, tail),
        };
        plain.push(byte);
        rest = tail;
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(name: &[u8], state: &str, uids: &str, threads: u32, capabilities: &str) -> Vec<u8> {
        let mut bytes = b"Name:\t".to_vec();
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(
            format!(
                "\nUmask:\t0022\nState:\t{state}\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\n\
                 TracerPid:\t0\nUid:\t{uids}\nGid:\t9\t9\t9\t9\nFDSize:\t64\nGroups:\t \n\
                 Threads:\t{threads}\nSigQ:\t0/1\nCapInh:\t0000000000000000\n\
                 CapPrm:\tffffffffffffffff\nCapEff:\t{capabilities}\nCapBnd:\t000001ffffffffff\n"
            )
            .as_bytes(),
        );
        bytes
    }

    #[test]
    fn real_uid_is_the_first_of_four() {
        let bytes = status(b"sv", "S (sleeping)", "1500\t0\t0\t0", 3, "0000000001200000");
        let status = parse(&bytes).unwrap();
        assert_eq!(&*status.command, b"sv");
        assert_eq!((status.real_uid, status.threads), (1500, 3));
        assert_eq!(status.state, State::Sleeping);
        assert_eq!(status.effective_capabilities, 0x0120_0000);
    }

    #[test]
    fn pid_namespaces_are_counted_where_the_kernel_names_them() {
        let plain = status(b"x", "S (sleeping)", "5\t5\t5\t5", 1, "0");
        assert_eq!(parse(&plain).unwrap().pid_namespaces, 0);
        for (line, count) in [("NSpid:\t77\n", 1), ("NSpid:\t77\t9\t1\n", 3)] {
            let text = String::from_utf8(plain.clone()).unwrap();
            let text = text.replace("Threads:", &format!("{line}Threads:"));
            assert_eq!(parse(text.as_bytes()).unwrap().pid_namespaces, count);
        }
    }

    #[test]
    fn state_letters() {
        for (letter, threads, state) in [
            ("R (running)", 1, State::Running),
            ("D (disk sleep)", 1, State::DiskSleep),
            ("T (stopped)", 1, State::Stopped),
            ("t (tracing stop)", 1, State::Stopped),
            ("Z (zombie)", 1, State::Zombie),
            ("Z (zombie)", 0, State::Zombie),
            ("Z (zombie)", 2, State::Other),
            ("I (idle)", 1, State::Idle),
            ("X (dead)", 1, State::Other),
        ] {
            let bytes = status(b"x", letter, "0\t0\t0\t0", threads, "0");
            assert_eq!(parse(&bytes).unwrap().state, state, "{letter}");
        }
    }

    #[test]
    fn command_names_are_bytes() {
        let bytes = status(b"\xff\xfe(Uid:\t0)", "S", "5\t5\t5\t5", 1, "0");
        assert_eq!(&*parse(&bytes).unwrap().command, b"\xff\xfe(Uid:\t0)");
        let bytes = status(b"a\\nUid:\\\\t", "S", "5\t5\t5\t5", 1, "0");
        let status = parse(&bytes).unwrap();
        assert_eq!((&*status.command, status.real_uid), (&b"a\nUid:\\t"[..], 5));
    }

    #[test]
    fn a_file_without_a_needed_line_is_refused() {
        let whole = status(b"x", "S (sleeping)", "1\t1\t1\t1", 1, "0");
        for line in ["Name", "State", "Uid", "Threads", "CapEff"] {
            let kept = whole
                .split(|&byte| byte == b'\n')
                .filter(|kept| !kept.starts_with(format!("{line}:").as_bytes()));
            assert_eq!(parse(&kept.collect::<Vec<_>>().join(&b'\n')), None, "{line}");
        }
    }

    #[test]
    fn this_process_can_be_read() {
        let bytes = std::fs::read("/proc/self/status").unwrap();
        let status = parse(&bytes).unwrap();
        assert_eq!(status.real_uid, rustix::process::getuid().as_raw());
        assert!(status.threads >= 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_name_comes_through(
            name in proptest::collection::vec(any::<u8>().prop_filter("NUL ends it", |b| *b != 0), 0..16),
            uid: u32,
            threads in 1u32..,
            capabilities: u64,
        ) {
            let mut escaped = Vec::new();
            for &byte in &name {
                match byte {
                    b'\n' => escaped.extend_from_slice(b"\\n"),
                    b'\\' => escaped.extend_from_slice(b"\\\\"),
                    _ => escaped.push(byte),
                }
            }
            let bytes = status(
                &escaped, "S (sleeping)", &format!("{uid}\t0\t0\t0"), threads,
                &format!("{capabilities:016x}"),
            );
            let status = parse(&bytes).unwrap();
            prop_assert_eq!(&*status.command, &name[..]);
            prop_assert_eq!(
                (status.real_uid, status.threads, status.effective_capabilities),
                (uid, threads, capabilities)
            );
        }
    }
}
