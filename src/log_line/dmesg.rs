//! The columns that `dmesg --decode` puts before a line.

use super::FACILITIES;

/// What `dmesg --decode` puts in front, `kern  :warn  : `, as a number; and what follows.
pub(crate) fn decoded(line: &[u8]) -> Option<(u8, &[u8])> {
    // As util-linux names them, which has the first twelve facilities alone.
    const LEVELS: [&[u8]; 8] =
        [b"emerg", b"alert", b"crit", b"err", b"warn", b"notice", b"info", b"debug"];
    let column = |line: &[u8], names: &[&[u8]]| {
        let end = line.iter().take(10).position(|&byte| byte == b':')?;
        let named = names.iter().position(|name| *name == line[..end].trim_ascii_end())?;
        Some((u8::try_from(named).ok()?, end + 1))
    };
    // Of a header, which most lines have, the first letter is no small one.
    if !line.first()?.is_ascii_lowercase() {
        return None;
    }
    let (facility, at) = column(line, &FACILITIES[..12])?;
    let (level, length) = column(&line[at..], &LEVELS)?;
    Some((facility << 3 | level, line[at + length..].strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::header::{self, Form};
    use crate::log_line::stamp::{Stamp, Style};
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
        let is_human =
            |line: &str| header::take_apart(line.as_bytes()).0 == Form::Dmesg(Some(Style::Human));
        for line in ["[Nov20 05:08] x", "[Nov 5 05:08] x", "[  +0.000012] x", "[ +12.500000] x"] {
            assert!(is_human(line), "{line}");
            assert_eq!(header::parse(line.as_bytes()).message, b"x", "{line}");
        }
        for line in ["[drm] x", "[    5.123456] x", "[Fri Nov 20 05:08:30 2026] x", "x"] {
            assert!(!is_human(line), "{line}");
        }
    }

    /// Priority, microseconds and text.
    fn dmesg_line(line: &[u8]) -> Option<(Option<u8>, i64, &[u8])> {
        let (form, parsed) = header::take_apart(line);
        match (form, header::stamp(line)) {
            (Form::Dmesg(Some(Style::Uptime)), Some(Stamp::Uptime(micros))) => {
                Some((parsed.priority, micros, parsed.message))
            }
            _ => None,
        }
    }

    #[test]
    fn lines_of_dmesg() {
        for (line, priority, micros, text) in [
            ("[    5.123456] text", None, 5_123_456, "text"),
            ("[20328.266240] audit: [x] y", None, 20_328_266_240, "audit: [x] y"),
            ("<4>[    5.12] text", Some(4), 5_120_000, "text"),
            ("<30>[    0.000000] systemd[1]: x", Some(30), 0, "x"),
            ("[    5.123456][    T1] text", None, 5_123_456, "text"),
            ("<6>[    5.123456][   C10] text", Some(6), 5_123_456, "text"),
            ("[    5.123456] [    T1] text", None, 5_123_456, "text"),
            ("[    5.123456] [drm] text", None, 5_123_456, "[drm] text"),
            ("[    5.1234567]  two", None, 5_123_456, " two"),
            ("[    5.123456] ", None, 5_123_456, ""),
            ("[    5.123456]", None, 5_123_456, ""),
        ] {
            assert_eq!(
                dmesg_line(line.as_bytes()),
                Some((priority, micros, text.as_bytes())),
                "{line}"
            );
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
            "[     5.123] (II) LoadModule: \"glx\"",
        ] {
            assert_eq!(dmesg_line(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            dmesg_line(&bytes);
            let dmesg = [b"<4>[    5.120000] ", &bytes[..]].concat();
            prop_assert_eq!(dmesg_line(&dmesg), Some((Some(4), 5_120_000, &bytes[..])));
        }
    }
}
