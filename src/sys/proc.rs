//! Listing `/proc` and reading the files of a process, as cheaply as the kernel allows.
//!
//! `procfs` 0.18 keeps an open directory per process and formats a path for each file; opening
//! `PID/FILE` from one directory handle takes a third off a scan of 10,000 processes.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, fstat, open, openat, statat};
use rustix::io::{Errno, Result, read};

/// No `/proc/PID` file that we read comes near; a process in 65,536 groups has 800 KiB of `status`.
const MAX_BYTES: usize = 2 << 20;

/// A procfs mount, or a directory of fixtures in its shape.
pub(crate) struct Proc {
    dir: OwnedFd,
}

/// A stat of `/proc/PID/task`.
pub(crate) struct TaskDir {
    /// Changes when the pid is reused.
    pub inode: u64,
    /// Tasks of the thread group; `None` where the filesystem does not count links of directories.
    pub threads: Option<u32>,
}

impl Proc {
    /// Opens the mount point.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: open(path, flags, Mode::empty())? })
    }

    /// Whether it is the kernel's, and not a directory in its shape.
    pub(crate) fn is_procfs(&self) -> bool {
        rustix::fs::fstatfs(&self.dir).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC)
    }

    /// The pids listed now, that is those of thread group leaders.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        let mut pids = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        rustix::fs::seek(&self.dir, rustix::fs::SeekFrom::Start(0))?;
        let mut entries = RawDir::new(&self.dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    /// Opens `FILE` (such as `1/ns/user`).
    pub(crate) fn open_file(&self, file: &str) -> Result<OwnedFd> {
        openat(&self.dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Reads `FILE` (such as `1/status`) into `buffer` and returns its inode number, which stays the
    /// same while the process lives and its directory entry is cached, and is not given out again.
    ///
    /// # Errors
    /// ENOENT and ESRCH when the process is gone, EACCES and EPERM when it may not be read.
    pub(crate) fn read(&self, file: &str, buffer: &mut Vec<u8>) -> Result<u64> {
        let file = self.open_file(file)?;
        let inode = fstat(&file)?.st_ino;
        buffer.clear();
        loop {
            let filled = buffer.len();
            buffer.resize(filled + 4096, 0);
            let count = match read(&file, &mut buffer[filled..]) {
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error),
                // The kernel renders these files at once: a short read is the end.
                Ok(count) if count < 4096 || filled + count >= MAX_BYTES => {
                    buffer.truncate(filled + count);
                    return Ok(inode);
                }
                Ok(count) => count,
            };
            buffer.truncate(filled + count);
        }
    }

    /// Threads of a process for a sixth of what reading `status` costs: `/proc/PID/task` has a link
    /// for each, besides the usual two of a directory (`proc_task_getattr` in `fs/proc/base.c`).
    pub(crate) fn task_dir(&self, pid: u32) -> Result<TaskDir> {
        let stat = statat(&self.dir, format!("{pid}/task"), AtFlags::empty())?;
        let threads = u32::try_from(stat.st_nlink).ok().filter(|&links| links > 2);
        Ok(TaskDir { inode: stat.st_ino, threads: threads.map(|links| links - 2) })
    }
}

/// Whether the error says that the process ended meanwhile.
pub(crate) fn gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

/// Whether the error says that we may not read the process (hidepid, a security module).
pub(crate) fn refused(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_listed_and_read() {
        let proc = Proc::open(Path::new("/proc")).unwrap();
        let pid = std::process::id();
        assert!(proc.pids().unwrap().contains(&pid));
        let mut buffer = Vec::new();
        let inode = proc.read(&format!("{pid}/status"), &mut buffer).unwrap();
        assert!(buffer.starts_with(b"Name:\t"));
        assert_eq!(proc.read(&format!("{pid}/status"), &mut buffer).unwrap(), inode);
        let listed = std::fs::read_dir("/proc/self/task").unwrap().count();
        let counted = proc.task_dir(pid).unwrap().threads.unwrap();
        // Other tests start and end threads meanwhile.
        assert!(counted.abs_diff(u32::try_from(listed).unwrap()) < 32);
    }

    #[test]
    fn long_files_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 4095, 4096, 4097, 8192, 100_000] {
            std::fs::write(dir.path().join("file"), vec![b'x'; length]).unwrap();
            let mut buffer = Vec::new();
            Proc::open(dir.path()).unwrap().read("file", &mut buffer).unwrap();
            assert_eq!(buffer.len(), length);
        }
    }

    #[test]
    fn missing_is_gone() {
        let proc = Proc::open(Path::new("/proc")).unwrap();
        assert!(gone(proc.read("4194305/status", &mut Vec::new()).unwrap_err()));
    }
}
