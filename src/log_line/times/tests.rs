//! Times of lines.

use super::*;
use proptest::prelude::*;

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn clock(zone: &str, reference: &str) -> Clock {
    Clock::new(TimeZone::get(zone).unwrap(), micros(reference))
}

fn of(clock: &mut Clock, line: &str) -> Option<String> {
    clock.of(line.as_bytes()).map(|time| time.to_string())
}

#[test]
fn all_forms() {
    let mut clock = clock("UTC", "2026-11-20T12:00:00Z");
    for (line, expected) in [
        ("Nov 20 05:08:31 web04 sshd[1]: x", "2026-11-20T05:08:31Z"),
        ("[Fri Nov 20 05:08:31 2026] x", "2026-11-20T05:08:31Z"),
        ("[Sun Nov  1 05:08:31 2026] x", "2026-11-01T05:08:31Z"),
        ("<86>Nov  2 05:08:31 web04 sshd[1]: x", "2026-11-02T05:08:31Z"),
        ("2026-11-20T05:13:11.573002+00:00 web04 x", "2026-11-20T05:13:11.573002Z"),
        ("<86>2026-11-20T05:13:11+01:30 web04 x", "2026-11-20T03:43:11Z"),
        ("<34>1 2026-11-20T05:13:11.5Z web04 x", "2026-11-20T05:13:11.5Z"),
        ("2026-11-20T05:13:11-0500 web04 x", "2026-11-20T10:13:11Z"),
        ("2026-11-20 05:13:11,123 INFO x", "2026-11-20T05:13:11.123Z"),
        ("type=SYSCALL msg=audit(1760000000.123:45): x", "2025-10-09T08:53:20.123Z"),
        ("node=a type=X msg=audit(1760000000.123:45): x", "2025-10-09T08:53:20.123Z"),
        ("audit(1760000000.123:45): x", "2025-10-09T08:53:20.123Z"),
        ("[   12.345678] x", "+12.345s since boot"),
        ("Fri 2026-11-20 05:13:11 UTC web04 sshd[1]: x", "2026-11-20T05:13:11Z"),
        ("[Nov 5 05:08] x", "2026-11-05T05:08:00Z"),
        ("[  +0.000012] x", "2026-11-05T05:08:00Z"),
    ] {
        assert_eq!(of(&mut clock, line).as_deref(), Some(expected), "{line}");
    }
    for line in [
        "",
        "<",
        "<34>",
        "x",
        "Nov",
        "Nov 20 05:08:3",
        "Nov 20 05:08 31",
        "Nov 20 25:08:31",
        "Nov 31 05:08:31",
        "Now 20 05:08:31",
        "2026-11-20",
        "2026-13-20T05:13:11Z",
        "[12]",
        "[ x.y]",
        "2026-11-20T05:13:11+",
        "2026-11-20T05:13:11+0",
        "audit(x:1)",
        "May I ask for it: x",
        "Fri 2026-11-20",
        "[Nov 5 25:08] x",
    ] {
        assert_eq!(of(&mut clock, line), None, "{line}");
    }
    assert_eq!(Time::At(1_795_151_586_482_365).to_string(), "2026-11-20T05:13:06.482365Z");
}

#[test]
fn the_year_is_the_latest_that_fits() {
    let mut january = clock("UTC", "2027-01-03T06:25:00Z");
    assert_eq!(of(&mut january, "Dec 31 23:59:59 h").unwrap(), "2026-12-31T23:59:59Z");
    assert_eq!(of(&mut january, "Jan  1 00:00:00 h").unwrap(), "2027-01-01T00:00:00Z");
    // A clock that is ahead by less than a day.
    assert_eq!(of(&mut january, "Jan  4 06:25:00 h").unwrap(), "2027-01-04T06:25:00Z");
    assert_eq!(of(&mut january, "Jan  4 06:26:00 h").unwrap(), "2026-01-04T06:26:00Z");
    assert_eq!(of(&mut january, "Feb 29 00:00:00 h").unwrap(), "2024-02-29T00:00:00Z");
    let mut eve = clock("UTC", "2026-12-31T23:59:00Z");
    assert_eq!(of(&mut eve, "Jan  1 00:00:01 h").unwrap(), "2027-01-01T00:00:01Z");
}

#[test]
fn the_zone_is_the_hosts_with_its_summer_time() {
    let mut berlin = clock("Europe/Berlin", "2026-11-20T12:00:00Z");
    assert_eq!(of(&mut berlin, "Jul  1 12:00:00 h").unwrap(), "2026-07-01T10:00:00Z");
    assert_eq!(of(&mut berlin, "Nov 20 12:00:00 h").unwrap(), "2026-11-20T11:00:00Z");
    // The last minute of summer time, the hour that comes twice, and the one left out.
    assert_eq!(of(&mut berlin, "Oct 25 01:59:59 h").unwrap(), "2026-10-24T23:59:59Z");
    assert_eq!(of(&mut berlin, "Oct 25 02:30:00 h").unwrap(), "2026-10-25T00:30:00Z");
    assert_eq!(of(&mut berlin, "Oct 25 03:00:00 h").unwrap(), "2026-10-25T02:00:00Z");
    assert_eq!(of(&mut berlin, "Mar 29 02:30:00 h").unwrap(), "2026-03-29T01:30:00Z");
    // An hour into the new year there, still the old one in UTC.
    let mut new_year = clock("Europe/Berlin", "2026-12-31T23:30:00Z");
    assert_eq!(of(&mut new_year, "Jan  1 00:30:00 h").unwrap(), "2026-12-31T23:30:00Z");
}

proptest! {
    #[test]
    fn any_line_is_survived(line in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut clock = clock("Europe/Berlin", "2026-11-20T12:00:00Z");
        for start in [&b""[..], b"<1>", b"Nov 20 ", b"2026-11-20T", b"audit(", b"[", b"2026-11-20T05:13:11"] {
            clock.of(&[start, &line].concat());
        }
    }

    /// What another implementation wrote is read the same.
    #[test]
    fn times_come_back(at in -2_208_988_800_000_000i64..4_102_444_800_000_000, offset in -50_400i32..50_400) {
        let at = at.abs();
        let mut clock = clock("UTC", "2026-11-20T12:00:00Z");
        let line = format!("{} h x: y", Time::At(at));
        prop_assert_eq!(clock.of(line.as_bytes()), Some(Time::At(at)));
        let zone = jiff::tz::Offset::from_seconds(offset / 60 * 60).unwrap().to_time_zone();
        let zoned = Timestamp::from_microsecond(at).unwrap().to_zoned_datetime(zone);
        let line = format!("{} h", zoned.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z"));
        prop_assert_eq!(clock.of(line.as_bytes()), Some(Time::At(at)), "{}", line);
    }

    /// The cache changes nothing.
    #[test]
    fn the_order_of_lines_does_not_matter(times in proptest::collection::vec(0i64..31_000_000, 1..20)) {
        let mut used = clock("Europe/Berlin", "2026-11-20T12:00:00Z");
        for ago in times {
            let at = Timestamp::from_microsecond(micros("2026-11-20T12:00:00Z") - ago * SECOND).unwrap();
            let line = at.to_zoned_datetime(used.zone.clone()).strftime("%b %e %H:%M:%S h").to_string();
            let mut fresh = clock("Europe/Berlin", "2026-11-20T12:00:00Z");
            let time = used.of(line.as_bytes());
            prop_assert_eq!(time, fresh.of(line.as_bytes()));
            // But for the hour that comes twice.
            if !line.starts_with("Oct 25 02") {
                prop_assert_eq!(time, Some(Time::At(at.as_microsecond())));
            }
        }
    }
}
