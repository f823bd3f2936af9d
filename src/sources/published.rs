//! A source as others see it: how far it is read, and the counts of exactly what lies before that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::file::follower;
use super::kernel_ring;
use super::losses::Sums;
use super::sink::Sink;
use crate::journal;

/// Levels of severity by their number, in the names of syslog(3).
pub(crate) const LEVELS: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// A count for each level, and last for lines that have none.
pub(crate) type ByLevel = [u64; LEVELS.len() + 1];

/// What was read of a source since its counters began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadCounts {
    /// Lines read, each once, however often it says it was repeated.
    pub lines: u64,
    pub bytes: u64,
    /// Lines that mean nothing to the sink, by level.
    pub unmatched: ByLevel,
    /// Rotations, and what no line was made of.
    pub sums: Sums,
    /// When the last line was read.
    pub last_line: Option<SystemTime>,
}

impl ReadCounts {
    /// Counts a line that was read at this time.
    pub(crate) fn add_line(&mut self, now: SystemTime) {
        self.lines += 1;
        self.last_line = Some(now);
    }

    /// Counts that a line means nothing.
    pub(crate) fn add_unmatched(&mut self, level: Option<u8>) {
        let level = level.map_or(LEVELS.len(), |level| usize::from(level & 7));
        self.unmatched[level] += 1;
    }

    /// Begins to count anew; when the last line was read stays known.
    pub(crate) fn forget_values(&mut self) {
        *self = Self { last_line: self.last_line, ..Self::default() };
    }

    /// Lines that mean nothing, of all levels.
    pub(crate) fn unmatched(&self) -> u64 {
        self.unmatched.iter().sum()
    }
}

/// Counts of a source since its counters began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts<T> {
    /// What was read.
    pub read: ReadCounts,
    /// What the sink has made of it.
    pub sink: T,
}

/// How far a log is read whose messages are numbered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The kernel's.
    Kmsg(kernel_ring::Position),
    /// journald's.
    Journal(journal::Position),
}

/// A log of a source: its position and what is carried from there on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream<C> {
    /// Which files it is, and how far they are read.
    pub position: follower::State,
    /// What its next line needs to know of those before.
    pub carry: C,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// A source as others see it: positions, and the counts of exactly what lies before them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published<C, T> {
    /// Logs that are files, by path.
    pub files: BTreeMap<PathBuf, Arc<Stream<C>>>,
    /// How far the kernel's log or the journal is read.
    pub place: Option<Place>,
    /// What their next message needs to know of those before.
    pub carry: C,
    /// Why the source as a whole cannot be read.
    pub error: Option<String>,
    /// Something of it was read since this start: until then what it counts is not known.
    pub read: bool,
    /// When its thread last came back from looking for more.
    pub looked: Option<Instant>,
    pub counts: Counts<T>,
    /// What is to be known about the source.
    pub notes: Vec<String>,
}

/// What a source that this sink counts has published.
pub(crate) type PublishedTo<S> = Published<<S as Sink>::Carry, <S as Sink>::Counts>;

/// That, as the thread of the source and those who show it share it.
pub(crate) type Shared<S> = Arc<Mutex<PublishedTo<S>>>;

/// A thread that looks twice a second, or each minute where it fails, and has not come back for so long is held
/// up by its filesystem.
const HUNG: Duration = Duration::from_secs(120);

impl<C, T> Published<C, T> {
    /// What is wrong where the thread does not come back from looking.
    pub(crate) fn hangs(&self) -> Option<String> {
        let since = self.looked?.elapsed();
        (since > HUNG).then(|| {
            format!("reading has not come back for {} s: its filesystem hangs", since.as_secs())
        })
    }
}
