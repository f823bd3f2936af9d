//! The thread of a source: which logs there are, when to look at them, and what is published.

mod handover;
#[cfg(test)]
mod model;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::clock;
use super::content::{self, FileId, SPAN, is_same_file};
use super::follower::{At, Follower, Look};
use super::patterns::{directories_of, fixed_part, is_pattern, paths_of};
use super::rotated::{self, Sibling};
use super::trust::Trust;
use super::watch::Watch;
use crate::config::Source;
use crate::live::lock;
use crate::sources::losses::Effects;
use crate::sources::published::{PublishedTo, Shared};
use crate::sources::sink::{Batch as _, Carry as _, Message, Sink};
use crate::sources::{RETRY, RETRY_MAX};
use crate::supervised;

/// Everything is looked at this often, whether or not inotify says something.
const SWEEP: Duration = Duration::from_millis(500);

/// Bytes read at one time, so that what is published never lies far behind what is read.
const CHUNK: usize = 128 * 1024;

/// What was read is published this often at most: it costs more than to read a line.
const PUBLISH: Duration = Duration::from_millis(100);

/// Pieces of one log that are read before the others have their turn.
const TURN: usize = 16;

/// So few logs are looked at together when it is not clear which was written.
const FEW: usize = 64;

/// A log that turns more often than that at one look is no log, and has to wait for the next.
const TURNS: usize = 12;

/// Refused links that are named one by one.
const MAX_NOTES: usize = 20;

/// Logs of one source. More are a mistake in the pattern.
const MAX_LOGS: usize = 10_000;

/// Reads the logs of a source that are files, counts their lines, and publishes both together.
pub(crate) struct FileRunner<S: Sink> {
    source: Source,
    sink: Arc<S>,
    followers: HashMap<PathBuf, Follower>,
    /// When to try again what failed, and after what time the next time.
    failing: HashMap<PathBuf, (Instant, Duration)>,
    watch: Watch,
    /// When each directory that logs may appear in was last changed, as of the last scan.
    directories: BTreeMap<PathBuf, Option<i64>>,
    /// Which log each file is being read for.
    read_for: ReadFor,
    /// When logs that were let go of were last looked at, in nanoseconds since 1970.
    left_at: HashMap<PathBuf, i64>,
    /// Since when logs that are not known are new, likewise: since this run began, or the last ended.
    since: i64,
    buffer: Vec<u8>,
    published: Shared<S>,
    /// What is going to be published. After a panic the thread begins with what is.
    next: PublishedTo<S>,
    /// Logs whose position differs from what is published.
    changed: BTreeSet<PathBuf>,
    /// When something was last published, and whether there is something since.
    published_at: Instant,
    unpublished: bool,
    /// Files that may be open at one time.
    descriptors: usize,
    /// Files that are open.
    open: usize,
    /// A file was renamed from one followed name to another since the last scan.
    renamed: bool,
    started: bool,
}

/// The rotated files in the directories of logs that are new, by directory and log: each directory is listed once.
type Rotated = HashMap<PathBuf, HashMap<OsString, Vec<Sibling>>>;

/// Which log each file is being read for, and when the file was created: its inode may have been given out again.
#[derive(Default)]
struct ReadFor(HashMap<FileId, (FileId, PathBuf)>);

impl ReadFor {
    /// Notes that these files are being read for this log.
    fn add(&mut self, files: impl IntoIterator<Item = FileId>, log: &Path) {
        self.0.extend(files.into_iter().map(|id| (id, (id, log.to_owned()))));
    }

    /// The log that a file, which is under this path or beside it, is being read for.
    fn log_of(&self, id: FileId, path: &Path) -> Option<&Path> {
        let (read, log) = self.0.get(&id)?;
        is_same_file(read, &id, path).then_some(log.as_path())
    }
}

/// A directory whose time is younger than that may change again without its time changing (FAT keeps 2 s).
const SETTLED_NANOS: i64 = 2_100_000_000;

impl<S: Sink> FileRunner<S> {
    /// Takes up the logs that were followed, and finds the others. `known`: those that an earlier run
    /// did not know are new, and read from their start.
    pub(crate) fn new(
        source: Source,
        known: bool,
        published: Shared<S>,
        sink: Arc<S>,
        descriptors: usize,
    ) -> Self {
        let next = lock(&published).clone();
        let mut reader = Self {
            source,
            sink,
            followers: HashMap::new(),
            failing: HashMap::new(),
            watch: Watch::new(),
            directories: BTreeMap::new(),
            read_for: ReadFor::default(),
            left_at: HashMap::new(),
            since: clock::wall_nanos(),
            buffer: vec![0; SPAN + CHUNK],
            published,
            next,
            changed: BTreeSet::new(),
            published_at: Instant::now(),
            unpublished: false,
            descriptors,
            open: 0,
            renamed: false,
            started: known,
        };
        let files = reader.next.files.clone();
        // What an earlier run did not know came after it had last read something.
        let read = files.values().map(|stream| stream.position.read_at()).max();
        if let Some(read) = read.filter(|&read| known && read > 0) {
            reader.since = read - SETTLED_NANOS;
        }
        for (path, stream) in files {
            let (trust, position) = (reader.trust(&path), stream.position.clone());
            reader.followers.insert(path.clone(), Follower::resume(path, trust, position));
        }
        reader.scan();
        reader.started = true;
        // Where each stands is known from now on. What is behind is read when we serve.
        for path in reader.followers.keys().cloned().collect::<Vec<_>>() {
            reader.look(&path);
        }
        reader.publish();
        reader
    }

    /// Follows for ever.
    pub(crate) fn run(mut self) {
        let mut sweep = Instant::now();
        // Logs of which there is more to read than their turn.
        let mut busy = HashSet::new();
        loop {
            let until = match (busy.is_empty(), self.unpublished) {
                (false, _) => Instant::now(),
                (true, true) => sweep.min(self.published_at + PUBLISH),
                (true, false) => sweep,
            };
            let woken = self.watch.wait(until);
            let all = Instant::now() >= sweep;
            if woken.names || (all && self.directories_changed()) {
                self.scan();
            }
            let others = !woken.paths.iter().all(|path| self.followers.contains_key(path));
            if all {
                sweep = Instant::now() + SWEEP;
                self.next.looked = Some(Instant::now());
                self.let_go();
                busy.extend(self.followers.keys().cloned());
            } else if others && self.followers.len() <= FEW {
                // Perhaps the other end of a link.
                busy.extend(self.followers.keys().cloned());
            } else {
                busy.extend(woken.paths);
            }
            busy.retain(|path| {
                let more = self.take_turn(path);
                self.publish_if_due();
                more
            });
            self.publish_if_due();
            supervised::hold_if_asked(|| self.publish());
        }
    }

    /// Publishes what was not, unless something was a moment ago.
    fn publish_if_due(&mut self) {
        if self.unpublished && self.published_at.elapsed() >= PUBLISH {
            self.publish();
        }
    }

    /// Swaps what others see for what was read and counted since, position and counts at once.
    fn publish(&mut self) {
        let mut published = lock(&self.published);
        for path in std::mem::take(&mut self.changed) {
            match self.next.files.get(&path) {
                Some(stream) => drop(published.files.insert(path, Arc::clone(stream))),
                None => drop(published.files.remove(&path)),
            }
        }
        published.counts.clone_from(&self.next.counts);
        published.notes.clone_from(&self.next.notes);
        published.read = self.next.read;
        published.looked = self.next.looked;
        drop(published);
        (self.published_at, self.unpublished) = (Instant::now(), false);
    }

    /// Which links the name of a log may be.
    fn trust(&self, path: &Path) -> Trust {
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
    fn directories_changed(&self) -> bool {
        let recursive =
            |path: &PathBuf| path.as_os_str().as_encoded_bytes().windows(2).any(|two| two == b"**");
        self.source.files.iter().any(recursive)
            || self.directories.iter().any(|(path, before)| changed_at(path) != *before)
    }

    /// Follows the logs that are new, and finds those that were renamed to the names of others.
    fn scan(&mut self) {
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
    fn let_go(&mut self) {
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

    /// Looks at a log until there is nothing new, or the others have their turn; whether there is more.
    fn take_turn(&mut self, path: &Path) -> bool {
        let mut turned = 0;
        (0..TURN).all(|_| match self.look(path) {
            Some(Look::Data(..)) => true,
            Some(Look::Turned) => {
                turned += 1;
                turned < TURNS
            }
            Some(Look::Idle) | None => false,
        })
    }

    /// Looks at a log and publishes; `None` where it fails.
    fn look(&mut self, path: &Path) -> Option<Look> {
        let look = self.look_once(path);
        if look.is_none() && self.renamed {
            self.scan();
            return self.look_once(path);
        }
        look
    }

    fn look_once(&mut self, path: &Path) -> Option<Look> {
        let follower = self.followers.get_mut(path)?;
        let now = clock::monotonic();
        if self.failing.get(path).is_some_and(|(until, _)| now < *until) {
            return None;
        }
        let mut effects = Effects::default();
        let open = follower.open_files();
        let read_for = &self.read_for;
        let is_of_another = |id| read_for.log_of(id, path).is_some_and(|owner| owner != path);
        let at = At { now, wall: clock::wall_nanos(), is_of_another: &is_of_another };
        let look = follower.look(&at, &mut self.buffer, &mut effects);
        self.renamed |=
            look.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy);
        // One that is missing since the last run may yet be found under another name.
        self.next.looked = Some(Instant::now());
        self.unpublished = true;
        self.next.read |= look.is_ok() && follower.open_files() > 0;
        let known = self.next.files.get(path);
        let waits = known.is_some_and(|stream| stream.error.is_some() || stream.carry.waits());
        if !matches!(look, Ok(Look::Idle)) || effects != Effects::default() || waits {
            let read_at = SystemTime::now();
            let batch = self.sink.begin_batch(read_at);
            let counts = &mut self.next.counts;
            let stream = Arc::make_mut(self.next.files.entry(path.to_owned()).or_default());
            let mut count = |line: &[u8]| {
                counts.read.add_line(read_at);
                batch.count(Message::Line(line), &mut stream.carry, counts);
            };
            if let Ok(Look::Data(nth, length)) = look {
                follower.accept((nth, length), &self.buffer, &mut effects, &mut count);
            }
            effects.lines.iter().for_each(|line| count(line));
            if let Ok(Look::Data(_, length)) = look {
                counts.read.bytes += length as u64;
            }
            counts.read.sums.add(&effects.sums);
            if !matches!(look, Ok(Look::Data(..) | Look::Turned)) {
                batch.expire(&mut stream.carry, counts);
            }
            stream.position = follower.state();
            stream.error = look.as_ref().err().map(ToString::to_string);
            self.changed.insert(path.to_owned());
        }
        supervised::panic_if_asked("source");
        self.open = self.open + follower.open_files() - open;
        if self.open > self.descriptors && matches!(look, Ok(Look::Idle)) {
            let open = follower.open_files();
            follower.park();
            self.open = self.open + follower.open_files() - open;
        }
        self.note_failure(path, look.as_ref().err(), now);
        if matches!(look, Ok(Look::Turned)) {
            self.note_files(path);
        }
        look.ok()
    }

    /// Which files are being read for this log has changed.
    fn note_files(&mut self, path: &Path) {
        // What it reads no more is forgotten at the next scan: to look for it among thousands costs too much here.
        let files = self.followers.get(path).into_iter().flat_map(Follower::files);
        self.read_for.add(files, path);
    }

    /// Errors of the disk are tried again ever more seldom; a file that is missing, not readable yet or no
    /// log costs nothing to ask for.
    fn note_failure(&mut self, path: &Path, error: Option<&io::Error>, now: Instant) {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        match error {
            Some(error) if !matches!(error.kind(), InvalidInput | NotFound | PermissionDenied) => {
                let wait =
                    self.failing.get(path).map_or(RETRY, |(_, wait)| (*wait * 2).min(RETRY_MAX));
                self.failing.insert(path.to_owned(), (now + wait, wait));
            }
            _ => {
                self.failing.remove(path);
            }
        }
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
