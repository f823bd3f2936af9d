//! The thread of a source: which logs there are, when to look at them, and what is published.

mod handover;
#[cfg(test)]
mod model;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::clock;
use super::content::{FileId, SPAN, is_same_file};
use super::follower::{At, Follower, Look};
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
