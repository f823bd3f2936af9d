//! Audit records as the kernel sends them to everybody who may listen, beside the audit daemon
//! (`AUDIT_NLGRP_READLOG`, Linux 3.16, `CAP_AUDIT_READ`); a [process of its own](super::listener) listens.
//!
//! Joining the group writes an `EVENT_LISTENER` record into the log, also where it is refused: it is
//! joined once, at start, and only where the capability is there.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::thread::{CapabilitySet, capabilities};

use super::listener::{self, ALIVE, DATAGRAM, JOINED, PANICKED, RECORD, REFUSED};
use crate::audit::record::Record;
use crate::supervised;

/// How long one read waits for the first record.
const PATIENCE: Duration = Duration::from_millis(500);

/// The start waits so long for the group to be joined; while the audit queue is full it takes longer.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);

/// A listener that has said nothing for so long is not there any more.
const SILENCE: Duration = Duration::from_secs(10);

/// Records of one read, so that what is published never lies far behind.
const MOST: usize = 1000;

pub(crate) struct Multicast {
    listener: Child,
    pair: UnixDatagram,
    buffer: Vec<u8>,
    joined: bool,
    heard: Instant,
    /// What the listener said of a panic that it has not come back from.
    panicked: Option<String>,
    serials: Serials,
}

impl Multicast {
    /// Joins it.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub(crate) fn join() -> io::Result<Self> {
        let effective = capabilities(None).map(|sets| sets.effective);
        if !effective.is_ok_and(|set| set.contains(CapabilitySet::AUDIT_READ)) {
            let what = "the kernel's audit multicast needs CAP_AUDIT_READ";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        // Records are sent in the initial network namespace only.
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        if let (Some(own), Some(init)) = (namespace("self"), namespace("1"))
            && own != init
        {
            let what = "the kernel's audit multicast reaches the host's network namespace only";
            return Err(io::Error::other(what));
        }
        let (listener, pair) = listener::spawn()?;
        pair.set_read_timeout(Some(JOIN_PATIENCE))?;
        let mut group = Self {
            listener,
            pair,
            buffer: vec![0; DATAGRAM + 64],
            joined: false,
            heard: Instant::now(),
            panicked: None,
            serials: Serials::default(),
        };
        group.receive(true, |_| {})?;
        group.pair.set_read_timeout(Some(PATIENCE))?;
        Ok(group)
    }

    /// Waits a little for records and hands them out as lines of the audit log; adds to `lost` how many
    /// events were lost before they reached us, whether or not it fails then.
    ///
    /// # Errors
    /// When nobody listens, or not yet.
    pub(crate) fn read(&mut self, lost: &mut u64, mut record: impl FnMut(&[u8])) -> io::Result<()> {
        for nth in 0..MOST {
            let mut serial = None;
            let there = self.receive(nth == 0, |line| {
                serial = Record::parse(line).map(|record| record.stamp.serial);
                record(line);
            })?;
            *lost += serial.map_or(0, |serial| self.serials.take(serial));
            if !there {
                break;
            }
        }
        if let Some(panicked) = &self.panicked {
            return Err(io::Error::other(panicked.clone()));
        }
        let why = match self.listener.try_wait() {
            Ok(Some(_)) => "the audit listener process has ended; restart telltale_exporter",
            _ if !self.joined => {
                "the audit queue is full, so the kernel lets nobody join its multicast group yet"
            }
            _ if self.heard.elapsed() > SILENCE => "the audit listener process is stopped or hangs",
            _ => {
                *lost += self.serials.settle(Instant::now());
                return Ok(());
            }
        };
        Err(io::Error::other(why))
    }

    /// Takes one message of the listener's, if there is one.
    fn receive(&mut self, wait: bool, record: impl FnOnce(&[u8])) -> io::Result<bool> {
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let length = match recv(&self.pair, &mut *self.buffer, flags) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.heard = Instant::now();
        match self.buffer[..length].split_first() {
            Some((&JOINED, _)) => self.joined = true,
            Some((&REFUSED, why)) => {
                return Err(io::Error::other(String::from_utf8_lossy(why).into_owned()));
            }
            Some((&PANICKED, why)) => {
                let why = String::from_utf8_lossy(why).into_owned();
                if self.panicked.is_none() {
                    supervised::count("audit-listen", &why);
                }
                self.panicked = Some(why);
            }
            Some((&RECORD, line)) => {
                self.panicked = None;
                record(line);
            }
            Some((&ALIVE, _)) => self.panicked = None,
            _ => {}
        }
        Ok(length > 0)
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
    /// Since when a number is missing.
    missing: Option<Instant>,
}

/// A number that is missing for so long is lost.
const SETTLE: Duration = Duration::from_secs(10);

impl Serials {
    /// Gives up what is missing for too long; returns how many that is.
    fn settle(&mut self, now: Instant) -> u64 {
        let gaps = self.seen.iter().filter(|seen| !**seen).count() as u64;
        if gaps == 0 {
            self.missing = None;
            return 0;
        }
        let since = *self.missing.get_or_insert(now);
        if now.saturating_duration_since(since) < SETTLE {
            return 0;
        }
        self.missing = None;
        self.seen.iter_mut().for_each(|seen| *seen = true);
        gaps
    }

    /// Notes a number; returns how many are known to be missing since the last time.
    fn take(&mut self, serial: u64) -> u64 {
        let end = self.base + self.seen.len() as u64;
        // The first, or auditd's own numbers, or another boot's.
        if self.seen.is_empty() || serial + (WINDOW as u64) < self.base {
            *self = Self { base: serial, seen: VecDeque::from([true]), missing: None };
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
        assert_eq!(serials.take(5), 0);
        let now = Instant::now();
        assert_eq!((serials.settle(now), serials.settle(now + SETTLE)), (0, 1));
        assert_eq!(serials.settle(now + SETTLE * 2), 0, "once only");
    }

    #[test]
    fn what_was_lost_before_the_listener_ended_is_told() {
        let mut listener = std::process::Command::new("true").spawn().unwrap();
        listener.wait().unwrap();
        let (pair, theirs) = UnixDatagram::pair().unwrap();
        let (buffer, heard) = (vec![0; DATAGRAM + 64], Instant::now());
        let serials = Serials::default();
        let mut group =
            Multicast { listener, pair, buffer, joined: true, heard, panicked: None, serials };
        let last = 10 + 2 * WINDOW as u64;
        for serial in [10, last] {
            let line = format!("Rtype=1300 msg=audit(1795151586.482:{serial}): arch=c000003e");
            theirs.send(line.as_bytes()).unwrap();
        }
        group.pair.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut lost, mut lines) = (0, 0);
        let why = group.read(&mut lost, |_| lines += 1).unwrap_err();
        assert!(why.to_string().contains("has ended"), "{why}");
        assert_eq!((lines, lost), (2, last - 10 - WINDOW as u64));
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
