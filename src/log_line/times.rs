//! When a line was written.
//!
//! All are microseconds since 1970 in UTC. The traditional syslog form has neither a year nor a time
//! zone: it is taken to be of this host's zone, and of the latest year that does not put it after the
//! reference (when the file was last written) by more than a day.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use super::dmesg;
use super::header::{self, MONTHS};

/// No zone's file is longer.
const MAX_ZONE: u64 = 64 * 1024;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// When a line was written. Ordered within each kind; a report has one kind for each signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Time {
    /// Microseconds since the kernel started, where nobody knows when that was.
    Uptime(i64),
    /// Microseconds since 1970 in UTC.
    At(i64),
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, or `+12.345s since boot`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::At(micros) => match Timestamp::from_microsecond(micros) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => f.write_str("unknown"),
            },
            Self::Uptime(micros) => {
                write!(f, "+{}.{:03}s since boot", micros / SECOND, micros % SECOND / 1000)
            }
        }
    }
}

impl Serialize for Time {
    /// RFC 3339 or null: the time since boot is none.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(_) => serializer.collect_str(self),
            Self::Uptime(_) => serializer.serialize_none(),
        }
    }
}

/// Reads the times of the lines of one file.
pub(crate) struct Clock {
    zone: TimeZone,
    /// The latest time that a line without a year can have.
    latest: i64,
    /// `Nov 20 05:08` of the last line of that form, and its time: most lines share it.
    minute: ([u8; 12], i64),
    /// The last minute of `dmesg -H`.
    human: Option<i64>,
}

impl Clock {
    /// For a file that was last written at `reference`, in microseconds since 1970.
    pub(crate) fn new(zone: TimeZone, reference: i64) -> Self {
        Self { zone, latest: reference.saturating_add(DAY), minute: ([0; 12], 0), human: None }
    }

    /// The time at the start of a line, in any of the forms: traditional and ISO 8601, perhaps after
    /// `<34>` and the `1` of RFC 5424; an audit record's `msg=audit(1760000000.123:45)`; the kernel's
    /// `[   12.345678]`, and `[Fri Nov 20 05:08:30 2026]` of `dmesg -T`; `Fri 2026-11-20 05:08:30 UTC` of
    /// `journalctl -o short-full`. Of a `[Nov20 05:08]` of `dmesg -H` the minute, which lines after it are of too.
    pub(crate) fn of(&mut self, line: &[u8]) -> Option<Time> {
        let line = after_priority(line);
        if let Some(date) = header::after_weekday(line) {
            let zone = if date.get(19..24) == Some(b" UTC ") { &TimeZone::UTC } else { &self.zone };
            return iso(date, zone).map(Time::At);
        }
        match line.first()? {
            b'0'..=b'9' => iso(line.strip_prefix(b"1 ").unwrap_or(line), &self.zone).map(Time::At),
            b'[' => kernel(line).or_else(|| self.dated(line)).or_else(|| self.human(line)),
            b'A' | b'D' | b'F' | b'J' | b'M' | b'N' | b'O' | b'S' => {
                self.traditional(line).map(Time::At)
            }
            _ => audit(line).map(Time::At),
        }
    }

    /// `Nov 20 05:08:31`.
    fn traditional(&mut self, line: &[u8]) -> Option<i64> {
        let minute: [u8; 12] = line.get(..12)?.try_into().ok()?;
        if line.get(12) != Some(&b':') {
            return None;
        }
        let second = number(line.get(13..15)?).filter(|&second| second <= 60)?;
        if self.minute.0 != minute {
            self.minute = (minute, self.of_minute(&minute)?);
        }
        Some(self.minute.1 + second * SECOND)
    }

    /// Zones change their offset at full minutes only, so what is known of one holds for its seconds.
    fn of_minute(&self, text: &[u8; 12]) -> Option<i64> {
        let month = MONTHS.iter().position(|month| month[..] == text[..3])? + 1;
        if text[3] != b' ' || text[6] != b' ' || text[9] != b':' {
            return None;
        }
        let ten = if text[4] == b' ' { 0 } else { number(&text[4..5])? };
        let parts = [ten * 10 + number(&text[5..6])?, number(&text[7..9])?, number(&text[10..12])?];
        let [day, hour, minute] = parts.map(|part| i8::try_from(part).unwrap_or(-1));
        let latest = Timestamp::from_microsecond(self.latest).ok()?;
        let year = latest.to_zoned_datetime(self.zone.clone()).year();
        // A 29th of February may be as old as eight years.
        (year.saturating_sub(8)..=year).rev().find_map(|year| {
            let month = i8::try_from(month).ok()?;
            let time = DateTime::new(year, month, day, hour, minute, 0, 0).ok()?;
            in_zone(time, &self.zone).filter(|&time| time <= self.latest)
        })
    }

    /// `[Fri Nov 20 05:08:30 2026]`.
    fn dated(&self, line: &[u8]) -> Option<Time> {
        let (date, _) = dated(line)?;
        let date = std::str::from_utf8(date).ok()?;
        let time = DateTime::strptime("%a %b %e %H:%M:%S %Y", date).ok()?;
        in_zone(time, &self.zone).map(Time::At)
    }

    /// `[Nov20 05:08]`; what comes after it has `[  +0.000012]`, the time since the line before.
    fn human(&mut self, line: &[u8]) -> Option<Time> {
        dmesg::human(line)?;
        let time = line[1..].trim_ascii_start();
        if !time.starts_with(b"+") {
            let text = [&time[..3], b" ", &time[3..11]].concat();
            self.human = self.of_minute(&text.try_into().ok()?);
        }
        self.human.map(Time::At)
    }
}

/// `[   12.345678]`.
fn kernel(line: &[u8]) -> Option<Time> {
    let rest = line.strip_prefix(b"[")?.trim_ascii_start();
    let end = rest.iter().take(24).position(|&byte| byte == b']')?;
    seconds(&rest[..end]).map(Time::Uptime)
}

/// The zone of a host, which `etc/localtime` says; UTC where there is none, as the C library has it.
pub(crate) fn zone(rootfs: &Path) -> TimeZone {
    let path = rootfs.join("etc/localtime");
    // The link of another root leads from there.
    let target = std::fs::read_link(&path).ok();
    let inside = target.as_deref().and_then(|target| target.strip_prefix("/").ok());
    let path = inside.map_or(path, |inside| rootfs.join(inside));
    let read = std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MAX_ZONE).read_to_end(&mut bytes).map(|_| bytes)
    });
    let read = read.ok().and_then(|bytes| TimeZone::tzif("", &bytes).ok());
    // Its files need not be there, as in a container; its name is.
    let named = || {
        let target = target.as_deref()?.to_str()?;
        TimeZone::get(target.split_once("zoneinfo/")?.1).ok()
    };
    read.or_else(named).unwrap_or(TimeZone::UTC)
}

/// The date and the text of a line that `dmesg -T` printed: `[Fri Nov 20 05:08:30 2026] text`.
pub(crate) fn dated(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (date, rest) = line.strip_prefix(b"[")?.split_at_checked(24)?;
    let is_date = [date[3], date[7], date[10], date[13], date[16], date[19]] == *b"   :: ";
    Some((date, rest.strip_prefix(b"] ").filter(|_| is_date)?))
}

/// What follows `<34>`.
fn after_priority(line: &[u8]) -> &[u8] {
    let rest = line.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().take(4).position(|&byte| byte == b'>')?;
        Some(&rest[end + 1..])
    });
    rest.unwrap_or(line)
}

/// `2026-11-20T05:13:11.573002+00:00`; without an offset it is of the zone.
pub(crate) fn iso(line: &[u8], zone: &TimeZone) -> Option<i64> {
    let time: &[u8; 19] = line.first_chunk()?;
    if [time[4], time[7], time[13], time[16]] != *b"--::" || !matches!(time[10], b'T' | b' ') {
        return None;
    }
    let part = |at: usize| number(&time[at..at + 2]);
    let (year, month, day) = (number(&time[..4])?, part(5)?, part(8)?);
    let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let clock = (hour * 3600 + minute * 60 + second.min(60)) * SECOND;
    let (fraction, rest) = fraction(&line[19..]);
    let local = days(year, month, day) * DAY + clock + fraction;
    match rest.first() {
        Some(b'Z') => Some(local),
        Some(sign @ (b'+' | b'-')) => {
            let hours = number(rest.get(1..3)?)?;
            let at = if rest.get(3) == Some(&b':') { 4 } else { 3 };
            let offset = (hours * 3600 + number(rest.get(at..at + 2)?)? * 60) * SECOND;
            Some(if *sign == b'+' { local - offset } else { local + offset })
        }
        _ => {
            let time = Timestamp::from_microsecond(local).ok()?;
            in_zone(TimeZone::UTC.to_datetime(time), zone)
        }
    }
}

/// `msg=audit(1760000000.123:45)`, which a journal gives without `msg=`.
fn audit(line: &[u8]) -> Option<i64> {
    let start = find_audit(line.get(..line.len().min(128))?)?;
    let rest = &line[start..];
    let end = rest.iter().take(24).position(|&byte| byte == b':')?;
    seconds(&rest[..end])
}

/// Seconds with a fraction, in microseconds.
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    let point = text.iter().position(|&byte| byte == b'.')?;
    let (fraction, rest) = fraction(&text[point..]);
    if !rest.is_empty() {
        return None;
    }
    number(&text[..point])?.checked_mul(SECOND)?.checked_add(fraction)
}

/// A fraction of a second with its point, in microseconds, and what follows it.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let Some(digits) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return (0, text);
    };
    let (mut micros, mut scale, mut length) = (0, SECOND / 10, 0);
    while let Some(digit @ b'0'..=b'9') = digits.get(length) {
        micros += i64::from(digit - b'0') * scale;
        scale /= 10;
        length += 1;
    }
    (micros, &digits[length..])
}

/// Digits only.
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0, |sum: i64, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Days since 1970 in the Gregorian calendar; the year begins in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Of two times in the hour that comes twice the first, of the hour left out the time after it.
pub(crate) fn in_zone(time: DateTime, zone: &TimeZone) -> Option<i64> {
    zone.to_ambiguous_timestamp(time).compatible().ok().map(Timestamp::as_microsecond)
}

/// Where the stamp of an audit event begins: after `audit(`. Few lines have a parenthesis at all.
pub(crate) fn find_audit(text: &[u8]) -> Option<usize> {
    let is_stamp = |at: &usize| text[..*at].ends_with(b"audit");
    memchr::memchr_iter(b'(', text).find(is_stamp).map(|at| at + 1)
}

#[cfg(test)]
mod tests;
