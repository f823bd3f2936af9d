//! Files that need not be read, or not any more, and what each of them is recognised by.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::EVIDENCE;
use super::opened::{holds, look_into_head};
use crate::sources::file::content::{self, FileId, Place, is_same_file};
use crate::sources::file::rotated::Sibling;

/// Files of one log that are remembered after nobody has them beside it any more.
const MAX_ABSENT: usize = 64;

/// So many are remembered at all: as many rotated files as are listed.
const MAX_PRINTS: usize = 4096;

const SECOND: i64 = 1_000_000_000;

/// A file that need not be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    /// The file, how far it was read and its bytes; of a compressed one that was not read its size on the disk.
    pub place: Place,
    /// When it was last written, in nanoseconds since 1970. Compressors keep that.
    pub modified: i64,
    how: How,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    /// Its bytes.
    Bytes,
    /// Device, inode and size: it is compressed.
    Compressed,
    /// The same, and it is from before our time.
    CompressedBefore,
}

impl Print {
    /// A file that was read up to here.
    pub(crate) fn read(place: Place, modified: i64) -> Self {
        Self { place, modified, how: How::Bytes }
    }

    /// A rotated file as it lies there. A plain one is known by its bytes, for it may be compressed later.
    pub(crate) fn of(sibling: &Sibling) -> Self {
        let bytes = || {
            let (file, id) = content::open(&sibling.path).ok()?;
            let size = file.metadata().ok()?.len();
            (id == sibling.id).then(|| Place::of(&file, id, size).ok())?
        };
        match bytes().filter(|_| !sibling.compressed) {
            Some(place) => Self::read(place, sibling.modified),
            None => Self::compressed(sibling, How::CompressedBefore),
        }
    }

    /// A compressed file, by its place on the disk.
    fn compressed(sibling: &Sibling, how: How) -> Self {
        let mut place = Place::start(sibling.id);
        place.offset = sibling.size;
        Self { place, modified: sibling.modified, how }
    }

    /// Whether it is this file as it lies on the disk.
    fn lies_there(&self, sibling: &Sibling) -> bool {
        self.how != How::Bytes && self.place.offset == sibling.size && self.is_file(sibling)
    }

    /// Whether a sibling is the same file, whatever is in it.
    fn is_file(&self, sibling: &Sibling) -> bool {
        is_same_file(&self.place.id, &sibling.id, &sibling.path)
    }

    /// Whether both were last written within the same second: FAT, tar and old compressors keep no more.
    fn is_of_the_second(&self, sibling: &Sibling) -> bool {
        self.modified.div_euclid(SECOND) == sibling.modified.div_euclid(SECOND)
    }

    /// Whether a sibling that begins with `head` has all of this in it.
    fn is_in(&self, sibling: &Sibling, head: &[u8]) -> bool {
        let place = &self.place;
        if self.how != How::Bytes {
            // One that was compressed when we began, and was decompressed since.
            let before = self.how == How::CompressedBefore;
            return before && !sibling.compressed && self.modified == sibling.modified;
        }
        if place.offset == 0 {
            return self.is_file(sibling) && head.is_empty();
        }
        let plain = !sibling.compressed && self.is_file(sibling);
        // Few bytes may be those that a program begins every log with: then the whole must be the same, and its time.
        let enough = plain
            || place.offset >= EVIDENCE
            || (head.len() as u64 == place.offset && self.is_of_the_second(sibling));
        enough && place.may_be_in(head) && holds(sibling, place)
    }
}

/// What is remembered of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prints(Arc<Vec<Print>>);

/// What a rotated file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was read, or is from before our time.
    Yes,
    /// Nothing of it was read.
    No,
    /// It is compressed in a form that is not read.
    Unreadable,
}

impl Prints {
    /// The rotated files of before our time.
    pub(crate) fn of(siblings: &[Sibling]) -> Self {
        Self(Arc::new(siblings.iter().take(MAX_PRINTS).map(Print::of).collect()))
    }

    /// Remembers a file.
    pub(crate) fn add(&mut self, print: Print) {
        let prints = Arc::make_mut(&mut self.0);
        if prints.len() >= MAX_PRINTS {
            prints.remove(0);
        }
        prints.push(print);
    }

    /// Remembers that nothing is to be had from this file.
    pub(crate) fn add_compressed(&mut self, sibling: &Sibling) {
        self.add(Print::compressed(sibling, How::Compressed));
    }

    /// What is remembered of a file that was read, as far as it was.
    pub(crate) fn of_file(&self, id: FileId) -> impl Iterator<Item = &Print> {
        self.0
            .iter()
            .rev()
            .filter(move |one| one.how == How::Bytes && one.place.id == id && one.place.offset > 0)
    }

    /// Forgets what is about to be read on.
    pub(crate) fn forget(&mut self, place: &Place) {
        Arc::make_mut(&mut self.0).retain(|one| one.how != How::Bytes || one.place != *place);
    }

    /// Whether a rotated file was read already.
    ///
    /// # Errors
    /// When it has gone since it was listed.
    pub(crate) fn know(&mut self, sibling: &Sibling) -> io::Result<Known> {
        if self.0.iter().any(|one| one.lies_there(sibling)) {
            return Ok(Known::Yes);
        }
        let head = match look_into_head(sibling)? {
            Some(head) => head,
            // What is not read is known by its time alone, which compressors keep.
            None if self.0.iter().any(|one| one.is_of_the_second(sibling)) => {
                self.add_compressed(sibling);
                return Ok(Known::Yes);
            }
            None => return Ok(Known::Unreadable),
        };
        if !self.0.iter().any(|one| one.is_in(sibling, &head)) {
            return Ok(Known::No);
        }
        if sibling.compressed {
            // So that it need not be decompressed at the next rotation.
            self.add_compressed(sibling);
        }
        Ok(Known::Yes)
    }

    /// Forgets files that are not there any more, but for the last.
    pub(crate) fn keep(&mut self, siblings: &[Sibling]) {
        let is_there = |one: &Print| siblings.iter().any(|sibling| sibling.id == one.place.id);
        let absent = self.0.iter().filter(|one| !is_there(one)).count();
        let mut surplus = absent.saturating_sub(MAX_ABSENT);
        if surplus > 0 {
            Arc::make_mut(&mut self.0).retain(|one| {
                let forget = surplus > 0 && !is_there(one);
                surplus -= usize::from(forget);
                !forget
            });
        }
    }
}
