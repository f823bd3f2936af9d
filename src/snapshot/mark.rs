//! What was last shown: a few bytes in the runtime directory, written before each scrape that shows
//! something new.
//!
//! The snapshot may be on a disk that hangs or is full while scrapes go on. So what was shown is noted
//! where no disk is: in /run, which is memory. A snapshot older than this mark is behind what
//! Prometheus has seen, and its values are taken by no later start. The mark is gone after a reboot,
//! and so is the proof that a snapshot is new enough: writes may not have reached the disk.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use siphasher::sip::SipHasher13;

use super::directory;

/// Boot id, epoch, sequence, checksum.
const SIZE: usize = 16 + 8 + 8 + 8;

/// Where the kernel says which boot this is; /run may be a directory that survives it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(super) struct Mark {
    path: PathBuf,
    file: File,
    boot: [u8; 16],
}

/// What was last shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// The line of counters.
    pub epoch: u64,
    /// The record that holds what was shown, or would, had it been written.
    pub sequence: u64,
}

impl Mark {
    /// Opens the mark of a state directory, and makes it where there is none.
    ///
    /// # Errors
    /// When there is no directory for it, or no boot id.
    pub(super) fn open_in(directory: &Path, state: &Path) -> io::Result<(Self, Option<Shown>)> {
        let boot = fs::read_to_string(BOOT_ID)?;
        let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
        let boot = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?.to_be_bytes();
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Not canonical: the disk may hang, and what was shown before must not be believed then either.
        let state = std::path::absolute(state)?;
        let name = SipHasher13::new().hash(state.as_os_str().as_encoded_bytes());
        let path = directory.join(format!("shown-{name:016x}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        let mut bytes = [0; SIZE];
        let whole = file.read_exact_at(&mut bytes, 0).is_ok();
        let mark = Self { path, file, boot };
        let shown = whole.then(|| mark.decode(&bytes)).flatten();
        Ok((mark, shown))
    }

    /// Notes what is about to be shown. It is there when this returns, whatever happens to us.
    ///
    /// # Errors
    /// When it cannot be written; then it is taken away, so that nobody trusts it.
    pub(super) fn set(&self, shown: Shown) -> io::Result<()> {
        self.file.write_all_at(&self.encode(shown), 0).inspect_err(|_| {
            let _ = fs::remove_file(&self.path);
        })
    }

    fn encode(&self, shown: Shown) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..16].copy_from_slice(&self.boot);
        bytes[16..24].copy_from_slice(&shown.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&shown.sequence.to_le_bytes());
        let checksum = SipHasher13::new().hash(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What this boot has noted.
    fn decode(&self, bytes: &[u8; SIZE]) -> Option<Shown> {
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let shown = Shown { epoch: number(16), sequence: number(24) };
        (self.encode(shown) == *bytes).then_some(shown)
    }
}

/// The runtime directory: systemd's, the user's, or root's.
///
/// # Errors
/// When there is none.
pub(super) fn directory() -> io::Result<PathBuf> {
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
        let (run, one, two) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let open = |state: &Path| Mark::open_in(run.path(), state).unwrap();
        let (mark, shown) = open(one.path());
        assert_eq!(shown, None);
        let said = Shown { epoch: 3, sequence: 9 };
        mark.set(said).unwrap();
        assert_eq!(open(one.path()).1, Some(said));
        assert_eq!(open(two.path()).1, None);

        let another_boot = Mark { boot: [1; 16], ..mark };
        another_boot.set(said).unwrap();
        assert_eq!(open(one.path()).1, None);
        fs::write(&another_boot.path, "nonsense").unwrap();
        assert_eq!(open(one.path()).1, None);
    }
}
