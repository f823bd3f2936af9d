//! Follows the log under one name, through every file that it ever was.
//!
//! A log is a row of generations: files that were under the name one after the other. The newest is
//! read as it grows; a renamed one is read on until its writer has let go of it; what a truncation took
//! is read from the copy. A generation is found again by device and inode, and recognised by its bytes
//! ([`Place`]), so the row can be taken up by the next run of the exporter under whatever names its
//! files have by then. Reading ([`Follower::look`]) and counting ([`Follower::accept`]) are apart, so
//! that position and counts can be published together.

#[cfg(test)]
mod model;
mod opened;
pub(crate) mod prints;
mod reading;
mod turn;

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::content::{self, Chunk, Content, FileId, Place, modified};
use super::foreign::Foreign;
use super::rotated::Sibling;
use super::trust::Trust;
use crate::sources::lines::Lines;
use crate::sources::losses::{Effects, Lost};
use prints::{Known, Prints};

/// A last line without its end is waited for so long.
const LINE_WAIT: Duration = Duration::from_secs(60);

/// A renamed file is read on until nothing has come for so long.
const LINGER: Duration = Duration::from_secs(3600);

/// The same where it has no name any more, for it takes room on the disk as long as we hold it.
const LINGER_UNLINKED: Duration = Duration::from_secs(60);

/// Renamed files of one log that are read on at one time.
const MAX_LINGERING: usize = 4;

/// A name without a file is no error for so long: that is how rotation goes.
const MISSING_GRACE: Duration = Duration::from_secs(5);

/// So many bytes of a file tell it from every other one. Fewer may be those that a program begins each log with: then
/// its times must fit as well.
const EVIDENCE: u64 = 256;

/// Nobody takes longer from the end of a copy to the truncation of what was copied.
const COPY_NANOS: i64 = 60_000_000_000;

/// Filesystems stamp files with a clock that is late: by up to 10 ms (one tick at HZ=100), or by up to 2 s (FAT).
const TICK_NANOS: i64 = 2_100_000_000;

/// What is to become of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// It is under the name.
    Live,
    /// It was renamed, and may still be written.
    Lingering,
    /// It will not grow: a copy, or compressed.
    Copy,
}

/// What the snapshot keeps of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Which file, and how far it is read.
    pub place: Place,
    /// The line in the middle of which it stands.
    lines: Lines,
    /// What is to become of it.
    role: Role,
    /// It was truncated: its last line goes on in the next generation.
    carries: bool,
    /// Its size when last seen.
    size: u64,
    /// When it was last written, as of then.
    modified: i64,
    /// Nothing but NULs so far: the hole that a writer without `O_APPEND` leaves after truncation.
    hole: bool,
}

/// Refuses a file that is no log of lines.
fn refuse_foreign(head: &[u8]) -> io::Result<()> {
    let refuse = |foreign: Foreign| io::Error::new(io::ErrorKind::InvalidInput, foreign.refusal());
    Foreign::of(head).map(refuse).map_or(Ok(()), Err)
}

impl Kept {
    fn new(place: Place, role: Role) -> Self {
        let hole = place.offset == 0;
        Self { place, lines: Lines::default(), role, carries: false, size: 0, modified: 0, hole }
    }

    /// Bytes that were there and are not read yet.
    pub(crate) fn lag(&self) -> u64 {
        self.size.saturating_sub(self.place.offset)
    }
}

struct Generation {
    kept: Kept,
    content: Option<Content>,
    /// When something last came.
    grew: Instant,
}

/// What the snapshot keeps of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The generations that are not read to their end for good, the oldest first.
    pub generations: Vec<Kept>,
    /// Those that are, and rotated files of before our time.
    prints: Prints,
    /// When something was last read, in nanoseconds since 1970; 0: never.
    read_at: i64,
}

impl State {
    /// When something was last read, in nanoseconds since 1970; 0: never.
    pub(crate) fn read_at(&self) -> i64 {
        self.read_at
    }
}

/// The time of a look, and what else is followed.
pub(crate) struct At<'a> {
    /// By a clock that never goes backwards.
    pub now: Instant,
    /// By the clock that files are stamped with, in nanoseconds since 1970.
    pub wall: i64,
    /// Whether a file is being read for a log of another name: then it is not read for this one.
    pub is_of_another: &'a dyn Fn(FileId) -> bool,
}

/// What a look gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// So many bytes of this generation, to be [accepted](Follower::accept).
    Data(usize, usize),
    /// The row of generations has changed; there may be more.
    Turned,
    /// Nothing new.
    Idle,
}

/// A generation that was under one followed name and is under another.
pub(crate) struct Given(Generation, i64);

/// A log under its name.
pub(crate) struct Follower {
    path: PathBuf,
    /// Which links its name may be.
    trust: Trust,
    /// Where the name leads, if it is a link.
    real: PathBuf,
    generations: Vec<Generation>,
    prints: Prints,
    read_at: i64,
    /// Files were rotated since we began, before anything was read: they come first.
    overtaken: bool,
    /// A file that is there before us is followed from its end.
    from_end: bool,
    /// Since when there has been no file.
    missing: Option<Instant>,
    /// Size and time of the live file when its end was seen, if another size or time tells that it has changed.
    seen: Option<(u64, i64)>,
    /// Time of the directory when nothing was found in it.
    searched: Option<i64>,
    /// The time of this look.
    wall: i64,
}

impl Follower {
    /// A log that has not been followed before: from its end, or from its start. `rotated`: its rotated files;
    /// those that were created after `since` (nanoseconds since 1970) came after we began, and are read as well.
    pub(crate) fn new(
        path: PathBuf,
        trust: Trust,
        from_end: bool,
        (rotated, since): (&[Sibling], i64),
    ) -> Self {
        // One that is not there yet has no lines of before our time.
        let gone =
            std::fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let from_end = from_end && !gone;
        let is_old = |one: &&Sibling| from_end || opened::created(one) <= since;
        let old: Vec<_> = rotated.iter().filter(is_old).cloned().collect();
        Self {
            overtaken: old.len() < rotated.len(),
            from_end,
            ..Self::with(path, trust, Prints::of(&old))
        }
    }

    fn with(path: PathBuf, trust: Trust, prints: Prints) -> Self {
        Self {
            real: path.clone(),
            path,
            trust,
            generations: Vec::new(),
            prints,
            read_at: 0,
            overtaken: false,
            from_end: false,
            missing: None,
            seen: None,
            searched: None,
            wall: 0,
        }
    }

    /// A log that an earlier run has followed.
    pub(crate) fn resume(path: PathBuf, trust: Trust, state: State) -> Self {
        let now = Instant::now();
        let generation = |kept| Generation { kept, content: None, grew: now };
        let mut follower = Self::with(path, trust, state.prints);
        follower.generations = state.generations.into_iter().map(generation).collect();
        follower.read_at = state.read_at;
        follower
    }

    /// What the snapshot keeps.
    pub(crate) fn state(&self) -> State {
        let generations =
            self.generations.iter().map(|generation| generation.kept.clone()).collect();
        State { generations, prints: self.prints.clone(), read_at: self.read_at }
    }

    /// Files that are open.
    pub(crate) fn open_files(&self) -> usize {
        self.generations.iter().filter(|generation| generation.content.is_some()).count()
    }

    /// The files that are being read.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileId> {
        self.generations.iter().map(|one| one.kept.place.id)
    }

    /// Gives away the generation that is this file, for it is under another followed name now.
    pub(crate) fn give(&mut self, id: FileId) -> Option<Given> {
        let nth = self.generations.iter().position(|one| one.kept.place.id == id)?;
        self.seen = None;
        Some(Given(self.generations.remove(nth), self.read_at))
    }

    /// Takes the generation that another name gave away: it is under this one now.
    pub(crate) fn take(&mut self, Given(mut generation, read_at): Given) {
        for one in self.generations.iter_mut().filter(|one| one.kept.role == Role::Live) {
            // Where it went is found out when it is looked for.
            if one.content.is_some() {
                one.kept.role = Role::Lingering;
            }
        }
        generation.kept.role = Role::Live;
        self.generations.push(generation);
        self.read_at = self.read_at.max(read_at);
        (self.from_end, self.missing, self.seen) = (false, None, None);
    }

    /// Whether there is nothing left to read, and no file under the name.
    pub(crate) fn is_over(&self) -> bool {
        self.missing.is_some() && self.generations.is_empty()
    }

    /// Whether there are rotated files that are not known, which the next look is to read.
    pub(crate) fn notice_rotated(&mut self, siblings: &[Sibling]) -> bool {
        // One that goes meanwhile is not there any more.
        let is_unread =
            |one: &Sibling| self.prints.know(one).is_ok_and(|known| known != Known::Yes);
        let unread = siblings.iter().any(is_unread);
        self.overtaken |= unread;
        unread
    }

    /// Closes the live file, to open it again when it changes: there are more files than descriptors.
    pub(crate) fn park(&mut self) {
        for generation in &mut self.generations {
            if generation.kept.role == Role::Live {
                generation.content = None;
            }
        }
    }

    /// Looks for something new. What it reads is in `buffer`, for [`accept`](Self::accept); what else
    /// happened is in `effects`.
    ///
    /// # Errors
    /// Those of opening and reading; the next look tries again.
    pub(crate) fn look(
        &mut self,
        at: &At<'_>,
        buffer: &mut [u8],
        effects: &mut Effects,
    ) -> io::Result<Look> {
        let now = at.now;
        self.wall = at.wall;
        let there = match std::fs::metadata(&self.path) {
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let parked =
            self.generations.iter().any(|one| one.kept.role == Role::Live && one.content.is_none());
        let stamp = there.as_ref().map(|meta| (meta.len(), modified(meta)));
        self.reopen_reborn(there.as_ref());
        let same = |one: &Generation| {
            one.kept.role == Role::Live
                && there.as_ref().is_some_and(|meta| content::id(meta) == one.kept.place.id)
        };
        let unchanged =
            self.seen.is_some() && self.seen == stamp && self.generations.last().is_some_and(same);
        if self.lost_one() && !(parked && unchanged) {
            self.turn(at, effects)?;
            return Ok(Look::Turned);
        }
        for nth in 0..self.generations.len() {
            let live = self.generations[nth].kept.role == Role::Live;
            if live && unchanged {
                self.wait_no_longer(nth, now, effects);
                continue;
            }
            let chunk = match self.read(nth, now, buffer) {
                Err(error)
                    if !self.generations[nth].content.as_ref().is_some_and(Content::grows) =>
                {
                    let path = self.path.display();
                    let after = self.generations[nth].kept.place.offset;
                    tracing::warn!(%path, %error, after, "a compressed rotated file of the log cannot be \
                        read on; what is in it after this byte is lost");
                    self.finish(nth, effects);
                    return Ok(Look::Turned);
                }
                chunk => chunk?,
            };
            // Of a file that nothing is known of yet, the bytes do not tell that it was truncated.
            if live
                && self.generations[nth].kept.place.offset == 0
                && matches!(chunk, Some(Chunk::Data(_) | Chunk::End))
                && self.add_overtaken(nth, at, effects)?
            {
                return Ok(Look::Turned);
            }
            match chunk {
                Some(Chunk::Data(count)) => {
                    let is_there = same(&self.generations[nth]);
                    return self.take_text(nth, &buffer[..count], is_there, effects);
                }
                Some(Chunk::Truncated) => {
                    self.generations[nth].content = None;
                    self.turn(at, effects)?;
                    return Ok(Look::Turned);
                }
                Some(Chunk::End) if self.ended(nth, now, effects) => return Ok(Look::Turned),
                Some(Chunk::End) | None => {}
            }
        }
        let live = self.generations.last().is_some_and(same);
        if live {
            self.missing = None;
            // A file that was written just now can be written or truncated again without its time changing.
            self.seen = stamp.filter(|(_, modified)| self.wall - modified > TICK_NANOS);
            return Ok(Look::Idle);
        }
        self.seen = None;
        let has_live = self.generations.last().is_some_and(|one| one.kept.role == Role::Live);
        if there.is_some() || has_live {
            self.turn(at, effects)?;
            return Ok(Look::Turned);
        }
        // A file may have come and been rotated since.
        let unread = std::mem::take(&mut self.overtaken);
        let was_there = !self.generations.is_empty() || (self.read_at == 0 && !self.from_end);
        if unread || (was_there && self.directory_changed()) {
            let before = self.generations.len();
            self.turn(at, effects)?;
            if self.generations.len() != before {
                return Ok(Look::Turned);
            }
        }
        let since = *self.missing.get_or_insert(now);
        let known = !self.generations.is_empty() && now.duration_since(since) < MISSING_GRACE;
        // A log that a pattern found may go away.
        if known || self.trust != Trust::Named {
            Ok(Look::Idle)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// What was read, if it is text: the start of a file tells. `is_there`: it is under the name.
    fn take_text(
        &mut self,
        nth: usize,
        data: &[u8],
        is_there: bool,
        effects: &mut Effects,
    ) -> io::Result<Look> {
        let kept = &self.generations[nth].kept;
        if kept.place.offset > 0 || Foreign::of(data).is_none() {
            return Ok(Look::Data(nth, data.len()));
        }
        if is_there {
            refuse_foreign(data)?;
        }
        let (path, bytes) = (self.path.display(), kept.size);
        tracing::warn!(%path, bytes, "a rotated file of the log is no text of lines; what is in it is lost");
        effects.lost(Lost::Unreadable, bytes);
        self.finish(nth, effects);
        Ok(Look::Turned)
    }

    /// Takes in what [`look`](Self::look) read, and hands out its lines.
    pub(crate) fn accept(
        &mut self,
        (nth, count): (usize, usize),
        buffer: &[u8],
        effects: &mut Effects,
        line: impl FnMut(&[u8]),
    ) {
        let kept = &mut self.generations[nth].kept;
        let known = kept.place.known();
        let mut data = &buffer[known..known + count];
        if kept.hole {
            let nulls = data.iter().take_while(|&&byte| byte == 0).count();
            effects.lost(Lost::Hole, nulls as u64);
            data = &data[nulls..];
            kept.hole = data.is_empty();
        }
        effects.lost(Lost::Cut, kept.lines.take(data, line));
        kept.place.advance(&buffer[..known + count]);
        kept.size = kept.size.max(kept.place.offset);
        self.read_at = self.wall;
    }

    /// Whether a generation has no file.
    fn lost_one(&self) -> bool {
        self.generations.iter().any(|one| one.content.is_none())
    }

    /// overlayfs copies a file up when it is first written: the inode stays, the time of birth changes, and older
    /// kernels show the old descriptor the old bytes for ever.
    fn reopen_reborn(&mut self, there: Option<&Metadata>) {
        let Some(id) = there.map(content::id) else { return };
        let live = |one: &&mut Generation| one.kept.role == Role::Live;
        if let Some(one) = self.generations.iter_mut().find(live)
            && one.kept.place.id.is_reborn(&id)
            && one.content.is_some()
        {
            one.content = None;
            self.seen = None;
        }
    }

    /// Whether the directory has changed since this was asked; the time of a change that is no older
    /// than a tick of the clock says nothing yet.
    fn directory_changed(&mut self) -> bool {
        let meta = self.real.parent().and_then(|directory| std::fs::metadata(directory).ok());
        let time = meta.as_ref().map(modified);
        let changed = time != self.searched;
        self.searched = time.filter(|time| self.wall - time > TICK_NANOS);
        changed
    }
}
