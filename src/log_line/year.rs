//! Until when a file was written, by its own evidence: what tells the year of lines that have none. The time of
//! the file itself is that of the last copy.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::header;
use super::kernel_clock::audit_stamp;
use super::stamp::{self, Stamp};
use super::times::{self, DAY, in_zone};

/// How long after a dated line a file may go on: less than a year, so that days before that line are still told
/// from the same days a year later.
const SPAN: i64 = 300 * DAY;

/// The latest time, in microseconds since 1970, that a line without a year can have. `modified`: when the file was
/// last written, or now; `head`: how it begins.
pub(crate) fn latest(name: &[u8], head: &[u8], modified: i64, zone: &TimeZone) -> i64 {
    let said = of_journalctl(head, zone).or_else(|| of_kernel(head));
    [said, of_name(name, zone)].into_iter().flatten().fold(modified, i64::min)
}

/// `-- Logs begin at Fri 2022-02-04 09:34:04 UTC, end at Thu 2022-02-10 16:19:19 UTC. --`, and `-- Journal begins
/// at …, ends at … --`; without an end in newer versions.
fn of_journalctl(head: &[u8], zone: &TimeZone) -> Option<i64> {
    let line = head.split(|&byte| byte == b'\n').next()?;
    let line = line.strip_prefix(b"-- ")?;
    let time = |after: &[u8]| {
        let at = memchr::memmem::find(line, after)? + after.len();
        let text = &line[at..];
        let end = text.iter().position(|byte| matches!(byte, b',' | b'.')).unwrap_or(text.len());
        match stamp::read(&text[..end])? {
            (Stamp::Calendar(time), ..) => times::at(time, zone),
            _ => None,
        }
    };
    let begins = time(b" begin at ").or_else(|| time(b" begins at "))?;
    Some(time(b" end at ").or_else(|| time(b" ends at ")).unwrap_or(begins.saturating_add(SPAN)))
}

/// By the first line of the kernel that tells an audit event and has no year itself.
fn of_kernel(head: &[u8]) -> Option<i64> {
    memchr::memmem::find_iter(head, b"audit(").find_map(|at| {
        let start = memchr::memrchr(b'\n', &head[..at]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &head[at..]).map_or(head.len(), |end| at + end);
        let line = &head[start..end];
        let has_no_year =
            matches!(header::stamp(line)?, Stamp::Calendar(time) if time.year.is_none());
        let line = header::parse(line);
        let is_kernel = has_no_year && line.program == Some(b"kernel");
        let (event, ..) = audit_stamp(line.message).filter(|_| is_kernel)?;
        Some(event.saturating_add(SPAN))
    })
}

/// `messages-20220210`, `syslog.2022-02-10.gz`: the day of the rotation, as logrotate's `dateext` and others give it.
fn of_name(name: &[u8], zone: &TimeZone) -> Option<i64> {
    let starts = memchr::memchr2_iter(b'-', b'.', name).map(|at| &name[at + 1..]);
    let day = starts.rev().find_map(|text| {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        let digits: Vec<u8> = match &text[..length] {
            plain
                if plain.len() >= 8
                    && plain[..8].iter().all(u8::is_ascii_digit)
                    && !plain.get(8).is_some_and(u8::is_ascii_digit) =>
            {
                plain[..8].to_vec()
            }
            parted if parted.len() >= 10 && parted[4] == b'-' && parted[7] == b'-' => {
                [&parted[..4], &parted[5..7], &parted[8..10]].concat()
            }
            _ => return None,
        };
        let part = |from: usize, to: usize| stamp::number(&digits[from..to]);
        let year = i16::try_from(part(0, 4)?).ok().filter(|year| (1990..2100).contains(year))?;
        Date::new(year, i8::try_from(part(4, 6)?).ok()?, i8::try_from(part(6, 8)?).ok()?).ok()
    })?;
    // The whole day.
    Some(in_zone(day.at(0, 0, 0, 0), zone)?.saturating_add(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::times::{Clock, Time};
    use jiff::Timestamp;

    /// The time of a line in a file of that name and beginning, which was copied lately.
    fn dated(name: &str, head: &str, line: &str) -> String {
        let copied = "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap().as_microsecond();
        let latest = latest(name.as_bytes(), head.as_bytes(), copied, &TimeZone::UTC);
        let mut clock = Clock::new(TimeZone::UTC, latest);
        clock.of(line.as_bytes()).map(|time: Time| time.to_string()).unwrap()
    }

    #[test]
    fn what_journalctl_says_first() {
        let line = "Feb 10 09:11:24 compute4 systemd[1]: x";
        for head in [
            "-- Logs begin at Fri 2022-02-04 09:34:04 UTC, end at Thu 2022-02-10 16:19:19 UTC. --\nx",
            "-- Journal begins at Fri 2022-02-04 09:34:04 UTC, ends at Thu 2022-02-10 16:19:19 UTC. --\nx",
            "-- Journal begins at Fri 2022-02-04 09:34:04 UTC. --\nx",
        ] {
            assert_eq!(dated("journalctl", head, line), "2022-02-10T09:11:24Z", "{head}");
        }
        for head in ["-- Boot 5 --\n", "-- Logs begin at noon --\n", "--\n", ""] {
            assert_eq!(dated("journalctl", head, line), "2026-02-10T09:11:24Z", "{head}");
        }
    }

    #[test]
    fn what_the_kernel_says_of_audit_events() {
        let head = "Feb  4 09:16:50 h systemd[1]: x\n\
                    Feb  4 09:16:57 h kernel: [ 12.5] audit: type=1400 audit(1643967817.139:271): x\n";
        for (line, expected) in [
            ("Feb  4 09:16:50 h p: x", "2022-02-04T09:16:50Z"),
            ("Nov  1 09:16:50 h p: x", "2022-11-01T09:16:50Z"),
            // Before the dated line, in the year before.
            ("Dec 31 09:16:50 h p: x", "2021-12-31T09:16:50Z"),
        ] {
            assert_eq!(dated("kern.log", head, line), expected);
        }
        // Who quotes an event, or has a year, tells nothing.
        for head in [
            "Feb  4 09:16:57 h app: audit: type=1400 audit(1643967817.139:271): x\n",
            "2026-02-04T09:16:57Z h kernel: audit: type=1400 audit(1643967817.139:271): x\n",
        ] {
            assert_eq!(dated("kern.log", head, "Feb 10 09:16:50 h p: x"), "2026-02-10T09:16:50Z");
        }
    }

    #[test]
    fn the_day_in_the_name() {
        let line = "Feb  9 23:59:59 h p: x";
        for name in [
            "messages-20220210",
            "messages-20220210.gz",
            "syslog.2022-02-10.xz",
            "secure-2022021003",
            "web04-messages-20220210-1644451200.gz",
        ] {
            let expected = if name == "secure-2022021003" {
                "2026-02-09T23:59:59Z"
            } else {
                "2022-02-09T23:59:59Z"
            };
            assert_eq!(dated(name, "", line), expected, "{name}");
        }
        // Within the year before the rotation.
        assert_eq!(
            dated("messages-20220210", "", "Mar  1 00:00:00 h p: x"),
            "2021-03-01T00:00:00Z"
        );
        for name in ["messages", "messages.1", "app-20221399", "x-2022-99-10", "kern.log-"] {
            assert_eq!(dated(name, "", line), "2026-02-09T23:59:59Z", "{name}");
        }
    }
}
