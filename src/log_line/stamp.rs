//! The time that stands at the start of a text, in each of the forms in which logs, kernels and people write it.
//!
//! This says what is written, not when that was: [`super::times`] knows the zone and the year.

/// Names of the months in times.
pub(crate) const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// The label of 1970 in TAI64, as the loggers that write it have it: they leave leap seconds out.
const TAI_OF_1970: u64 = (1 << 62) + 10;

/// A time, as far as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// A date and a time of day.
    Calendar(Calendar),
    /// Microseconds since 1970.
    Unix(i64),
    /// Microseconds since the kernel started.
    Uptime(i64),
    /// The minute that begins with this line, in `dmesg -H`.
    Minute(Calendar),
    /// Within the minute that an earlier line has begun, in `dmesg -H`.
    SameMinute,
}

/// A date and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    /// Of the traditional form nobody knows it.
    pub year: Option<i16>,
    pub month: i8,
    pub day: i8,
    pub hour: i8,
    pub minute: i8,
    /// 60 in a leap second.
    pub second: i8,
    pub micros: i32,
    /// Seconds east of Greenwich; without it, the time is of the host's zone.
    pub offset: Option<i32>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `Nov 20 05:08:30`
    MonthFirst,
    /// `Nov 20 2026 05:08:30`, `Nov 20 05:08:30 2026`, `2026 Nov 20 05:08:30`
    WithYear,
    /// `Fri Nov 20 05:08:30 2026`
    Ctime,
    /// `Fri 2026-11-20 05:08:30 UTC`
    Weekday,
    /// `2026-11-20T05:08:30+00:00`
    Iso,
    /// `2026-11-20T05:08:30+0000`
    IsoBasic,
    /// `2026-11-20T05:08:30`
    IsoLocal,
    /// `2026-11-20 05:08:30`
    Spaced,
    /// `2026-11-20T05:08:30,123456+00:00`, which `dmesg --time-format iso` alone writes
    IsoOfDmesg,
    /// `1795151310.123456`
    Unix,
    /// `@400000006b00c6d8075bcd15`
    Tai64n,
    /// `[ 1237.492680]`
    Uptime,
    /// `[Fri Nov 20 05:08:30 2026]`
    Bracketed,
    /// `[Fri Nov 20 05:08:30.123456 2026]`, which web servers write and dmesg does not
    BracketedFraction,
    /// `[Nov20 05:08]`, `[  +0.000012]`
    Human,
}

/// The time at the start of a text, how it is written, and what follows it.
pub(crate) fn read(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    match text.first()? {
        b'[' => bracketed(text),
        b'@' => tai64n(text),
        b'0'..=b'9' => iso(text).or_else(|| year_first(text)).or_else(|| unix(text)),
        b'A'..=b'Z' => month_first(text).or_else(|| weekday(text)),
        _ => None,
    }
}

/// `Nov 20 05:08:30`, with one space or two before a day of one digit; the year behind the day or behind the clock.
fn month_first(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let (month, day, rest) = month_and_day(text)?;
    let (before, rest) = year(rest).map_or((None, rest), |(year, rest)| match rest {
        [b' ', rest @ ..] => (Some(year), rest),
        _ => (None, rest),
    });
    let (clock, rest) = clock(rest)?;
    let (micros, rest) = fraction(rest, b".");
    let after = if before.is_none() { year_after(rest) } else { None };
    let (year, offset, rest) = after.unwrap_or((before, None, rest));
    let style = if year.is_some() { Style::WithYear } else { Style::MonthFirst };
    let [hour, minute, second] = clock;
    let time = Calendar { year, month, day, hour, minute, second, micros, offset };
    Some((Stamp::Calendar(time), style, rest))
}

/// ` 2026` or, as date(1) has it, ` UTC 2026`.
fn year_after(rest: &[u8]) -> Option<(Option<i16>, Option<i32>, &[u8])> {
    let rest = rest.strip_prefix(b" ")?;
    let letters = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let (zone, rest) = match letters {
        0 => (&b""[..], rest),
        2..=5 => (&rest[..letters], rest[letters..].strip_prefix(b" ")?),
        _ => return None,
    };
    let (year, rest) = year(rest)?;
    let ends = matches!(rest.first(), None | Some(b' ' | b']' | b',' | b':'));
    ends.then_some((Some(year), utc(zone), rest))
}

/// `2026 Nov 20 05:08:30`.
fn year_first(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let (year, rest) = year(text)?;
    let (month, day, rest) = month_and_day(rest.strip_prefix(b" ")?)?;
    let ([hour, minute, second], rest) = clock(rest)?;
    let (micros, rest) = fraction(rest, b".");
    let offset = None;
    let time = Calendar { year: Some(year), month, day, hour, minute, second, micros, offset };
    Some((Stamp::Calendar(time), Style::WithYear, rest))
}

/// `Fri Nov 20 05:08:30 2026` and `Fri 2026-11-20 05:08:30 UTC`.
fn weekday(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let name = text.get(..3)?;
    WEEKDAYS.iter().find(|day| name == &day[..])?;
    let rest = text[3..].strip_prefix(b" ")?;
    if let Some((stamp, Style::WithYear, rest)) = month_first(rest) {
        return Some((stamp, Style::Ctime, rest));
    }
    let (Stamp::Calendar(mut time), Style::Spaced, rest) = iso(rest)? else { return None };
    let rest = rest.strip_prefix(b" ")?;
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let zone = &rest[..end];
    // `+09`, where the zone's abbreviation is none.
    time.offset = utc(zone).or_else(|| Some(self::offset(zone).filter(|it| it.1.is_empty())?.0));
    Some((Stamp::Calendar(time), Style::Weekday, &rest[end..]))
}

/// `2026-11-20T05:08:30.123456+00:00`, with a space in place of the T, and without an offset.
fn iso(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let (year, rest) = digits::<4>(text)?;
    let (month, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    let (&between, rest) = rest.split_first().filter(|(byte, _)| matches!(byte, b'T' | b' '))?;
    let ([hour, minute, second], rest) = clock(rest)?;
    let comma = rest.first() == Some(&b',');
    let (micros, rest) = fraction(rest, b".,");
    let (offset, style, rest) = match rest.first() {
        Some(b'Z') => (Some(0), Style::Iso, &rest[1..]),
        Some(b'+' | b'-') => {
            let (offset, after) = self::offset(rest)?;
            let style = match &rest[..rest.len() - after.len()] {
                [_, _, _, b':', ..] if comma && between == b'T' => Style::IsoOfDmesg,
                [_, _, _, b':', ..] => Style::Iso,
                _ => Style::IsoBasic,
            };
            (Some(offset), style, after)
        }
        _ => (None, Style::IsoLocal, rest),
    };
    let style = if between == b' ' { Style::Spaced } else { style };
    let (month, day) = (in_range(month, 1, 12)?, in_range(day, 1, 31)?);
    let year = i16::try_from(year).ok();
    let time = Calendar { year, month, day, hour, minute, second, micros, offset };
    Some((Stamp::Calendar(time), style, rest))
}

/// `1795151310` or `1795151310.123456`, from 2001 to 2286.
fn unix(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let (seconds, rest) = digits::<10>(text)?;
    let (micros, rest) = fraction(rest, b".");
    let is_time = seconds >= 1_000_000_000 && matches!(rest.first(), None | Some(b' ' | b'\t'));
    let at = seconds * SECOND + i64::from(micros);
    is_time.then_some((Stamp::Unix(at), Style::Unix, rest))
}

/// `@` and 16 hexadecimal digits of seconds, perhaps with 8 of nanoseconds, as multilog, svlogd and s6-log write it.
fn tai64n(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let rest = text.strip_prefix(b"@")?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let hex = |digits: &[u8]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let nanos = match length {
        16 => 0,
        24 => hex(&rest[16..24]).filter(|&nanos| nanos < 1_000_000_000)?,
        _ => return None,
    };
    let seconds = i64::try_from(hex(&rest[..16])?.checked_sub(TAI_OF_1970)?).ok()?;
    let micros = seconds.checked_mul(SECOND)?.checked_add(i64::try_from(nanos / 1000).ok()?)?;
    Some((Stamp::Unix(micros), Style::Tai64n, &rest[length..]))
}

/// What stands in brackets: the kernel's clock, and what dmesg makes of it.
fn bracketed(text: &[u8]) -> Option<(Stamp, Style, &[u8])> {
    let inside = text.strip_prefix(b"[")?;
    let end = inside.iter().take(40).position(|&byte| byte == b']')?;
    let (inside, rest) = (inside[..end].trim_ascii_start(), &inside[end + 1..]);
    if let Some(since) = inside.strip_prefix(b"+") {
        return seconds(since).map(|_| (Stamp::SameMinute, Style::Human, rest));
    }
    if let Some(uptime) = seconds(inside) {
        return Some((Stamp::Uptime(uptime), Style::Uptime, rest));
    }
    if let Some((stamp, Style::Ctime, b"")) = weekday(inside) {
        let has_fraction = memchr::memchr(b'.', inside).is_some();
        let style = if has_fraction { Style::BracketedFraction } else { Style::Bracketed };
        return Some((stamp, style, rest));
    }
    // `Nov20 05:08` and `Nov 5 05:08`.
    let (month, after) = month(inside)?;
    let day = after.get(..2)?.trim_ascii_start();
    let (day, none) = one_or_two(day)?;
    let (hour, minutes) = digits::<2>(after.get(2..)?.strip_prefix(b" ")?)?;
    let (minute, end) = digits::<2>(minutes.strip_prefix(b":")?)?;
    let (hour, minute) = (in_range(hour, 0, 23)?, in_range(minute, 0, 59)?);
    let (year, second, micros, offset) = (None, 0, 0, None);
    let time = Calendar { year, month, day, hour, minute, second, micros, offset };
    (none.is_empty() && end.is_empty()).then_some((Stamp::Minute(time), Style::Human, rest))
}

/// `Nov 20 `, `Nov  5 `, `Nov 5 `.
fn month_and_day(text: &[u8]) -> Option<(i8, i8, &[u8])> {
    let (month, rest) = month(text)?;
    let rest = rest.strip_prefix(b" ")?;
    let (day, rest) = one_or_two(rest.strip_prefix(b" ").unwrap_or(rest))?;
    Some((month, in_range(i64::from(day), 1, 31)?, rest.strip_prefix(b" ")?))
}

fn month(text: &[u8]) -> Option<(i8, &[u8])> {
    let name = text.first_chunk::<3>()?;
    let nth = MONTHS.iter().position(|month| *month == name)?;
    Some((i8::try_from(nth + 1).ok()?, &text[3..]))
}

/// `05:08:30`.
fn clock(text: &[u8]) -> Option<([i8; 3], &[u8])> {
    let (hour, rest) = digits::<2>(text)?;
    let (minute, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    let (second, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    Some(([in_range(hour, 0, 23)?, in_range(minute, 0, 59)?, in_range(second, 0, 60)?], rest))
}

/// `+01:00`, `-0500`, `+09`; seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<(i32, &[u8])> {
    let (&sign, rest) = text.split_first().filter(|(sign, _)| matches!(sign, b'+' | b'-'))?;
    let (hours, _) = rest.split_at_checked(2)?;
    let (hours, rest) = (number(hours)?, &rest[2..]);
    let minutes = digits::<2>(rest.strip_prefix(b":").unwrap_or(rest));
    let (minutes, rest) = match minutes {
        Some(minutes) => minutes,
        None if rest.first().is_none_or(|&byte| byte == b' ') => (0, rest),
        None => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((if sign == b'-' { -seconds } else { seconds }, rest))
}

/// The zones whose abbreviation means the same everywhere.
fn utc(zone: &[u8]) -> Option<i32> {
    matches!(zone, b"UTC" | b"GMT" | b"Z").then_some(0)
}

/// From the first computers with this kernel to those that nobody knows.
fn year(text: &[u8]) -> Option<(i16, &[u8])> {
    let (year, rest) = digits::<4>(text)?;
    let year = i16::try_from(year).ok().filter(|year| (1970..2100).contains(year))?;
    Some((year, rest))
}

/// Exactly so many digits, and no more.
fn digits<const COUNT: usize>(text: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<COUNT>()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |sum: i64, digit| sum * 10 + i64::from(digit - b'0'));
    (!rest.first().is_some_and(u8::is_ascii_digit)).then_some((value, rest))
}

fn one_or_two(text: &[u8]) -> Option<(i8, &[u8])> {
    let (value, rest) = digits::<2>(text).or_else(|| digits::<1>(text))?;
    Some((i8::try_from(value).ok()?, rest))
}

fn in_range(value: i64, least: i8, most: i8) -> Option<i8> {
    i8::try_from(value).ok().filter(|value| (least..=most).contains(value))
}

/// Seconds with a fraction, in microseconds.
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    let point = memchr::memchr(b'.', text)?;
    let (fraction, rest) = fraction(&text[point..], b".");
    if !rest.is_empty() || point + 1 == text.len() {
        return None;
    }
    number(&text[..point])?.checked_mul(SECOND)?.checked_add(i64::from(fraction))
}

/// A fraction of a second behind one of these points, in microseconds, and what follows it.
fn fraction<'t>(text: &'t [u8], points: &[u8]) -> (i32, &'t [u8]) {
    let Some((_, digits)) = text.split_first().filter(|(point, _)| points.contains(point)) else {
        return (0, text);
    };
    let (mut micros, mut scale, mut length) = (0, 100_000, 0);
    while let Some(digit @ b'0'..=b'9') = digits.get(length) {
        micros += i32::from(digit - b'0') * scale;
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

/// Where the stamp of an audit event begins: after `audit(`. Few lines have a parenthesis at all.
pub(crate) fn find_audit(text: &[u8]) -> Option<usize> {
    let is_stamp = |at: &usize| text[..*at].ends_with(b"audit");
    memchr::memchr_iter(b'(', text).find(is_stamp).map(|at| at + 1)
}

/// `msg=audit(1760000000.123:45)`, which a journal gives without `msg=`, near the start of a text.
pub(crate) fn audit(text: &[u8]) -> Option<Stamp> {
    let start = find_audit(text.get(..text.len().min(128))?)?;
    let rest = &text[start..];
    let end = rest.iter().take(24).position(|&byte| byte == b':')?;
    seconds(&rest[..end]).map(Stamp::Unix)
}
