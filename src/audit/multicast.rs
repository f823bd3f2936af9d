//! Audit records as the kernel sends them to everybody who may listen, beside the audit daemon
//! (`AUDIT_NLGRP_READLOG`, Linux 3.16, `CAP_AUDIT_READ`).
//!
//! Joining the group writes an `EVENT_LISTENER` record into the log, also where it is refused: it is
//! joined once, at start, and only where the capability is there.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use super::events::record::Record;
use super::netlink;
use crate::sys::audit::AuditSocket;

/// How long one read waits for the first record.
const PATIENCE: Duration = Duration::from_millis(500);

/// Records are at most 8 KiB (`AUDIT_MESSAGE_TEXT_MAX`), with a header.
const DATAGRAM: usize = 16 * 1024;

/// What the kernel keeps for us between two reads: its default holds some sixty events.
const QUEUE_BYTES: usize = 8 << 20;

/// Records of one read, so that what is published never lies far behind.
const MOST: usize = 1000;

/// The group.
pub struct Multicast {
    socket: AuditSocket,
    buffer: Vec<u8>,
    line: Vec<u8>,
    serials: Serials,
}

impl Multicast {
    /// Joins it.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn join() -> io::Result<Self> {
        let capable =
            capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::AUDIT_READ));
        if !capable {
            let what = "the kernel's audit multicast needs CAP_AUDIT_READ";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let socket = AuditSocket::open(PATIENCE)?;
        socket.join(QUEUE_BYTES)?;
        let serials = Serials::default();
        Ok(Self { socket, buffer: vec![0; DATAGRAM], line: Vec::new(), serials })
    }

    /// Waits a little for records and hands them out as lines of the audit log; returns how many events
    /// were lost before they reached us.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn read(&mut self, mut record: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut lost = 0;
        for nth in 0..MOST {
            let wait = nth == 0;
            let length = match self.socket.receive_now(&mut self.buffer, wait) {
                Ok(length) => length,
                Err(Errno::AGAIN) => break,
                // The queue was full. The gap in the numbers tells how much is gone.
                Err(Errno::NOBUFS | Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for (kind, text) in netlink::records(&self.buffer[..length]) {
                self.line.clear();
                self.line.extend_from_slice(format!("type={kind} msg=").as_bytes());
                self.line.extend_from_slice(text);
                if let Some(record) = Record::parse(&self.line) {
                    lost += self.serials.take(record.stamp.serial);
                }
                record(&self.line);
            }
        }
        Ok(lost)
    }
}

/// Serial numbers of events: the kernel gives them without gaps. Records of one may come after those of
/// the next, so a number is missing only when it is so far behind.
const WINDOW: usize = 512;

/// Which numbers were seen.
#[derive(Debug, Default)]
struct Serials {
    /// The number of the first of `seen`.
    base: u64,
    seen: VecDeque<bool>,
}

impl Serials {
    /// Notes a number; returns how many are known to be missing since the last time.
    fn take(&mut self, serial: u64) -> u64 {
        let end = self.base + self.seen.len() as u64;
        // The first, or auditd's own numbers, or another boot's.
        if self.seen.is_empty() || serial + (WINDOW as u64) < self.base {
            *self = Self { base: serial, seen: VecDeque::from([true]) };
            return 0;
        }
        if serial < self.base {
            return 0;
        }
        let mut lost = 0;
        if serial >= end {
            let ahead = serial - end;
            let room = ahead.min(WINDOW as u64);
            // What does not fit into the window is missing at once.
            if ahead > room {
                lost += self.seen.iter().filter(|seen| !**seen).count() as u64 + ahead - room;
                self.seen.clear();
                self.base = serial - room;
            }
            self.seen.extend((0..room).map(|_| false));
            self.seen.push_back(true);
        } else if let Some(seen) =
            usize::try_from(serial - self.base).ok().and_then(|at| self.seen.get_mut(at))
        {
            *seen = true;
        }
        while self.seen.len() > WINDOW {
            lost += u64::from(self.seen.pop_front() == Some(false));
            self.base += 1;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_missing_once_they_are_old() {
        let mut serials = Serials::default();
        let mut lost: u64 = [10, 11, 14, 12].into_iter().map(|serial| serials.take(serial)).sum();
        assert_eq!(lost, 0, "13 may still come");
        lost += (15..15 + WINDOW as u64).map(|serial| serials.take(serial)).sum::<u64>();
        assert_eq!(lost, 1);
        let far = 1_000_000;
        lost += serials.take(far);
        lost += (far + 1..=far + WINDOW as u64).map(|serial| serials.take(serial)).sum::<u64>();
        assert_eq!(lost, 1 + far - 15 - WINDOW as u64);
        assert_eq!(serials.take(3), 0, "another numbering");
    }

    proptest! {
        #[test]
        fn what_is_not_seen_is_lost(gone in proptest::collection::btree_set(1u64..2000, 0..200)) {
            let mut serials = Serials::default();
            let numbers = (0..2001 + WINDOW as u64).filter(|number| !gone.contains(number));
            let lost: u64 = numbers.map(|number| serials.take(number)).sum();
            prop_assert_eq!(lost, gone.len() as u64);
        }

        #[test]
        fn any_numbers_are_survived(numbers in proptest::collection::vec(0u64..=u64::MAX / 2, 0..50)) {
            let mut serials = Serials::default();
            for number in numbers {
                serials.take(number);
            }
        }
    }
}
