//! The thread of a source: which logs there are, when to look at them, and what is published.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::content::{self, FileId, SPAN, nanos};
use super::counts::{Counter, Counts, File, Form, Published, Shared};
use super::effects::{Effects, Rotation};
use super::follower::{Follower, Look};
use super::header;
use super::rotated;
use super::watch::Watch;
use super::{RETRY, RETRY_MAX, lock};
use crate::config::{Format, Source};
use crate::supervised;

/// How patterns are meant: `*` stays within a directory, and hidden files are not logs.
const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Everything is looked at this often, whether or not inotify says something.
const SWEEP: Duration = Duration::from_millis(500);

/// Bytes read at one time, so that what is published never lies far behind what is read.
const CHUNK: usize = 128 * 1024;

/// Pieces of one log that are read before the others have their turn.
const TURN: usize = 16;

/// So few logs are looked at together when it is not clear which was written.
const FEW: usize = 64;

/// A log that turns more often than that at one look is no log, and has to wait for the next.
const TURNS: usize = 12;

/// Logs of one source. More are a mistake in the pattern.
const MAX_LOGS: usize = 10_000;

/// A source's thread.
pub struct Reader {
    source: Source,
    followers: HashMap<PathBuf, Follower>,
    /// When to try again what failed, and after what time the next time.
    failing: HashMap<PathBuf, (Instant, Duration)>,
    watch: Watch,
    /// When each directory that logs may appear in was last changed, as of the last scan.
    directories: BTreeMap<PathBuf, Option<(i64, i64)>>,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
    published: Arc<Mutex<Published>>,
    /// Files that may be open at one time.
    descriptors: usize,
    /// Files that are open.
    open: usize,
    started: bool,
    /// The time that audit events are waited for is counted from here.
    born: Instant,
}

/// Files of the logs that are followed.
#[derive(Default)]
struct Owners {
    /// Under a followed name now.
    named: HashSet<FileId>,
    /// Being read, by the name that they are read for.
    read: HashMap<FileId, PathBuf>,
}

impl Reader {
    /// Takes up the logs that were followed, and finds the others. `known`: those that an earlier run
    /// did not know are new, and read from their start.
    pub fn new(
        source: Source,
        known: bool,
        published: Arc<Mutex<Published>>,
        shared: Arc<Shared>,
        descriptors: usize,
    ) -> Self {
        let mut reader = Self {
            source,
            followers: HashMap::new(),
            failing: HashMap::new(),
            watch: Watch::new(),
            directories: BTreeMap::new(),
            buffer: vec![0; SPAN + CHUNK],
            shared,
            published,
            descriptors,
            open: 0,
            started: known,
            born: Instant::now(),
        };
        let files = lock(&reader.published).files.clone();
        for (path, file) in files {
            let within = reader.within(&path);
            reader.followers.insert(path.clone(), Follower::resume(path, within, file.state));
        }
        reader.scan();
        reader.started = true;
        // Where each stands is known from now on. What is behind is read when we serve.
        for path in reader.followers.keys().cloned().collect::<Vec<_>>() {
            reader.look(&path);
        }
        reader
    }

    /// Follows for ever.
    pub fn run(mut self) {
        let mut sweep = Instant::now();
        // Logs of which there is more to read than their turn.
        let mut busy = HashSet::new();
        loop {
            let until = if busy.is_empty() { sweep } else { Instant::now() };
            let woken = self.watch.wait(until);
            let all = Instant::now() >= sweep;
            if woken.names || (all && self.directories_changed()) {
                self.scan();
            }
            let others = !woken.paths.iter().all(|path| self.followers.contains_key(path));
            if all {
                sweep = Instant::now() + SWEEP;
                lock(&self.published).looked = Some(Instant::now());
                self.let_go();
                busy.extend(self.followers.keys().cloned());
            } else if others && self.followers.len() <= FEW {
                // Perhaps the other end of a link.
                busy.extend(self.followers.keys().cloned());
            } else {
                busy.extend(woken.paths);
            }
            busy.retain(|path| self.take_turn(path));
        }
    }

    /// The directory in which a log of a pattern must be; `None` for one that is named itself.
    fn within(&self, path: &Path) -> Option<PathBuf> {
        let entries = self.source.files.iter().filter(|entry| *entry != path);
        entries.filter_map(|entry| fixed_part(entry)).find(|directory| path.starts_with(directory))
    }

    /// Whether files may have come or gone. Listing thousands of them costs more than asking this.
    fn directories_changed(&self) -> bool {
        let recursive =
            |path: &PathBuf| path.as_os_str().as_encoded_bytes().windows(2).any(|two| two == b"**");
        self.source.files.iter().any(recursive)
            || self.directories.iter().any(|(path, before)| changed_at(path) != *before)
    }

    /// Follows the logs that are new.
    fn scan(&mut self) {
        let mut notes = Vec::new();
        let mut owners = None;
        self.directories.clear();
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
            for path in found {
                if self.followers.contains_key(&path) {
                    continue;
                }
                if self.followers.len() >= MAX_LOGS {
                    notes.push(format!("more than {MAX_LOGS} logs; the others are not followed"));
                    break;
                }
                let owners = owners.get_or_insert_with(|| self.owners());
                self.follow(path, owners);
            }
        }
        lock(&self.published).notes = notes;
    }

    /// Which log has which files: those under a followed name, and those that were renamed from there.
    fn owners(&self) -> Owners {
        let mut owners = Owners::default();
        for (path, follower) in &self.followers {
            if let Ok(meta) = std::fs::metadata(path) {
                owners.named.insert(content::id(&meta));
            }
            owners.read.extend(follower.files().map(|id| (id, path.clone())));
        }
        owners
    }

    /// New logs may appear in this directory.
    fn expect_in(&mut self, directory: &Path) {
        self.watch.add(directory);
        self.directories.insert(directory.to_owned(), changed_at(directory));
    }

    /// Lets go of logs that are over.
    fn let_go(&mut self) {
        self.open = self.followers.values().map(Follower::open_files).sum();
        let over = |(path, follower): (&PathBuf, &Follower)| {
            (follower.is_over() && !self.source.files.contains(path)).then(|| path.clone())
        };
        let over: Vec<_> = self.followers.iter().filter_map(over).collect();
        if over.is_empty() {
            return;
        }
        let mut published = lock(&self.published);
        for path in over {
            // Nothing of it is open any more.
            self.followers.remove(&path);
            self.failing.remove(&path);
            published.files.remove(&path);
        }
    }

    /// The logs in a directory, or of a pattern; not their rotated files.
    fn matching(&mut self, entry: &Path, notes: &mut Vec<String>) -> BTreeSet<PathBuf> {
        let pattern = if is_pattern(entry) { entry.to_owned() } else { entry.join("*") };
        let Some(pattern) = pattern.to_str() else { return BTreeSet::new() };
        let Ok(paths) = glob::glob_with(pattern, GLOB) else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        let home = fixed_part(entry);
        let mut directories = BTreeSet::from_iter(home.clone());
        for path in paths.filter_map(Result::ok) {
            directories.extend(path.parent().map(Path::to_owned));
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
            let below = |home| content::lies_below(&path, home, content::id(&meta));
            if home.as_deref().is_some_and(|home| !below(home).unwrap_or(false)) {
                notes.push(format!(
                    "{} is a link out of its directory and not followed; name its file in the \
                     configuration if it is meant",
                    path.display()
                ));
                continue;
            }
            found.insert(path);
        }
        for directory in directories {
            self.expect_in(&directory);
        }
        found
    }

    /// A log that is not followed yet. One of those that are may have been renamed to it.
    fn follow(&mut self, path: PathBuf, owners: &mut Owners) {
        let id = std::fs::metadata(&path).ok().map(|meta| content::id(&meta));
        // Two names of one file: its lines count once.
        if id.is_some_and(|id| !owners.named.insert(id)) {
            return;
        }
        let given = id.and_then(|id| {
            let owner = self.followers.get_mut(owners.read.get(&id)?)?;
            let state = owner.give(id)?;
            Some((owner.path().to_owned(), owner.state(), state))
        });
        let follower = match given {
            Some((from, left, state)) => {
                let mut effects = Effects::default();
                effects.rotated(Rotation::Rename);
                let mut published = lock(&self.published);
                if let Some(file) = published.files.get_mut(&from) {
                    file.state = left;
                }
                published.counts.sums.add(&effects.sums);
                Follower::resume(path.clone(), self.within(&path), state)
            }
            None => Follower::new(path.clone(), self.within(&path), !self.started),
        };
        self.followers.insert(path, follower);
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

    /// Looks at a log once and publishes; `None` where it fails.
    fn look(&mut self, path: &Path) -> Option<Look> {
        let follower = self.followers.get_mut(path)?;
        let now = Instant::now();
        if self.failing.get(path).is_some_and(|(until, _)| now < *until) {
            return None;
        }
        let mut effects = Effects::default();
        let open = follower.open_files();
        let look = follower.look(now, &mut self.buffer, &mut effects);
        let form = match self.source.format {
            Format::Syslog => Form::Text(header::parse),
            Format::Plain => Form::Text(header::plain),
            Format::Audit => Form::Audit(millis_since(self.born)),
        };
        let counter = Counter::new(&self.shared, form);
        // Counted on copies and published together: should counting panic, what is published holds. Copied
        // only where it may change: there may be thousands.
        let mut published = lock(&self.published);
        let file = match published.files.get(path) {
            Some(file) => file,
            None => published.files.entry(path.to_owned()).or_default(),
        };
        let eventful = matches!(look, Ok(Look::Data(..))) || effects != Effects::default();
        let counting = eventful || file.joiner.is_some();
        let idle = !counting && matches!(look, Ok(Look::Idle)) && file.error.is_none();
        let mut file = if idle { File::default() } else { file.clone() };
        let mut counts = if counting { published.counts.clone() } else { Counts::default() };
        drop(published);
        if let Ok(Look::Data(nth, count)) = look {
            counts.bytes += count as u64;
            let line = |line: &[u8]| counter.count(line, &mut file, &mut counts);
            follower.accept((nth, count), &self.buffer, &mut effects, line);
        }
        counts.sums.add(&effects.sums);
        for line in &effects.lines {
            counter.count(line, &mut file, &mut counts);
        }
        counter.expire(&mut file.joiner, &mut counts);
        if !matches!(look, Ok(Look::Idle)) || effects != Effects::default() || file.error.is_some()
        {
            file.state = follower.state();
        }
        file.error = look.as_ref().err().map(ToString::to_string);
        supervised::panic_if_asked("source");
        let mut published = lock(&self.published);
        // One that is missing since the last run may yet be found under another name.
        published.looked = Some(Instant::now());
        published.read |= look.is_ok() && follower.open_files() > 0;
        if !idle {
            published.files.insert(path.to_owned(), file);
        }
        if counting {
            published.counts = counts;
        }
        drop(published);
        self.open = self.open + follower.open_files() - open;
        if self.open > self.descriptors && matches!(look, Ok(Look::Idle)) {
            let open = follower.open_files();
            follower.park();
            self.open = self.open + follower.open_files() - open;
        }
        self.note_failure(path, look.as_ref().err(), now);
        look.ok()
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

/// Milliseconds since then.
pub fn millis_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// When a directory, or what may be done in it, was last changed.
fn changed_at(directory: &Path) -> Option<(i64, i64)> {
    let meta = std::fs::metadata(directory).ok()?;
    // One that has just changed may change again without another time.
    let time = (meta.ctime(), meta.ctime_nsec());
    let recent = nanos(SystemTime::now()) - (time.0 * 1_000_000_000 + time.1) < 20_000_000;
    if recent { Some((0, nanos(SystemTime::now()))) } else { Some(time) }
}

/// Whether a path is one of the source's: by its name, a pattern or its directory.
pub fn covers(source: &Source, path: &Path) -> bool {
    source.files.iter().any(|file| {
        file == path
            || path.parent() == Some(file)
            || file
                .to_str()
                .and_then(|text| glob::Pattern::new(text).ok())
                .is_some_and(|pattern| pattern.matches_path_with(path, GLOB))
    })
}

/// Whether an entry of the configuration is a pattern.
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The directory above the first pattern, in which new directories may appear.
fn fixed_part(pattern: &Path) -> Option<PathBuf> {
    let fixed: PathBuf =
        pattern.components().take_while(|part| !is_pattern(part.as_ref())).collect();
    fixed.is_dir().then_some(fixed)
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
