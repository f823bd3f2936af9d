//! Opening what others have named or may have put there, so that neither the open nor a read waits for somebody or
//! has an effect of its own.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FsWord, OFlags, PROC_SUPER_MAGIC, fstatfs};

/// `SYSFS_MAGIC` of `include/uapi/linux/magic.h`.
const SYSFS_MAGIC: FsWord = 0x6265_6572;

/// Opens whatever there is for reading. It neither waits for the writer of a FIFO nor takes a terminal as that of our
/// session: some containers have a terminal in place of a device.
///
/// # Errors
/// Those of the system.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Opens a regular file for reading; links are followed.
///
/// # Errors
/// Those of the system; a directory, FIFO, device, or file of procfs or sysfs is `InvalidInput`.
pub(crate) fn open_regular_file(path: &Path) -> io::Result<(File, Metadata)> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // Looked at first: opening a device can have effects of its own.
    if !std::fs::metadata(path)?.is_file() {
        return refuse("not a regular file");
    }
    let file = open_without_waiting(path)?;
    // And again: it may be another one by now.
    let meta = file.metadata()?;
    if !meta.is_file() {
        return refuse("not a regular file");
    }
    // Files of procfs look regular, have no size, and some lose what is read from them.
    let magic = fstatfs(&file)?.f_type;
    if magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC {
        return refuse("not a log but a kernel's file");
    }
    Ok((file, meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("log"), "x").unwrap();
        std::os::unix::fs::symlink(path("log"), path("link")).unwrap();
        std::os::unix::fs::symlink(path("link"), path("link2")).unwrap();
        for name in ["log", "link", "link2"] {
            let (_, meta) = open_regular_file(&path(name)).unwrap();
            assert_eq!(meta.len(), 1, "{name}");
        }
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, mode, 0).unwrap();
        std::os::unix::fs::symlink(path("fifo"), path("link_to_fifo")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["fifo", "link_to_fifo", "socket", ".", "/dev/null", "/proc/self/status"] {
            let error = open_regular_file(&path(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(open_regular_file(&path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        // With a FIFO in the place of a file that was just looked at, the open does not wait.
        assert!(open_without_waiting(&path("fifo")).is_ok());
    }
}
