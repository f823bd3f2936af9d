//! One journal file, entry by entry, while it is written.
//!
//! journald writes an object, then refers to it, and raises the number of entries in the header last: so
//! what that number covers is whole, and it is read first.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::bytes::Bytes;
use super::compress;
use super::fields::{self, Field, Fields, MAX_VALUE, NAME};
use super::format::{self, Array, EntryHead, Header, Kind, Refusal};

/// References to entries that are read at once.
const BATCH: u64 = 512;
/// Compressed bytes that are read of a field: more than the 64 KiB that are kept of it can need.
const PACKED: usize = 256 * 1024;
/// Fields that are remembered, because many entries refer to them.
const REMEMBERED: usize = 8192;
/// Values longer than this are read again.
const SHORT: usize = 256;
/// Arrays a file can have; each is twice as long as the one before.
const MAX_ARRAYS: usize = 4096;
/// Entries that are tried where a search hits one that cannot be read.
const TRIES: u64 = 16;

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An entry, which stays the next one until it is [passed](JournalFile::pass).
    Entry(EntryHead),
    /// Nothing, for now.
    End,
    /// What the header counts but cannot be read.
    Unreadable,
}

/// A field that was read already.
enum Known {
    Unwanted,
    Value(Field, Box<[u8]>),
}

/// An open journal file, and how far it was read.
pub(super) struct JournalFile {
    bytes: Bytes,
    /// What its header said last.
    pub header: Header,
    /// Entries that were passed.
    passed: u64,
    /// The array that refers to the next entry, and how many entries come before it.
    array: Option<(Array, u64)>,
    /// References that were read, from the entry of this number on.
    batch: (u64, Vec<u64>),
    head: Option<EntryHead>,
    known: HashMap<u64, Known>,
    items: Vec<u64>,
    unpacked: Vec<u8>,
}

impl JournalFile {
    /// At the first entry.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn open(file: File) -> Result<Self, Refusal> {
        let mut bytes = Bytes::new(file);
        let header = header(&mut bytes)?;
        Ok(Self {
            bytes,
            header,
            passed: 0,
            array: None,
            batch: (0, Vec::new()),
            head: None,
            known: HashMap::new(),
            items: Vec::new(),
            unpacked: Vec::new(),
        })
    }

    /// Looks whether entries came; `true` if so.
    ///
    /// # Errors
    /// Why it cannot be read any longer.
    pub(super) fn refresh(&mut self) -> Result<bool, Refusal> {
        let mut count = [0; 8];
        self.bytes.file.read_exact_at(&mut count, format::N_ENTRIES_AT as u64)?;
        if u64::from_le_bytes(count) == self.header.entries {
            return Ok(false);
        }
        self.bytes.forget();
        let header = header(&mut self.bytes)?;
        if header.entries < self.passed {
            return Err(Refusal::Damaged("it has fewer entries than it had"));
        }
        self.header = header;
        Ok(true)
    }

    /// Entries that were not passed.
    pub(super) fn left(&self) -> u64 {
        self.header.entries - self.passed
    }

    /// Goes on after the entry with this number, or before the first that is later.
    pub(super) fn seek(&mut self, after: u64) {
        (self.passed, self.head) = (0, None);
        if after < self.header.head_seqnum {
            return;
        }
        if after >= self.header.tail_seqnum {
            self.passed = self.header.entries;
            return;
        }
        let Ok(arrays) = self.arrays() else { return };
        let (mut low, mut high) = (0, self.header.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = (middle..high.min(middle + TRIES))
                .find_map(|at| Some((at, self.probe(&arrays, at).ok()?.seqnum)));
            match found {
                Some((at, seqnum)) if seqnum <= after => low = at + 1,
                _ => high = middle,
            }
        }
        self.passed = low;
    }

    /// What comes next.
    pub(super) fn peek(&mut self) -> Next {
        if let Some(head) = self.head {
            return Next::Entry(head);
        }
        if self.left() == 0 {
            // Nothing is read for now, and what comes is not in what was read.
            self.bytes.forget();
            return Next::End;
        }
        if let Ok(head) = self.reference().and_then(|offset| self.entry(offset, self.passed)) {
            self.head = Some(head);
            return Next::Entry(head);
        }
        self.bytes.forget();
        self.batch.1.clear();
        Next::Unreadable
    }

    /// Passes the entry that comes next.
    pub(super) fn pass(&mut self) {
        self.head = None;
        self.passed = (self.passed + 1).min(self.header.entries);
    }

    /// Passes what cannot be read; how many entries that is.
    pub(super) fn pass_unreadable(&mut self) -> u64 {
        let count = if self.reference().is_err() && self.array_at(self.passed).is_err() {
            self.left()
        } else {
            1
        };
        self.passed += count;
        count
    }

    /// Reads the fields of an entry; `false` if its message cannot be.
    pub(super) fn fields(&mut self, head: &EntryHead, fields: &mut Fields) -> bool {
        fields.clear();
        let size = format::item_size(self.header.compact);
        let mut items = std::mem::take(&mut self.items);
        items.clear();
        let start = head.offset + format::ENTRY_HEADER as u64;
        let mut whole = match self.bytes.at(start, head.items * size) {
            Ok(bytes) => {
                items.extend(format::references(bytes, size));
                items.len() == head.items
            }
            Err(_) => false,
        };
        for &offset in &items {
            match self.known.get(&offset) {
                Some(Known::Unwanted) => {}
                Some(Known::Value(field, value)) => fields.put(*field, value),
                None => whole &= self.field(offset, fields).is_ok(),
            }
        }
        self.items = items;
        whole || fields.has_message()
    }

    fn field(&mut self, offset: u64, fields: &mut Fields) -> Result<(), Refusal> {
        self.check(offset)?;
        let skip = format::payload_at(self.header.compact);
        let piece = self.bytes.at(offset, skip + NAME)?;
        let object = format::object(piece, Kind::Data)?;
        let beyond = Refusal::Damaged("a field beyond the end");
        let Some(length) = object.size.checked_sub(skip as u64) else {
            return Err(Refusal::Damaged("the size of a field"));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let payload = if object.compression == 0 {
            let name = piece.get(skip..skip + length.min(NAME)).ok_or(beyond)?;
            if fields::field(name).is_none() {
                self.remember(offset, Known::Unwanted);
                return Ok(());
            }
            let count = length.min(NAME + MAX_VALUE);
            let payload = self.bytes.at(offset + skip as u64, count)?;
            if payload.len() < count {
                return Err(Refusal::Damaged("a field beyond the end"));
            }
            payload
        } else {
            let packed = self.bytes.at(offset + skip as u64, length.min(PACKED))?;
            compress::beginning(object.compression, packed, NAME + MAX_VALUE, &mut self.unpacked)
                .ok_or(Refusal::Damaged("a compressed field"))?;
            &self.unpacked
        };
        let Some((field, value)) = fields::field(payload) else {
            self.remember(offset, Known::Unwanted);
            return Ok(());
        };
        fields.put(field, value);
        if value.len() <= SHORT && field != Field::Message {
            let known = Known::Value(field, value.into());
            self.remember(offset, known);
        }
        Ok(())
    }

    fn remember(&mut self, offset: u64, known: Known) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(offset, known);
    }

    /// Where the next entry is.
    fn reference(&mut self) -> Result<u64, Refusal> {
        let (from, batch) = &self.batch;
        let batched = self.passed.checked_sub(*from).and_then(|at| usize::try_from(at).ok());
        if let Some(offset) = batched.and_then(|at| batch.get(at)) {
            return Ok(*offset);
        }
        let (array, before) = self.array_at(self.passed)?;
        let skip = self.passed - before;
        let count = BATCH.min(array.slots - skip).min(self.left());
        let references = self.references(&array, skip, count)?;
        self.batch = (self.passed, references);
        self.batch.1.first().copied().ok_or(Refusal::Damaged("an array beyond the end"))
    }

    fn references(&mut self, array: &Array, skip: u64, count: u64) -> Result<Vec<u64>, Refusal> {
        let size = format::slot_size(self.header.compact);
        let start = array.offset + format::ARRAY_HEADER as u64 + skip * size as u64;
        let count = usize::try_from(count).unwrap_or(0) * size;
        Ok(format::references(self.bytes.at(start, count)?, size).collect())
    }

    /// The array that refers to this entry, which is not before the one that is known.
    fn array_at(&mut self, entry: u64) -> Result<(Array, u64), Refusal> {
        let (mut array, mut before) = match self.array {
            Some((array, before)) if before <= entry => (array, before),
            _ => (self.read_array(self.header.array)?, 0),
        };
        while entry - before >= array.slots {
            if array.next == 0 {
                // It may have got a successor since it was read.
                array = self.read_array(array.offset)?;
            }
            before += array.slots;
            array = self.read_array(array.next)?;
        }
        self.array = Some((array, before));
        Ok((array, before))
    }

    /// All arrays, each with how many entries come before it.
    fn arrays(&mut self) -> Result<Vec<(Array, u64)>, Refusal> {
        let mut arrays = Vec::new();
        let (mut before, mut next) = (0, self.header.array);
        while before < self.header.entries {
            if arrays.len() == MAX_ARRAYS {
                return Err(Refusal::Damaged("too many arrays"));
            }
            let array = self.read_array(next)?;
            arrays.push((array, before));
            (before, next) = (before.saturating_add(array.slots), array.next);
        }
        Ok(arrays)
    }

    fn probe(&mut self, arrays: &[(Array, u64)], entry: u64) -> Result<EntryHead, Refusal> {
        let at = arrays.partition_point(|(_, before)| *before <= entry);
        let (array, before) = arrays[at.saturating_sub(1)];
        let offset = self.references(&array, entry - before, 1)?.first().copied().unwrap_or(0);
        self.entry(offset, entry)
    }

    fn read_array(&mut self, offset: u64) -> Result<Array, Refusal> {
        self.check(offset)?;
        let bytes = self.bytes.at(offset, format::ARRAY_HEADER)?;
        format::array(bytes, offset, self.header.compact)
    }

    /// The entry of this number in the file.
    fn entry(&mut self, offset: u64, number: u64) -> Result<EntryHead, Refusal> {
        self.check(offset)?;
        let bytes = self.bytes.at(offset, format::ENTRY_HEADER)?;
        let head = format::entry(bytes, offset, self.header.compact)?;
        // Sequence numbers rise, so there is room for those of all others before and after it.
        let after = self.header.entries - 1 - number;
        let least = self.header.head_seqnum.saturating_add(number);
        if head.seqnum < least || head.seqnum > self.header.tail_seqnum.saturating_sub(after) {
            return Err(Refusal::Damaged("the number of an entry"));
        }
        Ok(head)
    }

    fn check(&self, offset: u64) -> Result<(), Refusal> {
        // No file is so long that what is added to an offset could overflow.
        if offset < self.header.size || !offset.is_multiple_of(8) || offset > i64::MAX as u64 / 2 {
            return Err(Refusal::Damaged("an offset"));
        }
        Ok(())
    }
}

fn header(bytes: &mut Bytes) -> Result<Header, Refusal> {
    let header = format::header(bytes.at(0, format::HEADER)?)?;
    let length = bytes.file.metadata()?.len();
    if header.entries.saturating_mul(format::ENTRY_HEADER as u64) > length {
        return Err(Refusal::Damaged("the number of its entries"));
    }
    Ok(header)
}
