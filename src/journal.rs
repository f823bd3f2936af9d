//! The journal of systemd-journald, read from its files without its library: all files of some directories
//! as one stream of entries.
//!
//! [`mod@format`] has the structures of a journal file, [`compress`] the beginning of a compressed field,
//! [`bytes`] the reading by pieces, without mapping; [`mod@file`] goes through one file entry by entry,
//! [`directory`] sees them come and go, [`fields`] is what is kept of an entry, and [`position`] knows which
//! were handed out and how many were lost.

mod bytes;
mod compress;
mod directory;
pub(crate) mod export;
mod fields;
mod file;
mod format;
mod position;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::log_line::header::Line;
pub(crate) use directory::has_files;
use directory::{Directory, Found, Listing};
pub(crate) use fields::Entry;
use fields::Fields;
use file::{JournalFile, Next};
use format::{EntryHead, Refusal};
pub use position::Position;
use position::{Began, Origin, Verdict};

/// How long an entry that has to be there is waited for, before it counts as lost.
const GRACE: Duration = Duration::from_secs(2);
/// How often directories are looked through though they have not changed.
const RESCAN: Duration = Duration::from_secs(30);
/// Files that are open at once: those that are written, and those that are not read to their end.
const MAX_OPEN: usize = 512;
/// Directories that are looked through: those that are named, and those of machines in them.
const MAX_DIRECTORIES: usize = 512;
/// What an entry costs of what may be read at once, besides its message.
const OVERHEAD: usize = 128;

/// What one call of [`Reader::read`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Entries that were handed out.
    pub entries: u64,
    /// Entries that were written and cannot be read: deleted before, damaged, or in files we may not read.
    pub lost: u64,
    /// There is more to read at once.
    pub more: bool,
    /// Something is missing and waited for; ask again within a second.
    pub waiting: bool,
}

struct Open {
    path: PathBuf,
    directory: usize,
    id: (u64, u64),
    file: JournalFile,
    /// journald has closed it, or it is deleted: nothing is added to it.
    finished: bool,
    /// It was looked at since it is finished.
    settled: bool,
    /// Since when its next entry cannot be read.
    stuck: Option<Instant>,
    /// What is left when it was given up to wait is not waited for.
    given_up: bool,
}

/// Entries that could not be read and are counted: a gap in the numbers will be of them.
struct Counted {
    chain: u128,
    directory: usize,
    entries: u64,
}

/// Follows the journals of some directories.
///
/// They are read without journald's help and without its library. Nothing here blocks, and the caller
/// asks again as often as is useful; a call that finds nothing new costs a system call for each file that
/// is being written.
pub struct Reader {
    directories: Vec<Directory>,
    position: Position,
    open: Vec<Open>,
    /// Files that are read to their end and not written any more, by what they were.
    done: HashMap<PathBuf, (u64, u64)>,
    /// Files that cannot be read.
    refused: HashMap<PathBuf, String>,
    /// What is there at the first look was there before us.
    skip: bool,
    /// Nothing was looked at yet.
    first: bool,
    scanned: Option<Instant>,
    /// Since when an entry is waited for.
    gap: Option<Instant>,
    counted: Vec<Counted>,
    fields: Fields,
}

impl Reader {
    /// Follows these directories as `journalctl -D` does: the files in them, and in their directories that are
    /// named by a machine (`/var/log/journal` has `<machine id>` and `<machine id>.<namespace>`), whenever
    /// these appear. Those of one journald (in `/var` and in `/run`) have the same name.
    ///
    /// Goes on at `position`. Without one, begins with the entries that come from now on, or with all
    /// that are there if `from_start`.
    pub fn new(directories: Vec<PathBuf>, position: Option<Position>, from_start: bool) -> Self {
        let skip = position.is_none() && !from_start;
        let (realtime, monotonic, boot) = directory::now();
        let began = Began { realtime, monotonic, boot, from_start };
        Self {
            directories: directories.into_iter().map(Directory::new).collect(),
            position: position.unwrap_or_else(|| Position::begin(began)),
            open: Vec::new(),
            done: HashMap::new(),
            refused: HashMap::new(),
            skip,
            first: true,
            scanned: None,
            gap: None,
            counted: Vec::new(),
            fields: Fields::default(),
        }
    }

    /// How far it has read, for the next start.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Files and directories that cannot be read, with the reason. What is missing of a file that can be
    /// read elsewise is in [`Outcome::lost`].
    pub fn unreadable(&self) -> impl Iterator<Item = (&Path, &str)> {
        let directories =
            self.directories.iter().filter_map(|one| Some((&*one.path, one.refused.as_deref()?)));
        self.refused.iter().map(|(path, why)| (&**path, &**why)).chain(directories)
    }

    /// The directories that were named, and whether each is there.
    pub fn places(&self) -> impl Iterator<Item = (&Path, bool)> {
        let named = self.directories.iter().filter(|one| !one.is_within());
        named.map(|one| (&*one.path, one.path.exists()))
    }

    /// Whether there is any file that can be read.
    pub fn has_files(&self) -> bool {
        !self.open.is_empty() || !self.done.is_empty()
    }

    /// Hands out entries, in the order they were written, until there are none or about `max_bytes` are read.
    pub fn read(
        &mut self,
        max_bytes: usize,
        now: Instant,
        mut entry: impl FnMut(&Entry<'_>),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let due = self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= RESCAN);
        self.look(due, now);
        let (mut left, mut looked) = (max_bytes, due);
        while let Some((at, head)) = self.first(now, &mut outcome) {
            if left == 0 {
                outcome.more = true;
                break;
            }
            let (directory, chain) = (self.open[at].directory, self.open[at].file.header.chain);
            let origin = self.directories[directory].origin(chain);
            let verdict = self.position.judge(origin, &head);
            if let Verdict::New(missing) = verdict {
                let counted = self.counted(origin).min(missing);
                if missing > counted {
                    // Perhaps they are there by now: files are looked at one after the other.
                    if !looked {
                        looked = true;
                        self.look(true, now);
                        continue;
                    }
                    let since = *self.gap.get_or_insert(now);
                    if is_recent(&head) && now.saturating_duration_since(since) < GRACE {
                        outcome.waiting = true;
                        break;
                    }
                }
                outcome.lost += missing - counted;
                self.gap = None;
            }
            looked = false;
            left = left.saturating_sub(OVERHEAD);
            self.position.advance(origin, &head, verdict);
            if let Verdict::New(missing) = verdict {
                self.settle(directory, chain, missing);
                let file = &mut self.open[at].file;
                if file.fields(&head, &mut self.fields) {
                    let read = self.fields.entry(&head);
                    left = left.saturating_sub(read.message.len());
                    outcome.entries += 1;
                    entry(&read);
                } else {
                    outcome.lost += 1;
                }
            }
            self.open[at].file.pass();
        }
        self.close();
        outcome
    }

    /// Looks which files there are and whether entries came.
    fn look(&mut self, always: bool, now: Instant) {
        if always {
            self.scanned = Some(now);
        }
        // What is found meanwhile is looked through as well.
        let mut at = 0;
        while at < self.directories.len() {
            if let Some(Listing { files, machines }) = self.directories[at].look(always) {
                self.add_machines(at, machines);
                self.scan(at, files);
            }
            at += 1;
        }
        if std::mem::take(&mut self.first) {
            self.find_histories();
        }
        self.skip = false;
        for one in self.open.iter_mut().filter(|one| !one.settled) {
            one.settled = one.finished;
            if let Err(why) = one.file.refresh() {
                self.refused.insert(one.path.clone(), why.to_string());
                (one.finished, one.settled) = (true, true);
            }
        }
    }

    /// Directories of machines that were not known.
    fn add_machines(&mut self, within: usize, machines: Vec<PathBuf>) {
        for path in machines {
            if self.directories.iter().any(|one| one.path == path) {
                continue;
            }
            if self.directories.len() >= MAX_DIRECTORIES {
                let why = format!("more than {MAX_DIRECTORIES} directories of machines");
                self.directories[within].refused = Some(why);
                return;
            }
            let mut found = Directory::within(path);
            found.history = self.directories.iter().any(|one| found.is_late_place_of(one));
            self.directories.push(found);
        }
    }

    /// After the first look: which directories have a history that could not be taken as read by it.
    fn find_histories(&mut self) {
        for one in &mut self.directories {
            one.early = one.path.exists();
            let is_closed = |file: &PathBuf| file.parent() == Some(&one.path);
            one.history = one.refused.is_some() || self.refused.keys().any(is_closed);
        }
        for at in 0..self.directories.len() {
            let one = &self.directories[at];
            let late = self.directories.iter().any(|other| one.is_late_place_of(other));
            self.directories[at].history |= late;
        }
    }

    /// What a directory has now.
    fn scan(&mut self, directory: usize, found: Vec<Found>) {
        let path = self.directories[directory].path.clone();
        self.refused.retain(|file, _| file.parent() != Some(&path));
        self.done.retain(|file, _| {
            file.parent() != Some(&path) || found.iter().any(|found| found.path == *file)
        });
        for one in self.open.iter_mut().filter(|one| one.directory == directory) {
            match found.iter().find(|found| found.id == one.id) {
                Some(found) => {
                    one.finished |= found.finished;
                    one.path.clone_from(&found.path);
                }
                // Deleted or moved away; what it has can be read for as long as it is open.
                None => one.finished = true,
            }
        }
        for found in found {
            let known = self.open.iter().any(|one| one.id == found.id)
                || self.done.get(&found.path) == Some(&found.id);
            if known {
                continue;
            }
            match self.open(directory, &found) {
                Err(Refusal::Empty) => self.directories[directory].again = true,
                Err(why) => drop(self.refused.insert(found.path, why.to_string())),
                Ok(()) => {}
            }
        }
    }

    fn open(&mut self, directory: usize, found: &Found) -> Result<(), Refusal> {
        if self.open.len() >= MAX_OPEN {
            return Err(Refusal::Io(std::io::Error::other("too many journal files to read")));
        }
        let Some(file) = directory::open(found)? else { return Ok(()) };
        let mut file = JournalFile::open(file)?;
        let chain = file.header.chain;
        if self.skip {
            self.position.take_as_read(self.directories[directory].origin(chain), &file.header);
        }
        if let Some(last) = self.position.last(chain) {
            file.seek(last);
        }
        let finished = found.finished || file.header.archived;
        if finished && file.left() == 0 {
            self.done.insert(found.path.clone(), found.id);
            return Ok(());
        }
        self.open.push(Open {
            path: found.path.clone(),
            directory,
            id: found.id,
            file,
            finished,
            settled: false,
            stuck: None,
            given_up: false,
        });
        Ok(())
    }

    /// The file whose next entry was written before those of all others.
    fn first(&mut self, now: Instant, outcome: &mut Outcome) -> Option<(usize, EntryHead)> {
        let mut first: Option<(usize, EntryHead, u128)> = None;
        for (at, one) in self.open.iter_mut().enumerate() {
            let (head, unreadable) = one.next(now, &mut outcome.waiting);
            let chain = one.file.header.chain;
            if unreadable > 0 {
                outcome.lost += unreadable;
                self.counted.push(Counted { chain, directory: one.directory, entries: unreadable });
            }
            let Some(head) = head else { continue };
            if first.is_none_or(|(_, than, of)| is_earlier(&head, &than, chain == of)) {
                first = Some((at, head, chain));
            }
        }
        first.map(|(at, head, _)| (at, head))
    }

    /// How many of the missing entries are those that could not be read.
    fn counted(&self, origin: Origin<'_>) -> u64 {
        let of = |one: &&Counted| self.directories[one.directory].is_of(origin.journald);
        self.counted.iter().filter(of).map(|one| one.entries).sum()
    }

    /// The gap is here: they are not expected any longer.
    fn settle(&mut self, directory: usize, chain: u128, mut missing: u64) {
        // Those of this chain came before its entry, found missing or not.
        for one in self.counted.iter_mut().filter(|one| one.chain == chain) {
            missing = missing.saturating_sub(std::mem::take(&mut one.entries));
        }
        let journald = self.directories[directory].origin(chain).journald;
        for one in &mut self.counted {
            if self.directories[one.directory].is_of(journald) {
                let here = missing.min(one.entries);
                (one.entries, missing) = (one.entries - here, missing - here);
            }
        }
        self.counted.retain(|one| one.entries > 0);
    }

    /// Closes files that are read to their end and not written any more.
    fn close(&mut self) {
        let done = &mut self.done;
        self.open.retain(|one| {
            let keep = !one.settled || one.file.left() > 0;
            if !keep && !self.refused.contains_key(&one.path) {
                done.insert(one.path.clone(), one.id);
            }
            keep
        });
    }
}

impl Open {
    /// Its next entry, and how many before that cannot be read.
    fn next(&mut self, now: Instant, waiting: &mut bool) -> (Option<EntryHead>, u64) {
        let mut unreadable = 0;
        loop {
            match self.file.peek() {
                Next::Entry(head) => {
                    self.stuck = None;
                    return (Some(head), unreadable);
                }
                Next::End => {
                    (self.stuck, self.given_up) = (None, false);
                    return (None, unreadable);
                }
                Next::Unreadable => {
                    let since = *self.stuck.get_or_insert(now);
                    self.given_up |= self.settled || now.saturating_duration_since(since) >= GRACE;
                    if !self.given_up {
                        *waiting = true;
                        return (None, unreadable);
                    }
                    unreadable += self.file.pass_unreadable();
                }
            }
        }
    }
}

/// Whether what was written before this entry may not be seen yet: files are renamed while we look.
fn is_recent(head: &EntryHead) -> bool {
    let (_, monotonic, boot) = directory::now();
    head.boot == boot && Duration::from_micros(monotonic.saturating_sub(head.monotonic)) < GRACE
}

/// Whether the entry was written before the other: numbers rise within a chain, and journald's own time
/// within a boot.
fn is_earlier(entry: &EntryHead, other: &EntryHead, same_chain: bool) -> bool {
    if same_chain {
        entry.seqnum < other.seqnum
    } else if entry.boot == other.boot {
        (entry.monotonic, entry.seqnum) < (other.monotonic, other.seqnum)
    } else {
        (entry.realtime, entry.seqnum) < (other.realtime, other.seqnum)
    }
}

/// The lines of an entry's message, each as from a log file; `whole` has what the entry says.
pub(crate) fn lines<'a>(
    whole: Line<'a>,
    transport: Option<&[u8]>,
) -> impl Iterator<Item = Line<'a>> {
    // An entry without a host's name is no line without a header either.
    let host = if whole.host.is_empty() { b"-" } else { whole.host };
    // Anybody may call themselves kernel; journald knows who is.
    let kernel = transport.is_none_or(|transport| transport == b"kernel");
    let program = whole.program.filter(|name| kernel || *name != b"kernel");
    let text = whole.message.strip_suffix(b"\n").unwrap_or(whole.message);
    let line = move |message| Line { host, program, message, ..whole };
    text.split(|&byte| byte == b'\n').map(line)
}
