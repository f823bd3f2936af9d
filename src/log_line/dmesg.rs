//! The lines that `dmesg` prints, in each of its forms.

use memchr::memchr;

use super::header;

/// A line that `dmesg` printed, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dmesg<'a> {
    /// Facility times 8 plus severity, with `dmesg --raw`.
    pub priority: Option<u8>,
    pub micros: u64,
    pub text: &'a [u8],
}

/// Takes apart `[    5.123456] text`, perhaps with `<4>` in front, or with the caller's column
/// (`[    T1]`, `[   C0]`) behind the time. `None` for any other line.
pub(crate) fn dmesg_line(line: &[u8]) -> Option<Dmesg<'_>> {
    let (priority, rest) = header::priority(line);
    let (time, rest) = bracketed(rest)?;
    let micros = micros(time)?;
    // Newer dmesg parts them by a space.
    let text = match bracketed(rest.strip_prefix(b" ").unwrap_or(rest)) {
        Some((caller, text)) if is_caller(caller) => text,
        _ => rest,
    };
    // Without a text the space may have gone as well.
    let text = if text.is_empty() { text } else { text.strip_prefix(b" ")? };
    Some(Dmesg { priority, micros, text })
}

/// What `dmesg --decode` puts in front, `kern  :warn  : `, as a number; and what follows.
pub(crate) fn decoded(line: &[u8]) -> Option<(u8, &[u8])> {
    // As util-linux names them, in the order of syslog(3).
    const FACILITIES: [&[u8]; 12] = [
        b"kern",
        b"user",
        b"mail",
        b"daemon",
        b"auth",
        b"syslog",
        b"lpr",
        b"news",
        b"uucp",
        b"cron",
        b"authpriv",
        b"ftp",
    ];
    const LEVELS: [&[u8]; 8] =
        [b"emerg", b"alert", b"crit", b"err", b"warn", b"notice", b"info", b"debug"];
    let column = |line: &[u8], names: &[&[u8]]| {
        let end = line.iter().take(10).position(|&byte| byte == b':')?;
        let named = names.iter().position(|name| *name == line[..end].trim_ascii_end())?;
        Some((u8::try_from(named).ok()?, end + 1))
    };
    let (facility, at) = column(line, &FACILITIES)?;
    let (level, length) = column(&line[at..], &LEVELS)?;
    Some((facility << 3 | level, line[at + length..].strip_prefix(b" ")?))
}

/// The text of a line that `dmesg --human` printed: after `[Nov20 05:08] ` in a new minute, or after
/// `[  +0.000012] `, the time since the line before.
pub(crate) fn human(line: &[u8]) -> Option<&[u8]> {
    let (time, text) = bracketed(line)?;
    let since = time.strip_prefix(b"+").is_some_and(|time| micros(time).is_some());
    let minute = header::MONTHS.iter().any(|month| time.starts_with(&month[..]))
        && time.len() == 11
        && time[5] == b' ';
    text.strip_prefix(b" ").filter(|_| since || minute)
}

/// What is between brackets, less the spaces that align it; and what follows.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"[")?;
    let end = memchr(b']', inside)?;
    Some((inside[..end].trim_ascii_start(), &inside[end + 1..]))
}

/// Seconds and a fraction.
fn micros(time: &[u8]) -> Option<u64> {
    let (seconds, fraction) = time.split_at(memchr(b'.', time)?);
    let fraction = &fraction[1..];
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    let fraction = (0..6).fold(0, |micros, place| {
        micros * 10 + fraction.get(place).map_or(0, |digit| u64::from(digit - b'0'))
    });
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// `T1`, `C0`.
fn is_caller(text: &[u8]) -> bool {
    text.split_first().is_some_and(|(kind, number)| {
        matches!(kind, b'T' | b'C') && !number.is_empty() && number.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_dmesg_decodes_and_makes_readable() {
        for (line, priority, text) in [
            ("kern  :warn  : [    5.123456] x", 4, "[    5.123456] x"),
            ("daemon:info  : [Fri Nov 20 05:08:30 2026] x", 30, "[Fri Nov 20 05:08:30 2026] x"),
            ("authpriv:err   : x", 83, "x"),
        ] {
            assert_eq!(decoded(line.as_bytes()), Some((priority, text.as_bytes())), "{line}");
        }
        for line in ["kernel: x", "kern  :warn", "", "user: no level: x"] {
            assert_eq!(decoded(line.as_bytes()), None, "{line}");
        }
        for line in ["[Nov20 05:08] x", "[Nov 5 05:08] x", "[  +0.000012] x", "[ +12.500000] x"] {
            assert_eq!(human(line.as_bytes()), Some(&b"x"[..]), "{line}");
        }
        for line in ["[drm] x", "[    5.123456] x", "[Fri Nov 20 05:08:30 2026] x", "x"] {
            assert_eq!(human(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn lines_of_dmesg() {
        for (line, priority, micros, text) in [
            ("[    5.123456] text", None, 5_123_456, "text"),
            ("[20328.266240] audit: [x] y", None, 20_328_266_240, "audit: [x] y"),
            ("<4>[    5.12] text", Some(4), 5_120_000, "text"),
            ("<30>[    0.000000] systemd[1]: x", Some(30), 0, "systemd[1]: x"),
            ("[    5.123456][    T1] text", None, 5_123_456, "text"),
            ("<6>[    5.123456][   C10] text", Some(6), 5_123_456, "text"),
            ("[    5.123456] [    T1] text", None, 5_123_456, "text"),
            ("[    5.123456] [drm] text", None, 5_123_456, "[drm] text"),
            ("[    5.1234567]  two", None, 5_123_456, " two"),
            ("[    5.123456] ", None, 5_123_456, ""),
            ("[    5.123456]", None, 5_123_456, ""),
        ] {
            let expected = Dmesg { priority, micros, text: text.as_bytes() };
            assert_eq!(dmesg_line(line.as_bytes()), Some(expected), "{line}");
        }
        for line in [
            "",
            "text",
            "[error] text",
            "[5] text",
            "[5.] text",
            "[.5] text",
            "[ 5.1 ] text",
            "[-5.1] text",
            "[5.1]text",
            "[5.1][x] text",
            "[Tue Nov 20 05:08:30 2026] text",
            "[18446744073709551615.0] text",
        ] {
            assert_eq!(dmesg_line(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            dmesg_line(&bytes);
            let dmesg = [b"<4>[    5.120000] ", &bytes[..]].concat();
            let expected = Dmesg { priority: Some(4), micros: 5_120_000, text: &bytes };
            prop_assert_eq!(dmesg_line(&dmesg), Some(expected));
        }
    }
}
