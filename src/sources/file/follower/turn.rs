//! When the file under the name is another one: which files are the generations now, and which are new.

mod evidence;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::opened::{holds, is_being_copied, look_into};
use super::prints::{Known, Print, Prints};
use super::{At, EVIDENCE, Follower, Generation, Kept, Role, refuse_foreign};
use crate::sources::file::content::{self, Content, FileId, Place, is_same_file, was_given_again};
use crate::sources::file::rotated::{self, Sibling};
use crate::sources::lines::{Lines, MAX_LINE};
use crate::sources::losses::{Effects, Lost, Rotation};

/// Directories beside a log that are searched for its rotated files.
const MAX_NEARBY: usize = 64;

/// The open file under the name, and which it is.
type There = (File, FileId);

impl Follower {
    /// Puts the row of generations in order after the file under the name has changed, or where a
    /// generation has lost its file.
    pub(super) fn turn(&mut self, at: &At<'_>, effects: &mut Effects) -> io::Result<()> {
        if self.is_where_it_was()? {
            return Ok(());
        }
        let (there, siblings) = if self.is_new() {
            // Whatever was rotated is from before our time.
            (self.there()?, Vec::new())
        } else {
            self.surroundings(at)?
        };
        let there_id = there.as_ref().map(|(_, id)| *id);
        if there_id.is_some_and(|id| self.owns_not(id) && (at.is_of_another)(id)) {
            let why = "the log was renamed from another name that is followed";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
        }
        let truncated = self.truncated(there.as_ref(), &siblings)?;
        for nth in 0..self.generations.len() {
            let one = &self.generations[nth];
            if one.content.is_none() {
                self.find(nth, there.as_ref(), &siblings, truncated.is_some(), effects)?;
            } else if one.kept.role == Role::Live && there_id != Some(one.kept.place.id) {
                if self.continues(nth, there.as_ref(), &siblings)? {
                    continue;
                }
                if self.switch_to_copy(nth, there_id, &siblings)? {
                    effects.rotated(Rotation::Copytruncate);
                    let kept = &mut self.generations[nth].kept;
                    (kept.role, kept.carries) = (Role::Copy, true);
                    continue;
                }
                effects.rotated(self.how(nth, &siblings));
                let one = &mut self.generations[nth];
                let grows = one.content.as_ref().is_some_and(Content::grows);
                one.kept.role = if grows { Role::Lingering } else { Role::Copy };
            } else if one.kept.role == Role::Lingering && there_id == Some(one.kept.place.id) {
                self.generations[nth].kept.role = Role::Live;
            }
        }
        let live = |one: &Generation| one.kept.role == Role::Live && one.content.is_some();
        if let Some(nth) = self.generations.iter().position(live) {
            let generation = self.generations.remove(nth);
            self.generations.push(generation);
        } else {
            self.add_unread(&siblings, there.as_ref(), truncated, at, effects)?;
            if let Some(there) = there {
                self.missing = None;
                self.add_live(there, at)?;
            }
        }
        while let Some(nth) = self.generations.iter().position(|one| one.content.is_none()) {
            self.finish(nth, effects);
        }
        if !siblings.is_empty() {
            self.prints.keep(&siblings);
        }
        Ok(())
    }

    /// Whether it is to be followed from its end, and was not found yet.
    fn is_new(&self) -> bool {
        self.generations.is_empty() && self.from_end && !self.overtaken
    }

    /// Whether a file is none of the generations.
    fn owns_not(&self, id: FileId) -> bool {
        !self.files().any(|one| is_same_file(&one, &id, &self.real))
    }

    /// Whether all that is missing is the live file, and it is still under its name. Listing thousands
    /// of neighbours for each of thousands of logs would take minutes.
    fn is_where_it_was(&mut self) -> io::Result<bool> {
        if !self.lost_one() {
            return Ok(false);
        }
        let there = self.there()?;
        let mut missing = self.generations.iter_mut().filter(|one| one.content.is_none());
        let (Some(one), None) = (missing.next(), missing.next()) else { return Ok(false) };
        let Some((file, id)) = there else { return Ok(false) };
        let before = one.kept.place.id;
        if one.kept.role != Role::Live || !is_same_file(&before, &id, &self.real) {
            return Ok(false);
        }
        one.content = Content::at(file, false, &one.kept.place)?;
        if one.content.is_some() {
            one.kept.place.id = id;
        }
        Ok(one.content.is_some())
    }

    /// Adds the files that were rotated before anything was read of the live one, which then come first; whether there
    /// were any.
    pub(super) fn add_overtaken(
        &mut self,
        nth: usize,
        at: &At<'_>,
        effects: &mut Effects,
    ) -> io::Result<bool> {
        if (self.read_at == 0 && !self.overtaken) || nth + 1 != self.generations.len() {
            return Ok(false);
        }
        let (there, siblings) = self.surroundings(at)?;
        let place = self.generations[nth].kept.place;
        let before = self.generations.len();
        // It may have been renamed meanwhile; what is newer than it has its time later.
        let renamed = siblings.iter().position(|sibling| sibling.id == place.id);
        let there = there.filter(|(_, id)| *id == place.id);
        if there.is_none() && renamed.is_none() {
            return Ok(false);
        }
        let older = &siblings[renamed.map_or(0, |at| at + 1)..];
        // Where files are renamed, none is a copy.
        let truncated = renamed.is_none().then_some(place.id);
        self.add_unread(older, there.as_ref(), truncated, at, effects)?;
        self.overtaken = false;
        Ok(self.generations.len() > before)
    }

    /// The file under the name. One that a pattern found must lie below the pattern's directory.
    fn there(&self) -> io::Result<Option<There>> {
        let there = match content::open(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        self.trust.check(&self.path, there.1)?;
        Ok(Some(there))
    }

    /// The file under the name, and the rotated ones beside it, as they are at one time.
    fn surroundings(&mut self, at: &At<'_>) -> io::Result<(Option<There>, Vec<Sibling>)> {
        for _ in 0..5 {
            let there = self.there()?;
            if there.is_some() {
                self.real = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            }
            let mut siblings = match rotated::siblings(&self.real) {
                // A directory may be searched and not listed.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
                siblings => siblings.or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(Vec::new()),
                    _ => Err(error),
                })?,
            };
            let still = std::fs::metadata(&self.path).ok().map(|meta| content::id(&meta));
            if still == there.as_ref().map(|(_, id)| *id) {
                // A rotated file may be followed under its own name, too.
                siblings.retain(|one| !(at.is_of_another)(one.id) || !self.owns_not(one.id));
                let there_id = there.as_ref().map(|(_, id)| *id);
                siblings.extend(self.moved_away(there_id, &siblings));
                return Ok((there, siblings));
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is rotated all the time"))
    }

    /// Where logrotate's `olddir` has put the newest generation: it and what was put there after it. Only where it is
    /// not beside the log.
    fn moved_away(&self, there: Option<FileId>, siblings: &[Sibling]) -> Vec<Sibling> {
        let read = self.generations.iter().rev().find(|one| one.kept.place.offset > 0);
        let Some(place) = read.map(|one| one.kept.place) else { return Vec::new() };
        let is_it = |id: FileId| is_same_file(&place.id, &id, &self.real);
        let beside = there.is_some_and(is_it) || siblings.iter().any(|one| is_it(one.id));
        let Some(base) = self.real.file_name() else { return Vec::new() };
        if beside || siblings.iter().any(|one| place.offset >= EVIDENCE && holds(one, &place)) {
            return Vec::new();
        }
        for directory in self.nearby_directories() {
            let listed = rotated::list_in(&directory, base).unwrap_or_default();
            let is_it = |one: &Sibling| {
                (one.id == place.id || place.offset >= EVIDENCE) && holds(one, &place)
            };
            if let Some(nth) = listed.iter().position(is_it) {
                return listed[..=nth].to_vec();
            }
        }
        Vec::new()
    }

    /// The directories in the log's own: `olddir` is one of them as a rule.
    fn nearby_directories(&self) -> Vec<PathBuf> {
        let entries = self.real.parent().and_then(|directory| std::fs::read_dir(directory).ok());
        let entries = entries.into_iter().flatten().filter_map(Result::ok);
        let is_directory =
            |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        entries.filter(is_directory).take(MAX_NEARBY).map(|entry| entry.path()).collect()
    }

    /// The live file, if it is still there, under its name or renamed, and has other bytes now: it was
    /// truncated.
    fn truncated(&self, there: Option<&There>, siblings: &[Sibling]) -> io::Result<Option<FileId>> {
        let Some(live) = self.generations.last().filter(|live| live.content.is_none()) else {
            return Ok(None);
        };
        let place = &live.kept.place;
        let other = match there.filter(|(_, id)| is_same_file(&place.id, id, &self.path)) {
            Some((file, _)) => Content::at(file.try_clone()?, false, place)?.is_none(),
            None => siblings.iter().any(|sibling| {
                is_same_file(&place.id, &sibling.id, &sibling.path)
                    && !sibling.compressed
                    && !holds(sibling, place)
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

    /// Adds the files that were under the name between two looks: those that are not known.
    fn add_unread(
        &mut self,
        siblings: &[Sibling],
        there: Option<&There>,
        truncated: Option<FileId>,
        at: &At<'_>,
        effects: &mut Effects,
    ) -> io::Result<()> {
        let there_id = there.map(|(_, id)| *id);
        // They are generations already, or will be the live one.
        let mut reading = Prints::default();
        for one in &self.generations {
            reading.add(one.print());
        }
        let mut newer = Vec::new();
        for sibling in siblings {
            if there_id == Some(sibling.id) {
                continue;
            }
            let is_read = !self.owns_not(sibling.id) || reading.know(sibling)? == Known::Yes;
            if is_read {
                // Its place among the others is known, and nothing is to be read.
                newer.push((sibling, true));
                continue;
            }
            match self.prints.know(sibling)? {
                Known::Yes => {}
                Known::No => newer.push((sibling, false)),
                Known::Unreadable => {
                    let path = sibling.path.display();
                    tracing::warn!(%path, bytes = sibling.size, "a rotated file of the log cannot be read (gzip, \
                        xz and zstd are read); what is in it is lost");
                    effects.lost(Lost::Unreadable, sibling.size);
                    effects.rotated(Rotation::Rename);
                    self.prints.add_compressed(sibling);
                }
            }
        }
        let newer = newer;
        // Up to the file that was truncated, which may have been renamed since, they are its copies.
        let mut copies = truncated.is_some();
        let mut copying = false;
        for (nth, &(sibling, is_read)) in newer.iter().enumerate().rev() {
            copies &= truncated != Some(sibling.id);
            // One that is younger than the file under the name is a copy of it.
            let younger = is_copy_of(sibling, there_id);
            // The compressed have lost their time, and are what the one before them is.
            let copy = copies || if sibling.compressed { copying } else { younger };
            copying = copy;
            if is_read {
                continue;
            }
            let start = Place::start(sibling.id);
            if let Some((file, _)) = there.filter(|_| copy)
                && is_being_copied(sibling, file)?
            {
                continue;
            }
            let Some(content) = look_into(sibling, &start)? else { continue };
            let role = if copy || sibling.compressed { Role::Copy } else { Role::Lingering };
            let mut kept = Kept::new(start, role);
            (kept.carries, kept.modified) = (copy, sibling.modified);
            effects.rotated(if copy { Rotation::Copytruncate } else { Rotation::Rename });
            // Before those that came after it.
            let before = self.generations.iter().position(|one| {
                let id = one.kept.place.id;
                let is_it = |now: FileId| is_same_file(&id, &now, &self.real);
                let newer = newer[..nth].iter().any(|(sibling, _)| is_it(sibling.id));
                newer || there_id.is_some_and(is_it) || (copies && truncated.is_some_and(is_it))
            });
            let before = before.unwrap_or(self.generations.len());
            if let Some(next) = self.generations.get_mut(before)
                && next.kept.place.offset == 0
                && kept.carries
            {
                // A line that was carried into it goes on here.
                kept.lines = std::mem::take(&mut next.kept.lines);
            }
            let generation = Generation { kept, content: Some(content), grew: at.now };
            self.generations.insert(before, generation);
        }
        Ok(())
    }

    /// Adds the file under the name, which is new.
    fn add_live(&mut self, (file, id): There, at: &At<'_>) -> io::Result<()> {
        let mut back = None;
        for print in self.prints.of_file(id) {
            let place = &print.place;
            if place.offset < EVIDENCE && was_given_again(&place.id, &id, &self.path) {
                continue;
            }
            if Content::at(file.try_clone()?, false, place)?.is_some() {
                back = Some(*place);
                break;
            }
        }
        let mut kept = Kept::new(Place::start(id), Role::Live);
        if let Some(place) = back {
            // A link that was switched back, or a file that was moved back.
            self.prints.forget(&place);
            kept = Kept::new(place, Role::Live);
            kept.place.id = id;
        } else if std::mem::take(&mut self.from_end) {
            // Whatever comes in its place is new.
            refuse_foreign(&content::head(file.try_clone()?, false)?)?;
            let (place, whole) = Place::end(&file, MAX_LINE)?;
            kept = Kept::new(place, Role::Live);
            if !whole {
                kept.lines = Lines::within();
            }
            self.read_at = at.wall;
        }
        self.generations.push(Generation {
            kept,
            content: Some(Content::Plain(file)),
            grew: at.now,
        });
        Ok(())
    }
}

/// Whether a rotated file was created after the one under the name, and so was copied from it.
fn is_copy_of(sibling: &Sibling, there: Option<FileId>) -> bool {
    let born = there.map_or(0, |there| there.born);
    !sibling.compressed && born > 0 && sibling.id.born > born
}

impl Generation {
    /// What it is recognised by as it lies on the disk, which may be more than was read of it.
    fn print(&self) -> Print {
        let kept = &self.kept;
        let whole = || {
            let Some(Content::Plain(file)) = &self.content else { return None };
            let meta = file.metadata().ok()?;
            let place = Place::of(file, kept.place.id, meta.len()).ok()?;
            Some(Print::read(place, content::modified(&meta)))
        };
        whole().unwrap_or_else(|| Print::read(kept.place, kept.modified))
    }
}
