//! The files of a directory that journald writes to.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::position::Origin;

/// Two changes within this may leave the same time of modification.
const TICK: Duration = Duration::from_millis(100);

/// A directory that is looked through again when it has changed.
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Why it cannot be looked through.
    pub refused: Option<String>,
    /// A file in it was not ready to be read.
    pub again: bool,
    name: String,
    journald: String,
    modified: Option<SystemTime>,
}

/// A file with the name of a journal.
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Device and inode.
    pub id: (u64, u64),
    /// Its name says that nothing is added to it: it was rotated, or found damaged by journald.
    pub finished: bool,
}

impl Directory {
    /// Not looked through yet.
    pub fn new(path: PathBuf) -> Self {
        let journald = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            name: path.to_string_lossy().trim_end_matches('/').to_owned(),
            journald: journald.unwrap_or_default(),
            path,
            refused: None,
            again: false,
            modified: None,
        }
    }

    /// Where entries of this chain come from, if they are found here.
    pub fn origin(&self, chain: u128) -> Origin<'_> {
        Origin { chain, directory: &self.name, journald: &self.journald }
    }

    /// Whether this journald writes to it.
    pub fn is_of(&self, journald: &str) -> bool {
        self.journald == journald
    }

    /// Its journal files, if it may have changed or is to be looked through in any case.
    pub fn look(&mut self, always: bool) -> Option<Vec<Found>> {
        let found = match self.changed(always) {
            Ok(false) => return None,
            Ok(true) => list(&self.path),
            Err(error) => Err(error),
        };
        self.refused = None;
        match found {
            Ok(found) => Some(found),
            // journald makes and removes those of /run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Vec::new()),
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

fn list(path: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !(name.ends_with(b".journal") || name.ends_with(b".journal~")) {
            continue;
        }
        // It may be gone by now.
        if let Ok(meta) = fs::metadata(entry.path()) {
            let finished = name.contains(&b'@') || name.ends_with(b"~");
            found.push(Found { path: entry.path(), id: id(&meta), finished });
        }
    }
    // Those that are written come first: their descriptors are needed longest.
    found.sort_by(|a, b| (a.finished, &a.path).cmp(&(b.finished, &b.path)));
    Ok(found)
}

fn id(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Opens a regular file; `None` if it is another one by now.
///
/// # Errors
/// Those of the system; what is not a regular file is `InvalidInput`.
pub fn open(found: &Found) -> io::Result<Option<File>> {
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
pub fn now() -> (u64, u64, u128) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let realtime = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let monotonic = Duration::try_from(monotonic).unwrap_or_default();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap_or(0);
    (micros(realtime), micros(monotonic), boot)
}
