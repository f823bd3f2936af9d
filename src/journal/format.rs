//! The structures of a journal file (<https://systemd.io/JOURNAL_FILE_FORMAT>), from bytes.
//!
//! Everything is little-endian and aligned to 8 bytes. Nothing here trusts an offset or a size: what
//! does not fit is [`Refusal::Damaged`].

use std::fmt;
use std::io;

/// The shortest header there is: up to the counts that systemd 187 added.
pub(super) const HEADER_MIN: usize = 208;
/// Bytes of a header that are looked at.
pub(super) const HEADER: usize = HEADER_MIN;
/// Where the header has its number of entries.
pub(super) const N_ENTRIES_AT: usize = 152;
/// Bytes before the payload of every object.
pub(super) const OBJECT_HEADER: usize = 16;
/// Bytes of an entry before its items.
pub(super) const ENTRY_HEADER: usize = 64;
/// Bytes of an array before its slots.
pub(super) const ARRAY_HEADER: usize = 24;

/// Items of an entry that are looked at; journald itself takes 1024 fields.
const MAX_ITEMS: usize = 4096;

/// Fields may be compressed by xz, lz4 or zstd; hashes may be keyed; offsets may have 32 bits.
const KNOWN_FLAGS: u32 = 0b1_1111;
const COMPACT: u32 = 1 << 4;

/// Why a file, or a part of it, is not read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is shorter than a header, or its header is not written yet.
    Empty,
    /// It does not begin like a journal file.
    Foreign,
    /// It has features that are not known, as these bits.
    Features(u32),
    /// Something in it does not fit.
    Damaged(&'static str),
    /// The system does not give it.
    Io(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(out, "it has no header yet"),
            Self::Foreign => write!(out, "it is not a journal file"),
            Self::Features(bits) => write!(out, "it has unknown features ({bits:#x})"),
            Self::Damaged(what) => write!(out, "it is damaged: {what}"),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the header of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Offsets in entries and arrays have 32 bits (systemd 252).
    pub compact: bool,
    /// Whether it was closed for good; what journald found damaged never is.
    pub archived: bool,
    /// The chain of files that its sequence numbers belong to.
    pub chain: u128,
    /// Where objects begin.
    pub size: u64,
    /// Entries that are in the file.
    pub entries: u64,
    /// Sequence number of the first entry, 0 if there is none.
    pub head_seqnum: u64,
    /// Sequence number of the last entry, 0 if there is none.
    pub tail_seqnum: u64,
    /// The first array of all entries, 0 if there is none.
    pub array: u64,
    /// When the last entry was written, in microseconds since 1970.
    pub tail_realtime: u64,
}

/// Reads a header.
///
/// # Errors
/// Why the file cannot be read.
pub(super) fn header(bytes: &[u8]) -> Result<Header, Refusal> {
    if bytes.len() < HEADER_MIN || bytes[..8] == [0; 8] {
        return Err(Refusal::Empty);
    }
    if &bytes[..8] != b"LPKSHHRH" {
        return Err(Refusal::Foreign);
    }
    let flags = half(bytes, 12);
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Refusal::Features(flags & !KNOWN_FLAGS));
    }
    let header = Header {
        compact: flags & COMPACT != 0,
        archived: bytes[16] == 2,
        chain: id(bytes, 72),
        size: word(bytes, 88),
        entries: word(bytes, N_ENTRIES_AT),
        head_seqnum: word(bytes, 168),
        tail_seqnum: word(bytes, 160),
        array: word(bytes, 176),
        tail_realtime: word(bytes, 192),
    };
    if header.size < HEADER_MIN as u64 || !header.size.is_multiple_of(8) {
        return Err(Refusal::Damaged("the size of its header"));
    }
    Ok(header)
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A field with its value.
    Data,
    Entry,
    /// Offsets of entries.
    Array,
}

/// What all objects begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    /// How the payload is compressed: 0 is not at all.
    pub compression: u8,
    /// Bytes of the whole object.
    pub size: u64,
}

/// Reads the header of an object that has to be of this kind.
///
/// # Errors
/// [`Refusal::Damaged`].
pub(super) fn object(bytes: &[u8], kind: Kind) -> Result<Object, Refusal> {
    if bytes.len() < OBJECT_HEADER {
        return Err(Refusal::Damaged("an object beyond the end"));
    }
    let (number, least) = match kind {
        Kind::Data => (1, ENTRY_HEADER),
        Kind::Entry => (3, ENTRY_HEADER),
        Kind::Array => (6, ARRAY_HEADER),
    };
    let object = Object { compression: bytes[1] & 0b111, size: word(bytes, 8) };
    if bytes[0] != number {
        return Err(Refusal::Damaged("an object of another kind"));
    }
    if object.size < least as u64 || (kind != Kind::Data && object.compression != 0) {
        return Err(Refusal::Damaged("the size of an object"));
    }
    Ok(object)
}

/// Bytes of a field's object before its payload.
pub(super) fn payload_at(compact: bool) -> usize {
    if compact { 72 } else { 64 }
}

/// An entry without its fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryHead {
    /// Where it is in its file.
    pub offset: u64,
    /// How many fields it has.
    pub items: usize,
    /// Its number in the chain.
    pub seqnum: u64,
    /// When journald took it in, in microseconds since 1970.
    pub realtime: u64,
    /// The same, in microseconds since the boot.
    pub monotonic: u64,
    /// The boot it is of.
    pub boot: u128,
    /// A hash of the fields that is the same in every file the entry is copied to.
    pub hash: u64,
}

/// Reads what an entry begins with.
///
/// # Errors
/// [`Refusal::Damaged`].
pub(super) fn entry(bytes: &[u8], offset: u64, compact: bool) -> Result<EntryHead, Refusal> {
    let size = object(bytes, Kind::Entry)?.size;
    if bytes.len() < ENTRY_HEADER {
        return Err(Refusal::Damaged("an entry beyond the end"));
    }
    let items = usize::try_from(size).map_or(usize::MAX, |size| size - ENTRY_HEADER);
    let items = items / item_size(compact);
    if items > MAX_ITEMS {
        return Err(Refusal::Damaged("the size of an entry"));
    }
    Ok(EntryHead {
        offset,
        items,
        seqnum: word(bytes, 16),
        realtime: word(bytes, 24),
        monotonic: word(bytes, 32),
        boot: id(bytes, 40),
        hash: word(bytes, 56),
    })
}

/// Bytes of an entry's reference to a field: the offset, and a hash where offsets have 64 bits.
pub(super) fn item_size(compact: bool) -> usize {
    if compact { 4 } else { 16 }
}

/// Bytes of an array's reference to an entry.
pub(super) fn slot_size(compact: bool) -> usize {
    if compact { 4 } else { 8 }
}

/// An array of references to entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Array {
    pub offset: u64,
    /// How many slots it has.
    pub slots: u64,
    /// Where the next one is, 0 if there is none.
    pub next: u64,
}

/// Reads what an array begins with.
///
/// # Errors
/// [`Refusal::Damaged`].
pub(super) fn array(bytes: &[u8], offset: u64, compact: bool) -> Result<Array, Refusal> {
    let size = object(bytes, Kind::Array)?.size;
    if bytes.len() < ARRAY_HEADER {
        return Err(Refusal::Damaged("an array beyond the end"));
    }
    let next = word(bytes, 16);
    // Objects are appended, so a chain that does not grow is a loop.
    if next != 0 && next <= offset {
        return Err(Refusal::Damaged("arrays in a circle"));
    }
    let slots = (size - ARRAY_HEADER as u64) / slot_size(compact) as u64;
    if slots == 0 {
        return Err(Refusal::Damaged("an array without slots"));
    }
    Ok(Array { offset, slots, next })
}

/// References of this many bytes each: the offsets.
pub(super) fn references(bytes: &[u8], size: usize) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(size).map(
        move |slot| {
            if size == 4 { u64::from(half(slot, 0)) } else { word(slot, 0) }
        },
    )
}

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn id(bytes: &[u8], at: usize) -> u128 {
    bytes.get(at..at + 16).and_then(|id| id.try_into().ok()).map_or(0, u128::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blank(flags: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(b"LPKSHHRH");
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes[88..96].copy_from_slice(&208u64.to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_is_taken_or_refused_with_the_reason() {
        assert!(header(&blank(0)).is_ok_and(|header| !header.compact && header.size == 208));
        assert!(header(&blank(0x1f)).is_ok_and(|header| header.compact));
        for (bytes, says) in [
            (blank(1 << 5), "unknown features (0x20)"),
            (vec![0; HEADER], "no header"),
            (vec![b'x'; HEADER], "not a journal"),
            (blank(0)[..100].to_vec(), "no header"),
        ] {
            let why = header(&bytes).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
        let mut short = blank(0);
        short[88] = 8;
        assert!(matches!(header(&short), Err(Refusal::Damaged(_))));
    }

    #[test]
    fn arrays_that_lead_back_are_refused() {
        let mut bytes = [0; ARRAY_HEADER];
        (bytes[0], bytes[8], bytes[16]) = (6, 32, 200);
        assert_eq!(array(&bytes, 100, false).unwrap(), Array { offset: 100, slots: 1, next: 200 });
        assert_eq!(array(&bytes, 100, true).unwrap().slots, 2);
        assert!(array(&bytes, 200, false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), compact: bool, offset: u64,
        ) {
            let mut begun = blank(0x1f);
            begun[16..].iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            let _ = (header(&bytes), header(&begun), array(&bytes, offset, compact));
            if let Ok(entry) = entry(&bytes, offset, compact) {
                prop_assert!(entry.items <= MAX_ITEMS);
            }
        }
    }
}
