//! The files of a directory that journald writes to, and the directories of machines in it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::position::Origin;

/// Two changes within this may leave the same time of modification.
const TICK: Duration = Duration::from_millis(100);

/// A directory that is looked through again when it has changed.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Directory {
    pub path: PathBuf,
    /// Why it cannot be looked through.
    pub refused: Option<String>,
    /// A file in it was not ready to be read.
    pub again: bool,
    /// It has a history of before our time, which we could not take as read at the first look.
    pub history: bool,
    /// It was found in another that was named.
    within: bool,
    /// It was there at the first look.
    pub early: bool,
    name: String,
    journald: String,
    modified: Option<SystemTime>,
}

/// What a directory has.
#[derive(Default)]
pub(super) struct Listing {
    /// Files with the name of a journal.
    pub files: Vec<Found>,
    /// Directories that are named by a machine.
    pub machines: Vec<PathBuf>,
}

/// A file with the name of a journal.
pub(super) struct Found {
    pub path: PathBuf,
    /// Device and inode.
    pub id: (u64, u64),
    /// Its name says that nothing is added to it: it was rotated, or found damaged by journald.
    pub finished: bool,
}

impl Directory {
    /// Not looked through yet.
    pub(super) fn new(path: PathBuf) -> Self {
        let journald = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            name: path.to_string_lossy().trim_end_matches('/').to_owned(),
            journald: journald.unwrap_or_default(),
            path,
            refused: None,
            again: false,
            history: false,
            within: false,
            early: false,
            modified: None,
        }
    }

    /// One that was found in another, which is not looked into any deeper.
    pub(super) fn within(path: PathBuf) -> Self {
        Self { within: true, ..Self::new(path) }
    }

    /// Whether it was found in another.
    pub(super) fn is_within(&self) -> bool {
        self.within
    }

    /// Whether it is the other place of a journald that was there before us: in `/var`, which is mounted late,
    /// there are entries of earlier boots.
    pub(super) fn is_late_place_of(&self, other: &Self) -> bool {
        !self.early && other.early && self.journald == other.journald
    }

    /// Where entries of this chain come from, if they are found here.
    pub(super) fn origin(&self, chain: u128) -> Origin<'_> {
        let (directory, journald, history) = (&*self.name, &*self.journald, self.history);
        Origin { chain, directory, journald, history }
    }

    /// Whether this journald writes to it.
    pub(super) fn is_of(&self, journald: &str) -> bool {
        self.journald == journald
    }

    /// What is in it, if it may have changed or is to be looked through in any case.
    pub(super) fn look(&mut self, always: bool) -> Option<Listing> {
        let found = match self.changed(always) {
            Ok(false) => return None,
            Ok(true) => list(&self.path),
            Err(error) => Err(error),
        };
        self.refused = None;
        match found {
            Ok(found) if self.within => Some(Listing { machines: Vec::new(), ..found }),
            Ok(found) => Some(found),
            // journald makes and removes those of /run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Listing::default()),
            Err(error) => {
                self.refused = Some(error.to_string());
                None
            }
        }
    }

    fn changed(&mut self, always: bool) -> io::Result<bool> {
        let modified = fs::metadata(&self.path).and_then(|meta| meta.modified());
        let known = modified.as_ref().ok().copied();
        let changed = known != self.modified || self.again || always;
        let just = known.is_some_and(|at| at.elapsed().is_ok_and(|since| since < TICK));
        (self.modified, self.again) = (known, just);
        if changed { modified.map(|_| true) } else { Ok(false) }
    }
}

/// Whether there is any journal file in this directory or in those of machines in it.
///
/// # Errors
/// That it cannot be looked through.
pub(crate) fn has_files(path: &Path) -> io::Result<bool> {
    let found = list(path)?;
    let any = |path: &PathBuf| list(path).is_ok_and(|found| !found.files.is_empty());
    Ok(!found.files.is_empty() || found.machines.iter().any(any))
}

fn list(path: &Path) -> io::Result<Listing> {
    let Listing { mut files, mut machines } = Listing::default();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let is_file = name.ends_with(b".journal") || name.ends_with(b".journal~");
        if !is_file && !is_of_machine(name) {
            continue;
        }
        // It may be gone by now.
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        if meta.is_dir() && is_of_machine(name) {
            machines.push(entry.path());
        } else if is_file {
            let finished = name.contains(&b'@') || name.ends_with(b"~");
            files.push(Found { path: entry.path(), id: id(&meta), finished });
        }
    }
    // Those that are written come first: their descriptors are needed longest.
    files.sort_by(|a, b| (a.finished, &a.path).cmp(&(b.finished, &b.path)));
    machines.sort();
    Ok(Listing { files, machines })
}

/// Whether journald names a directory like this: `<machine id>`, or `<machine id>.<namespace>`.
fn is_of_machine(name: &[u8]) -> bool {
    let (id, namespace) = name.split_at(name.len().min(32));
    let is_namespace = namespace.is_empty() || (namespace[0] == b'.' && namespace.len() > 1);
    id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) && is_namespace
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Opens a regular file; `None` if it is another one by now.
///
/// # Errors
/// Those of the system; what is not a regular file is `InvalidInput`.
pub(super) fn open(found: &Found) -> io::Result<Option<File>> {
    // It may be a FIFO, whose writer open would wait for.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblocking).open(&found.path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((id(&meta) == found.id).then_some(file))
}

/// The time, in microseconds since 1970 and since the boot, and which boot that is (0 if not known).
pub(super) fn now() -> (u64, u64, u128) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let realtime = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let monotonic = Duration::try_from(monotonic).unwrap_or_default();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap_or(0);
    (micros(realtime), micros(monotonic), boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_machines_are_known_by_their_name() {
        let id = "7c4f5a0f5a914fe8b7a1e0d6b1f7b0aa";
        let is = |name: &str| is_of_machine(name.as_bytes());
        assert!(is(id) && is(&format!("{id}.apart")) && is(&id.to_uppercase()));
        for name in [
            "",
            "remote",
            &id[1..],
            &format!("{id}0"),
            &format!("{id}."),
            &format!("x{}", &id[1..]),
        ] {
            assert!(!is(name), "{name}");
        }
    }
}
