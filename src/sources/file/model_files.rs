//! The files of a model: its clock, the times that they have by it, and what its filesystem does with inodes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

use super::content::stamps;

/// When a model begins: after every time that the filesystem itself gives.
pub(super) const START: i64 = 1_900_000_000_000_000_000;

const MILLI: i64 = 1_000_000;

/// Resolutions of a filesystem's times, in nanoseconds.
pub(super) fn ticks() -> impl Strategy<Value = i64> {
    prop_oneof![Just(MILLI), Just(4 * MILLI), Just(1000 * MILLI), Just(2000 * MILLI)]
}

/// How long a step may take, in nanoseconds.
pub(super) fn paces() -> impl Strategy<Value = i64> {
    prop_oneof![Just(10_000), Just(MILLI), Just(30 * MILLI), Just(700 * MILLI)]
}

/// As many schedules as `PROPTEST_CASES` says, of the seed `PROPTEST_RNG_SEED`.
pub(super) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: setting("PROPTEST_CASES").unwrap_or(200),
        // The same each time, so that a change is judged by itself; the long form tries others.
        // A seed means another schedule as soon as the model can do something more.
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(setting("PROPTEST_RNG_SEED").unwrap_or(1)),
        ..ProptestConfig::default()
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// A directory with its files.
pub(super) struct Files {
    pub(super) dir: TempDir,
    /// Nanoseconds since 1970.
    pub(super) wall: i64,
    /// Resolution of its times, in nanoseconds.
    pub(super) tick: i64,
    /// Inodes are given out again, if the filesystem of the temporary directory does that.
    recycles: bool,
    /// Files without a name whose inode must not be given out again.
    held: Vec<File>,
}

impl Files {
    /// An empty directory. `copies_up`: on overlayfs.
    pub(super) fn new(tick: i64, recycles: bool, copies_up: bool) -> Self {
        stamps::clear();
        stamps::set_copies_up(copies_up);
        let dir = tempfile::tempdir().unwrap();
        Self { dir, wall: START, tick, recycles, held: Vec::new() }
    }

    /// How long the model has gone.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.wall - START).unwrap())
    }

    /// The time as the filesystem keeps it.
    pub(super) fn stamp(&self) -> i64 {
        self.wall - self.wall % self.tick
    }

    /// A file was created. An inode is not given out twice within one tick, for nobody could tell.
    pub(super) fn stamp_new(&mut self, path: &Path) {
        let inode = fs::metadata(path).unwrap().ino();
        if stamps::of(inode).is_some_and(|(born, _)| born == self.stamp()) {
            self.wall += self.tick;
        }
        stamps::set(inode, (self.stamp(), self.stamp()));
        self.stamp_directory();
    }

    /// A file was written.
    pub(super) fn stamp_written(&self, inode: u64) {
        let (born, _) = stamps::of(inode).unwrap();
        stamps::set(inode, (born, self.stamp()));
    }

    /// Names have changed.
    fn stamp_directory(&self) {
        stamps::set(fs::metadata(self.dir.path()).unwrap().ino(), (0, self.stamp()));
    }

    /// Opens a file for appending, and makes it if it is not there.
    pub(super) fn open(&mut self, path: &Path) -> File {
        let is_new = !path.exists();
        let file = File::options().append(true).create(true).open(path).unwrap();
        if is_new {
            self.stamp_new(path);
        }
        file
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
        self.stamp_directory();
    }

    /// Two files get each other's name.
    pub(super) fn exchange(&self, one: &Path, other: &Path) {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
        self.stamp_directory();
    }

    /// A file is about to lose its last name.
    pub(super) fn hold_inode(&mut self, path: &Path) {
        if !self.recycles {
            self.held.push(File::open(path).unwrap());
        }
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.hold_inode(path);
        fs::remove_file(path).unwrap();
        self.stamp_directory();
    }
}
