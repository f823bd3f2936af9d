//! Which logs there are: those that are named, those that patterns and directories have, and those that are over.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileRunner, ReadFor, SETTLED_NANOS};
use crate::sources::file::clock;
use crate::sources::file::content::{self, FileId};
use crate::sources::file::follower::Follower;
use crate::sources::file::patterns::{directories_of, fixed_part, is_pattern, paths_of};
use crate::sources::file::rotated::{self, Sibling};
use crate::sources::file::trust::Trust;
use crate::sources::sink::Sink;

/// Refused links that are named one by one.
const MAX_NOTES: usize = 20;

/// Logs of one source. More are a mistake in the pattern.
const MAX_LOGS: usize = 10_000;

/// The rotated files in the directories of logs that are new, by directory and log: each directory is listed once.
type Rotated = HashMap<PathBuf, HashMap<OsString, Vec<Sibling>>>;

impl<S: Sink> FileRunner<S> {
    /// Which links the name of a log may be.
    pub(super) fn trust(&self, path: &Path) -> Trust {
        if self.source.files.iter().any(|entry| entry == path) {
            return Trust::Named;
        }
        if self.source.follow_links {
            return Trust::Links;
        }
        let fixed = self.source.files.iter().map(|entry| fixed_part(entry));
        fixed
            .filter(|directory| path.starts_with(directory))
            .max()
            .map_or(Trust::Named, Trust::Below)
    }

    /// Whether files may have come or gone. Listing thousands of them costs more than asking this.
    pub(super) fn directories_changed(&self) -> bool {
        let recursive =
            |path: &PathBuf| path.as_os_str().as_encoded_bytes().windows(2).any(|two| two == b"**");
        self.source.files.iter().any(recursive)
            || self.directories.iter().any(|(path, before)| changed_at(path) != *before)
    }

    /// Follows the logs that are new, and finds those that were renamed to the names of others.
    pub(super) fn scan(&mut self) {
        let mut notes = Vec::new();
        let mut new = BTreeSet::new();
        let before = std::mem::take(&mut self.directories);
        for entry in self.source.files.clone() {
            let found = if is_pattern(&entry) || entry.is_dir() {
                self.matching(&entry, &mut notes)
            } else {
                notes.extend(doubt(&entry));
                if let Some(directory) = entry.parent() {
                    self.expect_in(directory);
                }
                BTreeSet::from([entry])
            };
            new.extend(found.into_iter().filter(|path| !self.followers.contains_key(path)));
        }
        self.read_for = ReadFor::default();
        for (path, follower) in &self.followers {
            self.read_for.add(follower.files(), path);
        }
        let mut added = HashSet::new();
        if !new.is_empty() {
            let names = self.followers.keys().filter_map(|path| std::fs::metadata(path).ok());
            let mut named: HashSet<FileId> = names.map(|meta| content::id(&meta)).collect();
            let mut rotated = Rotated::new();
            for path in new {
                if self.followers.len() >= MAX_LOGS {
                    notes.push(format!("more than {MAX_LOGS} logs; the others are not followed"));
                    break;
                }
                self.follow(&path, &mut named, &mut rotated);
                added.insert(path);
            }
        }
        self.hand_over(&before, &added);
        self.next.notes = notes;
        self.unpublished = true;
    }

    /// New logs may appear in this directory.
    fn expect_in(&mut self, directory: &Path) {
        self.watch.add(directory);
        let settled = changed_at(directory).filter(|changed| {
            (clock::wall_nanos() - changed).unsigned_abs() > SETTLED_NANOS.unsigned_abs()
        });
        self.directories.insert(directory.to_owned(), settled);
    }

    /// Lets go of logs that are over.
    pub(super) fn let_go(&mut self) {
        self.open = self.followers.values().map(Follower::open_files).sum();
        let mut rotated = Rotated::new();
        let over = |(path, follower): (&PathBuf, &mut Follower)| {
            let is_over = follower.is_over()
                && !self.source.files.contains(path)
                // One that has come back since, even if it was rotated meanwhile, is looked at first.
                && !path.exists()
                && !follower.notice_rotated(rotated_files(path, &mut rotated));
            is_over.then(|| path.clone())
        };
        let over: Vec<_> = self.followers.iter_mut().filter_map(over).collect();
        if over.is_empty() {
            return;
        }
        self.unpublished = true;
        for path in over {
            // Nothing of it is open any more.
            self.followers.remove(&path);
            self.failing.remove(&path);
            self.next.files.remove(&path);
            self.changed.insert(path.clone());
            if self.left_at.len() >= MAX_LOGS {
                // Its rotated files of this run might count once more if it came back; nobody has so many names.
                self.left_at.clear();
                self.since = clock::wall_nanos();
            }
            self.left_at.insert(path, clock::wall_nanos());
        }
    }

    /// The logs in a directory, or of a pattern; not their rotated files.
    fn matching(&mut self, entry: &Path, notes: &mut Vec<String>) -> BTreeSet<PathBuf> {
        let pattern = if is_pattern(entry) { entry.to_owned() } else { entry.join("*") };
        for directory in directories_of(&pattern) {
            self.expect_in(&directory);
        }
        let mut found = BTreeSet::new();
        for path in paths_of(&pattern) {
            // `**` finds them in directories that no beginning of the pattern names.
            if let Some(directory) = path.parent()
                && !self.directories.contains_key(directory)
            {
                self.expect_in(directory);
            }
            if self.followers.contains_key(&path) {
                found.insert(path);
                continue;
            }
            let Some(name) = path.file_name() else { continue };
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if rotated::is_compressed(name) || !meta.is_file() {
                continue;
            }
            let is_log = |base: Vec<u8>| {
                let base = path.with_file_name(OsStr::from_bytes(&base));
                self.followers.contains_key(&base) || base.is_file()
            };
            if rotated::bases(name.as_encoded_bytes()).any(is_log) {
                continue;
            }
            if let Err(error) = self.trust(&path).check(&path, content::id(&meta)) {
                if error.kind() == io::ErrorKind::InvalidInput && notes.len() < MAX_NOTES {
                    notes.push(format!("{}: {error}", path.display()));
                }
                continue;
            }
            found.insert(path);
        }
        found
    }

    /// A log that is not followed yet. One of those that are may have been renamed to it.
    fn follow(&mut self, path: &Path, named: &mut HashSet<FileId>, rotated: &mut Rotated) {
        let id = std::fs::metadata(path).ok().map(|meta| content::id(&meta));
        // Two names of one file: its lines count once.
        if id.is_some_and(|id| !named.insert(id)) {
            return;
        }
        // Then it is given to it with all that it was.
        let renamed = id.is_some_and(|id| self.read_for.log_of(id, path).is_some());
        let siblings: &[Sibling] = if renamed { &[] } else { rotated_files(path, rotated) };
        let since = self.left_at.get(path).map_or(self.since, |left| self.since.max(*left));
        let follower =
            Follower::new(path.to_owned(), self.trust(path), !self.started, (siblings, since));
        // The next run is to know what it was before anything is read of it.
        let stream = self.next.files.entry(path.to_owned()).or_default();
        Arc::make_mut(stream).position = follower.state();
        self.changed.insert(path.to_owned());
        self.followers.insert(path.to_owned(), follower);
    }
}

/// The rotated files of a log that is not followed yet.
fn rotated_files<'r>(path: &Path, listed: &'r mut Rotated) -> &'r [Sibling] {
    // A link's are beside the file that it leads to.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else { return &[] };
    if !listed.contains_key(directory) {
        // What cannot be listed has no rotated files that we could read.
        let found = rotated::list_by_log(directory).unwrap_or_default();
        listed.insert(directory.to_owned(), found);
    }
    listed.get(directory).and_then(|by_log| by_log.get(name)).map_or(&[], Vec::as_slice)
}

/// When a directory, or what may be done in it, was last changed, in nanoseconds since 1970.
fn changed_at(directory: &Path) -> Option<i64> {
    let meta = std::fs::metadata(directory).ok()?;
    Some((meta.ctime() * 1_000_000_000 + meta.ctime_nsec()).max(content::modified(&meta)))
}

/// What is to be said of a configured link that others can turn to another file.
fn doubt(path: &Path) -> Option<String> {
    if !std::fs::symlink_metadata(path).ok()?.is_symlink() {
        return None;
    }
    let real = std::fs::canonicalize(path).ok()?;
    let open = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o002 != 0)
    };
    let writable =
        [path.parent()?, real.parent()?].into_iter().find(|directory| open(directory))?;
    Some(format!(
        "{} is a link to {}, and everybody may write to {}: what is read there may be anybody's",
        path.display(),
        real.display(),
        writable.display()
    ))
}
