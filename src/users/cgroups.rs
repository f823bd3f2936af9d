//! Collector `cgroups`: pids controllers, their tasks against their limits, and forks they rejected.
//!
//! [`selection`] says which are shown, [`identity`] whose they are.

mod identity;
mod selection;

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Instant;

use super::hierarchy::{CUT, Group, Hierarchy};
use crate::collector::{Collector, Error, Found};
use crate::metrics::{Desc, Metrics};
use crate::text;
use identity::identify;
pub(crate) use identity::owner;
use selection::Selection;

const TASKS: Desc = Desc::gauge("telltale_cgroup_tasks", "Tasks in the cgroup and those below it.");
const LIMIT: Desc = Desc::gauge(
    "telltale_cgroup_tasks_limit",
    "The cgroup's own pids.max; groups above it may be tighter.",
);
const REJECTED: Desc = Desc::counter(
    "telltale_cgroup_rejected_forks_total",
    "Forks rejected by the pids controller since the exporter's start, by the cgroup's own count of events.",
);
const PRESSED: Desc = Desc::gauge(
    "telltale_cgroups_pressed",
    "Cgroups at 80 % of their own pids.max or more (near), or that rejected a fork in the last 10 minutes \
     (rejecting), shown one by one or not.",
);
const INFO: Desc = Desc::gauge(
    "telltale_cgroup_info",
    "1, with what the path of a cgroup that is shown says: its unit, pod, container and runtime.",
);

pub(crate) struct Cgroups {
    hierarchy: Option<Hierarchy>,
    selection: Selection,
}

impl Cgroups {
    /// Looks at the pids hierarchy below this sysfs.
    pub(crate) fn new(sysfs: &Path) -> Self {
        Self { hierarchy: Hierarchy::find(sysfs), selection: Selection::default() }
    }
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
        let (groups, cut) = walked?;
        if cut {
            found.warnings.push(CUT.to_owned());
        }
        let (shown, pressed) = self.selection.choose(groups, Instant::now());
        found.metrics.add(&PRESSED, &[("state", "near")], pressed.near as f64);
        found.metrics.add(&PRESSED, &[("state", "rejecting")], pressed.rejecting as f64);
        let mut labels_taken = HashSet::new();
        for group in shown {
            let label = format!("/{}", text::label(group.path.as_os_str().as_bytes()));
            // Two names can have one text; a series twice would spoil the scrape.
            if labels_taken.insert(label.clone()) {
                export(&group, &label, &mut found.metrics);
            }
        }
        Ok(())
    }
}

fn export(group: &Group, label: &str, metrics: &mut Metrics) {
    let labels = [("cgroup", label)];
    if let Some(tasks) = group.tasks {
        metrics.add(&TASKS, &labels, tasks as f64);
    }
    metrics.add(&LIMIT, &labels, group.limit.value());
    // From the first on: a host has many groups that never reject one.
    if let Some(rejected) = group.rejected.filter(|&rejected| rejected > 0) {
        metrics.add(&REJECTED, &labels, rejected as f64);
    }
    let identity = identify(&group.path);
    let text = |value: &str| text::label(value.as_bytes());
    let (unit, pod) = (text(&identity.unit), text(&identity.pod_uid));
    let container = text(&identity.container_id);
    let labels = [
        ("cgroup", label),
        ("unit", &*unit),
        ("pod_uid", &*pod),
        ("container_id", &*container),
        ("runtime", identity.runtime),
    ];
    metrics.add(&INFO, &labels, 1.0);
}

#[cfg(test)]
mod tests;
