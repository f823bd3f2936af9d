//! One audit event that one log tells twice: as `audit[PID]: AVC …`, and as `kernel: audit: type=1400 …`.
//!
//! journald asks the kernel for its audit events and reads the kernel's ring as well; without auditd the
//! kernel writes every event there too. The serial of the event tells that two lines are one; where a form has
//! none, the same words within a second do, one line of the one kind for one of the other.

use std::collections::VecDeque;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::log_line::header::Line;
use crate::log_line::kernel_clock::audit_stamp;
use crate::log_line::times::SECOND;

/// Lines that are remembered. journald tells both within milliseconds.
const MOST: usize = 1024;

/// Serials begin anew with a boot, and no machine starts twice in so much time.
const SAME_BOOT: u64 = 60 * SECOND as u64;

/// Lines with the same words are one event within so much time.
const TOGETHER: u64 = SECOND as u64;

/// An audit event that a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audit<'l> {
    pub serial: Option<u64>,
    /// When it was, in microseconds since 1970, where the line says so.
    at: Option<i64>,
    /// What all forms say of it alike.
    words: &'l [u8],
    /// It was told by the kernel's ring.
    kernel: bool,
}

impl<'l> Audit<'l> {
    /// The event of a line that has one. `serial`: what the journal says beside it.
    pub(crate) fn of(line: &Line<'l>, serial: Option<u64>) -> Option<Self> {
        if let Some((at, serial, words)) = audit_stamp(line.message) {
            return Some(Self { serial: Some(serial), at: Some(at), words, kernel: true });
        }
        if line.program != Some(b"audit") {
            return None;
        }
        let (_, words) = line.message.split_at(memchr::memchr(b' ', line.message)?);
        Some(Self { serial, at: None, words: words.trim_ascii_start(), kernel: false })
    }

    /// The same for all lines about events with these words in one minute; `time` is when the line was written.
    pub(crate) fn identity(&self, time: i64) -> (i64, &'l [u8]) {
        (self.at.unwrap_or(time).div_euclid(60 * SECOND), self.words)
    }
}

/// Lines that may have a twin among those to come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Twins {
    /// Signature and serial of what was counted last, and when it was.
    serials: VecDeque<(u64, i64)>,
    /// Lines whose twin did not come yet.
    alone: VecDeque<Alone>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Alone {
    words: u64,
    kernel: bool,
    /// When it was written, and when the event was by the kernel's own word.
    at: i64,
    event: i64,
    /// How many events.
    times: u64,
}

impl Twins {
    /// Whether this signature was counted for this event already; `time` is when the line was written.
    pub(crate) fn is_counted(&mut self, signature: &str, audit: &Audit<'_>, time: i64) -> bool {
        let Some(serial) = audit.serial else { return false };
        let key = (hash(signature.as_bytes(), serial), audit.at.unwrap_or(time));
        let same = |other: &(u64, i64)| other.0 == key.0 && other.1.abs_diff(key.1) < SAME_BOOT;
        if self.serials.iter().any(same) {
            return true;
        }
        push(&mut self.serials, key);
        false
    }

    /// Of so many events that a line tells, how many were told by lines of the other kind; `time` is when
    /// the line was written.
    pub(crate) fn counted(&mut self, audit: &Audit<'_>, times: u64, time: i64) -> u64 {
        // A line whose serial the journal says has its twin by that.
        if !audit.kernel && audit.serial.is_some() {
            return 0;
        }
        let (words, kernel, event) = (hash(audit.words, 0), audit.kernel, audit.at.unwrap_or(time));
        let near = |one: i64, other: i64| one.abs_diff(other) <= TOGETHER;
        self.alone.retain(|one| one.at.saturating_add(2 * SECOND) >= time);
        let mut left = times;
        for one in &mut self.alone {
            let near = near(one.at, time) || near(one.event, event);
            if one.words == words && one.kernel != kernel && near {
                let both = left.min(one.times);
                (left, one.times) = (left - both, one.times - both);
            }
        }
        self.alone.retain(|one| one.times > 0);
        if left > 0 {
            push(&mut self.alone, Alone { words, kernel, at: time, event, times: left });
        }
        times - left
    }
}

/// The oldest goes where there are too many.
fn push<T>(to: &mut VecDeque<T>, one: T) {
    if to.len() >= MOST {
        to.pop_front();
    }
    to.push_back(one);
}

fn hash(bytes: &[u8], number: u64) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.write_u64(number);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::header;

    /// How many of these events are counted: `a1 0` is journald's line, `k1 0` the kernel's, with words and
    /// the second.
    fn counted(lines: &str) -> u64 {
        let (mut twins, mut sum, mut serial) = (Twins::default(), 0, 0);
        for line in lines.split(", ") {
            let (what, second) = line.split_once(' ').unwrap();
            let second: i64 = second.parse().unwrap();
            let (kind, words) = what.split_at(1);
            serial += 1;
            let text = match kind {
                "a" => format!("Nov 20 05:00:00 h audit[7]: AVC apparmor=\"DENIED\" pid={words}"),
                _ => format!(
                    "Nov 20 05:00:00 h kernel: audit: type=1400 audit({second}.100:{serial}): \
                     apparmor=\"DENIED\" pid={words}"
                ),
            };
            let line = header::parse(text.as_bytes());
            let audit = Audit::of(&line, None).unwrap();
            let time = second * SECOND;
            if !twins.is_counted("s", &audit, time) {
                sum += 1 - twins.counted(&audit, 1, time);
            }
        }
        sum
    }

    #[test]
    fn one_of_each_kind_is_one_event() {
        for (lines, expected) in [
            ("a1 5, k1 5", 1),
            ("k1 5, a1 5", 1),
            ("a1 5, k1 6", 1),
            ("a1 5, k1 7", 2),
            ("a1 5, a1 5, k1 5, k1 5", 2),
            ("k1 5, k1 5, a1 5, a1 5", 2),
            ("a1 5, k1 5, a1 5, k1 5", 2),
            ("a1 5, k1 5, k1 5, a1 5", 2),
            ("a1 5, a2 5, a3 5, k1 5, k2 5, k3 5", 3),
            ("a1 5, k2 5, a3 5, k1 5, a2 5, k3 5", 3),
            ("a1 5, a1 5, k1 5", 2),
            ("a1 5, k1 5, k1 5", 2),
            ("a1 5, a1 6", 2),
            ("k1 5, k1 6", 2),
            ("a1 5, a1 9, k1 9", 2),
        ] {
            assert_eq!(counted(lines), expected, "{lines}");
        }
    }

    #[test]
    fn a_serial_counts_once_for_a_signature_and_anew_after_a_boot() {
        let mut twins = Twins::default();
        let line = Line { program: Some(b"audit"), ..header::plain(b"AVC apparmor=x") };
        let journals = Audit::of(&line, Some(271)).unwrap();
        let kernels = header::plain(b"audit: type=1400 audit(100.000:271): apparmor=x");
        let kernels = Audit::of(&kernels, None).unwrap();
        assert!(!twins.is_counted("a", &journals, 100 * SECOND));
        assert!(twins.is_counted("a", &kernels, 100 * SECOND));
        assert!(!twins.is_counted("b", &kernels, 100 * SECOND));
        assert!(twins.is_counted("a", &journals, 101 * SECOND));
        assert!(!twins.is_counted("a", &journals, 4000 * SECOND));
        assert_eq!(twins.counted(&journals, 1, 0), 0);
    }

    #[test]
    fn repeats_are_as_many_events() {
        let mut twins = Twins::default();
        let line = Line { program: Some(b"audit"), ..header::plain(b"AVC x") };
        let told = Audit::of(&line, None).unwrap();
        let kernels = Audit { kernel: true, ..told };
        assert_eq!(twins.counted(&told, 3, 0), 0);
        assert_eq!(twins.counted(&kernels, 2, 0), 2);
        assert_eq!(twins.counted(&kernels, 2, 0), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut twins = Twins::default();
        for nth in 0..10_000 {
            let text = format!("AVC x={nth}");
            let line = Line { program: Some(b"audit"), ..header::plain(text.as_bytes()) };
            let mut audit = Audit::of(&line, None).unwrap();
            twins.counted(&audit, 1, 0);
            audit.serial = Some(nth);
            twins.is_counted("s", &audit, 0);
        }
        assert_eq!((twins.alone.len(), twins.serials.len()), (MOST, MOST));
    }
}
