//! When a kernel line was written, by the kernel's own clock.
//!
//! What reads the kernel's ring stamps what it finds there with its own time: of a syslog daemon that was
//! started late, minutes late. The kernel's `[ 1237.492680]` counts from the start of the kernel, which has
//! to be found out: from a line that has both clocks, from the clocks of this host where it is its present
//! boot, or from how little a line was late.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::header::Line;
use super::stamp::{find_audit, seconds};
use super::times::{SECOND, Time};

/// Lines of several CPUs are not quite in order; what lies further back is of another boot.
const DISORDER: i64 = 10 * SECOND;

/// A header that is later than the kernel's clock by more is not believed.
const LATE: i64 = SECOND;

/// Clocks of kernels drift by less in a year. What differs by more was written before the clock was set.
const DRIFT: i64 = 3600 * SECOND;

/// What every line has that tells when the kernel started, or that another boot or time began: such lines
/// are looked at although no signature asks for them.
pub(crate) const TELLING: [&[u8]; 4] =
    [b"audit: type=", b"Linux version ", b"PM: suspend exit", b"hibernation exit"];

/// When the running kernel started, in microseconds since 1970; by its clock, which stands still while the
/// machine sleeps like that of its lines.
pub fn kernel_start() -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let realtime = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    micros(realtime).saturating_sub(micros(Duration::try_from(monotonic).unwrap_or_default()))
}

/// What a line says about when it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// Its header, or who else handed it on.
    pub header: Option<Time>,
    /// The kernel's clock, in microseconds since the kernel started.
    pub uptime: Option<i64>,
}

/// What the lines of one log have told so far of when the kernel that wrote them started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Boot {
    /// By the last line with both clocks.
    pair: Option<i64>,
    /// By the line that was least late.
    least: Option<i64>,
    /// The kernel's clock in the last line.
    last: i64,
}

impl When {
    /// Of an entry of the journal: when it was taken in by both clocks, and when the kernel wrote it by its own.
    pub fn of_journal(realtime: Option<i64>, monotonic: Option<i64>, source: Option<i64>) -> Self {
        let late =
            monotonic.zip(source).map(|(taken, written)| taken.saturating_sub(written).max(0));
        let header = realtime.map(|time| Time::At(time.saturating_sub(late.unwrap_or(0))));
        Self { header, uptime: source }
    }
}

impl Boot {
    /// Takes what a kernel line tells; the boot before comes back where the line is the first of another.
    pub(crate) fn note(&mut self, when: When, message: &[u8]) -> Option<Self> {
        let uptime = when.uptime?;
        let begins = message.starts_with(b"Linux version ") && uptime < SECOND;
        // The kernel's clock stands still while the machine sleeps.
        let woke = message.starts_with(b"PM: ") && message.ends_with(b" exit");
        let ended = (begins || woke || uptime.saturating_add(DISORDER) < self.last)
            .then(|| std::mem::take(self));
        self.last = self.last.max(uptime);
        if let Some(stamp) = audit_stamp(message) {
            self.pair = stamp.0.checked_sub(uptime);
        }
        if let Some(Time::At(header)) = when.header
            && let Some(boot) = header.checked_sub(uptime)
        {
            self.least = Some(self.least.map_or(boot, |least| least.min(boot)));
        }
        ended
    }

    /// When a line was written. `current`: when the running kernel of this host started, for lines of this
    /// host.
    pub(crate) fn place(&self, when: When, current: Option<i64>) -> Option<Time> {
        let Some(uptime) = when.uptime else { return when.header };
        // What was written since the boot is of this boot: the ring of another is gone.
        let current = current.filter(|boot| match when.header {
            Some(Time::At(header)) => *boot <= header.saturating_add(LATE),
            _ => true,
        });
        let near = |pair: &i64| current.is_none_or(|boot| pair.abs_diff(boot) < DRIFT as u64);
        let boot = self.pair.filter(near).or(current).or(self.least);
        let Some(at) = boot.and_then(|boot| boot.checked_add(uptime)) else {
            return when.header.or(Some(Time::Uptime(uptime)));
        };
        match when.header {
            Some(Time::At(header)) if header <= at.saturating_add(LATE) => Some(Time::At(header)),
            _ => Some(Time::At(at)),
        }
    }
}

/// The kernel's clock of a line, which stands before its message.
pub(crate) fn uptime(raw: &[u8], line: &Line<'_>) -> Option<i64> {
    if line.program != Some(b"kernel") {
        return None;
    }
    // The message is the end of the line, as a rule.
    let before = raw.strip_suffix(line.message).or_else(|| {
        let at = memchr::memmem::rfind(raw, line.message)?;
        Some(&raw[..at])
    });
    let before = before.unwrap_or(raw);
    let stamp = |at| {
        let inside = &before[at + 1..];
        let end = memchr::memchr(b']', inside)?;
        seconds(inside[..end].trim_ascii_start())
    };
    memchr::memrchr_iter(b'[', before).find_map(stamp)
}

/// Time, in microseconds since 1970, and serial of the audit event that the kernel tells in a line:
/// `audit: type=1400 audit(1643967817.139:271): …`; and what it tells.
pub(crate) fn audit_stamp(message: &[u8]) -> Option<(i64, u64, &[u8])> {
    let head = &message[..message.len().min(128)];
    let start = find_audit(head)?;
    let rest = &message[start..];
    let colon = rest.iter().take(24).position(|&byte| byte == b':')?;
    let end = colon + rest[colon..].iter().take(24).position(|&byte| byte == b')')?;
    let serial = std::str::from_utf8(&rest[colon + 1..end]).ok()?.parse().ok()?;
    let words = rest[end + 1..].strip_prefix(b":")?.trim_ascii_start();
    Some((seconds(&rest[..colon])?, serial, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::header;

    const S: i64 = SECOND;

    fn at(header: i64, uptime: i64) -> When {
        When { header: Some(Time::At(header * S)), uptime: Some(uptime * S) }
    }

    #[test]
    fn the_kernels_clock_stands_before_the_message() {
        for (raw, expected) in [
            ("Nov 20 05:08:29 web04 kernel: [ 1237.492680] audit: x", Some(1_237_492_680)),
            ("2026-11-20T05:08:29+00:00 h kernel: [    0.000000] Linux version 6", Some(0)),
            ("<4>1 2026-11-20T05:08:29Z h kernel - - - [12.5] x", Some(12_500_000)),
            ("Nov 20 05:08:29 web04 kernel: [ 1237.492680][  T123] x", Some(1_237_492_680)),
            ("Nov 20 05:08:29 web04 kernel: [    1.000000] x [2.000000] y", Some(1_000_000)),
            ("Nov 20 05:08:29 web04 kernel: no stamp", None),
            ("Nov 20 05:08:29 web04 app: [    1.000000] x", None),
            ("", None),
        ] {
            assert_eq!(uptime(raw.as_bytes(), &header::parse(raw.as_bytes())), expected, "{raw}");
        }
    }

    #[test]
    fn a_line_with_both_clocks_dates_the_others() {
        let mut boot = Boot::default();
        let late = at(10_000, 500);
        assert_eq!(boot.place(late, None), Some(Time::At(10_000 * S)));
        boot.note(late, b"x");
        boot.note(at(10_000, 400), b"audit: type=1400 audit(5400.000:7): x");
        assert_eq!(boot.place(late, None), Some(Time::At(5500 * S)));
        // What is not late is as it says.
        assert_eq!(boot.place(at(5501, 500), None), Some(Time::At(5501 * S)));
        assert_eq!(boot.place(at(5502, 500), None), Some(Time::At(5500 * S)));
        // Without a header, as in dmesg.
        let bare = When { header: None, uptime: Some(S) };
        assert_eq!(boot.place(bare, None), Some(Time::At(5001 * S)));
        assert_eq!(Boot::default().place(bare, None), Some(Time::Uptime(S)));
    }

    #[test]
    fn the_line_that_is_least_late_dates_the_others() {
        let mut boot = Boot::default();
        for when in [at(10_000, 500), at(10_000, 900), at(10_005, 5000)] {
            boot.note(when, b"x");
        }
        assert_eq!(boot.place(at(10_000, 500), None), Some(Time::At(5505 * S)));
    }

    #[test]
    fn the_present_boot_is_that_of_what_was_written_since() {
        let boot = Boot::default();
        assert_eq!(boot.place(at(10_000, 500), Some(9000 * S)), Some(Time::At(9500 * S)));
        // Of the boot before.
        assert_eq!(boot.place(at(8000, 500), Some(9000 * S)), Some(Time::At(8000 * S)));
        // The clock was set after the line with both.
        let mut boot = Boot::default();
        boot.note(at(100, 10), b"audit: type=2000 audit(100.000:1): state=initialized");
        assert_eq!(boot.place(at(90_020, 20), Some(90_000 * S)), Some(Time::At(90_020 * S)));
    }

    #[test]
    fn another_boot_begins_anew() {
        let first = Boot { pair: Some(5000 * S), least: None, last: 500 * S };
        for (when, message, new) in [
            (at(20_000, 3), "x", true),
            (at(20_000, 495), "x", false),
            (at(20_000, 0), "Linux version 6.1", true),
            (at(20_000, 501), "PM: suspend exit", true),
            (at(20_000, 501), "Linux version 6.1", false),
        ] {
            let mut boot = first;
            assert_eq!(boot.note(when, message.as_bytes()), new.then_some(first), "{message}");
            assert_eq!(boot.pair.is_none(), new);
        }
    }

    #[test]
    fn audit_stamps() {
        let stamp = |text: &'static str| audit_stamp(text.as_bytes());
        let words = &b"apparmor=x"[..];
        let expected = Some((1_643_967_817_139_000, 271, words));
        assert_eq!(stamp("audit: type=1400 audit(1643967817.139:271): apparmor=x"), expected);
        assert_eq!(stamp("type=AVC msg=audit(1643967817.139:271): apparmor=x"), expected);
        for text in
            ["", "audit(", "audit(1:2): x", "audit(1.5:): x", "audit(1.5:2) x", "audit(1.5:x): y"]
        {
            assert_eq!(stamp(text), None, "{text}");
        }
    }
}
