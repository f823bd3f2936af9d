//! Collector `cgroups`: pids controllers, their tasks against their limits, and forks they rejected.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::hierarchy::{CUT, Group, Hierarchy};
use super::limits::Limit;
use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;
use crate::text;

/// Shown for being nearest to their limit.
const NEAREST: usize = 20;

/// Shown, beyond those, for having rejected a fork since start.
const REJECTING: usize = 100;

/// Shown of the cgroups of one unit or slice, while others are as near: a user who may make cgroups
/// below its own must not crowd the others out.
const NEAREST_OF_ONE: usize = 5;

const TASKS: Desc = Desc::gauge("telltale_cgroup_tasks", "Tasks in the cgroup and those below it.");
const LIMIT: Desc = Desc::gauge(
    "telltale_cgroup_tasks_limit",
    "The cgroup's own pids.max; groups above it may be tighter.",
);
const REJECTED: Desc = Desc::counter(
    "telltale_cgroup_rejected_forks_total",
    "Forks rejected by the pids controller since the exporter's start, by the cgroup's pids.events.",
);

pub(crate) struct Cgroups {
    hierarchy: Option<Hierarchy>,
    /// Rejected forks of each group when it was first seen; `None` before the first look.
    before: Option<HashMap<PathBuf, u64>>,
    /// Groups that have rejected a fork since, in the order in which they did.
    rejecting: Vec<PathBuf>,
}

impl Cgroups {
    /// Looks at the pids hierarchy below this sysfs.
    pub(crate) fn new(sysfs: &Path) -> Self {
        Self { hierarchy: Hierarchy::find(sysfs), before: None, rejecting: Vec::new() }
    }

    /// Takes off what these groups rejected before the first look, and notes which have since; a group that came
    /// later started at 0. What is old would look new where a group comes into view. First come, first served: a
    /// series stays while its group does.
    fn note_rejecting(&mut self, groups: &mut [Group]) {
        let first_look = self.before.is_none();
        let known = self.before.take().unwrap_or_default();
        let mut before = HashMap::with_capacity(groups.len());
        let mut now_rejecting = HashSet::new();
        for group in &mut *groups {
            let Some(rejected) = &mut group.rejected else { continue };
            let then = known.get(&group.path).copied();
            // A group made anew under an old name counts from 0 again.
            let then = then.unwrap_or(if first_look { *rejected } else { 0 }).min(*rejected);
            before.insert(group.path.clone(), then);
            *rejected -= then;
            if *rejected > 0 {
                now_rejecting.insert(group.path.clone());
            }
        }
        self.before = Some(before);
        self.rejecting.retain(|path| now_rejecting.remove(path));
        for group in groups {
            let of_one = |path: &&PathBuf| unit(path) == unit(&group.path);
            if now_rejecting.contains(&group.path)
                && self.rejecting.len() < REJECTING
                && self.rejecting.iter().filter(of_one).count() < REJECTING / 5
            {
                self.rejecting.push(group.path.clone());
            }
        }
    }
}

/// What a cgroup belongs to: `system.slice/ssh.service`, `user.slice/user-500.slice`.
fn unit(path: &Path) -> PathBuf {
    path.components().take(2).collect()
}

impl Collector for Cgroups {
    fn name(&self) -> &'static str {
        "cgroups"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let Some(hierarchy) = &self.hierarchy else {
            found.warnings.push(
                "no pids cgroup controller is mounted below --path.sysfs (Linux 4.3 has it): \
                 nothing is shown"
                    .to_owned(),
            );
            return Ok(());
        };
        let root = hierarchy.root().display();
        let walked = hierarchy.walk().map_err(|error| format!("cannot list {root}: {error}"));
        let (mut groups, cut) = walked?;
        if cut {
            found.warnings.push(CUT.to_owned());
        }
        self.note_rejecting(&mut groups);
        let mut labels_taken = HashSet::new();
        for group in shown(groups, &self.rejecting) {
            let label = format!("/{}", text::label(group.path.as_os_str().as_bytes()));
            // Two names can have one text; a series twice would spoil the scrape.
            if !labels_taken.insert(label.clone()) {
                continue;
            }
            let labels = [("cgroup", &*label)];
            if let Some(tasks) = group.tasks {
                found.metrics.add(&TASKS, &labels, tasks as f64);
            }
            found.metrics.add(&LIMIT, &labels, group.limit.value());
            if let Some(rejected) = group.rejected {
                found.metrics.add(&REJECTED, &labels, rejected as f64);
            }
        }
        Ok(())
    }
}

/// The groups to show, within the bounds, in the order of their paths.
fn shown(mut groups: Vec<Group>, rejecting: &[PathBuf]) -> Vec<Group> {
    groups.retain(|group| group.limit != Limit::Unlimited || rejecting.contains(&group.path));
    groups.sort_by(|a, b| {
        let share = |group: &Group| group.limit.share(group.tasks.unwrap_or(0));
        share(b).total_cmp(&share(a)).then_with(|| a.path.cmp(&b.path))
    });
    // The nearest of each unit come before what is left of all.
    let mut of_unit: HashMap<PathBuf, usize> = HashMap::new();
    let (mut nearest, mut rest) = (Vec::new(), Vec::new());
    for group in groups {
        let count = of_unit.entry(unit(&group.path)).or_default();
        *count += 1;
        let first = group.limit != Limit::Unlimited && *count <= NEAREST_OF_ONE;
        let list = if first && nearest.len() < NEAREST { &mut nearest } else { &mut rest };
        list.push(group);
    }
    for group in rest {
        let fills_up = group.limit != Limit::Unlimited && nearest.len() < NEAREST;
        if fills_up || rejecting.contains(&group.path) {
            nearest.push(group);
        }
    }
    nearest.sort_by(|a, b| a.path.cmp(&b.path));
    nearest
}

#[cfg(test)]
mod tests;
