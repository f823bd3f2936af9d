//! A generation as it is read to its end, and what becomes of its last line then.

use std::io;
use std::time::Instant;

use super::prints::Print;
use super::{Follower, Generation, LINE_WAIT, LINGER, LINGER_UNLINKED, MAX_LINGERING, Role};
use crate::sources::file::content::{Chunk, Content};
use crate::sources::lines::Lines;
use crate::sources::losses::Effects;

impl Follower {
    pub(super) fn read(
        &mut self,
        nth: usize,
        now: Instant,
        buffer: &mut [u8],
    ) -> io::Result<Option<Chunk>> {
        let generation = &mut self.generations[nth];
        let Some(content) = &mut generation.content else { return Ok(None) };
        let size = content.size();
        let modified = content.modified();
        let chunk = content.read(&generation.kept.place, buffer)?;
        // After a truncation it is the size of what came then.
        if let Some((size, ..)) = size.filter(|_| chunk != Chunk::Truncated) {
            generation.kept.size = size;
            generation.kept.modified = modified.unwrap_or_default();
        }
        if matches!(chunk, Chunk::Data(_)) {
            generation.grew = now;
        }
        Ok(Some(chunk))
    }

    /// A generation is read to its end: whether that finished it.
    pub(super) fn ended(&mut self, nth: usize, now: Instant, effects: &mut Effects) -> bool {
        let lingering = self.generations.iter().skip(nth + 1);
        let newer = lingering.filter(|one| one.kept.role == Role::Lingering).count();
        let generation = &mut self.generations[nth];
        let quiet = now.duration_since(generation.grew);
        let linger = match generation.content.as_ref().and_then(Content::size) {
            Some((_, 0, _)) => LINGER_UNLINKED,
            _ => LINGER,
        };
        let over = match generation.kept.role {
            Role::Live => false,
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

    pub(super) fn wait_no_longer(&mut self, nth: usize, now: Instant, effects: &mut Effects) {
        let generation = &mut self.generations[nth];
        if now.duration_since(generation.grew) >= LINE_WAIT {
            generation.kept.lines.hand_out(|line| effects.lines.push(line.to_vec()));
        }
    }

    /// Nothing more is read of this generation.
    pub(super) fn finish(&mut self, nth: usize, effects: &mut Effects) {
        let Generation { kept, content, .. } = self.generations.remove(nth);
        let modified = content.as_ref().and_then(Content::modified).unwrap_or(kept.modified);
        self.prints.add(Print::read(kept.place, modified));
        let mut lines = kept.lines;
        // In an empty one a line that was carried into it has not gone on.
        let carries = kept.carries || kept.place.offset == 0;
        match self.generations.get_mut(nth) {
            Some(next) if carries && next.kept.place.offset == 0 => {
                if lines != Lines::default() {
                    next.kept.lines = lines;
                }
            }
            _ => lines.hand_out(|line| effects.lines.push(line.to_vec())),
        }
    }
}
