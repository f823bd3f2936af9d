//! Reads a file by pieces.
//!
//! By `pread`, not through a mapping: a mapped file that is cut short kills whoever reads on. Both see
//! what journald writes through its own mapping, because the page cache is one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What is read at once going forward: journald writes an entry next to those of its fields that are new.
const WINDOW: usize = 64 * 1024;
/// How much of it lies before what was asked for: the fields come before their entry.
const BEFORE: u64 = 8 * 1024;

/// What is read at once further back, where the fields are that many entries have in common.
const ASIDE: usize = 4 * 1024;

/// An open file with the pieces of it that were read last.
pub(super) struct Bytes {
    pub file: File,
    window: Piece,
    /// From before the window, which stays.
    aside: Piece,
}

#[derive(Default)]
struct Piece {
    start: u64,
    bytes: Vec<u8>,
}

impl Bytes {
    /// Nothing is read yet.
    pub(super) fn new(file: File) -> Self {
        Self { file, window: Piece::default(), aside: Piece::default() }
    }

    /// Up to `count` bytes at an offset; fewer at the end of the file.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn at(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let ahead = offset >= self.window.start;
        let (piece, before, least) =
            if ahead { (&mut self.window, BEFORE, WINDOW) } else { (&mut self.aside, 0, ASIDE) };
        if piece.get(offset, count).len() < count {
            piece.start = offset.saturating_sub(before);
            let before = usize::try_from(offset - piece.start).unwrap_or(0);
            read(&self.file, &mut piece.bytes, piece.start, before + count.max(least))?;
        }
        Ok(piece.get(offset, count))
    }

    /// Forgets what was read: the writer may have gone on, or nothing more is to be read for now.
    pub(super) fn forget(&mut self) {
        (self.window, self.aside) = (Piece::default(), Piece::default());
    }
}

impl Piece {
    /// What it has of these bytes, from the first on.
    fn get(&self, offset: u64, count: usize) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let rest = skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default();
        &rest[..rest.len().min(count)]
    }
}

fn read(file: &File, into: &mut Vec<u8>, offset: u64, count: usize) -> io::Result<()> {
    into.resize(count, 0);
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut into[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                into.clear();
                return Err(error);
            }
        }
    }
    into.truncate(filled);
    Ok(())
}
