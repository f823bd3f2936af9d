//! The pids hierarchy of a host: where it is mounted, its groups, and the room that processes have in them.
//!
//! Both versions are the same to read: directories with `pids.current`, `pids.max`, `pids.events`
//! (Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/pids.rst). A fork must fit into the group
//! and into every group above it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::Limit;
use super::table::{CgroupRoom, Process};
use super::view::View;

/// Looked at in one run, the upper ones first: any user with a delegated cgroup can make as many as it
/// likes, and each costs system calls.
pub(super) const MAX_GROUPS: usize = 4000;

/// Time for one run; well below the bound of a collector.
const MAX_TIME: Duration = Duration::from_millis(1500);

/// What is said when a run ended early.
pub(crate) const CUT: &str = "there are more cgroups than can be looked at (4,000, or 1.5 s): rooms and limits \
    of the deepest are missing";

/// What is said when processes stand in cgroups that cannot be named from here.
pub(crate) const OUTSIDE: &str = "some processes are in cgroups that cannot be seen from here (a cgroup \
    namespace of our own without the host's hierarchy below --path.sysfs): the room of their users is not \
    shown. Mount the host's /sys/fs/cgroup there, or run with --cgroupns=host";

/// One cgroup of the pids hierarchy.
#[derive(Debug)]
pub(super) struct Group {
    /// From the root of the hierarchy, as in `/proc/PID/cgroup` without the leading slash.
    pub path: PathBuf,
    pub tasks: Option<u64>,
    pub limit: Limit,
    pub rejected: Option<u64>,
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
    view: Arc<View>,
}

/// The room that processes have in their cgroups.
#[derive(Debug, Default)]
pub struct Rooms {
    /// By pid, of those in or below a limited cgroup.
    pub processes: HashMap<u32, CgroupRoom>,
    /// Processes of which some group could not be looked at.
    pub unknown: HashSet<u32>,
    /// Some are unknown because they stand outside of what we see.
    pub outside: bool,
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
        let unified = [base.clone(), base.join("unified")].into_iter().find(|r| has_pids(r));
        let version_1 = base.join("pids");
        let (root, version) = match unified {
            Some(root) => (root, Version::Two),
            None if version_1.join("cgroup.procs").exists() => (version_1, Version::One),
            None => return None,
        };
        let view = Arc::new(View::of(&root, version));
        Some(Self { root, version, view })
    }

    /// Version of the hierarchy.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where it is mounted.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where below the mount a group lies whose path we read in `/proc/PID/cgroup`; `None` where that
    /// cannot be known.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<PathBuf> {
        self.view.resolve(&self.root, Path::new(OsStr::from_bytes(path)))
    }

    /// The room of each process in its cgroup and those above. Only cgroups that have one of these
    /// processes are looked at, so empty ones cost nothing.
    pub fn rooms(&self, table: &HashMap<u32, Process>) -> Rooms {
        let started = Instant::now();
        // `None`: it cannot be told.
        let mut known: HashMap<PathBuf, Option<CgroupRoom>> = HashMap::new();
        let mut resolved: HashMap<&[u8], Option<PathBuf>> = HashMap::new();
        let mut rooms = Rooms::default();
        for (&pid, process) in table {
            let Some(path) = &process.cgroup else {
                rooms.unknown.insert(pid);
                continue;
            };
            let path = resolved.entry(path).or_insert_with(|| self.resolve(path));
            let Some(path) = path else {
                rooms.unknown.insert(pid);
                rooms.outside = true;
                continue;
            };
            // From the process up to what is known, and down again.
            let unknown = path.ancestors().take_while(|path| !known.contains_key(*path));
            let unknown: Vec<&Path> = unknown.collect();
            if known.len() + unknown.len() > MAX_GROUPS || started.elapsed() > MAX_TIME {
                rooms.cut = true;
                rooms.unknown.insert(pid);
                continue;
            }
            for path in unknown.into_iter().rev() {
                let above = path.parent().and_then(|parent| known.get(parent));
                let above = above.cloned().unwrap_or(Some(CgroupRoom::UNLIMITED));
                let own = read_room(&self.root.join(path), path);
                known.insert(path.to_owned(), own.zip(above).map(|(own, above)| own.and(&above)));
            }
            match known.get(path) {
                Some(Some(room)) if *room != CgroupRoom::UNLIMITED => {
                    rooms.processes.insert(pid, room.clone());
                }
                Some(Some(_)) => {}
                _ => {
                    rooms.unknown.insert(pid);
                }
            }
        }
        rooms
    }

    /// The own limit of a group below the mount, and its room; that of one that is not there is unlimited.
    /// `None` where it cannot be told.
    pub(super) fn limit_and_room(&self, path: &Path) -> Option<(Limit, CgroupRoom)> {
        let directory = self.root.join(path);
        Some((read_limit(&directory)?, read_room(&directory, path)?))
    }

    /// Every group that has tasks or is just below one that has, and whether some were left out. The
    /// root is a group too where we see a part of the hierarchy (a cgroup namespace).
    pub(super) fn walk(&self) -> io::Result<(Vec<Group>, bool)> {
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

/// The cgroup's own limit. One without the file has none: the root, one whose controller is not switched on,
/// and one that is gone, which limits nobody any more. `None` where the file cannot be read.
fn read_limit(directory: &Path) -> Option<Limit> {
    match fs::read(directory.join("pids.max")) {
        Ok(bytes) => Limit::parse(bytes.trim_ascii()),
        // ENODEV: it was removed between opening and reading.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) =>
        {
            Some(Limit::Unlimited)
        }
        Err(_) => None,
    }
}

/// The room in this one group; `None` where it cannot be told.
fn read_room(directory: &Path, path: &Path) -> Option<CgroupRoom> {
    let limit = read_limit(directory)?;
    if limit == Limit::Unlimited {
        return Some(CgroupRoom::UNLIMITED);
    }
    match read_number(&directory.join("pids.current")) {
        Some(tasks) => Some(CgroupRoom {
            room: limit.room(tasks),
            share: limit.share(tasks),
            fullest: Some(path.into()),
        }),
        None if directory.exists() => None,
        None => Some(CgroupRoom::UNLIMITED),
    }
}

/// Forks rejected by this group. Where version 2 counts in `pids.events` for all that is below (Linux 6.11),
/// `pids.events.local` has the group's own.
fn read_rejected(directory: &Path) -> Option<u64> {
    let events = fs::read(directory.join("pids.events.local"));
    let bytes = events.or_else(|_| fs::read(directory.join("pids.events"))).ok()?;
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let count = lines.find_map(|line| line.strip_prefix(b"max "))?;
    std::str::from_utf8(count).ok()?.trim().parse().ok()
}

fn read_group(directory: &Path, path: PathBuf) -> Group {
    let rejected = read_rejected(directory);
    let tasks = read_number(&directory.join("pids.current"));
    let limit = read_limit(directory).unwrap_or(Limit::Unlimited);
    Group { path, tasks, limit, rejected }
}

#[cfg(test)]
pub(super) mod tests;
