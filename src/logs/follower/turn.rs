//! When the file under the name is another one: which files are the generations now, and which are new.

use std::fs::File;
use std::io;
use std::time::{Instant, SystemTime};

use super::super::content::{self, Content, FileId, Place, nanos};
use super::super::effects::{Effects, Lost, Rotation};
use super::super::lines::{Lines, MAX_LINE};
use super::super::rotated::{self, Sibling};
use super::opened::{created, holds, is_being_copied, look_into, overrun, replaced};
use super::{COPY_NANOS, EVIDENCE, Follower, Generation, Kept, MAX_DONE, Role, TICK_NANOS};

/// The open file under the name, and which it is.
type There = (File, FileId);

impl Follower {
    /// Puts the row of generations in order after the file under the name has changed, or where a
    /// generation has lost its file.
    pub(super) fn turn(&mut self, now: Instant, effects: &mut Effects) -> io::Result<()> {
        if self.is_where_it_was()? {
            return Ok(());
        }
        let (there, siblings) = if self.generations.is_empty() && self.read_at == 0 {
            // Never followed: whatever was rotated is from before our time.
            (self.there()?, Vec::new())
        } else {
            self.surroundings()?
        };
        let there_id = there.as_ref().map(|(_, id)| *id);
        let truncated = self.truncated(there.as_ref(), &siblings)?;
        for nth in 0..self.generations.len() {
            let one = &self.generations[nth];
            if one.kept.role == Role::Done {
                continue;
            }
            if one.content.is_none() {
                self.find(nth, there.as_ref(), &siblings, truncated.is_some(), effects)?;
            } else if one.kept.role == Role::Live && there_id != Some(one.kept.place.id) {
                if self.continues(nth, there.as_ref(), &siblings)? {
                    continue;
                }
                effects.rotated(self.how(nth, &siblings));
                self.generations[nth].kept.role = Role::Lingering;
            } else if one.kept.role == Role::Lingering && there_id == Some(one.kept.place.id) {
                self.generations[nth].kept.role = Role::Live;
            }
        }
        let live = |one: &Generation| one.kept.role == Role::Live && one.content.is_some();
        if let Some(nth) = self.generations.iter().position(live) {
            let generation = self.generations.remove(nth);
            self.generations.push(generation);
        } else {
            self.add_unread(&siblings, there.as_ref(), truncated, now, effects)?;
            if let Some(there) = there {
                self.missing = None;
                self.add_live(there, now)?;
            }
        }
        self.settle(effects);
        Ok(())
    }

    /// Whether all that is missing is the live file, and it is still under its name. Listing thousands
    /// of neighbours for each of thousands of logs would take minutes.
    fn is_where_it_was(&mut self) -> io::Result<bool> {
        if !self.lost_one() {
            return Ok(false);
        }
        let there = self.there()?;
        let mut missing = self
            .generations
            .iter_mut()
            .filter(|one| one.content.is_none() && one.kept.role != Role::Done);
        let (Some(one), None) = (missing.next(), missing.next()) else { return Ok(false) };
        let Some((file, id)) = there else { return Ok(false) };
        if one.kept.role != Role::Live || id != one.kept.place.id {
            return Ok(false);
        }
        one.content = Content::at(file, false, &one.kept.place)?;
        Ok(one.content.is_some())
    }

    /// Whether files were rotated before anything was read of the live one, which then come first.
    pub(super) fn overtaken(
        &mut self,
        nth: usize,
        now: Instant,
        effects: &mut Effects,
    ) -> io::Result<bool> {
        if self.read_at == 0 || nth + 1 != self.generations.len() {
            return Ok(false);
        }
        let (there, siblings) = self.surroundings()?;
        let place = self.generations[nth].kept.place;
        let before = self.generations.len();
        // It may have been renamed meanwhile; what is newer than it has its time later.
        let renamed = siblings.iter().position(|sibling| sibling.id == place.id);
        let there = there.filter(|(_, id)| *id == place.id);
        if there.is_none() && renamed.is_none() {
            return Ok(false);
        }
        let older = &siblings[renamed.map_or(0, |at| at + 1)..];
        self.add_unread(older, there.as_ref(), Some(place.id), now, effects)?;
        Ok(self.generations.len() > before)
    }

    /// The file under the name. One that a pattern found must lie below the pattern's directory.
    fn there(&self) -> io::Result<Option<There>> {
        let there = match content::open(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(directory) = &self.within
            && !content::lies_below(&self.path, directory, there.1)?
        {
            let why = "a link out of the directory of its pattern is not followed; name its file in \
                       the configuration if it is meant";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Some(there))
    }

    /// The file under the name, and the rotated ones beside it, as they are at one time.
    fn surroundings(&mut self) -> io::Result<(Option<There>, Vec<Sibling>)> {
        for _ in 0..5 {
            let there = self.there()?;
            if there.is_some() {
                self.real = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            }
            let siblings = match rotated::siblings(&self.real) {
                // A directory may be searched and not listed.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
                siblings => siblings.or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(Vec::new()),
                    _ => Err(error),
                })?,
            };
            let still = std::fs::metadata(&self.path).ok().map(|meta| content::id(&meta));
            if still == there.as_ref().map(|(_, id)| *id) {
                return Ok((there, siblings));
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is rotated all the time"))
    }

    /// The live file, if it is still there, under its name or renamed, and has other bytes now: it was
    /// truncated.
    fn truncated(&self, there: Option<&There>, siblings: &[Sibling]) -> io::Result<Option<FileId>> {
        let Some(live) = self.generations.last().filter(|live| live.content.is_none()) else {
            return Ok(None);
        };
        let place = &live.kept.place;
        let other = match there.filter(|(_, id)| *id == place.id) {
            Some((file, _)) => Content::at(file.try_clone()?, false, place)?.is_none(),
            None => siblings.iter().any(|sibling| {
                sibling.id == place.id && !sibling.compressed && !holds(sibling, place)
            }),
        };
        Ok(other.then_some(place.id))
    }

    /// How the live file went from under its name.
    fn how(&self, nth: usize, siblings: &[Sibling]) -> Rotation {
        let one = &self.generations[nth].kept;
        let renamed = siblings.iter().any(|sibling| {
            sibling.id == one.place.id
                || (sibling.compressed && one.place.offset > 0 && holds(sibling, &one.place))
        });
        if renamed { Rotation::Rename } else { Rotation::Recreated }
    }

    /// Finds the file of a generation that has none.
    fn find(
        &mut self,
        nth: usize,
        there: Option<&There>,
        siblings: &[Sibling],
        truncated: bool,
        effects: &mut Effects,
    ) -> io::Result<()> {
        let last = nth + 1 == self.generations.len();
        let place = self.generations[nth].kept.place;
        let was_live = self.generations[nth].kept.role == Role::Live;
        if let Some((file, id)) = there
            && (*id == place.id || (last && replaced(&place, siblings)))
            && let Some(content) = Content::at(file.try_clone()?, false, &place)?
        {
            let kept = &mut self.generations[nth].kept;
            kept.place.id = *id;
            kept.role = Role::Live;
            self.generations[nth].content = Some(content);
            return Ok(());
        }
        let truncated = last && truncated;
        let others: Vec<_> = self
            .generations
            .iter()
            .filter(|one| one.content.is_some())
            .map(|one| one.kept.place.id)
            .collect();
        let by_id = siblings.iter().filter(|sibling| sibling.id == place.id);
        let by_bytes =
            siblings.iter().filter(|sibling| place.offset > 0 && self.may_be_copy(sibling, &place));
        for sibling in by_id.chain(by_bytes).filter(|sibling| !others.contains(&sibling.id)) {
            let Some(content) = look_into(sibling, &place)? else { continue };
            let generation = &mut self.generations[nth];
            let renamed = sibling.id == place.id && !sibling.compressed;
            if generation.kept.role != Role::Copy {
                generation.kept.role = if renamed { Role::Lingering } else { Role::Copy };
            }
            generation.kept.carries |= truncated;
            generation.kept.place.id = sibling.id;
            generation.content = Some(content);
            if was_live {
                effects.rotated(if truncated { Rotation::Copytruncate } else { Rotation::Rename });
            }
            return Ok(());
        }
        let short = if truncated { self.overrun(siblings, &place)? } else { None };
        let kept = &mut self.generations[nth].kept;
        let unread = kept.lag();
        kept.size = place.offset;
        kept.carries |= truncated;
        effects.lost(if truncated { Lost::Truncated } else { Lost::Gone }, unread);
        // Finished as soon as the next generation, which its last line may belong to, is there.
        kept.role = Role::Copy;
        if let Some((content, end)) = short {
            // It is read to its end and beyond, and known by that from now on.
            (kept.place, kept.size) = (end, end.offset);
            self.generations[nth].content = Some(content);
            if was_live {
                effects.rotated(Rotation::Copytruncate);
            }
            return Ok(());
        }
        if was_live {
            effects.rotated(if truncated { Rotation::Truncated } else { Rotation::Recreated });
        }
        if unread > 0 || (was_live && !truncated) {
            let path = self.path.display();
            tracing::warn!(%path, after = place.offset, "what was written to the log after this byte \
                cannot be found: neither the file nor a rotated one holds it");
        }
        Ok(())
    }

    /// The copy of a truncated file that was made before we read the last of it: between copying and truncating,
    /// a writer goes on, and so do we. It was written before we last read, but not long before.
    fn overrun(&self, siblings: &[Sibling], place: &Place) -> io::Result<Option<(Content, Place)>> {
        let then = self.read_at - COPY_NANOS..=self.read_at;
        let known = |id| {
            let of = |one: &Generation| one.kept.place.id == id && one.kept.place.offset > 0;
            self.generations.iter().any(of)
        };
        for sibling in siblings {
            if then.contains(&sibling.modified)
                && !known(sibling.id)
                && let Some(found) = overrun(sibling, place)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether the bytes are enough to take a sibling for a copy of this place. A copy is made after we
    /// read; by a few bytes alone an older file may be taken for one.
    fn may_be_copy(&self, sibling: &Sibling, place: &Place) -> bool {
        place.offset >= EVIDENCE || created(sibling) > self.read_at - TICK_NANOS
    }

    /// Whether the live file was replaced by one with the same bytes; then it is the live one.
    fn continues(
        &mut self,
        nth: usize,
        there: Option<&There>,
        siblings: &[Sibling],
    ) -> io::Result<bool> {
        let place = self.generations[nth].kept.place;
        let links = self.generations[nth].content.as_ref().and_then(Content::size);
        let Some((file, id)) = there.filter(|_| links.is_some_and(|(_, links)| links == 0)) else {
            return Ok(false);
        };
        if !replaced(&place, siblings) {
            return Ok(false);
        }
        let Some(content) = Content::at(file.try_clone()?, false, &place)? else {
            return Ok(false);
        };
        self.generations[nth].kept.place.id = *id;
        self.generations[nth].content = Some(content);
        Ok(true)
    }

    /// Adds the files that were under the name between two looks: those rotated after the newest that
    /// we know.
    fn add_unread(
        &mut self,
        siblings: &[Sibling],
        there: Option<&There>,
        truncated: Option<FileId>,
        now: Instant,
        effects: &mut Effects,
    ) -> io::Result<()> {
        let read_at = self.read_at - TICK_NANOS;
        let there_id = there.map(|(_, id)| *id);
        let anchor = self.generations.iter().rev().find(|one| one.kept.place.offset > 0);
        let anchor = anchor.map(|one| one.kept.place);
        let stands = anchor.and_then(|place| {
            let by_id = siblings.iter().position(|sibling| sibling.id == place.id);
            // By a few bytes alone, such as a head that every file has, it may be any: the oldest.
            let by_bytes =
                |sibling: &Sibling| self.may_be_copy(sibling, &place) && holds(sibling, &place);
            by_id
                .filter(|&at| holds(&siblings[at], &place))
                .or_else(|| siblings.iter().rposition(by_bytes))
        });
        let newer: Vec<&Sibling> = match (stands, anchor) {
            (Some(at), _) => siblings[..at].iter().collect(),
            // Where it is gone, time must do. What was compressed only now may be from before.
            (None, Some(_)) => siblings.iter().filter(|one| one.modified > read_at).collect(),
            (None, None) if self.read_at > 0 => {
                siblings.iter().filter(|one| !one.compressed && created(one) > read_at).collect()
            }
            (None, None) => Vec::new(),
        };
        // Up to the file that was truncated, which may have been renamed since, they are its copies.
        let mut copies = truncated.is_some();
        let mut copying = false;
        // The oldest of the files that came after this one.
        let later = |nth: usize| {
            let plain = newer[..nth].iter().filter(|one| !one.compressed).map(|one| one.id.born);
            plain.chain(there_id.map(|id| id.born)).filter(|&born| born > 0).min()
        };
        for (nth, sibling) in newer.iter().enumerate().rev() {
            copies &= truncated != Some(sibling.id);
            // One that is younger than a file that came after it is a copy of that file.
            let younger = later(nth).is_some_and(|born| sibling.id.born > born);
            // The compressed have lost their time, and are what the one before them is.
            let copy = copies || if sibling.compressed { copying } else { younger };
            copying = copy;
            let known = self.generations.iter().any(|one| {
                let place = &one.kept.place;
                let empty = place.offset == 0;
                ((one.kept.role != Role::Done || empty) && place.id == sibling.id)
                    || (place.offset >= EVIDENCE && holds(sibling, place))
            });
            let start = Place::start(sibling.id);
            if known || there_id == Some(sibling.id) {
                continue;
            }
            if let Some((file, _)) = there.filter(|_| copy)
                && is_being_copied(sibling, file)?
            {
                continue;
            }
            let Some(content) = look_into(sibling, &start)? else { continue };
            let role = if copy || sibling.compressed { Role::Copy } else { Role::Lingering };
            let mut kept = Kept::new(start, role);
            kept.carries = copy;
            effects.rotated(if copy { Rotation::Copytruncate } else { Rotation::Rename });
            // Before those that came after it.
            let at = self.generations.iter().position(|one| {
                let id = one.kept.place.id;
                let newer = newer[..nth].iter().any(|sibling| sibling.id == id);
                let after = newer || there_id == Some(id) || (copies && truncated == Some(id));
                after && one.kept.role != Role::Done
            });
            let at = at.unwrap_or(self.generations.len());
            if let Some(next) = self.generations.get_mut(at)
                && next.kept.place.offset == 0
                && kept.carries
            {
                // A line that was carried into it goes on here.
                kept.lines = std::mem::take(&mut next.kept.lines);
            }
            self.generations.insert(at, Generation { kept, content: Some(content), grew: now });
        }
        Ok(())
    }

    /// Adds the file under the name, which is new.
    fn add_live(&mut self, (file, id): There, now: Instant) -> io::Result<()> {
        let known = self.generations.iter().position(|one| {
            one.kept.role == Role::Done && one.kept.place.id == id && one.kept.place.offset > 0
        });
        if let Some(nth) = known
            && let Some(content) =
                Content::at(file.try_clone()?, false, &self.generations[nth].kept.place)?
        {
            // A link that was switched back, or a file that was moved back.
            let mut generation = self.generations.remove(nth);
            generation.kept.role = Role::Live;
            generation.content = Some(content);
            self.generations.push(generation);
            return Ok(());
        }
        let mut kept = Kept::new(Place::start(id), Role::Live);
        if std::mem::take(&mut self.from_end) {
            let (place, whole) = Place::end(&file, MAX_LINE)?;
            kept = Kept::new(place, Role::Live);
            if !whole {
                kept.lines = Lines::within();
            }
            self.read_at = nanos(SystemTime::now());
        }
        self.generations.push(Generation { kept, content: Some(Content::Plain(file)), grew: now });
        Ok(())
    }

    /// Finishes what has no file, and forgets the oldest of what is done.
    fn settle(&mut self, effects: &mut Effects) {
        for nth in 0..self.generations.len() {
            let one = &self.generations[nth];
            if one.content.is_none() && one.kept.role != Role::Done {
                self.finish(nth, effects);
            }
        }
        // Empty ones are remembered apart: they tell nothing about the others.
        for empty in [false, true] {
            let done = |one: &Generation| {
                one.kept.role == Role::Done && (one.kept.place.offset == 0) == empty
            };
            let count = self.generations.iter().filter(|one| done(one)).count();
            let mut surplus = count.saturating_sub(MAX_DONE);
            self.generations.retain(|one| {
                let forget = surplus > 0 && done(one);
                surplus -= usize::from(forget);
                !forget
            });
        }
    }
}
