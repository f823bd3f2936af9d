//! The values of `--since` and `--until`, as journalctl's users know them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::log_line::stamp::{self, Stamp, Style};
use crate::log_line::times::{Clock, DAY, SECOND, Time, in_zone};

/// What is accepted, for help and errors.
const FORMS: &str = "2026-11-20, '2026-11-20 05:13[:11]', 2026-11-20T05:13:11Z (or +01:00), \
                         'Nov 20 05:13[:11]', 05:13[:11], today, yesterday, now, -2h, '2h ago', 90m, 3d or 1w";

/// What `text` means `now`, in microseconds since 1970; without an offset, in this zone. A span, with or
/// without a sign or `ago`, is before now.
///
/// # Errors
/// Any other form, or a day that no calendar has: one line with the forms.
pub(super) fn argument(text: &str, now: i64, zone: &TimeZone) -> Result<i64, String> {
    parse(text.trim(), now, zone).ok_or_else(|| format!("'{text}' is no time; give {FORMS}"))
}

/// For how many microseconds after it began a clock shows this time, less one: `05:13` is a whole minute. What is
/// printed to the second and asked for by `--until` is included.
pub(super) fn lasts(text: &str) -> i64 {
    let text = text.trim().trim_end_matches('Z');
    // Without `+01:00`.
    let offset = text.len().checked_sub(6).and_then(|at| text.get(at..));
    let offset =
        offset.is_some_and(|offset| offset.starts_with(['+', '-']) && offset.contains(':'));
    let text = if offset { &text[..text.len() - 6] } else { text };
    // The year may stand behind it.
    let words = || text.trim_matches(['[', ']']).rsplit(['T', 't', ' ']);
    let clock = words().find(|word| word.contains(':')).unwrap_or(text);
    match clock.split(':').count() {
        _ if clock.contains('.') => 0,
        2 => 60 * SECOND - 1,
        3 => SECOND - 1,
        _ => 0,
    }
}

fn parse(text: &str, now: i64, zone: &TimeZone) -> Option<i64> {
    let today = Timestamp::from_microsecond(now).ok()?.to_zoned_datetime(zone.clone()).date();
    let start = |date: Date| in_zone(date.at(0, 0, 0, 0), zone);
    match text {
        "now" => return Some(now),
        "today" => return start(today),
        "yesterday" => return start(today.checked_sub(Span::new().days(1)).ok()?),
        _ => {}
    }
    if let Some(time) = text.strip_prefix('@') {
        return time.parse::<i64>().ok()?.checked_mul(SECOND);
    }
    let bytes = text.as_bytes();
    // A day alone begins at midnight.
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
    {
        return start(date);
    }
    if let Some(time) = dated(bytes) {
        return Clock::new(zone.clone(), now).place(time).and_then(|time| match time {
            Time::At(at) => Some(at),
            Time::Uptime(_) => None,
        });
    }
    if text.contains(':') {
        return of_day(today, text, zone);
    }
    now.checked_sub(span(text)?)
}

/// A time with its day, all of it, as a line of a log begins; the seconds may be left out.
fn dated(text: &[u8]) -> Option<Stamp> {
    let whole = |text: &[u8]| match stamp::read(text)? {
        (_, Style::Human | Style::Uptime, _) => None,
        (stamp, _, rest) => rest.is_empty().then_some(stamp),
    };
    let colons = memchr::memchr_iter(b':', text).count();
    let minute = || if colons == 1 { whole(&[text, b":00"].concat()) } else { None };
    let leap = |stamp: &Stamp| matches!(stamp, Stamp::Calendar(time) if time.second == 60);
    whole(text).or_else(minute).filter(|stamp| !leap(stamp))
}

/// `05:13` or `05:13:11` of a day; people leave the zero of `9:10` out.
fn of_day(date: Date, text: &str, zone: &TimeZone) -> Option<i64> {
    let parts: Vec<i8> = text
        .split(':')
        .enumerate()
        .map(|(nth, part)| {
            let length = part.len() == 2 || nth == 0 && part.len() == 1;
            if length { stamp::number(part.as_bytes()) } else { None }
        })
        .map(|part| part.and_then(|part| i8::try_from(part).ok()))
        .collect::<Option<_>>()?;
    let (hour, minute, second) = match parts[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let time =
        DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()?;
    in_zone(time, zone)
}

/// `2h`, `1h30m`, `3 days`, with `-` before or `ago` after.
fn span(text: &str) -> Option<i64> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let mut rest = text.strip_suffix("ago").unwrap_or(text).trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let count = stamp::number(&rest.as_bytes()[..digits])?;
        rest = rest[digits..].trim_start();
        let end = rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "s" | "sec" | "second" | "seconds" => SECOND,
            "m" | "min" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => 7 * DAY,
            _ => return None,
        };
        sum = sum.checked_add(count.checked_mul(unit)?)?;
        rest = rest[end..].trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Friday, 05:13:11 UTC.
    const NOW: &str = "2026-11-20T05:13:11Z";

    fn of(text: &str, zone: &str) -> Result<String, String> {
        let now = NOW.parse::<Timestamp>().unwrap().as_microsecond();
        let zone = TimeZone::get(zone).unwrap();
        argument(text, now, &zone).map(|time| Time::At(time).to_string())
    }

    #[test]
    fn the_forms() {
        for (text, expected) in [
            ("now", NOW),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-11-20 05:13", "2026-11-20T04:13:00Z"),
            ("2026-11-20 05:13:11", "2026-11-20T04:13:11Z"),
            ("2026-07-20T05:13:11", "2026-07-20T03:13:11Z"),
            ("2026-07-20T05:13:11.5", "2026-07-20T03:13:11.5Z"),
            ("2026-11-20T05:13:11.573002+02:00", "2026-11-20T03:13:11.573002Z"),
            ("2026-11-20 05:13:11Z", NOW),
            ("today", "2026-11-19T23:00:00Z"),
            ("yesterday", "2026-11-18T23:00:00Z"),
            ("05:13", "2026-11-20T04:13:00Z"),
            ("-2h", "2026-11-20T03:13:11Z"),
            ("2h ago", "2026-11-20T03:13:11Z"),
            ("2 hours ago", "2026-11-20T03:13:11Z"),
            ("90m", "2026-11-20T03:43:11Z"),
            ("1h30m", "2026-11-20T03:43:11Z"),
            ("3d", "2026-11-17T05:13:11Z"),
            ("1w", "2026-11-13T05:13:11Z"),
            ("@1760000000", "2025-10-09T08:53:20Z"),
            // As logs and people write them.
            ("9:10", "2026-11-20T08:10:00Z"),
            ("Aug 4 09:10", "2026-08-04T07:10:00Z"),
            ("Aug  4 09:10:01", "2026-08-04T07:10:01Z"),
            // Of the last year that had it.
            ("Dec 24 18:00", "2025-12-24T17:00:00Z"),
            ("Nov 20 2024 05:13:11", "2024-11-20T04:13:11Z"),
            ("Fri Nov 20 05:13:11 2026", "2026-11-20T04:13:11Z"),
            ("[Fri Nov 20 05:13:11 2026]", "2026-11-20T04:13:11Z"),
            ("Fri 2026-11-20 05:13:11 UTC", NOW),
            ("2026-11-20T05:13:11+0200", "2026-11-20T03:13:11Z"),
            ("1760000000.5", "2025-10-09T08:53:20.5Z"),
        ] {
            assert_eq!(of(text, "Europe/Berlin").as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(of("today", "America/New_York").unwrap(), "2026-11-20T05:00:00Z");
        assert_eq!(of("today", "America/Chicago").unwrap(), "2026-11-19T06:00:00Z");
    }

    #[test]
    fn how_long_a_time_lasts() {
        for (text, expected) in [
            ("05:13", 59_999_999),
            ("2026-11-20 05:13", 59_999_999),
            ("05:13:11", 999_999),
            ("2026-11-20T05:13:11Z", 999_999),
            ("2026-11-20T05:13:11+01:00", 999_999),
            ("2026-11-20 05:13:11.5", 0),
            ("Nov 20 05:13", 59_999_999),
            ("Fri Nov 20 05:13:11 2026", 999_999),
            ("[Fri Nov 20 05:13:11 2026]", 999_999),
            ("Fri 2026-11-20 05:13:11 UTC", 999_999),
            ("2026-11-20", 0),
            ("-2h", 0),
            ("now", 0),
        ] {
            assert_eq!(lasts(text), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in [
            "",
            "-",
            "ago",
            "2",
            "h",
            "2x",
            "2h later",
            "tomorrow",
            "2026-13-01",
            "2026-02-30",
            "2026-11-20 25:00",
            "2026-11-20T",
            "2026-11-20 5:13",
            "2026-11-20 05:13:11 x",
            "2026-11-20T05:13:11Zebra",
            "99999999999999999999d",
            "99999999999999d",
            "20.11.2026",
            "öäü-",
            "2026-1é-20",
            "@x",
            "1:2:3",
            "05:13:",
            "2026-11-20T05:60",
            "2026-11-20T05:13:60",
            "Nov 31 05:13",
            "Nov 20",
            "[12.5]",
            "[+0.5]",
            "[Nov20 05:13]",
        ] {
            let error = of(text, "UTC").unwrap_err();
            assert!(error.starts_with(&format!("'{text}' is no time; give 2026-11-20")), "{error}");
        }
    }
}
