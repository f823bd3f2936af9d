//! The journal's export format, as `journalctl -o export` writes it.
//!
//! <https://systemd.io/JOURNAL_EXPORT_FORMATS>: a field is `KEY=value` on a line, or `KEY` on a line, the
//! length in 8 bytes (little endian), the bytes and a newline; an empty line ends the entry.

use memchr::{memchr, memchr2};

use crate::journal;
use crate::log_line::header::Line;
use crate::log_line::kernel_clock::When;

/// A longer field is cut; the rest of it is passed over.
pub(crate) const MAX_FIELD: usize = 64 * 1024;

/// No name is longer (the journal's own limit is 64 bytes).
const MAX_NAME: usize = 256;

/// journald's `DATA_SIZE_MAX`: what claims more is damage.
const MAX_LENGTH: u64 = 768 << 20;

/// The fields that are kept.
const WANTED: [&[u8]; 12] = [
    b"MESSAGE",
    b"SYSLOG_IDENTIFIER",
    b"_COMM",
    b"SYSLOG_PID",
    b"_PID",
    b"PRIORITY",
    b"_TRANSPORT",
    b"_HOSTNAME",
    b"__REALTIME_TIMESTAMP",
    b"_AUDIT_ID",
    b"__MONOTONIC_TIMESTAMP",
    b"_SOURCE_MONOTONIC_TIMESTAMP",
];

/// Whether a stream that begins so is an export.
pub(crate) fn is_export(start: &[u8]) -> bool {
    start.starts_with(b"__CURSOR=")
}

/// One entry of the journal; of a field that it has twice, the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    fields: [Vec<u8>; WANTED.len()],
    present: u16,
}

impl Entry {
    fn field(&self, nth: usize) -> Option<&[u8]> {
        (self.present & 1 << nth != 0).then_some(&self.fields[nth])
    }

    /// What it says; empty where the entry has no message.
    pub(crate) fn message(&self) -> &[u8] {
        self.field(0).unwrap_or_default()
    }

    /// Syslog identifier, else the name of the command.
    pub(crate) fn program(&self) -> Option<&[u8]> {
        self.field(1).or_else(|| self.field(2))
    }

    /// The lines of the message, each as from a log file.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let whole = Line {
            priority: self.priority(),
            host: self.host().unwrap_or_default(),
            program: self.program(),
            pid: self.pid(),
            message: self.message(),
            times: 1,
        };
        journal::lines(whole, self.transport())
    }

    /// Process number that the writer gave, else the one that the kernel gave.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.field(3).and_then(number).or_else(|| self.field(4).and_then(number))
    }

    /// 0 (emergency) to 7 (debug).
    pub(crate) fn priority(&self) -> Option<u8> {
        self.field(5).and_then(number).filter(|&priority| priority < 8)
    }

    /// How it came: kernel, syslog, journal, stdout, audit, driver.
    pub(crate) fn transport(&self) -> Option<&[u8]> {
        self.field(6)
    }

    pub(crate) fn host(&self) -> Option<&[u8]> {
        self.field(7)
    }

    /// When the journal got it, in microseconds since 1970.
    pub(crate) fn realtime(&self) -> Option<i64> {
        self.field(8).and_then(number)
    }

    /// When it was written.
    pub(crate) fn when(&self) -> When {
        let kernel = self.transport() == Some(b"kernel");
        let source = self.field(11).and_then(number).filter(|_| kernel);
        When::of_journal(self.realtime(), self.field(10).and_then(number), source)
    }

    /// The serial of the audit event that it tells.
    pub(crate) fn audit(&self) -> Option<u64> {
        self.field(9).and_then(number)
    }
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A name or the empty line.
    Name,
    /// Text up to the newline, of this wanted field or of none.
    Text(Option<usize>),
    /// The 8 bytes of a length, so many of them known.
    Length(Option<usize>, u8, u64),
    /// So many bytes.
    Binary(Option<usize>, u64),
    /// The newline after them.
    Newline,
    /// Whatever there is, up to the empty line; `true` at the start of a line.
    Damaged(bool),
}

/// Bytes to entries, whatever the pieces they come in.
#[derive(Debug)]
pub(crate) struct Export {
    state: State,
    name: Vec<u8>,
    entry: Entry,
    /// The entry has a field, wanted or not.
    begun: bool,
    damaged: u64,
}

impl Default for Export {
    fn default() -> Self {
        let entry = Entry::default();
        let name = Vec::new();
        Self { state: State::Name, name, entry, begun: false, damaged: 0 }
    }
}

impl Export {
    /// Entries that were dropped, for they are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Hands out the entries that end in this piece.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut entry: impl FnMut(&Entry)) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Name => self.name(bytes, &mut entry),
                State::Text(wanted) => {
                    let end = memchr(b'\n', bytes);
                    self.keep(wanted, &bytes[..end.unwrap_or(bytes.len())]);
                    if end.is_some() {
                        self.state = State::Name;
                    }
                    end.map_or(bytes.len(), |end| end + 1)
                }
                State::Length(wanted, known, length) => {
                    let length = length | u64::from(bytes[0]) << (8 * known);
                    self.state = match known {
                        7 if length > MAX_LENGTH => self.damage(false),
                        7 if length == 0 => State::Newline,
                        7 => State::Binary(wanted, length),
                        _ => State::Length(wanted, known + 1, length),
                    };
                    1
                }
                State::Binary(wanted, left) => {
                    let count = usize::try_from(left).map_or(bytes.len(), |l| l.min(bytes.len()));
                    self.keep(wanted, &bytes[..count]);
                    let left = left - count as u64;
                    self.state =
                        if left == 0 { State::Newline } else { State::Binary(wanted, left) };
                    count
                }
                State::Newline if bytes[0] == b'\n' => {
                    self.state = State::Name;
                    1
                }
                State::Newline => {
                    self.state = self.damage(false);
                    0
                }
                State::Damaged(start) => self.resynchronise(start, bytes),
            };
            bytes = &bytes[used..];
        }
    }

    /// The stream ends: an entry whose last field is whole is handed out, another counted as damaged.
    pub(crate) fn end(&mut self, mut entry: impl FnMut(&Entry)) {
        match self.state {
            State::Name if self.name.is_empty() => self.hand_out(&mut entry),
            State::Damaged(_) => {}
            _ => self.state = self.damage(false),
        }
    }

    /// Up to `=` or the newline.
    fn name(&mut self, bytes: &[u8], entry: &mut impl FnMut(&Entry)) -> usize {
        let end = memchr2(b'=', b'\n', bytes);
        let name = &bytes[..end.unwrap_or(bytes.len())];
        let valid = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        if self.name.len() + name.len() > MAX_NAME || !name.iter().all(valid) {
            self.state = self.damage(self.name.is_empty());
            return 0;
        }
        self.name.extend_from_slice(name);
        let Some(end) = end else { return bytes.len() };
        let wanted = WANTED.iter().position(|wanted| *wanted == self.name);
        // A second field of the name is passed over like one that is not wanted.
        let wanted = wanted.filter(|&nth| self.entry.present & 1 << nth == 0);
        if self.name.is_empty() {
            if bytes[end] == b'=' {
                self.state = self.damage(false);
                return 0;
            }
            self.hand_out(entry);
            return end + 1;
        }
        self.begun = true;
        self.name.clear();
        self.entry.present |= wanted.map_or(0, |nth| 1 << nth);
        let text = bytes[end] == b'=';
        self.state = if text { State::Text(wanted) } else { State::Length(wanted, 0, 0) };
        end + 1
    }

    fn keep(&mut self, wanted: Option<usize>, bytes: &[u8]) {
        let Some(nth) = wanted else { return };
        let field = &mut self.entry.fields[nth];
        let room = bytes.len().min(MAX_FIELD - field.len());
        field.extend_from_slice(&bytes[..room]);
    }

    fn hand_out(&mut self, entry: &mut impl FnMut(&Entry)) {
        if self.begun {
            entry(&self.entry);
        }
        self.clear();
    }

    /// For the next entry; what is allocated is used again.
    fn clear(&mut self) {
        self.begun = false;
        self.name.clear();
        self.entry.present = 0;
        self.entry.fields.iter_mut().for_each(Vec::clear);
    }

    fn damage(&mut self, line_start: bool) -> State {
        self.damaged += 1;
        self.clear();
        State::Damaged(line_start)
    }

    fn resynchronise(&mut self, start: bool, bytes: &[u8]) -> usize {
        if start && bytes[0] == b'\n' {
            self.state = State::Name;
            return 1;
        }
        let end = memchr(b'\n', bytes);
        self.state = State::Damaged(end.is_some());
        end.map_or(bytes.len(), |end| end + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(pieces: &[&[u8]]) -> (Vec<Entry>, Export) {
        let (mut export, mut out) = (Export::default(), Vec::new());
        for piece in pieces {
            export.take(piece, |entry| out.push(entry.clone()));
        }
        export.end(|entry| out.push(entry.clone()));
        (out, export)
    }

    fn binary(name: &str, length: u64, value: &[u8]) -> Vec<u8> {
        [name.as_bytes(), b"\n", &length.to_le_bytes(), value, b"\n"].concat()
    }

    const TEXT: &[u8] = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795151586482365\n_BOOT_ID=ab\n\
        _TRANSPORT=syslog\nPRIORITY=3\n_COMM=sshd\nSYSLOG_PID=7\n_PID=8\n_HOSTNAME=web04\nMESSAGE=a=b\n\n";

    #[test]
    fn an_entry_and_its_fields() {
        assert!(is_export(TEXT) && !is_export(b"Nov 20"));
        let (entries, export) = take(&[TEXT]);
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((entry.message(), entry.program()), (&b"a=b"[..], Some(&b"sshd"[..])));
        assert_eq!((entry.pid(), entry.priority()), (Some(7), Some(3)));
        assert_eq!((entry.transport(), entry.host()), (Some(&b"syslog"[..]), Some(&b"web04"[..])));
        assert_eq!(entry.realtime(), Some(1_795_151_586_482_365));
        assert_eq!(export.damaged(), 0);
    }

    #[test]
    fn a_long_field_is_cut_and_a_cut_stream_counted() {
        let long = vec![b'x'; 3 * MAX_FIELD];
        let stream =
            [&binary("MESSAGE", long.len() as u64, &long)[..], b"\nMESSAGE=next\n"].concat();
        let (entries, export) = take(&[&stream]);
        assert_eq!((entries[0].message().len(), entries[1].message()), (MAX_FIELD, &b"next"[..]));
        assert_eq!(export.damaged(), 0);
        let (entries, export) = take(&[b"MESSAGE=one\n\nMESSAGE=tw"]);
        assert_eq!((entries.len(), export.damaged()), (1, 1));
    }

    #[test]
    fn after_damage_it_goes_on_at_the_next_empty_line() {
        for damage in [
            binary("MESSAGE", 1 << 63, b"x"),
            binary("MESSAGE", 2, b"more"),
            b"=x\n".to_vec(),
            b"not a name\n".to_vec(),
            vec![b'A'; 1000],
        ] {
            let stream = [TEXT, b"_PID=1\n", &damage, b"\n\n", TEXT].concat();
            let (entries, export) = take(&[&stream]);
            assert_eq!((entries.len(), export.damaged()), (2, 1), "{damage:?}");
            assert_eq!(entries[0], entries[1]);
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_entries(
            written in proptest::collection::vec((
                proptest::collection::vec(any::<u8>(), 0..40), "[ -~]{0,20}", any::<bool>(),
            ), 1..6),
            cuts in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let mut stream = Vec::new();
            for (message, program, other) in &written {
                stream.extend(format!("__CURSOR=c\nSYSLOG_IDENTIFIER={program}\n").bytes());
                if *other {
                    stream.extend(binary("OTHER", message.len() as u64, message));
                }
                stream.extend(binary("MESSAGE", message.len() as u64, message));
                stream.push(b'\n');
            }
            let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let (entries, export) = take(&pieces);
            prop_assert_eq!(export.damaged(), 0);
            let got: Vec<_> = entries.iter()
                .map(|entry| (entry.message().to_vec(), entry.program().unwrap().to_vec())).collect();
            let expected: Vec<_> = written.iter()
                .map(|(message, program, _)| (message.clone(), program.clone().into_bytes())).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'='), Just(b'A'), any::<u8>()], 0..300)) {
            let (whole, export) = take(&[&bytes]);
            let single: Vec<_> = bytes.chunks(1).collect();
            let (split, other) = take(&single);
            prop_assert_eq!(whole, split);
            prop_assert_eq!(export.damaged(), other.damaged());
        }
    }
}
