//! One record of the kernel's log, as a read of `/dev/kmsg` gives it.
//!
//! `30,340,5690716,-,caller=T1;udevd[80]: starting` and lines ` KEY=value` after it, as in
//! Documentation/ABI/testing/dev-kmsg of the kernel.

use std::borrow::Cow;
use std::str::FromStr;

use memchr::{memchr, memchr_iter};

use crate::log_line::header::{self, Line};

/// A record taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Who wrote it, in the numbers of syslog. 0 is the kernel, which lets nobody else use it.
    pub facility: u8,
    /// Severity: 0 emergency to 7 debug.
    pub level: u8,
    /// The number of the record: from 0 at boot, one more each.
    pub sequence: u64,
    /// Microseconds since boot, by the clock of the CPU that wrote it; not in order between CPUs.
    pub micros: u64,
    /// Which part of a message it is.
    pub part: Part,
    /// The text, with escapes decoded; it may have several lines.
    pub message: Cow<'a, [u8]>,
}

/// Whether a record is a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It is.
    Whole,
    /// A fragment. Kernels from 4.10 join what they can before anybody reads it; what could not be
    /// joined comes with this mark. Before 4.10 it is the start of a message.
    Fragment,
    /// What follows a fragment, in kernels before 4.10.
    Rest,
}

/// These bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Takes a record apart. Fields after the flag that are not known, and lines ` KEY=value`, are passed
/// over, as the kernel's documentation asks.
///
/// # Errors
/// When priority, sequence, time, flag and `;` are not all there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Record<'_>, Damaged> {
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let end = memchr(b';', line).ok_or(Damaged)?;
    let mut fields = line[..end].split(|&byte| byte == b',');
    let mut field = || fields.next().ok_or(Damaged);
    let prefix: u16 = number(field()?)?;
    let sequence = number(field()?)?;
    let micros = number(field()?)?;
    let part = match field()? {
        b"" => return Err(Damaged),
        b"c" => Part::Fragment,
        b"+" => Part::Rest,
        _ => Part::Whole,
    };
    Ok(Record {
        facility: u8::try_from(prefix >> 3).map_err(|_| Damaged)?,
        level: (prefix & 7) as u8,
        sequence,
        micros,
        part,
        message: unescape(&line[end + 1..]),
    })
}

impl Record<'_> {
    /// The lines of the message, each as from a log file: what `dmesg` and syslog show. (journald keeps
    /// them together.) The program is `kernel`, or what a writer to `/dev/kmsg` gave as its tag, such as
    /// `systemd[1]: `; the lines that follow are from the same.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let text = self.message.strip_suffix(b"\n").unwrap_or(&self.message);
        let mut lines = text.split(|&byte| byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let (program, pid, message) = match self.facility {
            0 => (Some(&b"kernel"[..]), None, first),
            _ => header::tag(first),
        };
        let priority = self.facility.checked_mul(8).map(|facility| facility | self.level);
        // A record names no host, but it is no line without a header either.
        let line = move |message| Line { priority, host: b"-", program, pid, message, times: 1 };
        std::iter::once(message).chain(lines).map(line)
    }

    /// The same, on its own.
    pub fn into_owned(self) -> Record<'static> {
        Record { message: Cow::Owned(self.message.into_owned()), ..self }
    }
}

/// Digits only.
fn number<T: FromStr>(digits: &[u8]) -> Result<T, Damaged> {
    let text = std::str::from_utf8(digits).map_err(|_| Damaged)?;
    // parse would take a sign as well.
    if text.starts_with('+') { Err(Damaged) } else { text.parse().map_err(|_| Damaged) }
}

/// Decodes `\xNN`: the kernel writes backslashes, and all that is not printable ASCII, so. One that the
/// kernel has cut at the end of a record is left as it is.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    let mut decoded = Vec::new();
    let mut from = 0;
    for at in memchr_iter(b'\\', text) {
        if let Some(byte) = text.get(at..at + 4).and_then(escaped) {
            decoded.extend_from_slice(&text[from..at]);
            decoded.push(byte);
            from = at + 4;
        }
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    decoded.extend_from_slice(&text[from..]);
    Cow::Owned(decoded)
}

/// The byte of `\xNN`.
fn escaped(escape: &[u8]) -> Option<u8> {
    let digits = escape.strip_prefix(b"\\x")?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn records_of_all_kinds() {
        let whole = |bytes: &'static str| {
            let record = parse(bytes.as_bytes()).unwrap();
            let numbers = (record.facility, record.level, record.sequence, record.micros);
            (numbers, record.part, text(&record.message))
        };
        let kernel = |part, message: &str| ((0, 6, 9, 51), part, message.to_owned());
        for (bytes, part, message) in [
            ("6,9,51,-;text\n", Part::Whole, "text"),
            ("6,9,51,-;a; b, c", Part::Whole, "a; b, c"),
            ("6,9,51,-;\n", Part::Whole, ""),
            ("6,9,51,-; SPACE\n SUBSYSTEM=acpi\n DEVICE=+acpi:P\n", Part::Whole, " SPACE"),
            ("6,9,51,c;start ", Part::Fragment, "start "),
            ("6,9,51,+;rest", Part::Rest, "rest"),
            ("6,9,51,?;later", Part::Whole, "later"),
            ("6,9,51,-,caller=T1234;t", Part::Whole, "t"),
            ("6,9,51,c,new,caller=C3,x=y;t", Part::Fragment, "t"),
            ("6,9,51,-,caller=X1;t", Part::Whole, "t"),
            ("6,9,51,-;\\x09a\\x5cb\\x0aé\\xc3\\xA9", Part::Whole, "\ta\\b\néé"),
            ("6,9,51,-;cut \\x0", Part::Whole, "cut \\x0"),
            ("6,9,51,-;no \\y41 \\xg1\\x\\x5c", Part::Whole, "no \\y41 \\xg1\\x\\"),
        ] {
            assert_eq!(whole(bytes), kernel(part, message), "{bytes}");
        }
        assert_eq!(whole("30,0,0,-;x").0, (3, 6, 0, 0));
        assert_eq!(whole("2047,18446744073709551615,0,-;x").0, (255, 7, u64::MAX, 0));
    }

    #[test]
    fn what_is_no_record() {
        for bytes in [
            "",
            "\n",
            ";",
            "text",
            "6,9,51,-",
            "6,9,51;t",
            "6,9,51,;t",
            "6,9,51,\n-;t",
            "6,,51,-;t",
            "+6,9,51,-;t",
            "6,+9,51,-;t",
            "-6,9,51,-;t",
            "6 ,9,51,-;t",
            "2048,9,51,-;t",
            "6,18446744073709551616,51,-;t",
            " SUBSYSTEM=acpi",
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(Damaged), "{bytes}");
        }
    }

    #[test]
    fn lines_have_the_program_that_wrote_them() {
        let lines = |bytes: &str| {
            let record = parse(bytes.as_bytes()).unwrap();
            let one = |line: Line<'_>| {
                (line.priority, line.program.map(text), line.pid, text(line.message))
            };
            record.lines().map(one).collect::<Vec<_>>()
        };
        let kernel = |message: &str| (Some(4), Some("kernel".into()), None, message.into());
        assert_eq!(lines("4,1,2,-;sshd[7]: x"), [kernel("sshd[7]: x")]);
        assert_eq!(lines("4,1,2,-;one\\x0a\\x0atwo\\x0a"), ["one", "", "two"].map(kernel));
        assert_eq!(lines("4,1,2,-;"), [kernel("")]);
        let systemd = |message: &str| (Some(30), Some("systemd".into()), Some(1), message.into());
        assert_eq!(lines("30,1,2,-;systemd[1]: a\\x0ab: c"), ["a", "b: c"].map(systemd));
        assert_eq!(lines("12,1,2,-;no tag"), [(Some(12), None, None, "no tag".to_owned())]);
        assert_eq!(lines("2047,1,2,-;x")[0].0, None);
    }

    /// As the kernel does.
    fn escape(text: &[u8]) -> String {
        let one = |&byte: &u8| match byte {
            b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        text.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let record = [b"6,9,51,-;", &bytes[..]].concat();
            prop_assert!(parse(&record).unwrap().lines().count() > 0);
        }

        #[test]
        fn what_the_kernel_put_together_is_taken_apart(
            facility: u8, level in 0u8..8, sequence: u64, micros: u64,
            part in prop_oneof![Just(Part::Whole), Just(Part::Fragment), Just(Part::Rest)],
            from in "(,caller=[TC][0-9]{1,10})?",
            message in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let flag = match part { Part::Whole => '-', Part::Fragment => 'c', Part::Rest => '+' };
            let prefix = u16::from(facility) << 3 | u16::from(level);
            let bytes = format!(
                "{prefix},{sequence},{micros},{flag}{from};{}\n SUBSYSTEM=x\n", escape(&message));
            let message = Cow::Owned(message);
            let record = Record { facility, level, sequence, micros, part, message };
            prop_assert_eq!(parse(bytes.as_bytes()), Ok(record));
        }
    }
}
