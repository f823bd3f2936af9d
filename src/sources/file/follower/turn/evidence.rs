//! Whether a file is the one that a generation was read from, or a copy of it: by device and inode, time of birth, and
//! the bytes.

use std::io;

use super::{There, is_copy_of};
use crate::sources::file::content::{Content, FileId, Place, is_same_file, was_given_again};
use crate::sources::file::follower::opened::{
    goes_beyond, holds, look_into, may_be_replaced, overrun,
};
use crate::sources::file::follower::prints::Known;
use crate::sources::file::follower::{COPY_NANOS, EVIDENCE, Follower, Generation, Role};
use crate::sources::file::rotated::Sibling;
use crate::sources::losses::{Effects, Lost, Rotation};

impl Follower {
    /// Finds the file of a generation that has none.
    pub(super) fn find(
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
        let may_be_replaced =
            last && may_be_replaced(&place, siblings) && !self.may_be_rotated(&place, siblings)?;
        let is_it = |id: FileId| is_same_file(&place.id, &id, &self.real);
        // Both the file and its copy are there when it is made, so the copy has another inode.
        let is_other =
            |id: FileId| place.offset < EVIDENCE && was_given_again(&place.id, &id, &self.real);
        if let Some((file, id)) = there
            && (is_it(*id) || (may_be_replaced && !is_other(*id)))
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
        let by_id = siblings.iter().filter(|sibling| is_it(sibling.id));
        // By a few bytes alone it may be any that begins so: the oldest that was not read.
        let by_bytes = siblings.iter().rev().filter(|one| place.offset > 0 && !is_other(one.id));
        for sibling in by_id.chain(by_bytes).filter(|sibling| !others.contains(&sibling.id)) {
            if sibling.id != place.id
                && place.offset < EVIDENCE
                && self.prints.know(sibling)? != Known::No
            {
                continue;
            }
            let Some(content) = look_into(sibling, &place)? else { continue };
            let generation = &mut self.generations[nth];
            let renamed = is_same_file(&place.id, &sibling.id, &sibling.path);
            let copied = !renamed && (truncated || is_copy_of(sibling, there.map(|(_, id)| *id)));
            // A plain one may be the copy that took the log's place, and its writer may go on in it.
            if copied || sibling.compressed {
                generation.kept.role = Role::Copy;
            } else if generation.kept.role != Role::Copy {
                generation.kept.role = Role::Lingering;
            }
            generation.kept.carries |= copied || truncated;
            generation.kept.place.id = sibling.id;
            generation.kept.modified = sibling.modified;
            generation.content = Some(content);
            if was_live {
                effects.rotated(if copied { Rotation::Copytruncate } else { Rotation::Rename });
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

    /// Whether a rotated file that was not read begins with the few bytes of this place: then it is likelier to be the
    /// file than the one under the name, which would have to be a copy.
    fn may_be_rotated(&mut self, place: &Place, siblings: &[Sibling]) -> io::Result<bool> {
        for sibling in siblings.iter().filter(|_| place.offset < EVIDENCE) {
            if self.owns_not(sibling.id)
                && self.prints.know(sibling)? == Known::No
                && look_into(sibling, place)?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
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

    /// Whether the live file was replaced by one with the same bytes; then it is the live one.
    pub(super) fn continues(
        &mut self,
        nth: usize,
        there: Option<&There>,
        siblings: &[Sibling],
    ) -> io::Result<bool> {
        let place = self.generations[nth].kept.place;
        let size = self.generations[nth].content.as_ref().and_then(Content::size);
        // An editor may keep the old file as a backup; of few bytes that would be no evidence.
        let may_be = |links| links == 0 || place.offset >= EVIDENCE;
        let Some((file, id)) = there.filter(|_| size.is_some_and(|(_, links, _)| may_be(links)))
        else {
            return Ok(false);
        };
        // Of an empty one only a line matters that was carried into it.
        let carried = place.offset == 0 && self.generations[nth].kept.lines.waiting();
        if siblings.iter().any(|sibling| sibling.id == place.id) || (place.offset == 0 && !carried)
        {
            return Ok(false);
        }
        // A copy is made before the old file goes; a new log that merely begins like it, after that.
        let unlinked = size.map_or(0, |(_, _, changed)| changed);
        if place.offset < EVIDENCE && !carried && id.born > unlinked {
            return Ok(false);
        }
        let Some(content) = Content::at(file.try_clone()?, false, &place)? else {
            return Ok(false);
        };
        self.generations[nth].kept.place.id = *id;
        self.generations[nth].content = Some(content);
        Ok(true)
    }

    /// Where the live file was replaced by a copy that was rotated since, the writer may go on in the copy; whether that
    /// was copied and truncated.
    pub(super) fn switch_to_copy(
        &mut self,
        nth: usize,
        there: Option<FileId>,
        siblings: &[Sibling],
    ) -> io::Result<bool> {
        let generation = &self.generations[nth];
        let place = generation.kept.place;
        let is_gone = generation
            .content
            .as_ref()
            .and_then(Content::size)
            .is_some_and(|(_, links, _)| links == 0);
        if !is_gone || place.offset < EVIDENCE {
            return Ok(false);
        }
        let whole = generation.print().place;
        for sibling in siblings.iter().filter(|one| self.owns_not(one.id)) {
            // A compressed one may as well be the file itself.
            let is_it = if sibling.compressed {
                goes_beyond(sibling, &whole)?
            } else {
                holds(sibling, &whole)
            };
            if is_it && let Some(content) = look_into(sibling, &place)? {
                self.generations[nth].kept.place.id = sibling.id;
                self.generations[nth].content = Some(content);
                return Ok(is_copy_of(sibling, there));
            }
        }
        Ok(false)
    }
}
