//! Wake-ups: by inotify where it works, and by the clock in any case.
//!
//! inotify is a help and never relied on: it is silent on network filesystems and for writes through
//! memory maps, its watches run out and its queue overflows. So everything is looked at again within a
//! second, whatever it says; with it, a rotation is seen at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Between two rounds, so that a storm of lines is read in large pieces.
const BATCH: Duration = Duration::from_millis(20);

/// What happened since the last wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Files that were written, created, renamed or removed.
    pub paths: BTreeSet<PathBuf>,
    /// Files came or went.
    pub names: bool,
}

/// Directories that are watched.
pub(crate) struct Watch {
    inotify: Option<OwnedFd>,
    directories: BTreeMap<i32, PathBuf>,
    watched: HashSet<PathBuf>,
}

impl Watch {
    /// Nothing yet; without inotify it only sleeps.
    pub(crate) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|error| tracing::debug!(%error, "no inotify, logs are polled"));
        Self { inotify: inotify.ok(), directories: BTreeMap::new(), watched: HashSet::new() }
    }

    /// Watches a directory; one that cannot be watched is polled like the others.
    pub(crate) fn add(&mut self, directory: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if self.watched.contains(directory) {
            return;
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, directory, flags) {
            Ok(watch) => {
                self.directories.insert(watch, directory.to_owned());
                self.watched.insert(directory.to_owned());
            }
            Err(error) => {
                let directory = directory.display();
                tracing::debug!(%directory, %error, "cannot be watched, is polled");
            }
        }
    }

    /// Waits until something happens, at the longest until `until`.
    pub(crate) fn wait(&mut self, until: Instant) -> Woken {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        std::thread::sleep(BATCH.min(left(until)));
        let mut woken = Woken::default();
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(left(until));
            return woken;
        };
        let left = left(until);
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
            tv_nsec: left.subsec_nanos().into(),
        };
        // An interrupted wait is a short one.
        let _ = poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&timeout));
        let mut gone = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let flags = event.events();
                    woken.names |= !flags.difference(ReadFlags::MODIFY).is_empty();
                    if flags.contains(ReadFlags::IGNORED) {
                        gone.push(event.wd());
                    }
                    if let Some(directory) = self.directories.get(&event.wd())
                        && let Some(name) = event.file_name()
                    {
                        woken.paths.insert(directory.join(OsStr::from_bytes(name.to_bytes())));
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        // A directory that went away may come again, and is watched again then.
        for watch in gone {
            self.directories.remove(&watch).map(|directory| self.watched.remove(&directory));
        }
        woken
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_wakes_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = Watch::new();
        watch.add(dir.path());
        watch.add(Path::new("/nonexistent"));
        std::fs::write(dir.path().join("log"), "x").unwrap();
        let woken = watch.wait(Instant::now() + Duration::from_secs(60));
        assert!(woken.names && woken.paths.contains(&dir.path().join("log")));
        let started = Instant::now();
        assert_eq!(watch.wait(started + Duration::from_millis(100)), Woken::default());
        assert!(started.elapsed() >= Duration::from_millis(100));
    }
}
