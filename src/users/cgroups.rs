//! Collector `cgroups`: pids controllers, their tasks against their limits, and forks they rejected.
//!
//! Both hierarchies are the same to read: directories with `pids.current`, `pids.max`, `pids.events`
//! (Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/pids.rst). A fork must fit into the group
//! and into every group above it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::limits::Limit;
use super::table::CgroupRoom;
use crate::collector::{Collector, Error, Found};
use crate::metrics::{Desc, label_text};

/// Shown for being nearest to their limit.
const NEAREST: usize = 20;

/// Shown, beyond those, for having rejected a fork since start.
const REJECTING: usize = 100;

/// A host with more is not described by a list; the walk ends there and says so.
const MAX_GROUPS: usize = 100_000;

const TASKS: Desc = Desc::gauge("telltale_cgroup_tasks", "Tasks in the cgroup and those below it.");
const LIMIT: Desc = Desc::gauge(
    "telltale_cgroup_tasks_limit",
    "The cgroup's own pids.max; groups above it may be tighter.",
);
const REJECTED: Desc = Desc::counter(
    "telltale_cgroup_rejected_forks_total",
    "Forks rejected by the pids controller, as the cgroup's pids.events counts them.",
);

/// One cgroup below the root of the pids hierarchy.
#[derive(Debug)]
struct Group {
    /// From the root of the hierarchy, as in `/proc/PID/cgroup`.
    path: PathBuf,
    tasks: Option<u64>,
    limit: Limit,
    rejected: Option<u64>,
    /// This group and those above it.
    room: CgroupRoom,
}

/// The pids hierarchy of a host.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    root: PathBuf,
}

impl Hierarchy {
    /// Finds where the pids controller is mounted; `None` where it is not.
    pub fn find(sysfs: &Path) -> Option<Self> {
        let base = sysfs.join("fs/cgroup");
        let has_pids = |root: &Path| {
            fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|list| list.split_whitespace().any(|name| name == "pids"))
        };
        let unified = base.join("unified");
        let version_1 = base.join("pids");
        [&base, &unified]
            .into_iter()
            .find(|root| has_pids(root))
            .or_else(|| version_1.join("cgroup.procs").exists().then_some(&version_1))
            .map(|root| Self { root: root.clone() })
    }

    /// The processes in cgroups that are limited, or below one that is, with the room they have.
    ///
    /// # Errors
    /// When the root cannot be listed. Groups that vanish meanwhile are left out.
    pub fn limited_processes(&self) -> io::Result<HashMap<u32, CgroupRoom>> {
        let mut processes: HashMap<u32, CgroupRoom> = HashMap::new();
        for group in self.walk()?.0 {
            if group.room == CgroupRoom::UNLIMITED {
                continue;
            }
            for pid in members(&self.root.join(&group.path)) {
                // Threads of one process may be in several groups of a threaded subtree.
                let room = processes.entry(pid).or_insert(CgroupRoom::UNLIMITED);
                *room = room.and(group.room);
            }
        }
        Ok(processes)
    }

    /// Every group below the root, and whether [`MAX_GROUPS`] cut the walk short.
    fn walk(&self) -> io::Result<(Vec<Group>, bool)> {
        let mut groups = Vec::new();
        let mut pending = vec![(PathBuf::new(), CgroupRoom::UNLIMITED)];
        while let Some((parent, above)) = pending.pop() {
            let entries = match fs::read_dir(self.root.join(&parent)) {
                Ok(entries) => entries,
                Err(error) if parent.as_os_str().is_empty() => return Err(error),
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if groups.len() >= MAX_GROUPS {
                    return Ok((groups, true));
                }
                let group = read_group(&entry.path(), parent.join(entry.file_name()), above);
                pending.push((group.path.clone(), group.room));
                groups.push(group);
            }
        }
        Ok((groups, false))
    }
}

fn read_group(directory: &Path, path: PathBuf, above: CgroupRoom) -> Group {
    let read = |file| fs::read(directory.join(file)).ok();
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.trim().parse().ok();
    let limit = read("pids.max").and_then(|bytes| Limit::parse(bytes.trim_ascii()));
    let limit = limit.unwrap_or(Limit::Unlimited);
    let tasks = read("pids.current").as_deref().and_then(number);
    let rejected = read("pids.events").as_deref().and_then(|bytes| {
        bytes
            .split(|&byte| byte == b'\n')
            .find_map(|line| line.strip_prefix(b"max "))
            .and_then(number)
    });
    let own = tasks.map_or(CgroupRoom::UNLIMITED, |tasks| CgroupRoom {
        room: limit.room(tasks),
        share: limit.share(tasks),
    });
    Group { path, tasks, limit, rejected, room: own.and(above) }
}

/// The processes of one group; in a threaded one, the tasks.
fn members(directory: &Path) -> Vec<u32> {
    let bytes = fs::read(directory.join("cgroup.procs"))
        .or_else(|_| fs::read(directory.join("cgroup.threads")))
        .unwrap_or_default();
    let lines = bytes.split(|&byte| byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok()).collect()
}

/// The collector.
pub struct Cgroups {
    hierarchy: Option<Hierarchy>,
    /// Rejected forks of each group when it was first seen; `None` before the first look.
    before: Option<HashMap<PathBuf, u64>>,
}

impl Cgroups {
    /// Looks at the pids hierarchy below this sysfs.
    pub fn new(sysfs: &Path) -> Self {
        Self { hierarchy: Hierarchy::find(sysfs), before: None }
    }

    /// Which of these groups have rejected a fork since the first look; a group that came later
    /// started at 0.
    fn rejecting(&mut self, groups: &[Group]) -> HashSet<PathBuf> {
        let first_look = self.before.is_none();
        let known = self.before.take().unwrap_or_default();
        let mut before = HashMap::with_capacity(groups.len());
        let mut rejecting = HashSet::new();
        for group in groups {
            let now = group.rejected.unwrap_or(0);
            let then = known.get(&group.path).copied().unwrap_or(if first_look { now } else { 0 });
            // A group made anew under an old name counts from 0 again.
            before.insert(group.path.clone(), then.min(now));
            if now > then.min(now) {
                rejecting.insert(group.path.clone());
            }
        }
        self.before = Some(before);
        rejecting
    }
}

impl Collector for Cgroups {
    fn name(&self) -> &'static str {
        "cgroups"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let Some(hierarchy) = &self.hierarchy else {
            found.warnings.push(
                "no pids cgroup controller is mounted (Linux 4.3 has it), so forks cannot fail \
                 for one, and nothing is shown"
                    .to_owned(),
            );
            return Ok(());
        };
        let (mut groups, cut) = hierarchy.walk()?;
        if cut {
            found
                .warnings
                .push(format!("more than {MAX_GROUPS} cgroups: the rest is not looked at"));
        }
        let rejecting = self.rejecting(&groups);
        groups.retain(|group| group.limit != Limit::Unlimited || rejecting.contains(&group.path));
        let mut labels_taken = HashSet::new();
        for group in shown(groups, &rejecting) {
            let label = format!("/{}", label_text(group.path.as_os_str().as_bytes()));
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
fn shown(mut groups: Vec<Group>, rejecting: &HashSet<PathBuf>) -> Vec<Group> {
    groups.sort_by(|a, b| {
        let share = |group: &Group| group.limit.share(group.tasks.unwrap_or(0));
        share(b).total_cmp(&share(a)).then_with(|| a.path.cmp(&b.path))
    });
    let limited = |group: &Group| group.limit != Limit::Unlimited;
    let (mut nearest, mut rest) = (Vec::new(), Vec::new());
    for group in groups {
        let list =
            if limited(&group) && nearest.len() < NEAREST { &mut nearest } else { &mut rest };
        list.push(group);
    }
    rest.retain(|group| rejecting.contains(&group.path));
    rest.truncate(REJECTING);
    nearest.append(&mut rest);
    nearest.sort_by(|a, b| a.path.cmp(&b.path));
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs whose pids hierarchy lies at `root`, with these groups: path, current, max, rejected.
    fn sysfs(root: &str, groups: &[(&str, &str, &str, u32)]) -> tempfile::TempDir {
        let sysfs = tempfile::tempdir().unwrap();
        let base = sysfs.path().join("fs/cgroup").join(root);
        fs::create_dir_all(&base).unwrap();
        if root != "pids" {
            fs::write(base.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        }
        fs::write(base.join("cgroup.procs"), "").unwrap();
        for (pid, (path, current, max, rejected)) in (1..).zip(groups) {
            let group = base.join(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("pids.current"), format!("{current}\n")).unwrap();
            fs::write(group.join("pids.max"), format!("{max}\n")).unwrap();
            fs::write(group.join("pids.events"), format!("max {rejected}\n")).unwrap();
            fs::write(group.join("cgroup.procs"), format!("{pid}\n")).unwrap();
        }
        sysfs
    }

    fn scrape(cgroups: &mut Cgroups) -> String {
        let mut found = Found::default();
        cgroups.collect(&mut found).unwrap();
        String::from_utf8(found.metrics.encode()).unwrap()
    }

    #[test]
    fn hierarchies_of_either_version_are_found() {
        for root in ["", "unified", "pids"] {
            let sysfs = sysfs(root, &[("a", "3", "9", 0)]);
            let text = scrape(&mut Cgroups::new(sysfs.path()));
            assert!(text.contains("telltale_cgroup_tasks{cgroup=\"/a\"} 3\n"), "{root}: {text}");
            assert!(text.contains("telltale_cgroup_tasks_limit{cgroup=\"/a\"} 9\n"));
        }
    }

    #[test]
    fn version_1_is_used_where_version_2_has_no_pids_controller() {
        let sysfs = sysfs("pids", &[("a", "3", "9", 0)]);
        let unified = sysfs.path().join("fs/cgroup/unified");
        fs::create_dir(&unified).unwrap();
        fs::write(unified.join("cgroup.controllers"), "hugetlb\n").unwrap();
        assert!(Hierarchy::find(sysfs.path()).unwrap().root.ends_with("pids"));
    }

    #[test]
    fn without_a_controller_nothing_is_shown_and_that_is_said() {
        let sysfs = tempfile::tempdir().unwrap();
        let mut found = Found::default();
        Cgroups::new(sysfs.path()).collect(&mut found).unwrap();
        assert!(found.metrics.encode().is_empty() && found.warnings[0].contains("Linux 4.3"));
    }

    #[test]
    fn the_tightest_group_above_decides() {
        let groups = [
            ("outer", "8", "10", 0),
            ("outer/inner", "8", "max", 0),
            ("outer/inner/deep", "4", "100", 0),
            ("free", "5", "max", 0),
        ];
        let sysfs = sysfs("", &groups);
        let rooms = Hierarchy::find(sysfs.path()).unwrap().limited_processes().unwrap();
        let tight = CgroupRoom { room: Limit::Tasks(2), share: 0.8 };
        assert_eq!(rooms, HashMap::from([(1, tight), (2, tight), (3, tight)]));
    }

    #[test]
    fn threads_are_read_where_the_group_is_threaded() {
        let sysfs = sysfs("", &[("threaded", "2", "4", 0)]);
        // Reading cgroup.procs of a threaded group fails with EOPNOTSUPP; a directory fails as well.
        let group = sysfs.path().join("fs/cgroup/threaded");
        fs::remove_file(group.join("cgroup.procs")).unwrap();
        fs::create_dir(group.join("cgroup.procs")).unwrap();
        fs::write(group.join("cgroup.threads"), "7\n8\n").unwrap();
        let rooms = Hierarchy::find(sysfs.path()).unwrap().limited_processes().unwrap();
        assert_eq!(rooms.len(), 2);
    }

    #[test]
    fn the_nearest_are_shown_and_those_that_reject() {
        let names: Vec<String> = (0..40).map(|nth| format!("g{nth:02}")).collect();
        let tasks: Vec<String> = (0..40).map(|nth| nth.to_string()).collect();
        let mut groups: Vec<_> =
            names.iter().zip(&tasks).map(|(name, tasks)| (&**name, &**tasks, "100", 5)).collect();
        groups.push(("unlimited", "1", "max", 2));
        let sysfs = sysfs("", &groups);
        let mut cgroups = Cgroups::new(sysfs.path());
        let text = scrape(&mut cgroups);
        let shown = |text: &str| text.matches("\ntelltale_cgroup_tasks{").count();
        assert_eq!(shown(&text), NEAREST, "what was rejected before we looked does not count");
        assert!(text.contains("tasks{cgroup=\"/g20\"} 20\n") && !text.contains("/g19"));

        let rejects = |group: &str, count: u32| {
            let path = sysfs.path().join("fs/cgroup").join(group).join("pids.events");
            fs::write(path, format!("max {count}\n")).unwrap();
        };
        rejects("g00", 6);
        rejects("unlimited", 3);
        for _ in 0..2 {
            let text = scrape(&mut cgroups);
            assert_eq!(shown(&text), NEAREST + 2, "and it stays");
            assert!(text.contains("rejected_forks_total{cgroup=\"/g00\"} 6\n"));
            assert!(text.contains("tasks_limit{cgroup=\"/unlimited\"} +Inf\n"));
        }
        // Made anew under its old name, it has rejected nothing yet.
        rejects("g00", 0);
        assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 1);
        rejects("g00", 1);
        assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 2);
    }
}
