//! `struct audit_status`, as long as the running kernel has it.

/// Bytes that one record of a full backlog may take: `MAX_AUDIT_MESSAGE_LENGTH`.
pub(crate) const BUFFER_BYTES: u64 = 8970;

/// The kernel's audit status (include/uapi/linux/audit.h); what an older kernel lacks is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// 0 off, 1 on, 2 on and locked until reboot.
    pub enabled: u32,
    /// What the kernel does when it cannot log: 0 nothing, 1 printk, 2 panic.
    pub failure: u32,
    /// The registered daemon; goes stale when it is killed.
    pub pid: u32,
    /// Records a second, 0 for no limit.
    pub rate_limit: u32,
    /// Records that may wait for the daemon.
    pub backlog_limit: u32,
    /// Records lost since boot or `auditctl --reset-lost`.
    pub lost: u32,
    /// Records that wait now; a few more than the limit at most.
    pub backlog: u32,
    /// Which optional features the kernel has (Linux 3.15).
    pub feature_bitmap: Option<u32>,
    /// How long whoever causes a record waits for room, in jiffies of the kernel's HZ (Linux 3.18).
    pub backlog_wait_time: Option<u32>,
    /// How long they have waited in all, in jiffies (Linux 5.9).
    pub backlog_wait_time_actual: Option<u32>,
}

/// Parses the payload of a reply: 32, 36, 40, 44 bytes or more. `None` where it is shorter.
pub(crate) fn parse(payload: &[u8]) -> Option<Status> {
    let mut words = payload.chunks_exact(4).map(|word| {
        // chunks_exact(4) gives four bytes.
        u32::from_ne_bytes(word.try_into().unwrap_or_default())
    });
    let mut next = || words.next();
    let _mask = next()?;
    Some(Status {
        enabled: next()?,
        failure: next()?,
        pid: next()?,
        rate_limit: next()?,
        backlog_limit: next()?,
        lost: next()?,
        backlog: next()?,
        feature_bitmap: next(),
        backlog_wait_time: next(),
        backlog_wait_time_actual: next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn replies_of_every_age() {
        let words = [0, 1, 2, 4242, 5, 8192, 7, 8, 0x7f, 15000, 775];
        let whole = parse(&bytes(&words)).unwrap();
        assert_eq!((whole.enabled, whole.failure, whole.pid, whole.rate_limit), (1, 2, 4242, 5));
        assert_eq!((whole.backlog_limit, whole.lost, whole.backlog), (8192, 7, 8));
        let optional = |status: Status| {
            [status.feature_bitmap, status.backlog_wait_time, status.backlog_wait_time_actual]
        };
        assert_eq!(optional(whole), [Some(0x7f), Some(15000), Some(775)]);
        assert_eq!(optional(parse(&bytes(&words[..10])).unwrap()), [Some(0x7f), Some(15000), None]);
        assert_eq!(optional(parse(&bytes(&words[..9])).unwrap()), [Some(0x7f), None, None]);
        assert_eq!(optional(parse(&bytes(&words[..8])).unwrap()), [None; 3]);
        assert_eq!(parse(&bytes(&words[..7])), None);
        // A longer one of a later kernel.
        assert_eq!(parse(&bytes(&[&words[..], &[1, 2, 3]].concat())), Some(whole));
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(parse(&bytes).is_some(), bytes.len() >= 32);
        }
    }
}
