//! Files that are renamed from one followed name to another: what was read of them goes with them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::FileRunner;
use crate::sources::file::content::{self, FileId};
use crate::sources::losses::{Effects, Rotation};
use crate::sources::sink::{Batch as _, Carry as _, Sink};

impl<S: Sink> FileRunner<S> {
    /// Gives files that were renamed from one followed name to another to the logs that they are now: log4j2 renames
    /// `app-1.log` to `app-2.log`, and others swap two names. `before`: when the directories had changed at the last
    /// scan; names in those that have not are the same files, but for those that were `added` since.
    pub(super) fn hand_over(
        &mut self,
        before: &BTreeMap<PathBuf, Option<i64>>,
        added: &HashSet<PathBuf>,
    ) {
        // The name that another log was renamed to may be a link, whose file is in no directory of ours.
        let all = std::mem::take(&mut self.renamed);
        let may_differ = |path: &Path| {
            let directory = path.parent().filter(|_| !all && !added.contains(path));
            let Some(directory) = directory else { return true };
            let now = self.directories.get(directory).copied().flatten();
            now.is_none() || before.get(directory) != Some(&now)
        };
        let moved = self.followers.iter().filter_map(|(path, follower)| {
            let meta = may_differ(path).then(|| std::fs::metadata(path).ok())??;
            let id = content::id(&meta);
            let from = self.read_for.log_of(id, path).filter(|from| *from != path)?;
            follower.files().all(|own| own != id).then(|| (id, from.to_owned(), path.clone()))
        });
        let moved: Vec<_> = moved.collect();
        if !moved.is_empty() {
            self.hand_over_files(&moved);
        }
    }

    /// Position and what is carried between lines go together. All are given before any is taken: names may have been
    /// swapped.
    fn hand_over_files(&mut self, moved: &[(FileId, PathBuf, PathBuf)]) {
        let mut effects = Effects::default();
        let sink = Arc::clone(&self.sink);
        let batch = sink.begin_batch(SystemTime::now());
        let mut given = Vec::new();
        for (id, from, to) in moved {
            let Some(owner) = self.followers.get_mut(from) else { continue };
            let Some(generation) = owner.give(*id) else { continue };
            let stream = Arc::make_mut(self.next.files.entry(from.clone()).or_default());
            stream.position = owner.state();
            // Where the name has another file that was read already, what is carried is of that.
            let reads_on = std::fs::metadata(from)
                .is_ok_and(|meta| owner.files().any(|own| own == content::id(&meta)));
            let carry = if reads_on { S::Carry::default() } else { stream.carry.split_off() };
            self.changed.insert(from.clone());
            given.push((*id, generation, carry, to));
        }
        for (id, generation, carry, to) in given {
            let Some(follower) = self.followers.get_mut(to) else { continue };
            follower.take(generation);
            self.read_for.add([id], to);
            self.failing.remove(to);
            effects.rotated(Rotation::Rename);
            let stream = Arc::make_mut(self.next.files.entry(to.clone()).or_default());
            stream.position = follower.state();
            batch.join(&mut stream.carry, carry, &mut self.next.counts);
            self.changed.insert(to.clone());
        }
        self.next.counts.read.sums.add(&effects.sums);
    }
}
