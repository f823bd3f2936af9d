//! Rotated files as they are opened: each is the one that was listed, or nothing.

use std::fs::File;
use std::io::{self, ErrorKind::NotFound, ErrorKind::PermissionDenied};
use std::path::Path;

use super::EVIDENCE;
use crate::sources::file::content::{self, Chunk, Content, Place, is_same_file};
use crate::sources::file::rotated::Sibling;

/// When a file was created, or at least last written.
pub(super) fn created(sibling: &Sibling) -> i64 {
    if sibling.id.born > 0 { sibling.id.born } else { sibling.modified }
}

/// Whether the file of this place may have been replaced by a copy of it, as editors and rsync do: it is under no
/// name of a rotated one.
pub(super) fn may_be_replaced(place: &Place, siblings: &[Sibling]) -> bool {
    let is_it = |sibling: &Sibling| is_same_file(&place.id, &sibling.id, &sibling.path);
    place.offset > 0 && !siblings.iter().any(is_it)
}

/// Whether a rotated file is this place's; one that cannot be read is not.
pub(super) fn holds(sibling: &Sibling, place: &Place) -> bool {
    open_at(sibling, place).is_ok_and(|content| content.is_some())
}

/// Whether a rotated file has all of this place's file in it, and more.
pub(super) fn goes_beyond(sibling: &Sibling, place: &Place) -> io::Result<bool> {
    let Some(mut content) = look_into(sibling, place)? else { return Ok(false) };
    let mut buffer = [0; content::SPAN + 1];
    Ok(matches!(content.read(place, &mut buffer), Ok(Chunk::Data(_))))
}

/// What a sibling has at this place; one that cannot be read is not the one. One that is gone since it was listed
/// was compressed or deleted meanwhile, and everything has to be looked at again.
pub(super) fn look_into(sibling: &Sibling, place: &Place) -> io::Result<Option<Content>> {
    or_busy(open_at(sibling, place))
}

/// How a sibling begins, decompressed; `None` where it is compressed in a form that is not read, or damaged.
pub(super) fn look_into_head(sibling: &Sibling) -> io::Result<Option<Vec<u8>>> {
    let found = open_sibling(sibling).and_then(|file| content::head(file, sibling.compressed));
    match found {
        // Of the disk, and tried again; a file that may not be read stays so.
        Err(error) if error.raw_os_error().is_some() && error.kind() != PermissionDenied => {
            Err(error)
        }
        Err(error) if error.kind() == NotFound => or_busy(Err(error)),
        found => Ok(found.ok()),
    }
}

/// The end of a sibling that is a copy of this place's file, made before the last of it was read.
pub(super) fn overrun(sibling: &Sibling, place: &Place) -> io::Result<Option<(Content, Place)>> {
    let found =
        open_sibling(sibling).and_then(|file| Content::before(file, sibling.compressed, place));
    let mut found = or_busy(found)?;
    if let Some((_, end)) = &mut found {
        end.id = sibling.id;
    }
    Ok(found)
}

/// Whether a sibling is a copy, whole or not, of this file, which was not truncated since. A few bytes may be those
/// that a program begins every log with; then it must not have been written since either.
pub(super) fn is_being_copied(sibling: &Sibling, file: &File) -> io::Result<bool> {
    let copied = || {
        let copy = open_sibling(sibling)?;
        let end = Place::of(&copy, sibling.id, copy.metadata()?.len())?;
        let plain = end.offset >= EVIDENCE
            || (end.offset > 0 && content::modified(&file.metadata()?) < sibling.modified);
        Ok((plain && Content::at(file.try_clone()?, false, &end)?.is_some()).then_some(()))
    };
    Ok(!sibling.compressed && or_busy(copied())?.is_some())
}

fn or_busy<T>(found: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "its rotated files change all the time";
            Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
        }
        found => Ok(found.unwrap_or_default()),
    }
}

fn open_at(sibling: &Sibling, place: &Place) -> io::Result<Option<Content>> {
    Content::at(open_sibling(sibling)?, sibling.compressed, place)
}

/// Opens the file that was listed. A rotation renames all of them, so by now another may have its name.
fn open_sibling(sibling: &Sibling) -> io::Result<File> {
    let open = |path: &Path| content::open(path).ok().filter(|(_, id)| *id == sibling.id);
    let directory = sibling.path.parent().unwrap_or(Path::new("."));
    // Renamed once more while it is looked for, it may be missed.
    for _ in 0..5 {
        if let Some((file, _)) = open(&sibling.path) {
            return Ok(file);
        }
        let there = std::fs::symlink_metadata(&sibling.path);
        if there.is_ok_and(|meta| content::id(&meta) == sibling.id)
            && let Err(error) = content::open(&sibling.path)
        {
            return Err(error);
        }
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.metadata().is_ok_and(|meta| content::id(&meta) == sibling.id)
                && let Some((file, _)) = open(&entry.path())
            {
                return Ok(file);
            }
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::file::rotated;

    /// logrotate renames every file of a log, one after the other, while we look.
    #[test]
    fn a_file_is_the_one_that_was_listed_under_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("log.1"), "newer\n").unwrap();
        std::fs::write(path("log.2"), "older\n").unwrap();
        let listed = rotated::siblings(&path("log")).unwrap();
        std::fs::rename(path("log.2"), path("log.3")).unwrap();
        std::fs::rename(path("log.1"), path("log.2")).unwrap();
        std::fs::write(path("log.1"), "newest\n").unwrap();
        let text = |sibling| std::io::read_to_string(open_sibling(sibling).unwrap()).unwrap();
        assert_eq!((text(&listed[0]), text(&listed[1])), ("newer\n".into(), "older\n".into()));
        std::fs::remove_file(path("log.3")).unwrap();
        let busy = look_into(&listed[1], &Place::start(listed[1].id)).map(|_| ()).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    }
}
