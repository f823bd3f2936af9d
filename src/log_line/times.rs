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
use jiff::tz::{Offset, TimeZone};
use serde::{Serialize, Serializer};

use super::header;
pub(crate) use super::stamp::SECOND;
use super::stamp::{Calendar, Stamp};

/// No zone's file is longer.
const MAX_ZONE: u64 = 64 * 1024;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;
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

/// Places the times of the lines of one file.
pub(crate) struct Clock {
    zone: TimeZone,
    /// The latest time that a line without a year can have.
    latest: i64,
    /// Month, day, hour and minute of the last line without a year, and its time: most lines share it.
    minute: ([i8; 4], i64),
    /// The last minute of `dmesg -H`.
    human: Option<i64>,
}

impl Clock {
    /// For a file that was last written at `reference`, in microseconds since 1970.
    pub(crate) fn new(zone: TimeZone, reference: i64) -> Self {
        Self { zone, latest: reference.saturating_add(DAY), minute: ([0; 4], 0), human: None }
    }

    /// When a line was written, by the time at its start.
    pub(crate) fn of(&mut self, line: &[u8]) -> Option<Time> {
        self.place(header::stamp(line)?)
    }

    /// When that was.
    pub(crate) fn place(&mut self, stamp: Stamp) -> Option<Time> {
        let at = match stamp {
            Stamp::Unix(at) => at,
            Stamp::Uptime(uptime) => return Some(Time::Uptime(uptime)),
            Stamp::Calendar(time) => self.of_calendar(time)?,
            Stamp::Minute(time) => {
                self.human = self.of_calendar(time);
                self.human?
            }
            Stamp::SameMinute => self.human?,
        };
        Some(Time::At(at))
    }

    fn of_calendar(&mut self, time: Calendar) -> Option<i64> {
        let within = i64::from(time.second) * SECOND + i64::from(time.micros);
        if time.year.is_some() {
            return Some(minute_of(time, &self.zone)? + within);
        }
        let minute = [time.month, time.day, time.hour, time.minute];
        if self.minute.0 != minute {
            self.minute = (minute, self.in_latest_year(time)?);
        }
        Some(self.minute.1 + within)
    }

    /// Zones change their offset at full minutes only, so what is known of one holds for its seconds.
    fn in_latest_year(&self, time: Calendar) -> Option<i64> {
        let latest = Timestamp::from_microsecond(self.latest).ok()?;
        let year = latest.to_zoned_datetime(self.zone.clone()).year();
        // A 29th of February may be as old as eight years.
        (year.saturating_sub(8)..=year).rev().find_map(|year| {
            let minute = minute_of(Calendar { year: Some(year), ..time }, &self.zone);
            minute.filter(|&minute| minute <= self.latest)
        })
    }
}

/// When a time is whose year is known, in microseconds since 1970; without an offset, in this zone.
pub(crate) fn at(time: Calendar, zone: &TimeZone) -> Option<i64> {
    let within = i64::from(time.second) * SECOND + i64::from(time.micros);
    Some(minute_of(time, zone)? + within)
}

/// When its minute began.
fn minute_of(time: Calendar, zone: &TimeZone) -> Option<i64> {
    let minute =
        DateTime::new(time.year?, time.month, time.day, time.hour, time.minute, 0, 0).ok()?;
    let Some(offset) = time.offset else { return in_zone(minute, zone) };
    let at = Offset::from_seconds(offset).ok()?.to_timestamp(minute).ok()?;
    Some(at.as_microsecond())
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

/// Of two times in the hour that comes twice the first, of the hour left out the time after it.
pub(crate) fn in_zone(time: DateTime, zone: &TimeZone) -> Option<i64> {
    zone.to_ambiguous_timestamp(time).compatible().ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests;
