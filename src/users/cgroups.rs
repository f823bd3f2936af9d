//! Collector `cgroups`: pids controllers, their tasks against their limits, and forks they rejected.
//!
//! Both hierarchies are the same to read: directories with `pids.current`, `pids.max`, `pids.events`
//! (Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/pids.rst). A fork must fit into the group
//! and into every group above it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;
use crate::text;
use crate::users::limits::Limit;
use crate::users::table::{CgroupRoom, Process};

/// Shown for being nearest to their limit.
const NEAREST: usize = 20;

/// Shown, beyond those, for having rejected a fork since start.
const REJECTING: usize = 100;

/// Shown of the cgroups of one unit or slice, while others are as near: a user who may make cgroups
/// below its own must not crowd the others out.
const NEAREST_OF_ONE: usize = 5;

/// Looked at in one run, the upper ones first: any user with a delegated cgroup can make as many as it
/// likes, and each costs system calls.
const MAX_GROUPS: usize = 4000;

/// Time for one run; well below the bound of a collector.
const MAX_TIME: Duration = Duration::from_millis(1500);

/// What is said when a run ended early.
pub(crate) const CUT: &str = "there are more cgroups than can be looked at (4,000, or 1.5 s): rooms and limits \
    of the deepest are missing";

const TASKS: Desc = Desc::gauge("telltale_cgroup_tasks", "Tasks in the cgroup and those below it.");
const LIMIT: Desc = Desc::gauge(
    "telltale_cgroup_tasks_limit",
    "The cgroup's own pids.max; groups above it may be tighter.",
);
const REJECTED: Desc = Desc::counter(
    "telltale_cgroup_rejected_forks_total",
    "Forks rejected by the pids controller since the exporter's start, by the cgroup's pids.events.",
);

/// One cgroup of the pids hierarchy.
#[derive(Debug)]
struct Group {
    /// From the root of the hierarchy, as in `/proc/PID/cgroup` without the leading slash.
    path: PathBuf,
    tasks: Option<u64>,
    limit: Limit,
    rejected: Option<u64>,
}

/// Version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own for the pids controller.
    One,
    /// The unified hierarchy.
    Two,
}

impl Version {
    /// The path, without its leading slash, that `/proc/PID/cgroup` names for the pids controller
    /// (cgroups(7)).
    pub fn pids_path(self, file: &[u8]) -> Option<&[u8]> {
        file.split(|&byte| byte == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let mut controllers = controllers.split(|&byte| byte == b',');
            let ours = match self {
                Self::One => controllers.any(|controller| controller == b"pids"),
                Self::Two => controllers.all(<[u8]>::is_empty),
            };
            ours.then_some(path)?.strip_prefix(b"/")
        })
    }
}

/// The pids hierarchy of a host.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    root: PathBuf,
    version: Version,
}

/// The room that processes have in their cgroups.
#[derive(Debug, Default)]
pub struct Rooms {
    /// By pid, of those in or below a limited cgroup.
    pub processes: HashMap<u32, CgroupRoom>,
    /// Some were not looked at.
    pub cut: bool,
}

impl Hierarchy {
    /// Finds where the pids controller is mounted; `None` where it is not.
    pub fn find(sysfs: &Path) -> Option<Self> {
        let base = sysfs.join("fs/cgroup");
        let has_pids = |root: &Path| {
            fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|list| list.split_whitespace().any(|name| name == "pids"))
        };
        let version_1 = base.join("pids");
        if let Some(root) = [base.clone(), base.join("unified")].into_iter().find(|r| has_pids(r)) {
            return Some(Self { root, version: Version::Two });
        }
        let exists = version_1.join("cgroup.procs").exists();
        exists.then_some(Self { root: version_1, version: Version::One })
    }

    /// Version of the hierarchy.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The room of each process in its cgroup and those above. Only cgroups that have one of these
    /// processes are looked at, so empty ones cost nothing.
    pub fn rooms(&self, table: &HashMap<u32, Process>) -> Rooms {
        let started = Instant::now();
        let mut known: HashMap<PathBuf, CgroupRoom> = HashMap::new();
        let mut rooms = Rooms::default();
        for (&pid, process) in table {
            let Some(path) = &process.cgroup else { continue };
            let path = Path::new(OsStr::from_bytes(path));
            // Outside of our cgroup namespace: its files cannot be named from here.
            if path.components().any(|part| part == Component::ParentDir) {
                continue;
            }
            // From the process up to what is known, and down again.
            let unknown = path.ancestors().take_while(|path| !known.contains_key(*path));
            let unknown: Vec<&Path> = unknown.collect();
            if known.len() + unknown.len() > MAX_GROUPS || started.elapsed() > MAX_TIME {
                rooms.cut = true;
                continue;
            }
            for path in unknown.into_iter().rev() {
                let above = path.parent().and_then(|parent| known.get(parent));
                let above = above.copied().unwrap_or(CgroupRoom::UNLIMITED);
                let own = read_room(&self.root.join(path));
                known.insert(path.to_owned(), own.and(above));
            }
            if let Some(&room) = known.get(path)
                && room != CgroupRoom::UNLIMITED
            {
                rooms.processes.insert(pid, room);
            }
        }
        rooms
    }

    /// Every group that has tasks or is just below one that has, and whether some were left out. The
    /// root is a group too where we see a part of the hierarchy (a cgroup namespace).
    fn walk(&self) -> io::Result<(Vec<Group>, bool)> {
        let started = Instant::now();
        let mut groups = Vec::new();
        if self.root.join("pids.max").exists() {
            groups.push(read_group(&self.root, PathBuf::new()));
        }
        let mut pending = VecDeque::from([PathBuf::new()]);
        while let Some(parent) = pending.pop_front() {
            let entries = match fs::read_dir(self.root.join(&parent)) {
                Ok(entries) => entries,
                Err(error) if parent.as_os_str().is_empty() => return Err(error),
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if groups.len() >= MAX_GROUPS || started.elapsed() > MAX_TIME {
                    return Ok((groups, true));
                }
                let group = read_group(&entry.path(), parent.join(entry.file_name()));
                // pids.current counts those below too.
                if group.tasks != Some(0) {
                    pending.push_back(group.path.clone());
                }
                groups.push(group);
            }
        }
        Ok((groups, false))
    }
}

fn read_number(path: &Path) -> Option<u64> {
    std::str::from_utf8(&fs::read(path).ok()?).ok()?.trim().parse().ok()
}

/// The cgroup's own limit; one that cannot be read, or the root's, is none.
fn read_limit(directory: &Path) -> Limit {
    let limit = fs::read(directory.join("pids.max")).ok();
    limit.and_then(|bytes| Limit::parse(bytes.trim_ascii())).unwrap_or(Limit::Unlimited)
}

fn read_room(directory: &Path) -> CgroupRoom {
    let limit = read_limit(directory);
    let tasks = match limit {
        Limit::Unlimited => None,
        Limit::Tasks(_) => read_number(&directory.join("pids.current")),
    };
    tasks.map_or(CgroupRoom::UNLIMITED, |tasks| CgroupRoom {
        room: limit.room(tasks),
        share: limit.share(tasks),
    })
}

fn read_group(directory: &Path, path: PathBuf) -> Group {
    let rejected = fs::read(directory.join("pids.events")).ok().and_then(|bytes| {
        let mut lines = bytes.split(|&byte| byte == b'\n');
        let count = lines.find_map(|line| line.strip_prefix(b"max "))?;
        std::str::from_utf8(count).ok()?.trim().parse().ok()
    });
    let tasks = read_number(&directory.join("pids.current"));
    Group { path, tasks, limit: read_limit(directory), rejected }
}

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
        let root = hierarchy.root.display();
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
    fn the_path_of_a_process_is_that_of_the_pids_controller() {
        let file = b"9:name=systemd:/init\n8:cpu,pids:/a:b/c\n0::/unified\n";
        assert_eq!(Version::One.pids_path(file), Some(&b"a:b/c"[..]));
        assert_eq!(Version::Two.pids_path(file), Some(&b"unified"[..]));
        assert_eq!(Version::One.pids_path(b"0::/\n"), None);
        assert_eq!(Version::Two.pids_path(b"0::/\n"), Some(&b""[..]));
    }

    /// The rooms of processes 1, 2, … in these cgroups.
    fn rooms(sysfs: &Path, cgroups: &[&str]) -> HashMap<u32, CgroupRoom> {
        let table = (1..).zip(cgroups).map(|(pid, cgroup)| (pid, Process::in_cgroup(cgroup)));
        Hierarchy::find(sysfs).unwrap().rooms(&table.collect()).processes
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
        let paths = ["outer", "outer/inner", "outer/inner/deep", "free", "gone", "../outer", ""];
        let tight = CgroupRoom { room: Limit::Tasks(2), share: 0.8 };
        assert_eq!(
            rooms(sysfs.path(), &paths),
            HashMap::from([(1, tight), (2, tight), (3, tight)])
        );
    }

    #[test]
    fn the_root_of_a_cgroup_namespace_is_limited_too() {
        let sysfs = sysfs("", &[(".", "20", "30", 0), ("a", "5", "max", 0)]);
        let room = CgroupRoom { room: Limit::Tasks(10), share: 20.0 / 30.0 };
        assert_eq!(rooms(sysfs.path(), &["", "a"]), HashMap::from([(1, room), (2, room)]));
        let text = scrape(&mut Cgroups::new(sysfs.path()));
        assert!(text.contains("telltale_cgroup_tasks_limit{cgroup=\"/\"} 30\n"), "{text}");
    }

    #[test]
    fn empty_cgroups_cost_no_walk_and_a_flood_of_them_hides_nobody() {
        let mut groups = vec![
            ("system.slice".to_owned(), "9", "max"),
            ("system.slice/victim.service".to_owned(), "9", "10"),
            ("user.slice".to_owned(), "60", "max"),
            ("user.slice/user-7.slice".to_owned(), "60", "max"),
            ("user.slice/user-7.slice/empty".to_owned(), "0", "1"),
        ];
        for nth in 0..30 {
            groups.push((format!("user.slice/user-7.slice/full{nth}"), "1", "1"));
            groups.push((format!("user.slice/user-7.slice/decoy{nth}"), "0", "0"));
            groups.push((format!("user.slice/user-7.slice/empty/deep{nth}"), "0", "1"));
        }
        let groups: Vec<_> =
            groups.iter().map(|(path, now, max)| (&**path, *now, *max, 0)).collect();
        let sysfs = sysfs("", &groups);
        let (walked, cut) = Hierarchy::find(sysfs.path()).unwrap().walk().unwrap();
        assert!(!cut && walked.len() == 5 + 60, "nothing below an empty one: {}", walked.len());
        let text = scrape(&mut Cgroups::new(sysfs.path()));
        assert!(
            text.contains("telltale_cgroup_tasks{cgroup=\"/system.slice/victim.service\"} 9\n")
        );
        assert_eq!(text.matches("\ntelltale_cgroup_tasks{").count(), NEAREST);
    }

    #[test]
    fn more_groups_than_the_bound_end_the_walk_and_that_is_said() {
        let names: Vec<String> = (0..MAX_GROUPS + 10).map(|nth| format!("g{nth}")).collect();
        let groups: Vec<_> = names.iter().map(|name| (&**name, "1", "9", 0)).collect();
        let sysfs = sysfs("", &groups);
        let mut found = Found::default();
        Cgroups::new(sysfs.path()).collect(&mut found).unwrap();
        assert_eq!(found.warnings, [CUT]);
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
            assert!(text.contains("rejected_forks_total{cgroup=\"/g00\"} 1\n"));
            assert!(text.contains("tasks_limit{cgroup=\"/unlimited\"} +Inf\n"));
        }
        // Made anew under its old name, it has rejected nothing yet.
        rejects("g00", 0);
        assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 1);
        rejects("g00", 1);
        assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 2);
    }
}
