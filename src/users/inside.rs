//! What the kernel counts inside user namespaces: rootless containers, LXC, userns-remap.
//!
//! Since Linux 5.14 a task adds 1 for its uid in its own namespace, and at each level up for the owner of
//! the namespace below. At its own level the count is compared with the soft limit of the task that forks;
//! further up with a maximum that was frozen when the namespace below was made, from the soft limit of its
//! maker. Nobody tells that maximum: the lowest soft limit that the owner has there is an estimate of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::cgroups::owner;
use super::hierarchy::Hierarchy;
use super::limits::Limit;
use super::namespaces::{Inside, lines};
use super::table::{Process, Usage};
use crate::metrics::{Desc, Metrics};
use crate::sys::proc::Proc;
use crate::text;

/// Shown, the nearest to their limit first.
const MOST: usize = 50;

/// What is said where namespaces cannot be told apart by the kernel's own number.
pub(crate) const APPROXIMATE: &str = "/proc/PID/ns/user cannot be read: user namespaces are told apart by \
    their uid_map and container, which is approximate. Give the exporter CAP_SYS_PTRACE";

const TASKS: Desc = Desc::gauge(
    "telltale_namespace_tasks",
    "Tasks that the kernel counts for a uid (as seen outside) inside a user namespace.",
);
const LIMIT: Desc = Desc::gauge(
    "telltale_namespace_tasks_limit",
    "Lowest soft RLIMIT_NPROC of the uid's processes in the namespace; for who owns namespaces below, an estimate.",
);
const HEADROOM: Desc = Desc::gauge(
    "telltale_namespace_fork_headroom_tasks",
    "Tasks that the uid can still create inside the namespace, below that limit and those of its owners further up.",
);

/// A user namespace below ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Namespace {
    /// The inode number of its `ns/user`.
    Inode(u64),
    /// Its `uid_map` and the container whose processes have it, where that is all we see.
    Like(Box<[u8]>, PathBuf),
}

/// What one uid has in one namespace.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The label `namespace`.
    pub namespace: String,
    /// As seen from outside.
    pub uid: u32,
    pub tasks: u64,
    /// `None`: the uid has no process there.
    pub limit: Option<Limit>,
    /// Tasks that can still be created, here and further up; `None` where a maximum further up is not known.
    pub room: Option<Limit>,
    /// Tasks of namespaces below are among them, so that the limit is an estimate.
    pub estimated: bool,
}

impl Row {
    /// How full it is.
    pub(crate) fn share(&self) -> f64 {
        self.limit.map_or(0.0, |limit| limit.share(self.tasks))
    }
}

#[derive(Debug, Default, PartialEq)]
struct Count {
    tasks: u64,
    limit: Option<Limit>,
    estimated: bool,
    /// What counts its tasks further up, the next level first.
    above: Vec<(Namespace, u32)>,
    /// Whom the outermost belongs to.
    charged: u32,
}

type Counts = HashMap<(Namespace, u32), Count>;

/// Names of the namespaces that live, each kept as long as it does.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: HashMap<Namespace, String>,
}

impl Names {
    /// What is counted inside, the nearest to a limit first, and whether it is approximate.
    pub(crate) fn rows(
        &mut self,
        table: &HashMap<u32, Process>,
        users: &BTreeMap<u32, Usage>,
        procfs: &Path,
        hierarchy: Option<&Hierarchy>,
    ) -> (Vec<Row>, bool) {
        let group = |process: &Process| {
            let path = process.cgroup.as_deref()?;
            hierarchy?.resolve(path)
        };
        let counts = count(table, group);
        let approximate = counts.keys().any(|(id, _)| matches!(id, Namespace::Like(..)));
        self.name(&counts, table, procfs, group);
        let mut rows: Vec<Row> = counts
            .iter()
            .map(|((namespace, uid), count)| Row {
                namespace: self.names.get(namespace).cloned().unwrap_or_default(),
                uid: *uid,
                tasks: count.tasks,
                limit: count.limit,
                room: room(count, &counts, users),
                estimated: count.estimated,
            })
            .collect();
        rows.sort_by(|a, b| {
            let order = b.share().total_cmp(&a.share()).then(b.tasks.cmp(&a.tasks));
            order.then_with(|| (&a.namespace, a.uid).cmp(&(&b.namespace, b.uid)))
        });
        rows.truncate(MOST);
        (rows, approximate)
    }

    /// Gives a name to those that have none, and forgets those that are gone.
    fn name(
        &mut self,
        counts: &Counts,
        table: &HashMap<u32, Process>,
        procfs: &Path,
        group: impl Fn(&Process) -> Option<PathBuf>,
    ) {
        let alive: HashSet<&Namespace> = counts.keys().map(|(namespace, _)| namespace).collect();
        self.names.retain(|namespace, _| alive.contains(namespace));
        if alive.len() == self.names.len() {
            return;
        }
        // The oldest process of each that is new.
        let proc = Proc::open(procfs);
        let mut oldest: HashMap<Namespace, (u64, u32)> = HashMap::new();
        for (&pid, process) in table {
            for namespace in namespaces_of(process, &group) {
                if !self.names.contains_key(&namespace) {
                    let started = proc.as_ref().ok().and_then(|proc| start_time(proc, pid));
                    let age = (started.unwrap_or(u64::MAX), pid);
                    let known = oldest.entry(namespace).or_insert(age);
                    *known = age.min(*known);
                }
            }
        }
        let paths: Vec<(Namespace, String)> = oldest
            .into_iter()
            .map(|(namespace, (_, pid))| {
                let path = table.get(&pid).and_then(&group);
                let path = path.map(|path| text::label(path.as_os_str().as_bytes()));
                (namespace, path.map_or(String::new(), |path| format!("/{path}")))
            })
            .collect();
        for (namespace, path) in &paths {
            let shared = path.is_empty()
                || self.names.values().any(|taken| taken == path)
                || paths.iter().any(|(other, same)| other != namespace && same == path);
            let number = match namespace {
                Namespace::Inode(inode) => *inode,
                Namespace::Like(map, _) => {
                    lines(map).next().map_or(0, |[_, first, _]| first.into())
                }
            };
            let name = if shared { format!("{path}#{number}") } else { path.clone() };
            self.names.insert(namespace.clone(), name);
        }
    }
}

/// The namespaces that count the tasks of a process, its own first.
fn namespaces_of(process: &Process, group: impl Fn(&Process) -> Option<PathBuf>) -> Vec<Namespace> {
    match &process.place.inside {
        None => Vec::new(),
        Some(Inside::Levels(levels)) => {
            levels.iter().map(|level| Namespace::Inode(level.inode)).collect()
        }
        Some(Inside::Map(map)) => {
            let container = group(process).map(|path| owner(&path)).unwrap_or_default();
            vec![Namespace::Like((**map).into(), container)]
        }
    }
}

/// Adds up what the kernel does.
fn count(table: &HashMap<u32, Process>, group: impl Fn(&Process) -> Option<PathBuf>) -> Counts {
    let mut counts = Counts::new();
    for process in table.values() {
        let owners = match &process.place.inside {
            Some(Inside::Levels(levels)) => levels.iter().map(|level| level.owner).collect(),
            _ => Vec::new(),
        };
        let uids = std::iter::once(process.real_uid).chain(owners);
        let keys: Vec<_> = namespaces_of(process, &group).into_iter().zip(uids).collect();
        for (level, key) in keys.iter().enumerate() {
            let count = counts.entry(key.clone()).or_default();
            count.tasks += u64::from(process.threads);
            count.charged = process.place.charged;
            count.above.clear();
            count.above.extend_from_slice(&keys[level + 1..]);
            if level == 0 {
                count.limit = count.limit.into_iter().chain(process.soft_limit_inside()).min();
            } else {
                count.estimated = true;
            }
        }
    }
    counts
}

/// The least room of the levels from this one up to the user that the outermost belongs to.
fn room(count: &Count, counts: &Counts, users: &BTreeMap<u32, Usage>) -> Option<Limit> {
    let at = |count: &Count| count.limit.map(|limit| limit.room(count.tasks));
    let mut rooms = vec![at(count)];
    rooms.extend(count.above.iter().map(|key| counts.get(key).and_then(at)));
    // A namespace that the host's root has made has no maximum.
    let owner = users.get(&count.charged).and_then(Usage::rlimit_room);
    rooms.push(owner.or((count.charged == 0).then_some(Limit::Unlimited)));
    // Nothing is less than none; else what is not known may be.
    let known = rooms.iter().flatten().min().copied();
    known.filter(|&room| room == Limit::Tasks(0) || rooms.iter().all(Option::is_some))
}

/// When a process was started, in ticks since boot (proc(5), `stat`).
fn start_time(proc: &Proc, pid: u32) -> Option<u64> {
    let mut stat = Vec::new();
    proc.read(&format!("{pid}/stat"), &mut stat).ok()?;
    // The name may have spaces and parentheses.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat[end + 1..].split(u8::is_ascii_whitespace).nth(20)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The metrics of these rows.
pub(crate) fn export(rows: &[Row], metrics: &mut Metrics) {
    let mut taken = HashSet::new();
    for row in rows {
        let uid = row.uid.to_string();
        // Two names can have one text; a series twice would spoil the scrape.
        if !taken.insert((&row.namespace, row.uid)) {
            continue;
        }
        let labels = [("namespace", &*row.namespace), ("uid", &*uid)];
        metrics.add(&TASKS, &labels, row.tasks as f64);
        if let Some(limit) = row.limit {
            metrics.add(&LIMIT, &labels, limit.value());
        }
        if let Some(room) = row.room {
            metrics.add(&HEADROOM, &labels, room.value());
        }
    }
}

#[cfg(test)]
mod tests;
