//! One event that stands in several logs: it counts as often as in that one log that has it most often.
//!
//! rsyslog writes what the kernel says into kern.log and into syslog, and the journal has it too.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::sources::file::rotated;

/// Events that are remembered: so many that the table, and the one it grows from, stay below 64 MB.
const MOST: usize = 900_000;

/// What is hashed already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// How often one event was found.
#[derive(Default, Clone, Copy)]
struct Times {
    /// The log that had it last, and how often.
    log: u32,
    in_log: u32,
    /// How often it was counted.
    most: u32,
}

/// The events so far.
pub(super) struct Duplicates {
    found: HashMap<u64, Times, BuildHasherDefault<Hashed>>,
    log: u32,
    /// More than one log is read.
    on: bool,
    most: usize,
    /// There were too many to remember all.
    full: bool,
    /// Events that were left out.
    left_out: u64,
}

impl Duplicates {
    /// For one log or for several.
    pub(super) fn new(several: bool) -> Self {
        Self {
            found: HashMap::default(),
            log: 0,
            on: several,
            most: MOST,
            full: false,
            left_out: 0,
        }
    }

    /// What follows is of this log.
    pub(super) fn begin_log(&mut self, log: u32) {
        self.log = log;
    }

    /// Whether events are to be told apart.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Of an event that was found so many times at once, how many were not counted for another log yet.
    pub(super) fn new_of(&mut self, event: u64, times: u64) -> u64 {
        let room = self.found.len() < self.most;
        let times_found = match self.found.get_mut(&event) {
            Some(found) => found,
            None if room => self.found.entry(event).or_default(),
            None => {
                self.full = true;
                return times;
            }
        };
        if times_found.log != self.log {
            (times_found.log, times_found.in_log) = (self.log, 0);
        }
        let more = u32::try_from(times).unwrap_or(u32::MAX);
        times_found.in_log = times_found.in_log.saturating_add(more);
        let new = times_found.in_log.saturating_sub(times_found.most);
        times_found.most = times_found.most.max(times_found.in_log);
        // More than fits into the counter is more than anybody counts.
        let old = u64::from(more.saturating_sub(new));
        self.left_out = self.left_out.saturating_add(old);
        times - old
    }

    /// Events that were left out, and whether some may not have been, for there were too many.
    pub(super) fn end(&self) -> (u64, bool) {
        (self.left_out, self.full)
    }
}

/// The files, each with the number of its log, those of one log together. Rotated files are of one log; what is
/// given a second time, perhaps compressed, is a log of its own.
pub(super) fn by_log(files: &[PathBuf]) -> Vec<(u32, &Path)> {
    let mut numbers: HashMap<(Vec<u8>, u32), u32> = HashMap::new();
    let mut given: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut numbered: Vec<(u32, &Path)> = Vec::new();
    for path in files {
        let directory = path.parent().unwrap_or_else(|| Path::new("")).as_os_str().as_bytes();
        let name = path.file_name().unwrap_or_default().as_bytes();
        let plain = rotated::plain(name).0;
        let base = rotated::bases(name).next().unwrap_or_else(|| plain.to_vec());
        let inside = |name: &[u8]| [directory, b"/", name].concat();
        let copy = given.entry(inside(plain)).or_default();
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
        numbered.push((*numbers.entry((inside(&base), *copy)).or_insert(next), path));
        *copy += 1;
    }
    numbered.sort_by_key(|(log, _)| *log);
    numbered
}

/// How many logs these are.
pub(super) fn count_logs(files: &[(u32, &Path)]) -> usize {
    files.iter().map(|(log, _)| log).collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_as_often_as_in_the_log_that_has_it_most_often() {
        // Events of each log in turn, and how many count.
        for (logs, expected) in [
            (&["a", "a"][..], 1),
            (&["aa", "a"], 2),
            (&["a", "aa"], 2),
            (&["aab", "ab", "abb"], 4),
            (&["a", "b", "c"], 3),
            (&["", "aaa", "aaa", "aa"], 3),
        ] {
            let mut duplicates = Duplicates::new(true);
            let (mut sum, mut all) = (0, 0);
            for (log, events) in (1..).zip(logs) {
                duplicates.begin_log(log);
                all += events.len() as u64;
                sum += events.bytes().map(|e| duplicates.new_of(e.into(), 1)).sum::<u64>();
            }
            assert_eq!((sum, duplicates.end()), (expected, (all - expected, false)), "{logs:?}");
        }
    }

    #[test]
    fn a_line_that_stands_for_many_is_as_many() {
        let mut duplicates = Duplicates::new(true);
        duplicates.begin_log(1);
        assert_eq!([3, 2].map(|times| duplicates.new_of(1, times)), [3, 2]);
        duplicates.begin_log(2);
        assert_eq!([4, 3].map(|times| duplicates.new_of(1, times)), [0, 2]);
        assert_eq!(duplicates.new_of(2, u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_too_much_to_remember_counts_and_is_told() {
        let mut duplicates = Duplicates { most: 2, ..Duplicates::new(true) };
        for log in [1, 2] {
            duplicates.begin_log(log);
            let new: Vec<_> = (0..3).map(|event| duplicates.new_of(event, 1)).collect();
            assert_eq!(new, if log == 1 { [1, 1, 1] } else { [0, 0, 1] });
        }
        assert_eq!(duplicates.end(), (2, true));
    }

    #[test]
    fn rotated_files_are_of_one_log() {
        let logs = |files: &[&str]| {
            let files: Vec<_> = files.iter().map(PathBuf::from).collect();
            let numbered = by_log(&files);
            let shown = |(log, path): &(u32, &Path)| format!("{log}:{}", path.display());
            numbered.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        for (files, expected) in [
            (&["kern.log", "syslog"][..], "1:kern.log 2:syslog"),
            (&["kern.log", "syslog", "kern.log.1"], "1:kern.log 1:kern.log.1 2:syslog"),
            (&["a/syslog.2.gz", "a/syslog.1"], "1:a/syslog.2.gz 1:a/syslog.1"),
            (&["m-20261120", "m-20261121.xz", "m"], "1:m-20261120 1:m-20261121.xz 1:m"),
            (&["a/syslog", "b/syslog"], "1:a/syslog 2:b/syslog"),
            // Being compressed, it is there twice.
            (&["s.1", "s.1.gz", "s.2.gz"], "1:s.1 1:s.2.gz 2:s.1.gz"),
            (&["s", "s"], "1:s 2:s"),
            (&["-", "s"], "1:- 2:s"),
        ] {
            assert_eq!(logs(files), expected, "{files:?}");
        }
    }
}
