//! The journal's export format, as `journalctl -o export` writes it.
//!
//! <https://systemd.io/JOURNAL_EXPORT_FORMATS>: a field is `KEY=value` on a line, or `KEY` on a line, the
//! length in 8 bytes (little endian), the bytes and a newline; an empty line ends the entry.

use memchr::{memchr, memchr2};

use super::fields::{self, Entry, Field, Fields};

/// No name is longer (the journal's own limit is 64 bytes).
const MAX_NAME: usize = 256;

/// journald's `DATA_SIZE_MAX`: what claims more is damage.
const MAX_LENGTH: u64 = 768 << 20;

/// Whether a stream that begins so is an export.
pub(crate) fn is_export(start: &[u8]) -> bool {
    start.starts_with(b"__CURSOR=")
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A name or the empty line.
    Name,
    /// Text up to the newline, of this wanted field or of none.
    Text(Option<Field>),
    /// The 8 bytes of a length, so many of them known.
    Length(Option<Field>, u8, u64),
    /// So many bytes.
    Binary(Option<Field>, u64),
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
    fields: Fields,
    /// The entry has a field, wanted or not.
    begun: bool,
    damaged: u64,
}

impl Default for Export {
    fn default() -> Self {
        let (name, fields) = (Vec::new(), Fields::default());
        Self { state: State::Name, name, fields, begun: false, damaged: 0 }
    }
}

impl Export {
    /// Entries that were dropped, for they are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Hands out the entries that end in this piece.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut entry: impl FnMut(&Entry<'_>)) {
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
    pub(crate) fn end(&mut self, mut entry: impl FnMut(&Entry<'_>)) {
        match self.state {
            State::Name if self.name.is_empty() => self.hand_out(&mut entry),
            State::Damaged(_) => {}
            _ => self.state = self.damage(false),
        }
    }

    /// Up to `=` or the newline.
    fn name(&mut self, bytes: &[u8], entry: &mut impl FnMut(&Entry<'_>)) -> usize {
        let end = memchr2(b'=', b'\n', bytes);
        let name = &bytes[..end.unwrap_or(bytes.len())];
        let valid = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        if self.name.len() + name.len() > MAX_NAME || !name.iter().all(valid) {
            self.state = self.damage(self.name.is_empty());
            return 0;
        }
        self.name.extend_from_slice(name);
        let Some(end) = end else { return bytes.len() };
        if self.name.is_empty() {
            if bytes[end] == b'=' {
                self.state = self.damage(false);
                return 0;
            }
            self.hand_out(entry);
            return end + 1;
        }
        // A second field of the name is passed over like one that is not wanted.
        let wanted = fields::named(&self.name).filter(|field| self.fields.begin(*field));
        self.begun = true;
        self.name.clear();
        let text = bytes[end] == b'=';
        self.state = if text { State::Text(wanted) } else { State::Length(wanted, 0, 0) };
        end + 1
    }

    fn keep(&mut self, wanted: Option<Field>, bytes: &[u8]) {
        if let Some(field) = wanted {
            self.fields.append(field, bytes);
        }
    }

    fn hand_out(&mut self, entry: &mut impl FnMut(&Entry<'_>)) {
        if self.begun {
            entry(&self.fields.entry(None));
        }
        self.clear();
    }

    /// For the next entry; what is allocated is used again.
    fn clear(&mut self) {
        self.begun = false;
        self.name.clear();
        self.fields.clear();
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

    /// What outlives the reading of an entry.
    #[derive(Debug, PartialEq)]
    struct Taken {
        message: Vec<u8>,
        identifier: Option<Vec<u8>>,
        transport: Vec<u8>,
        hostname: Vec<u8>,
        numbers: (Option<u32>, Option<u8>, Option<u64>),
    }

    fn keep(entry: &Entry<'_>) -> Taken {
        Taken {
            message: entry.message.to_vec(),
            identifier: entry.identifier.map(<[u8]>::to_vec),
            transport: entry.transport.to_vec(),
            hostname: entry.hostname.to_vec(),
            numbers: (entry.pid, entry.priority, entry.realtime_usec),
        }
    }

    fn take(pieces: &[&[u8]]) -> (Vec<Taken>, Export) {
        let (mut export, mut out) = (Export::default(), Vec::new());
        for piece in pieces {
            export.take(piece, |entry| out.push(keep(entry)));
        }
        export.end(|entry| out.push(keep(entry)));
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
        assert_eq!(entry.message, b"a=b");
        assert_eq!(entry.identifier.as_deref(), Some(&b"sshd"[..]));
        // As journalctl shows it and the service counts it: what the kernel says before what the writer says.
        assert_eq!(entry.numbers, (Some(8), Some(3), Some(1_795_151_586_482_365)));
        assert_eq!((&entry.transport[..], &entry.hostname[..]), (&b"syslog"[..], &b"web04"[..]));
        assert_eq!(export.damaged(), 0);
    }

    #[test]
    fn a_long_field_is_cut_and_a_cut_stream_counted() {
        let long = vec![b'x'; 3 * fields::MAX_VALUE];
        let stream =
            [&binary("MESSAGE", long.len() as u64, &long)[..], b"\nMESSAGE=next\n"].concat();
        let (entries, export) = take(&[&stream]);
        assert_eq!(entries[0].message.len(), fields::MAX_VALUE);
        assert_eq!(entries[1].message, b"next");
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
                .map(|entry| (entry.message.clone(), entry.identifier.clone().unwrap())).collect();
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
