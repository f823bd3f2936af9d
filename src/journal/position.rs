//! Which entries were handed out, and how many are missing between them.
//!
//! One journald numbers all its entries by one counter, whichever file they go to: the next number is
//! one more than the counter, or than the last number of the file if that is higher. The counter begins
//! again at 0 when journald is restarted (before systemd 254). The files that followed one another
//! (`system`, or `user-1000`) share the id of a chain, and in a chain numbers rise. So an entry that is
//! not the next by this rule tells how many came before it that we have not seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::format::{EntryHead, Header};

/// Chains that are remembered: two for each user with a journal of their own, at most, on most hosts.
const MAX_CHAINS: usize = 1024;
/// Directories and journalds that are remembered.
const MAX_PLACES: usize = 64;
/// Entries of one microsecond that are told apart by their hash.
const MAX_TIED: usize = 32;

/// How far the journal was read; what is kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// By chain, its last number.
    chains: BTreeMap<u128, Last>,
    /// By journald, named like its directory (`<machine id>[.<namespace>]`), the last of all its entries.
    counters: BTreeMap<String, Counter>,
    /// By directory, what was handed out of it: journald moves entries from one to another.
    stretches: BTreeMap<String, Stretch>,
    /// When reading began.
    began: Option<Began>,
    /// Chains that were forgotten end here, in microseconds since 1970.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    seqnum: u64,
    realtime: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    seqnum: u64,
    realtime: u64,
    monotonic: u64,
    boot: u128,
}

/// What was handed out of a directory in one boot, in microseconds since that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    boot: u128,
    first: u64,
    last: u64,
    /// Hashes of the entries of the last microsecond.
    at_last: Vec<u64>,
}

/// The moment of the first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// In microseconds since 1970.
    pub realtime: u64,
    /// In microseconds since the boot.
    pub monotonic: u64,
    /// The boot it was in; 0 if that is not known.
    pub boot: u128,
    /// Whether entries of before count as well.
    pub from_start: bool,
}

/// Where an entry was found.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The chain of its file.
    pub chain: u128,
    /// The directory of its file.
    pub directory: &'a str,
    /// The journald that wrote it.
    pub journald: &'a str,
    /// Entries of before our time in it could not be taken as read at the first look.
    pub history: bool,
}

/// What an entry is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its turn was before: it was handed out, or given up.
    Passed,
    /// It was handed out of another directory, or is from before our time: it only moves its chain on.
    Foreign,
    /// It is new, and so many are missing before it.
    New(u64),
}

impl Position {
    /// Where nothing was read yet.
    pub fn begin(began: Began) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// The last number of a chain, if one was handed out.
    pub fn last(&self, chain: u128) -> Option<u64> {
        self.chains.get(&chain).map(|last| last.seqnum)
    }

    /// Takes a file that was there before us as read.
    pub fn take_as_read(&mut self, origin: Origin<'_>, header: &Header) {
        let last = self.chains.entry(header.chain).or_default();
        *last = Last {
            seqnum: last.seqnum.max(header.tail_seqnum),
            realtime: last.realtime.max(header.tail_realtime),
        };
        let known = self.counters.get(origin.journald);
        if known.is_none_or(|counter| counter.realtime < header.tail_realtime) {
            let counter = Counter {
                seqnum: header.tail_seqnum,
                realtime: header.tail_realtime,
                monotonic: 0,
                boot: 0,
            };
            self.counters.insert(origin.journald.to_owned(), counter);
        }
        self.bound();
    }

    /// What this entry is to us.
    pub fn judge(&self, origin: Origin<'_>, head: &EntryHead) -> Verdict {
        let last = self.chains.get(&origin.chain).map(|last| last.seqnum);
        if last.is_some_and(|last| head.seqnum <= last)
            || (last.is_none() && head.realtime <= self.forgotten)
        {
            return Verdict::Passed;
        }
        let before = self.is_before_us(origin, head);
        let skipped = before && self.began.is_some_and(|began| !began.from_start);
        if skipped || self.is_copy(origin, head) {
            return Verdict::Foreign;
        }
        let Some(counter) = self.counters.get(origin.journald) else { return Verdict::New(0) };
        if last.is_none() && !counter.is_before(head) {
            // A file that came later with what was written earlier, such as a host's late upload: the number of
            // a later entry says nothing about it.
            return Verdict::New(0);
        }
        let next = last.unwrap_or(0) + 1;
        let expected = next.max(counter.seqnum.saturating_add(1));
        let missing = if head.seqnum >= expected {
            head.seqnum - expected
        } else if counter.is_before(head) {
            // journald was restarted.
            head.seqnum.saturating_sub(next)
        } else {
            0
        };
        // What is missing in the history of before our time nobody could have read.
        Verdict::New(if before { 0 } else { missing })
    }

    /// An entry was handed out, or passed over for good.
    pub fn advance(&mut self, origin: Origin<'_>, head: &EntryHead, verdict: Verdict) {
        if verdict == Verdict::Passed {
            return;
        }
        let last = Last { seqnum: head.seqnum, realtime: head.realtime };
        if self.chains.insert(origin.chain, last).is_none() {
            self.bound();
        }
        if verdict == Verdict::Foreign {
            return;
        }
        let counter = Counter {
            seqnum: head.seqnum,
            realtime: head.realtime,
            monotonic: head.monotonic,
            boot: head.boot,
        };
        match self.counters.get_mut(origin.journald) {
            Some(known) if known.is_before(head) || known.seqnum < head.seqnum => *known = counter,
            Some(_) => {}
            None => drop(self.counters.insert(origin.journald.to_owned(), counter)),
        }
        match self.stretches.get_mut(origin.directory) {
            Some(stretch) if stretch.boot == head.boot => stretch.extend(head),
            Some(stretch) => *stretch = Stretch::of(head),
            None => drop(self.stretches.insert(origin.directory.to_owned(), Stretch::of(head))),
        }
    }

    /// Whether it was written before reading began, as far as that can be told: a file that appears later counts
    /// whatever the times in it, which are those of another host perhaps, or of a clock that was wrong.
    fn is_before_us(&self, origin: Origin<'_>, head: &EntryHead) -> bool {
        self.began.is_some_and(|began| {
            if began.boot == head.boot {
                head.monotonic <= began.monotonic
            } else {
                (began.from_start || origin.history) && head.realtime <= began.realtime
            }
        })
    }

    /// journald keeps times and hashes when it moves entries from `/run` to `/var`; their numbers change.
    fn is_copy(&self, origin: Origin<'_>, head: &EntryHead) -> bool {
        let name = |directory: &str| directory.rsplit('/').next() == Some(origin.journald);
        self.stretches
            .iter()
            .filter(|(directory, _)| *directory != origin.directory && name(directory))
            .any(|(_, stretch)| stretch.has(head))
    }

    fn bound(&mut self) {
        while self.chains.len() > MAX_CHAINS {
            let oldest = self.chains.iter().min_by_key(|(_, last)| last.realtime);
            let Some((&chain, &last)) = oldest else { return };
            self.chains.remove(&chain);
            self.forgotten = self.forgotten.max(last.realtime);
        }
        while self.counters.len() > MAX_PLACES {
            self.counters.pop_first();
        }
        while self.stretches.len() > MAX_PLACES {
            self.stretches.pop_first();
        }
    }
}

impl Counter {
    fn is_before(&self, head: &EntryHead) -> bool {
        if self.boot == head.boot {
            self.monotonic <= head.monotonic
        } else {
            self.realtime <= head.realtime
        }
    }
}

impl Stretch {
    fn of(head: &EntryHead) -> Self {
        Self {
            boot: head.boot,
            first: head.monotonic,
            last: head.monotonic,
            at_last: vec![head.hash],
        }
    }

    fn extend(&mut self, head: &EntryHead) {
        if head.monotonic > self.last {
            self.last = head.monotonic;
            self.at_last.clear();
        }
        if head.monotonic == self.last && self.at_last.len() < MAX_TIED {
            self.at_last.push(head.hash);
        }
        self.first = self.first.min(head.monotonic);
    }

    fn has(&self, head: &EntryHead) -> bool {
        self.boot == head.boot
            && ((self.first..self.last).contains(&head.monotonic)
                || (head.monotonic == self.last && self.at_last.contains(&head.hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SYSTEM: Origin<'_> =
        Origin { chain: 1, directory: "/var/j", journald: "j", history: false };
    const USER: Origin<'_> =
        Origin { chain: 2, directory: "/var/j", journald: "j", history: false };
    const RUN: Origin<'_> = Origin { chain: 3, directory: "/run/j", journald: "j", history: false };

    fn head(seqnum: u64, monotonic: u64) -> EntryHead {
        let hash = monotonic * 31;
        EntryHead { offset: 0, items: 0, seqnum, realtime: monotonic, monotonic, boot: 7, hash }
    }

    fn take(position: &mut Position, origin: Origin<'_>, head: EntryHead) -> Verdict {
        let verdict = position.judge(origin, &head);
        position.advance(origin, &head, verdict);
        verdict
    }

    #[test]
    fn what_is_moved_to_var_is_handed_out_once() {
        let mut position = Position::default();
        take(&mut position, SYSTEM, head(40, 5));
        for at in 1..=3 {
            // A new chain of the same journald, which goes on counting.
            assert_eq!(take(&mut position, RUN, head(40 + at, 10 + at)), Verdict::New(0));
        }
        // All is moved, with numbers of its own; one entry came that we had not read.
        for at in 1..=3 {
            assert_eq!(take(&mut position, SYSTEM, head(60 + at, 10 + at)), Verdict::Foreign);
        }
        assert_eq!(take(&mut position, SYSTEM, head(64, 14)), Verdict::New(0));
        assert_eq!(take(&mut position, SYSTEM, head(64, 14)), Verdict::Passed);
    }

    #[test]
    fn a_forgotten_chain_does_not_come_again() {
        let mut position = Position::default();
        for chain in 0..=MAX_CHAINS as u128 {
            let seqnum = u64::try_from(chain).unwrap() + 1;
            take(&mut position, Origin { chain, ..SYSTEM }, head(seqnum, seqnum));
        }
        assert_eq!(position.chains.len(), MAX_CHAINS);
        let first = Origin { chain: 0, ..SYSTEM };
        assert_eq!(take(&mut position, first, head(1, 1)), Verdict::Passed);
        assert_eq!(take(&mut position, first, head(5000, 5000)), Verdict::New(5000 - 1026));
    }

    #[test]
    fn what_was_before_us_is_not_ours() {
        let began = |from_start| {
            Position::begin(Began { realtime: 50, monotonic: 50, boot: 7, from_start })
        };
        let mut position = began(false);
        assert_eq!(take(&mut position, SYSTEM, head(1, 40)), Verdict::Foreign);
        assert_eq!(take(&mut position, SYSTEM, head(2, 60)), Verdict::New(0));
        // Of another boot, or of another host's, whose clock is behind.
        let other = |seqnum, at| EntryHead { boot: 8, ..head(seqnum, at) };
        let late = Origin { chain: 9, ..SYSTEM };
        for seqnum in 70..73 {
            assert_eq!(take(&mut position, late, other(seqnum, 20)), Verdict::New(0));
        }
        let history = Origin { chain: 10, history: true, ..SYSTEM };
        for seqnum in 80..83 {
            assert_eq!(take(&mut position, history, other(seqnum, 20)), Verdict::Foreign);
        }
        assert_eq!(take(&mut position, history, other(83, 90)), Verdict::New(0));
        let mut position = began(true);
        for (seqnum, at, missing) in [(1, 40, 0), (9, 45, 0), (12, 60, 2)] {
            assert_eq!(take(&mut position, SYSTEM, head(seqnum, at)), Verdict::New(missing));
        }
    }

    proptest! {
        /// The rule of the numbers, played: whatever the writers do, nothing is missing as long as all
        /// is read, and what is not read between two entries of one journald's life is told exactly.
        #[test]
        fn what_is_missing_is_told(
            steps in proptest::collection::vec((0..40u8, any::<bool>(), 0..6u8), 1..200), lossy: bool,
        ) {
            let mut position = Position::default();
            let (mut counter, mut last, mut time) = (0u64, [0u64; 2], 0);
            let (mut dropped, mut told) = (0, 0);
            // Both files begin with something that is read.
            for (at, (restart, user, lose)) in steps.into_iter().enumerate() {
                if restart == 0 && !lossy {
                    counter = 0;
                }
                let file = usize::from(user);
                let number = (counter + 1).max(last[file] + 1);
                (counter, last[file], time) = (number, number, time + 1);
                if lossy && at > 0 && lose == 0 {
                    dropped += 1;
                    continue;
                }
                match take(&mut position, if user { USER } else { SYSTEM }, head(number, time)) {
                    Verdict::New(missing) => told += missing,
                    other => prop_assert!(false, "{other:?}"),
                }
                prop_assert!(lossy || told == 0);
                // What was dropped since the last one that was read is known only now.
                if lossy {
                    prop_assert_eq!(told, dropped);
                }
            }
        }
    }
}
