//! What was last shown: all positions and values, in the runtime directory, which is memory.
//!
//! It is written before a scrape shows what is in it, so whatever is found there is what was last shown, or newer: its
//! values may go on. A reboot takes it away, and with it the proof that anything on a disk is as new.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use siphasher::sip::SipHasher13;

use super::directory;
use crate::sys::boot;

/// Boot id, for /run may be a directory that survives it, and checksum.
const HEADER: usize = 16 + 8;

/// More than any number of logs that we follow needs.
const LARGEST: u64 = 128 << 20;

pub(super) struct RuntimeFile {
    path: PathBuf,
    boot: [u8; 16],
    /// Held as long as we run: nobody else writes this file.
    _lock: Option<File>,
}

/// Why there is no runtime file.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another exporter has it; its pid, if that is known.
    InUse(String),
    /// There can be none.
    Impossible(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Impossible(error)
    }
}

impl RuntimeFile {
    /// Takes the file that belongs to a state directory, and reads what is in it.
    ///
    /// # Errors
    /// When another exporter has it, or there is no directory for it, or no boot id.
    pub(super) fn open_in(
        directory: &Path,
        state: &Path,
    ) -> Result<(Self, Option<Vec<u8>>), Refused> {
        let boot = boot::read_boot_id(Path::new("/proc"))?.to_be_bytes();
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Not canonical: the disk may hang.
        let state = std::path::absolute(state)?;
        let name = SipHasher13::new().hash(state.as_os_str().as_encoded_bytes());
        let lock = match directory::lock(&directory.join(format!("lock-{name:016x}"))) {
            Ok(lock) => Some(lock),
            Err(Some(owner)) => return Err(Refused::InUse(owner)),
            Err(None) => None,
        };
        let file = Self { path: directory.join(format!("shown-{name:016x}")), boot, _lock: lock };
        let found = file.read();
        Ok((file, found))
    }

    /// What this boot has left there, if it is whole.
    fn read(&self) -> Option<Vec<u8>> {
        let size = fs::symlink_metadata(&self.path).ok().filter(fs::Metadata::is_file)?.len();
        let bytes = (size <= LARGEST).then(|| fs::read(&self.path).ok())??;
        let payload = bytes.get(HEADER..)?;
        (self.header(payload) == bytes[..HEADER]).then(|| payload.to_vec())
    }

    /// Puts this in the place of what was there. It is there when this returns, whatever happens to us.
    ///
    /// # Errors
    /// When it cannot be written; then nothing is there, so that nobody believes what was.
    pub(super) fn write(&self, payload: &[u8]) -> io::Result<()> {
        self.put(payload).inspect_err(|_| {
            let _ = fs::remove_file(self.path.with_extension("new"));
            if fs::remove_file(&self.path).is_err() {
                self.empty();
            }
        })
    }

    /// Makes what is there unbelievable where it cannot be taken away: a directory may refuse that.
    fn empty(&self) {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let _ = File::options().write(true).truncate(true).custom_flags(flags).open(&self.path);
    }

    fn put(&self, payload: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if FAULTS.lock().unwrap().remove(&self.path) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let new = self.path.with_extension("new");
        // Whatever is in its place goes: a FIFO would be waited for, and a link written through.
        let _ = fs::remove_file(&new);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&self.header(payload))?;
        file.write_all(payload)?;
        fs::rename(&new, &self.path)
    }

    fn header(&self, payload: &[u8]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..16].copy_from_slice(&self.boot);
        let checksum = SipHasher13::new_with_keys(
            u64::from_le_bytes(self.boot[..8].try_into().unwrap_or_default()),
            u64::from_le_bytes(self.boot[8..].try_into().unwrap_or_default()),
        );
        bytes[16..].copy_from_slice(&checksum.hash(payload).to_le_bytes());
        bytes
    }
}

/// Files whose next write fails.
#[cfg(test)]
static FAULTS: std::sync::Mutex<std::collections::BTreeSet<PathBuf>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());

#[cfg(test)]
impl RuntimeFile {
    /// Lets the next write fail.
    pub(super) fn fail_once(&self) {
        FAULTS.lock().unwrap().insert(self.path.clone());
    }
}

/// The runtime directory: systemd's, the user's, or root's.
///
/// # Errors
/// When there is none.
pub(super) fn default_directory() -> io::Result<PathBuf> {
    if let Some(systemd) = directory::systemd("RUNTIME_DIRECTORY") {
        return Ok(systemd);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/run/telltale_exporter"));
    }
    let user = directory::variable("XDG_RUNTIME_DIR").map(|dir| dir.join("telltale_exporter"));
    user.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no runtime directory is given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_found_again_by_state_directory_and_boot() {
        let [run, one, two] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let open = |state: &Path| RuntimeFile::open_in(run.path(), state).unwrap();
        let (file, found) = open(one.path());
        assert_eq!(found, None);
        file.write(b"first").unwrap();
        file.write(b"second").unwrap();
        let refused = RuntimeFile::open_in(run.path(), one.path());
        assert!(matches!(refused, Err(Refused::InUse(_))), "it is in use");
        let path = file.path.clone();
        drop(file);
        assert_eq!(open(one.path()).1.unwrap(), b"second");
        assert_eq!(open(two.path()).1, None);

        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(open(one.path()).1, None, "byte {at}, of another boot or damaged");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(open(one.path()).1, None, "cut at {at}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_the_new_file_is_neither_waited_for_nor_written_through() {
        let [run, state] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let (file, _) = RuntimeFile::open_in(run.path(), state.path()).unwrap();
        let (new, victim) = (file.path.with_extension("new"), state.path().join("victim"));
        fs::write(&victim, "its own").unwrap();
        std::os::unix::fs::symlink(&victim, &new).unwrap();
        file.write(b"first").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"its own");
        assert_eq!(file.read().unwrap(), b"first");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &new, fifo, mode, 0).unwrap();
        file.write(b"second").unwrap();
        assert_eq!(file.read().unwrap(), b"second");
        file.empty();
        assert_eq!(file.read(), None, "where it cannot be removed");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_to_believe() {
        let [run, state] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let (file, _) = RuntimeFile::open_in(run.path(), state.path()).unwrap();
        file.write(b"first").unwrap();
        file.fail_once();
        assert!(file.write(b"second").is_err());
        assert_eq!(file.read(), None);
        file.write(b"third").unwrap();
        assert_eq!(file.read().unwrap(), b"third");
    }
}
