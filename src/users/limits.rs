//! The process limit (`RLIMIT_NPROC`) of one process, and limits that may be unlimited.
//!
//! It is read from `/proc/PID/limits`, which any user may read: prlimit(2) refuses a process of
//! another uid without `CAP_SYS_RESOURCE`, even to root.

/// A ceiling on a number of tasks. Ordered: every number is below unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// At most so many.
    Tasks(u64),
    /// `unlimited`, `max`.
    Unlimited,
}

impl Limit {
    /// The number or the word, as the kernel writes it in `limits` (`unlimited`) or `pids.max` (`max`).
    pub fn parse(word: &[u8]) -> Option<Self> {
        match word {
            b"unlimited" | b"max" => Some(Self::Unlimited),
            _ => std::str::from_utf8(word).ok()?.parse().ok().map(Self::Tasks),
        }
    }

    /// The sample value: unlimited is `+Inf`.
    pub fn value(self) -> f64 {
        match self {
            Self::Tasks(tasks) => tasks as f64,
            Self::Unlimited => f64::INFINITY,
        }
    }

    /// What is left of it after `used` tasks; never below 0, for usage can exceed a limit.
    #[must_use]
    pub fn room(self, used: u64) -> Self {
        match self {
            Self::Tasks(tasks) => Self::Tasks(tasks.saturating_sub(used)),
            Self::Unlimited => Self::Unlimited,
        }
    }

    /// Whether no task can be added to `used`.
    pub fn reached(self, used: u64) -> bool {
        self.room(used) == Self::Tasks(0)
    }

    /// `used` as a share of it: 0 when unlimited or nothing is used, infinite above a limit of 0.
    pub fn share(self, used: u64) -> f64 {
        match self {
            _ if used == 0 => 0.0,
            Self::Tasks(0) => f64::INFINITY,
            Self::Tasks(tasks) => used as f64 / tasks as f64,
            Self::Unlimited => 0.0,
        }
    }
}

/// Soft and hard `RLIMIT_NPROC` of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nproc {
    /// What fork is checked against.
    pub soft: Limit,
    /// How far the process may raise its soft limit. 0 marks a sandbox (sshd's, for one) that is
    /// never meant to fork.
    pub hard: Limit,
}

/// Finds `Max processes` in a `limits` file (`proc_pid_limits` in `fs/proc/base.c`).
pub(crate) fn parse(bytes: &[u8]) -> Option<Nproc> {
    let line =
        bytes.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Max processes "))?;
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    Some(Nproc { soft: Limit::parse(words.next()?)?, hard: Limit::parse(words.next()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(soft: &str, hard: &str) -> Vec<u8> {
        format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max processes             {soft:<20} {hard:<20} processes \n\
             Max open files            1024                 524288               files     \n"
        )
        .into_bytes()
    }

    #[test]
    fn numbers_and_unlimited() {
        let nproc = parse(&file("1024", "unlimited")).unwrap();
        assert_eq!(nproc, Nproc { soft: Limit::Tasks(1024), hard: Limit::Unlimited });
        // RLIM_INFINITY - 1, the largest number that is not unlimited.
        let nproc = parse(&file("18446744073709551614", "0")).unwrap();
        assert_eq!(nproc, Nproc { soft: Limit::Tasks(u64::MAX - 1), hard: Limit::Tasks(0) });
    }

    #[test]
    fn this_process_can_be_read() {
        let bytes = std::fs::read("/proc/self/limits").unwrap();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nproc);
        let soft = limit.current.map_or(Limit::Unlimited, Limit::Tasks);
        assert_eq!(parse(&bytes).unwrap().soft, soft);
    }

    #[test]
    fn nonsense_is_none() {
        for bytes in
            [&b""[..], b"Max processes", b"Max processes             \n", b"Max processes  x y"]
        {
            assert_eq!(parse(bytes), None);
        }
    }

    #[test]
    fn room_and_share() {
        assert_eq!(Limit::Tasks(5).room(12), Limit::Tasks(0));
        assert!(Limit::Tasks(5).reached(5) && !Limit::Tasks(5).reached(4));
        assert!(!Limit::Unlimited.reached(u64::MAX));
        assert!(Limit::Tasks(u64::MAX) < Limit::Unlimited);
        assert!(Limit::Tasks(0).share(1).is_infinite());
        assert!(Limit::Tasks(0).share(0) <= 0.0, "an empty cgroup is not near its limit");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"Max processes ", &bytes[..]].concat());
        }

        #[test]
        fn any_limits_come_through(soft: u64, hard: u64) {
            let nproc = parse(&file(&soft.to_string(), &hard.to_string())).unwrap();
            prop_assert_eq!(nproc, Nproc { soft: Limit::Tasks(soft), hard: Limit::Tasks(hard) });
        }
    }
}
