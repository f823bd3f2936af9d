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
mod turn;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::content::{self, Chunk, Content, FileId, Place, modified, nanos};
use super::effects::{Effects, Lost};
use super::lines::Lines;

/// A last line without its end is waited for so long.
const LINE_WAIT: Duration = Duration::from_secs(60);

/// A renamed file is read on until nothing has come for so long.
const LINGER: Duration = Duration::from_secs(3600);

/// The same where it has no name any more, for it takes room on the disk as long as we hold it.
const LINGER_UNLINKED: Duration = Duration::from_secs(60);

/// Renamed files of one log that are read on at one time.
const MAX_LINGERING: usize = 4;

/// Finished generations that are remembered, so that their rotated files are not taken for new ones.
const MAX_DONE: usize = 4;

/// A name without a file is no error for so long: that is how rotation goes.
const MISSING_GRACE: Duration = Duration::from_secs(5);

/// So much of a file must be known to take another one with the same bytes for it.
const EVIDENCE: u64 = 256;

/// Nobody takes longer from the end of a copy to the truncation of what was copied.
const COPY_NANOS: i64 = 60_000_000_000;

/// The kernel stamps files with a clock that is up to one tick (10 ms at HZ=100) late.
const TICK_NANOS: i64 = 20_000_000;

/// What is to become of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It is under the name.
    Live,
    /// It was renamed, and may still be written.
    Lingering,
    /// It will not grow: a copy, or compressed.
    Copy,
    /// It is read. It is kept to be recognised.
    Done,
}

/// What the snapshot keeps of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
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
    /// Nothing but NULs so far: the hole that a writer without `O_APPEND` leaves after truncation.
    hole: bool,
}

impl Kept {
    fn new(place: Place, role: Role) -> Self {
        let hole = place.offset == 0;
        Self { place, lines: Lines::default(), role, carries: false, size: 0, hole }
    }

    /// Bytes that were there and are not read yet.
    pub fn lag(&self) -> u64 {
        if self.role == Role::Done { 0 } else { self.size.saturating_sub(self.place.offset) }
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
pub struct State {
    /// The generations, the oldest first.
    pub generations: Vec<Kept>,
    /// When something was last read, in nanoseconds since 1970; 0: never.
    read_at: i64,
}

/// What a look gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// So many bytes of this generation, to be [accepted](Follower::accept).
    Data(usize, usize),
    /// The row of generations has changed; there may be more.
    Turned,
    /// Nothing new.
    Idle,
}

/// A log under its name.
pub struct Follower {
    path: PathBuf,
    /// A log that a pattern found may go away, and must lie below this directory.
    within: Option<PathBuf>,
    /// Where the name leads, if it is a link.
    real: PathBuf,
    generations: Vec<Generation>,
    read_at: i64,
    /// A file that is there before us is followed from its end.
    from_end: bool,
    /// Since when there has been no file.
    missing: Option<Instant>,
    /// Size and time of the live file when its end was seen.
    seen: Option<(u64, i64)>,
    /// Time of the directory when nothing was found in it.
    searched: Option<i64>,
}

impl Follower {
    /// A log that has not been followed before: from its end, or from its start.
    pub fn new(path: PathBuf, within: Option<PathBuf>, from_end: bool) -> Self {
        // One that is not there yet has no lines of before our time.
        let gone =
            std::fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let from_end = from_end && !gone;
        Self {
            real: path.clone(),
            path,
            within,
            generations: Vec::new(),
            read_at: 0,
            from_end,
            missing: None,
            seen: None,
            searched: None,
        }
    }

    /// A log that an earlier run has followed.
    pub fn resume(path: PathBuf, within: Option<PathBuf>, state: State) -> Self {
        let now = Instant::now();
        let generation = |kept| Generation { kept, content: None, grew: now };
        let mut follower = Self::new(path, within, false);
        follower.generations = state.generations.into_iter().map(generation).collect();
        follower.read_at = state.read_at;
        follower
    }

    /// The name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the snapshot keeps.
    pub fn state(&self) -> State {
        let generations =
            self.generations.iter().map(|generation| generation.kept.clone()).collect();
        State { generations, read_at: self.read_at }
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.generations.iter().filter(|generation| generation.content.is_some()).count()
    }

    /// The files that are being read.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        let read = self.generations.iter().filter(|one| one.kept.role != Role::Done);
        read.map(|one| one.kept.place.id)
    }

    /// Gives away the generation that is this file, for it is under another followed name now.
    pub fn give(&mut self, id: FileId) -> Option<State> {
        let nth = self
            .generations
            .iter()
            .position(|one| one.kept.role != Role::Done && one.kept.place.id == id)?;
        let kept = self.generations.remove(nth).kept;
        Some(State { generations: vec![kept], read_at: self.read_at })
    }

    /// Whether there is nothing left to read, and no file under the name.
    pub fn is_over(&self) -> bool {
        self.missing.is_some() && self.generations.iter().all(|one| one.kept.role == Role::Done)
    }

    /// Closes the live file, to open it again when it changes: there are more files than descriptors.
    pub fn park(&mut self) {
        for generation in &mut self.generations {
            if generation.kept.role == Role::Live && self.seen.is_some() {
                generation.content = None;
            }
        }
    }

    /// Looks for something new. What it reads is in `buffer`, for [`accept`](Self::accept); what else
    /// happened is in `effects`.
    ///
    /// # Errors
    /// Those of opening and reading; the next look tries again.
    pub fn look(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        effects: &mut Effects,
    ) -> io::Result<Look> {
        let there = match std::fs::metadata(&self.path) {
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let parked =
            self.generations.iter().any(|one| one.kept.role == Role::Live && one.content.is_none());
        let stamp = there.as_ref().map(|meta| (meta.len(), modified(meta)));
        let same = |one: &Generation| {
            one.kept.role == Role::Live
                && there.as_ref().is_some_and(|meta| content::id(meta) == one.kept.place.id)
        };
        let unchanged =
            self.seen.is_some() && self.seen == stamp && self.generations.last().is_some_and(same);
        if self.lost_one() && !(parked && unchanged) {
            self.turn(now, effects)?;
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
                && self.overtaken(nth, now, effects)?
            {
                return Ok(Look::Turned);
            }
            match chunk {
                Some(Chunk::Data(count)) => return Ok(Look::Data(nth, count)),
                Some(Chunk::Truncated) => {
                    self.generations[nth].content = None;
                    self.turn(now, effects)?;
                    return Ok(Look::Turned);
                }
                Some(Chunk::End) if self.ended(nth, now, effects) => return Ok(Look::Turned),
                Some(Chunk::End) | None => {}
            }
        }
        let live = self.generations.last().is_some_and(same);
        if live {
            self.missing = None;
            self.seen = stamp;
            return Ok(Look::Idle);
        }
        self.seen = None;
        let has_live = self.generations.last().is_some_and(|one| one.kept.role == Role::Live);
        if there.is_some() || has_live {
            self.turn(now, effects)?;
            return Ok(Look::Turned);
        }
        // A file may have come and been rotated since.
        if !self.generations.is_empty() && self.directory_changed() {
            let before = self.generations.len();
            self.turn(now, effects)?;
            if self.generations.len() != before {
                return Ok(Look::Turned);
            }
        }
        let since = *self.missing.get_or_insert(now);
        let known = !self.generations.is_empty() && now.duration_since(since) < MISSING_GRACE;
        if known || self.within.is_some() {
            Ok(Look::Idle)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Takes in what [`look`](Self::look) read, and hands out its lines.
    pub fn accept(
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
        self.read_at = nanos(SystemTime::now());
    }

    /// Whether a generation that is not finished has no file.
    fn lost_one(&self) -> bool {
        self.generations.iter().any(|one| one.content.is_none() && one.kept.role != Role::Done)
    }

    /// Whether the directory has changed since this was asked; the time of a change that is no older
    /// than a tick of the clock says nothing yet.
    fn directory_changed(&mut self) -> bool {
        let meta = self.real.parent().and_then(|directory| std::fs::metadata(directory).ok());
        let time = meta.as_ref().map(modified);
        let changed = time != self.searched;
        self.searched = time.filter(|time| nanos(SystemTime::now()) - time > TICK_NANOS);
        changed
    }

    fn read(&mut self, nth: usize, now: Instant, buffer: &mut [u8]) -> io::Result<Option<Chunk>> {
        let generation = &mut self.generations[nth];
        let Some(content) = &mut generation.content else { return Ok(None) };
        let size = content.size();
        let chunk = content.read(&generation.kept.place, buffer)?;
        // After a truncation it is the size of what came then.
        if let Some((size, _)) = size.filter(|_| chunk != Chunk::Truncated) {
            generation.kept.size = size;
        }
        if matches!(chunk, Chunk::Data(_)) {
            generation.grew = now;
        }
        Ok(Some(chunk))
    }

    /// A generation is read to its end: whether that finished it.
    fn ended(&mut self, nth: usize, now: Instant, effects: &mut Effects) -> bool {
        let lingering = self.generations.iter().skip(nth + 1);
        let newer = lingering.filter(|one| one.kept.role == Role::Lingering).count();
        let generation = &mut self.generations[nth];
        let quiet = now.duration_since(generation.grew);
        let linger = match generation.content.as_ref().and_then(Content::size) {
            Some((_, 0)) => LINGER_UNLINKED,
            _ => LINGER,
        };
        let over = match generation.kept.role {
            Role::Live | Role::Done => false,
            Role::Copy => true,
            Role::Lingering => quiet >= linger || newer >= MAX_LINGERING,
        };
        if over {
            self.finish(nth, effects);
        } else {
            self.wait_no_longer(nth, now, effects);
        }
        over
    }

    fn wait_no_longer(&mut self, nth: usize, now: Instant, effects: &mut Effects) {
        let generation = &mut self.generations[nth];
        if now.duration_since(generation.grew) >= LINE_WAIT {
            generation.kept.lines.hand_out(|line| effects.lines.push(line.to_vec()));
        }
    }

    /// Nothing more is read of this generation.
    fn finish(&mut self, nth: usize, effects: &mut Effects) {
        let generation = &mut self.generations[nth];
        generation.content = None;
        generation.kept.role = Role::Done;
        let mut lines = std::mem::take(&mut generation.kept.lines);
        // In an empty one a line that was carried into it has not gone on.
        let carries =
            std::mem::take(&mut generation.kept.carries) || generation.kept.place.offset == 0;
        let next = self.generations[nth + 1..].iter_mut().find(|one| one.kept.role != Role::Done);
        match next {
            Some(next) if carries && next.kept.place.offset == 0 => {
                if lines != Lines::default() {
                    next.kept.lines = lines;
                }
            }
            _ => lines.hand_out(|line| effects.lines.push(line.to_vec())),
        }
    }
}
