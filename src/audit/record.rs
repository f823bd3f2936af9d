//! One line of the audit log, taken apart on its bytes.
//!
//! `type=NAME msg=audit(SEC.MS:SERIAL): key=value …`, perhaps after `node=…`, and as the kernel
//! prints it where nobody listens: `audit: type=1300 audit(SEC.MS:SERIAL): …`. With
//! `log_format = ENRICHED` auditd adds 0x1D and what it made of the numbers.

pub(crate) mod event;
pub(crate) mod joiner;
pub(crate) mod kind;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod time;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use kind::Kind;

/// Between the kernel's fields and those that auditd adds.
const ENRICHED: u8 = 0x1d;

/// When an event began, and its number; every record of an event has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970. Of a system call: when it was entered, so records may be older than
    /// those before them.
    pub millis: u64,
    /// Counts from boot on; auditd's own records have numbers of their own.
    pub serial: u64,
}

/// A record; everything is bytes of the line itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The host it came from, where the log says so; else empty.
    pub node: &'a [u8],
    /// What kind of record.
    pub kind: Kind<'a>,
    /// Which event it belongs to.
    pub stamp: Stamp,
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes a line apart; `None` where it is no audit record or is cut before its fields.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        let line = line.strip_prefix(b"audit: ").unwrap_or(line);
        let (node, line) = match line.strip_prefix(b"node=") {
            Some(rest) => word(rest)?,
            None => (&line[..0], line),
        };
        let (kind, rest) = word(line.strip_prefix(b"type=")?)?;
        let kind = Kind::parse(kind)?;
        let (stamp, rest) = stamp(rest.strip_prefix(b"msg=").unwrap_or(rest))?;
        Some(Self { node, kind, stamp, rest })
    }

    /// The fields as the kernel wrote them.
    pub fn fields(&self) -> Fields<'a> {
        Fields(self.parts().next().unwrap_or_default())
    }

    /// The fields that auditd added: `UID="root"`, `SYSCALL=kill`.
    pub fn enriched(&self) -> Fields<'a> {
        Fields(self.parts().nth(1).unwrap_or_default())
    }

    fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        self.rest.splitn(2, |&byte| byte == ENRICHED)
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        find(self.fields(), name)
    }

    /// The first field of this name that auditd added.
    pub fn name_of(&self, name: &str) -> Option<Value<'a>> {
        find(self.enriched(), name)
    }

    /// A string that the kernel or libaudit encoded, decoded.
    pub fn text(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.get(name)?.text()
    }

    /// A decimal number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.number()
    }

    /// A user or session number; the kernel's "unset" (4294967295, -1) is none.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.number(name).filter(|&id| id != u32::MAX)
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Between double quotes: as it was.
    Quoted(&'a [u8]),
    /// Without quotes: a number, a word, or a string in hexadecimal.
    Bare(&'a [u8]),
    /// `msg='…'` of a program's record, `SADDR={ … }`: fields again.
    Nested(&'a [u8]),
    /// `(null)`, `(none)`, `?` or nothing.
    Missing,
}

impl<'a> Value<'a> {
    /// The bytes as they stand in the line, without quotes.
    pub fn raw(self) -> &'a [u8] {
        match self {
            Self::Quoted(bytes) | Self::Bare(bytes) | Self::Nested(bytes) => bytes,
            Self::Missing => b"",
        }
    }

    /// A string as the kernel encodes what it does not trust: quoted, or in hexadecimal when it has
    /// a quote, a space, a control character or a byte past ASCII. Only for fields written so (comm,
    /// exe, key, proctitle, name, …): elsewhere `fe` may be the word itself.
    pub fn text(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Missing => None,
            Self::Bare(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Some(Cow::Owned(
                hex.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect(),
            )),
            other => Some(Cow::Borrowed(other.raw())),
        }
    }

    pub fn number<T: std::str::FromStr>(self) -> Option<T> {
        std::str::from_utf8(self.raw()).ok()?.parse().ok()
    }

    /// A number in hexadecimal, as system call arguments and `arch` are written.
    pub fn hex(self) -> Option<u64> {
        let raw = self.raw();
        let digits = std::str::from_utf8(raw.strip_prefix(b"0x").unwrap_or(raw)).ok()?;
        if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() }
    }
}

/// Fields of a record, one after the other; words that are no `key=value` are passed over.
#[derive(Debug, Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let end = self.0.iter().position(|&byte| byte == b'=' || byte == b' ')?;
            let (name, rest) = (&self.0[..end], &self.0[end + 1..]);
            if self.0[end] == b' ' || name.is_empty() {
                self.0 = rest;
                continue;
            }
            let (value, rest) = value(rest);
            self.0 = rest;
            return Some((name, value));
        }
    }
}

/// A value, and what follows it. One that is cut ends with the line.
fn value(rest: &[u8]) -> (Value<'_>, &[u8]) {
    let until = |end: Option<usize>| match end {
        Some(end) => (&rest[1..end], &rest[end + 1..]),
        None => (&rest[1..], &rest[..0]),
    };
    let find = |close: u8| rest.iter().skip(1).position(|&byte| byte == close).map(|at| at + 1);
    match rest.first() {
        Some(b'"') => {
            let (inside, rest) = until(find(b'"'));
            (Value::Quoted(inside), rest)
        }
        // To the last one: the message is the last field, and text in it may have an apostrophe.
        Some(b'\'') => {
            let end = rest.iter().rposition(|&byte| byte == b'\'').filter(|&end| end > 0);
            let (inside, rest) = until(end);
            (Value::Nested(inside), rest)
        }
        Some(b'{') => {
            let (inside, rest) = until(find(b'}'));
            (Value::Nested(inside), rest)
        }
        _ => {
            let (bare, rest) = word(rest).unwrap_or((rest, &rest[..0]));
            // Programs of old separate by comma and space.
            let bare = bare.strip_suffix(b",").unwrap_or(bare);
            let missing = matches!(bare, b"" | b"?" | b"(null)" | b"(none)");
            (if missing { Value::Missing } else { Value::Bare(bare) }, rest)
        }
    }
}

/// `audit(SEC.MS:SERIAL):` and what follows.
fn stamp(rest: &[u8]) -> Option<(Stamp, &[u8])> {
    let rest = rest.strip_prefix(b"audit(")?;
    let (seconds, rest) = digits(rest, b'.')?;
    let (millis, rest) = digits(rest, b':')?;
    let (serial, rest) = digits(rest, b')')?;
    let millis = seconds.checked_mul(1000)?.checked_add(millis)?;
    let rest = rest.strip_prefix(b":")?;
    Some((Stamp { millis, serial }, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// A number, and what follows the byte that ends it.
fn digits(rest: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let at = rest.iter().take(21).position(|&byte| byte == end)?;
    let number = &rest[..at];
    if !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, &rest[at + 1..]))
}

fn find<'a>(mut fields: Fields<'a>, name: &str) -> Option<Value<'a>> {
    fields.find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
}

/// The bytes up to the next space, and what follows it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    Some((&line[..end], &line[end + 1..]))
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = include_bytes!("../../tests/fixtures/audit/raw.log");
    const FIXTURES: [&[u8]; 4] = [
        RAW,
        include_bytes!("../../tests/fixtures/audit/enriched.log"),
        include_bytes!("../../tests/fixtures/audit/nproc.log"),
        include_bytes!("../../tests/fixtures/audit/kmsg.txt"),
    ];

    fn lines() -> impl Iterator<Item = &'static [u8]> {
        FIXTURES
            .iter()
            .flat_map(|log| log.split(|&byte| byte == b'\n'))
            .filter(|line| !line.is_empty())
    }

    fn text(line: &[u8], name: &str) -> Option<String> {
        let text = Record::parse(line)?.text(name)?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn every_line_of_the_recordings_is_a_record() {
        let mut count = 0;
        for line in lines() {
            let record = Record::parse(line).unwrap();
            assert_eq!(record.stamp.millis / 1_000_000_000, 1795, "2026");
            assert!(record.stamp.serial > 0);
            assert!(matches!(record.kind, Kind::Number(_)), "{}", record.kind.label());
            assert!(record.fields().count() > 0);
            for (name, value) in record.fields().chain(record.enriched()) {
                assert!(name.iter().all(u8::is_ascii_graphic));
                assert!(!value.raw().contains(&ENRICHED));
            }
            count += 1;
        }
        assert!(count > 480, "{count}");
    }

    #[test]
    fn all_forms_of_the_same_record() {
        let body = "audit(1795151143.337:522694): arch=c000003e syscall=62 comm=\"x\" key=(null)";
        let of = |line: &str| {
            let record = Record::parse(line.as_bytes()).unwrap();
            assert_eq!(record.kind, Kind::SYSCALL, "{line}");
            assert_eq!(record.stamp, Stamp { millis: 1_795_151_143_337, serial: 522_694 });
            assert_eq!(record.get("arch").unwrap().hex(), Some(0xc000_003e));
            assert_eq!(record.number("syscall"), Some(62));
            assert_eq!(record.get("key"), Some(Value::Missing));
            assert_eq!(record.get("nothing"), None);
            String::from_utf8(record.node.to_vec()).unwrap()
        };
        assert_eq!(of(&format!("type=SYSCALL msg={body}")), "");
        assert_eq!(of(&format!("type=SYSCALL msg={body}\r\n")), "");
        assert_eq!(of(&format!("node=db7.example type=SYSCALL msg={body}")), "db7.example");
        assert_eq!(of(&format!("audit: type=1300 {body}")), "");
        assert_eq!(of(&format!("type=1300 {body}")), "");
        assert_eq!(of(&format!("type=UNKNOWN[1300] msg={body}")), "");
    }

    #[test]
    fn quoted_encoded_and_missing_values() {
        let of = |fields: &str, name| {
            text(format!("type=PATH msg=audit(1.0:1): {fields}").as_bytes(), name)
        };
        assert_eq!(of("comm=\"my\"", "comm").as_deref(), Some("my"));
        assert_eq!(of("ocomm=6D7920617070", "ocomm").as_deref(), Some("my app"));
        assert_eq!(of("ocomm=6d7920617070", "ocomm").as_deref(), Some("my app"));
        assert_eq!(of("comm=\"\"", "comm").as_deref(), Some(""));
        for missing in ["comm=(null)", "comm=(none)", "comm=?", "comm=", "comm=?, x=1", "a=1"] {
            assert_eq!(of(missing, "comm"), None, "{missing}");
        }
        // Cut in the middle of a value.
        assert_eq!(of("comm=\"my", "comm").as_deref(), Some("my"));
        assert_eq!(of("comm=6D7", "comm").as_deref(), Some("m"));
        assert_eq!(of("comm", "comm"), None);
        // Words between, and a name that is the end of another's.
        assert_eq!(
            of("avc:  denied  { kill } for  comm=\"a b\" xcomm=\"c\"", "comm").as_deref(),
            Some("a b")
        );
        assert_eq!(of("ocomm=\"c\" comm=\"d\"", "comm").as_deref(), Some("d"));
    }

    #[test]
    fn enriched_fields_stand_apart() {
        let line = b"type=SYSCALL msg=audit(1.2:3): uid=0 key=\"k\"\x1dARCH=x86_64 UID=\"root\" SADDR={ a=b }";
        let record = Record::parse(line).unwrap();
        assert_eq!(record.text("key").as_deref(), Some(&b"k"[..]));
        assert_eq!(record.get("UID"), None);
        assert_eq!(record.name_of("UID"), Some(Value::Quoted(b"root")));
        assert_eq!(record.name_of("ARCH"), Some(Value::Bare(b"x86_64")));
        assert_eq!(Fields(record.name_of("SADDR").unwrap().raw()).count(), 1);
        assert_eq!(record.enriched().count(), 3);
    }

    #[test]
    fn messages_of_programs_are_fields_again() {
        let line = b"type=USER_LOGIN msg=audit(1.2:3): pid=7 uid=0 ses=4294967295 msg='op=login acct=\"o'brien\" exe=\"/usr/sbin/sshd\" hostname=? res=failed'\x1dUID=\"root\"";
        let record = Record::parse(line).unwrap();
        assert_eq!(record.number("pid"), Some(7));
        assert_eq!((record.id("uid"), record.id("ses")), (Some(0), None));
        let inside: Vec<_> = Fields(record.get("msg").unwrap().raw()).collect();
        assert_eq!(inside[0], (&b"op"[..], Value::Bare(b"login")));
        assert_eq!(inside[1], (&b"acct"[..], Value::Quoted(b"o'brien")));
        assert_eq!(inside[3], (&b"hostname"[..], Value::Missing));
        assert_eq!(inside[4], (&b"res"[..], Value::Bare(b"failed")));
        assert_eq!(record.name_of("UID"), Some(Value::Quoted(b"root")));
    }

    #[test]
    fn what_is_no_record() {
        for bad in [
            "",
            "x",
            "type=",
            "type=SYSCALL",
            "type=SYSCALL msg=audit(1.2:3)",
            "type=SYSCALL msg=audit(1.2): a=b",
            "type=SYSCALL msg=audit(1:3): a=b",
            "type=SYSCALL msg=audit(-1.2:3): a=b",
            "type=SYSCALL msg=audit(99999999999999999999.2:3): a=b",
            "type=SYSCALL msg=audit(18446744073709551615.2:3): a=b",
            "type=sys msg=audit(1.2:3): a=b",
            "node=x",
            "node=x type=",
            " type=SYSCALL msg=audit(1.2:3): a=b",
        ] {
            assert_eq!(Record::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Record::parse(b"type=SYSCALL msg=audit(1.2:3):").unwrap().fields().count(), 0);
    }

    #[test]
    fn any_mutation_is_survived() {
        let all: Vec<_> = lines().collect();
        let mut random = crate::audit::record::testing::Random(42);
        for _ in 0..60_000 {
            let mut line = random.pick(&all).to_vec();
            random.mutate(&mut line);
            let Some(record) = Record::parse(&line) else { continue };
            for (name, value) in record.fields().chain(record.enriched()) {
                assert!(name.len() + value.raw().len() < line.len());
                let inside: usize = Fields(value.raw()).map(|(_, value)| value.raw().len()).sum();
                assert!(inside <= value.raw().len());
                assert!(value.text().is_none_or(|text| text.len() <= value.raw().len()));
                let _ = (value.hex(), value.number::<i64>(), record.kind.label());
            }
        }
    }
}
