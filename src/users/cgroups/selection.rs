//! Which cgroups are shown: those that reject forks, those nearest to their limit, and for a while those
//! that were, so that a rule that waits five minutes meets the same series each time.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::hierarchy::Group;
use super::super::limits::Limit;
use super::identity::owner;

/// Chosen at each collection for being nearest to their limit.
pub(super) const NEAREST: usize = 20;

/// Shown for being or having been among them.
pub(super) const MOST_NEAR: usize = 60;

/// Shown, beyond those, for having rejected a fork since start.
pub(super) const REJECTING: usize = 100;

/// Chosen of the cgroups of one owner, while others are as near: a user who may make cgroups below its own
/// must not crowd the others out.
const NEAREST_OF_ONE: usize = 5;

/// The same for those that reject.
const REJECTING_OF_ONE: usize = REJECTING / 5;

/// How long a series stays once it was chosen, and how long ago a rejection is news.
pub(super) const STAYS: Duration = Duration::from_secs(600);

/// Share of a limit that is near.
const NEAR: f64 = 0.8;

/// What was chosen, between collections.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Rejections by group when it was first seen; `None` before the first look.
    before: Option<HashMap<PathBuf, u64>>,
    /// What each group that rejected has rejected since, and when that last rose.
    rejected: HashMap<PathBuf, (u64, Instant)>,
    /// Shown for it.
    rejecting: Vec<PathBuf>,
    /// Shown for nearness: since when, and when last chosen.
    near: HashMap<PathBuf, (Instant, Instant)>,
}

/// How many are in trouble, shown or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pressed {
    pub near: usize,
    pub rejecting: usize,
}

impl Selection {
    /// Takes off what these groups rejected before the first look, and returns those to show, in the order
    /// of their paths.
    pub(super) fn choose(&mut self, mut groups: Vec<Group>, now: Instant) -> (Vec<Group>, Pressed) {
        self.note_rejections(&mut groups, now);
        let pressed = Pressed {
            near: groups.iter().filter(|group| share(group) >= NEAR).count(),
            rejecting: self.rejected.values().filter(|(_, at)| now - *at < STAYS).count(),
        };
        let shown: HashSet<PathBuf> = self
            .choose_rejecting(&groups, now)
            .into_iter()
            .chain(self.choose_near(&groups, now))
            .collect();
        groups.retain(|group| shown.contains(&group.path));
        groups.sort_by(|a, b| a.path.cmp(&b.path));
        (groups, pressed)
    }

    /// What is old would look new where a group comes into view: a group that came later started at 0.
    fn note_rejections(&mut self, groups: &mut [Group], now: Instant) {
        let first_look = self.before.is_none();
        let known = self.before.take().unwrap_or_default();
        let last = std::mem::take(&mut self.rejected);
        let mut before = HashMap::with_capacity(groups.len());
        for group in groups {
            let Some(rejected) = &mut group.rejected else { continue };
            let then = known.get(&group.path).copied();
            // A group made anew under an old name counts from 0 again.
            let then = then.unwrap_or(if first_look { *rejected } else { 0 }).min(*rejected);
            before.insert(group.path.clone(), then);
            *rejected -= then;
            if *rejected > 0 {
                let same = last.get(&group.path).filter(|(count, _)| count == rejected);
                let rose = same.map_or(now, |&(_, rose)| rose);
                self.rejected.insert(group.path.clone(), (*rejected, rose));
            }
        }
        self.before = Some(before);
    }

    /// Those that rejected, one by one, and for each that has room of its own the fullest group above it:
    /// with cgroup v1 a container counts what its pod's limit rejects.
    fn choose_rejecting(&mut self, groups: &[Group], now: Instant) -> Vec<PathBuf> {
        let rejected = &self.rejected;
        let rose = |path: &Path| rejected.get(path).map(|&(_, rose)| rose);
        self.rejecting.retain(|path| rejected.contains_key(path));
        let mut new: Vec<&PathBuf> =
            rejected.keys().filter(|path| !self.rejecting.contains(path)).collect();
        new.sort();
        let mut owners: Vec<PathBuf> = self.rejecting.iter().map(|path| owner(path)).collect();
        for path in new {
            let own = owner(path);
            let of_one = owners.iter().filter(|other| **other == own).count();
            if of_one < REJECTING_OF_ONE && self.rejecting.len() < REJECTING {
                self.rejecting.push(path.clone());
                owners.push(own);
                continue;
            }
            // In place of the one whose last rejection is longest ago, if that is no news any more.
            let among_own = of_one >= REJECTING_OF_ONE;
            let oldest = (0..self.rejecting.len())
                .filter(|&at| !among_own || owners[at] == own)
                .min_by_key(|&at| rose(&self.rejecting[at]));
            if let Some(at) = oldest
                && rose(&self.rejecting[at]).is_none_or(|rose| now - rose >= STAYS)
            {
                path.clone_into(&mut self.rejecting[at]);
                owners[at] = own;
            }
        }
        let by_path: HashMap<&Path, &Group> =
            groups.iter().map(|group| (&*group.path, group)).collect();
        let mut shown = self.rejecting.clone();
        for path in &self.rejecting {
            let reached = by_path.get(&**path).is_some_and(|group| share(group) >= 1.0);
            let above = path.ancestors().skip(1).filter_map(|path| by_path.get(path));
            let above = above.filter(|group| group.limit != Limit::Unlimited);
            // The innermost of equals.
            let fullest =
                above.reduce(|one, other| if share(other) > share(one) { other } else { one });
            if let Some(group) = fullest.filter(|_| !reached) {
                shown.push(group.path.clone());
            }
        }
        shown
    }

    /// The nearest now, and those that lately were, the ones that are shown longest first.
    fn choose_near(&mut self, groups: &[Group], now: Instant) -> Vec<PathBuf> {
        let mut limited: Vec<&Group> =
            groups.iter().filter(|group| group.limit != Limit::Unlimited).collect();
        limited.sort_by(|a, b| share(b).total_cmp(&share(a)).then_with(|| a.path.cmp(&b.path)));
        // The nearest of each owner come before what is left of all.
        let mut of_owner: HashMap<PathBuf, usize> = HashMap::new();
        let (mut first, rest): (Vec<&Group>, Vec<&Group>) = limited.iter().partition(|group| {
            let count = of_owner.entry(owner(&group.path)).or_default();
            *count += 1;
            *count <= NEAREST_OF_ONE
        });
        first.extend(rest);
        let nearest: Vec<&PathBuf> = first.iter().take(NEAREST).map(|group| &group.path).collect();
        for path in &nearest {
            self.near.entry((*path).clone()).or_insert((now, now)).1 = now;
        }
        let there: HashSet<&PathBuf> = limited.iter().map(|group| &group.path).collect();
        self.near.retain(|path, (_, last)| there.contains(path) && now - *last < STAYS);
        let mut kept: Vec<(&PathBuf, Instant)> =
            self.near.iter().map(|(path, &(since, _))| (path, since)).collect();
        kept.sort_by_key(|&(path, since)| (!nearest.contains(&path), since, path));
        let kept: HashSet<PathBuf> =
            kept.into_iter().take(MOST_NEAR).map(|(path, _)| path.clone()).collect();
        self.near.retain(|path, _| kept.contains(path));
        kept.into_iter().collect()
    }
}

/// Tasks as a share of the group's own limit.
fn share(group: &Group) -> f64 {
    group.limit.share(group.tasks.unwrap_or(0))
}

#[cfg(test)]
mod tests;
