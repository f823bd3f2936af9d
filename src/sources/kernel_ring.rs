//! The kernel's own log, from `/dev/kmsg`: every record once, over restarts, and how many were missed.
//!
//! The kernel keeps its last records in a ring and numbers them from 0 at boot. The numbers tell which
//! records are new after a restart, and how many were overwritten before anybody read them.

mod cursor;
pub(crate) mod dump;
mod fragments;
pub(crate) mod record;
pub(crate) mod source;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat, major, minor};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use cursor::Cursor;
use fragments::Fragments;
use record::{Record, parse};

/// No kernel writes a longer record: 8 KiB in older ones, 2 KiB in newer. One that does not fit is lost.
const BUFFER: usize = 16 * 1024;

/// Records that one call of [`Reader::read`] reads at most.
pub const MAX_RECORDS: usize = 1_000;

/// Where to go on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The boot whose records are numbered so.
    pub boot: [u8; 16],
    /// Sequence of the first record that has not been handed out.
    pub next: u64,
}

/// What one call of [`Reader::read`] came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It stopped before the end of what is there.
    pub more: bool,
    /// Records that were overwritten before they were read.
    pub lost: u64,
    /// Records that could not be taken apart.
    pub damaged: u64,
}

/// The open log.
#[derive(Debug)]
pub struct Reader {
    file: File,
    boot: [u8; 16],
    cursor: Cursor,
    fragments: Fragments,
    buffer: Vec<u8>,
}

impl Reader {
    /// Opens the log, which is `/dev/kmsg`; the boot's id is below `procfs`.
    ///
    /// Without a position, what is there already is passed over; the first calls of [`read`](Self::read)
    /// do so. With one of this boot it goes on there; with one of another boot, all records of this
    /// boot are new.
    ///
    /// # Errors
    /// When it cannot be read; the error says what to do about it.
    pub fn open(device: &Path, procfs: &Path, position: Option<Position>) -> io::Result<Self> {
        let boot = boot_id(procfs)?;
        let cursor = match position {
            None => Cursor::at_end(),
            Some(position) if position.boot == boot => Cursor::at(position.next),
            Some(_) => Cursor::at(0),
        };
        // Not to become the terminal of a session: some containers have a terminal in its place.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(device)
            .map_err(|error| explain(device, &error))?;
        let stat = fstat(&file)?;
        let number = (major(stat.st_rdev), minor(stat.st_rdev));
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || number != (1, 11) {
            let why =
                format!("{} is not the log of the kernel, character device 1:11", device.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let fragments = Fragments::default();
        Ok(Self { file, boot, cursor, fragments, buffer: vec![0; BUFFER] })
    }

    /// Hands out what is there and has not been, up to [`MAX_RECORDS`] records; does not wait.
    ///
    /// A fragment is handed out when what follows it is there, or when a call finds nothing at all: so
    /// call this after a wait in vain, too.
    ///
    /// # Errors
    /// When reading fails before anything was read; otherwise the next call tells.
    pub fn read(&mut self, mut record: impl FnMut(&Record<'_>)) -> io::Result<Outcome> {
        let mut outcome = Outcome { more: true, ..Outcome::default() };
        for read in 0..MAX_RECORDS {
            let bytes = match rustix::io::read(&self.file, &mut self.buffer) {
                Ok(length) => &self.buffer[..length],
                Err(Errno::AGAIN) => {
                    self.cursor.end();
                    if read == 0 {
                        self.fragments.hand_out(&mut record);
                    }
                    outcome.more = false;
                    break;
                }
                // Records were overwritten: how many, the sequence of the next one tells.
                Err(Errno::PIPE | Errno::INTR) => continue,
                Err(error) if read == 0 => return Err(error.into()),
                Err(_) => break,
            };
            let Ok(parsed) = parse(bytes) else {
                outcome.damaged += u64::from(self.cursor.pass());
                continue;
            };
            if let Some(lost) = self.cursor.take(parsed.sequence) {
                outcome.lost += lost;
                self.fragments.take(parsed, &mut record);
            }
        }
        Ok(outcome)
    }

    /// Waits until there is something to read, or has been and was overwritten; `false` when the time is
    /// over. A record without a newline is not there until the next one comes: the kernel may add to it.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN | PollFlags::PRI)];
        let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Where to go on; `None` while what was there before the first start is being passed over.
    ///
    /// It belongs to what has been handed out, and is to be kept together with what was made of it.
    pub fn position(&self) -> Option<Position> {
        let next = self.fragments.first().or(self.cursor.next())?;
        Some(Position { boot: self.boot, next })
    }
}

/// Which boot this is.
fn boot_id(procfs: &Path) -> io::Result<[u8; 16]> {
    let path = procfs.join("sys/kernel/random/boot_id");
    let because = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text =
        fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), because(&error)))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16);
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, because(&error));
    Ok(number.map_err(invalid)?.to_be_bytes())
}

/// The error of an open, and the cure.
fn explain(device: &Path, error: &io::Error) -> io::Error {
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ": with kernel.dmesg_restrict=1 it needs CAP_SYSLOG on the host (systemd: \
             AmbientCapabilities=CAP_SYSLOG, and neither ProtectKernelLogs= nor PrivateDevices=)"
        }
        io::ErrorKind::NotFound => {
            ": containers and units with PrivateDevices= have none unless it is given to them \
             (docker: --device /dev/kmsg:/dev/kmsg:r --cap-add SYSLOG)"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("{}: {error}{cure}", device.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "f57f5dc8-fb67-4d3a-b37b-b3c1122edd8f\n";

    /// A procfs with this boot id.
    fn procfs(id: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let random = root.path().join("sys/kernel/random");
        fs::create_dir_all(&random).unwrap();
        fs::write(random.join("boot_id"), id).unwrap();
        root
    }

    #[test]
    fn errors_say_what_to_do() {
        let root = procfs(BOOT);
        let error = |device: &Path, procfs: &Path| Reader::open(device, procfs, None).unwrap_err();
        let missing = error(&root.path().join("kmsg"), root.path());
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("--device"), "{missing}");
        // Neither another device nor a file.
        for other in [Path::new("/dev/null"), &root.path().join("sys/kernel/random/boot_id")] {
            let other = error(other, root.path());
            assert!(other.to_string().contains("is not the log"), "{other}");
        }
        let refused = explain(Path::new("/dev/kmsg"), &Errno::PERM.into());
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(refused.to_string().contains("CAP_SYSLOG"), "{refused}");

        for id in ["", "zz", &format!("{BOOT}{BOOT}")] {
            let error = error(Path::new("/dev/kmsg"), procfs(id).path());
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("boot_id"), "{error}");
        }
        let nowhere = error(Path::new("/dev/kmsg"), Path::new("/nowhere"));
        assert!(nowhere.to_string().contains("/nowhere/sys"), "{nowhere}");
    }

    #[test]
    fn a_position_is_stored_and_found_again() {
        let boot = boot_id(procfs(BOOT).path()).unwrap();
        assert_eq!((boot[0], boot[15]), (0xf5, 0x8f));
        let position = Position { boot, next: u64::MAX };
        let stored = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&stored).unwrap(), position);
    }
}
