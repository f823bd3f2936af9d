//! The processes of the host, and what they add up to per user. No system calls here.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::hierarchy::Rooms;
use super::limits::{Limit, Nproc};
use super::namespaces::Place;
use super::status::{State, Status};

/// One thread group.
#[derive(Debug, Clone)]
pub struct Process {
    /// Inode number of its `status` file: tells a process from a later one with the same pid.
    pub inode: u64,
    /// Inode number of its `task` directory, once a sample has seen it.
    pub task_inode: Option<u64>,
    /// Command name, arbitrary bytes.
    pub command: Box<[u8]>,
    /// State of the leader.
    pub state: State,
    pub real_uid: u32,
    /// Effective capabilities.
    pub capabilities: u64,
    pub threads: u32,
    /// Whom it is charged to.
    pub place: Place,
    /// Its limits, where they matter and were read.
    pub nproc: Option<Nproc>,
    /// Whether it is in a pid namespace below that of `/proc`, with a `pid_max` of its own.
    pub own_pid_max: bool,
    /// Its cgroup in the hierarchy of the pids controller, as `/proc/PID/cgroup` has it.
    pub cgroup: Option<Box<[u8]>>,
}

impl Process {
    /// Whether the process is still the one that `status` and `inode` describe, and has changed
    /// nothing that moves it to another user or exempts it.
    pub fn is_still(&self, inode: u64, status: &Status<'_>) -> bool {
        self.inode == inode
            && self.real_uid == status.real_uid
            && self.capabilities == status.effective_capabilities
            && *self.command == *status.command
    }

    /// Whether the kernel compares its limit with a count when it forks. A dead process does not fork any
    /// more.
    pub fn needs_limit(&self) -> bool {
        (self.place.bound || self.place.inside.is_some()) && self.state != State::Zombie
    }

    /// The soft limit that is compared with the count inside its user namespace.
    pub(crate) fn soft_limit_inside(&self) -> Option<Limit> {
        // A hard limit of 0 marks a sandbox, which never forks.
        let nproc = self.nproc.filter(|nproc| nproc.hard != Limit::Tasks(0))?;
        self.needs_limit().then_some(nproc.soft)
    }

    /// The soft limit that is compared with its user's count.
    fn soft_limit(&self) -> Option<Limit> {
        self.soft_limit_inside().filter(|_| self.place.bound)
    }
}

#[cfg(test)]
impl Process {
    /// An ordinary process in this cgroup.
    pub fn in_cgroup(path: &str) -> Self {
        Self {
            inode: 1,
            task_inode: None,
            command: (*b"x").into(),
            state: State::Sleeping,
            real_uid: 1,
            capabilities: 0,
            threads: 1,
            place: Place::own(1, true),
            nproc: None,
            own_pid_max: false,
            cgroup: Some(path.as_bytes().into()),
        }
    }
}

/// The pids cgroups above a process, as far as they are limited.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupRoom {
    /// Tasks that can still be created before the nearest of them is full.
    pub room: Limit,
    /// Tasks in the fullest of them, as a share of its limit.
    pub share: f64,
    /// The fullest, from the root of the hierarchy; `None` where none is limited.
    pub fullest: Option<Arc<Path>>,
}

impl CgroupRoom {
    /// No limit anywhere.
    pub const UNLIMITED: Self = Self { room: Limit::Unlimited, share: 0.0, fullest: None };

    /// The tighter of both, in each respect.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        // Of equals the one that is named first, so that it is the same at each scrape.
        let by_share = self.share.total_cmp(&other.share);
        let fullest = match by_share.then_with(|| other.fullest.cmp(&self.fullest)) {
            Ordering::Less => other,
            _ if self.fullest.is_none() => other,
            _ => self,
        };
        Self {
            room: self.room.min(other.room),
            share: fullest.share,
            fullest: fullest.fullest.clone(),
        }
    }
}

/// What one user's processes add up to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Tasks charged to the user.
    pub tasks: u64,
    /// Thread groups by the leader's state, in the order of [`State::ALL`].
    pub processes: [u64; State::ALL.len()],
    /// Lowest and highest soft limit of the processes that are bound by one.
    pub limits: Option<(Limit, Limit)>,
    /// Processes whose own soft limit is reached.
    pub blocked: u64,
    /// The tightest pids cgroups of which something is known; `None` where the host has no pids controller.
    pub cgroup: Option<CgroupRoom>,
    /// Processes of which some cgroup cannot be looked at.
    pub cgroup_unknown: u64,
    /// One of its processes, the lowest pid, that is in a pid namespace with a `pid_max` of its own.
    pub own_pid_max: Option<u32>,
}

impl Usage {
    /// Room below the lowest soft limit; `None` where it is not known that there is so much.
    pub fn rlimit_room(&self) -> Option<Limit> {
        self.seen(self.limits.map(|(lowest, _)| lowest.room(self.tasks)))
    }

    /// Room in the tightest pids cgroup; `None` where it is not known.
    pub fn cgroup_room(&self) -> Option<Limit> {
        let room = self.cgroup.as_ref().map(|cgroup| cgroup.room);
        // Of several, what is not known may be tighter than what is; nothing is tighter than full.
        self.seen(room).filter(|&room| self.cgroup_unknown == 0 || room == Limit::Tasks(0))
    }

    /// Without end only where no ceiling is out of sight.
    fn seen(&self, room: Option<Limit>) -> Option<Limit> {
        room.filter(|&room| room != Limit::Unlimited || self.own_pid_max.is_none())
    }

    /// The pids cgroup that is fuller than the user's own limit, if one is.
    pub fn fullest_cgroup(&self) -> Option<&Arc<Path>> {
        let rlimit = self.limits.map_or(0.0, |(lowest, _)| lowest.share(self.tasks));
        let cgroup = self.cgroup.as_ref().filter(|cgroup| cgroup.share > rlimit)?;
        cgroup.fullest.as_ref()
    }

    /// How near the user is to its nearest ceiling: 1 is there.
    pub fn nearness(&self) -> f64 {
        let rlimit = self.limits.map_or(0.0, |(lowest, _)| lowest.share(self.tasks));
        rlimit.max(self.cgroup.as_ref().map_or(0.0, |cgroup| cgroup.share))
    }
}

/// Adds up the tasks per charged user.
pub(crate) fn tasks_by_user<'a>(processes: impl Iterator<Item = &'a Process>) -> HashMap<u32, u64> {
    let mut tasks = HashMap::new();
    for process in processes {
        *tasks.entry(process.place.charged).or_default() += u64::from(process.threads);
    }
    tasks
}

/// Adds up everything per charged user. `cgroups` is `None` where the host has no pids controller.
pub fn usage_by_user(
    table: &HashMap<u32, Process>,
    cgroups: Option<&Rooms>,
) -> BTreeMap<u32, Usage> {
    let tasks = tasks_by_user(table.values());
    let mut users: BTreeMap<u32, Usage> = BTreeMap::new();
    for (pid, process) in table {
        let uid = process.place.charged;
        let user = users.entry(uid).or_default();
        user.tasks = tasks[&uid];
        user.processes[process.state as usize] += 1;
        if let Some(soft) = process.soft_limit() {
            let (lowest, highest) = user.limits.unwrap_or((soft, soft));
            user.limits = Some((lowest.min(soft), highest.max(soft)));
            user.blocked += u64::from(soft.reached(user.tasks));
        }
        if let Some(cgroups) = cgroups {
            let room = cgroups.processes.get(pid).unwrap_or(&CgroupRoom::UNLIMITED);
            let tightest = user.cgroup.as_ref().unwrap_or(&CgroupRoom::UNLIMITED);
            user.cgroup = Some(tightest.and(room));
            user.cgroup_unknown += u64::from(cgroups.unknown.contains(pid));
        }
        if process.own_pid_max {
            user.own_pid_max = Some(user.own_pid_max.map_or(*pid, |other| other.min(*pid)));
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(charged: u32, threads: u32, soft: u64) -> Process {
        let soft = if soft == u64::MAX { Limit::Unlimited } else { Limit::Tasks(soft) };
        Process {
            real_uid: charged,
            threads,
            place: Place::own(charged, true),
            nproc: Some(Nproc { soft, hard: Limit::Unlimited }),
            ..Process::in_cgroup("")
        }
    }

    fn usage(processes: Vec<Process>) -> BTreeMap<u32, Usage> {
        usage_by_user(&(1..).zip(processes).collect(), None)
    }

    #[test]
    fn limit_belongs_to_the_process_and_count_to_the_user() {
        let users = usage(vec![process(7, 6, 10), process(7, 4, 30)]);
        let user = &users[&7];
        assert_eq!(user.tasks, 10);
        assert_eq!(user.limits, Some((Limit::Tasks(10), Limit::Tasks(30))));
        assert_eq!(user.blocked, 1);
        assert_eq!(user.rlimit_room(), Some(Limit::Tasks(0)));
    }

    #[test]
    fn usage_may_exceed_the_limit() {
        let user = &usage(vec![process(7, 12, 5)])[&7];
        assert_eq!((user.blocked, user.rlimit_room()), (1, Some(Limit::Tasks(0))));
        assert!(user.nearness() > 2.0);
    }

    #[test]
    fn sandboxes_zombies_and_the_exempt_count_but_are_not_bound() {
        let mut sandbox = process(7, 1, 0);
        sandbox.nproc = Some(Nproc { soft: Limit::Tasks(0), hard: Limit::Tasks(0) });
        let mut zombie = process(7, 1, 2);
        zombie.state = State::Zombie;
        let mut exempt = process(7, 1, 2);
        exempt.place.bound = false;
        let user = &usage(vec![sandbox, zombie, exempt])[&7];
        assert_eq!((user.tasks, user.blocked, user.limits), (3, 0, None));
        assert_eq!(user.processes[State::Zombie as usize], 1);
    }

    #[test]
    fn a_soft_limit_of_0_below_a_hard_one_is_a_limit() {
        let user = &usage(vec![process(7, 1, 0)])[&7];
        assert_eq!((user.blocked, user.limits), (1, Some((Limit::Tasks(0), Limit::Tasks(0)))));
    }

    fn in_group(group: &str, room: u64, share: f64) -> CgroupRoom {
        CgroupRoom { room: Limit::Tasks(room), share, fullest: Some(Path::new(group).into()) }
    }

    #[test]
    fn nearest_cgroup_of_any_process() {
        let table: HashMap<_, _> = (1..).zip([process(7, 1, 10), process(7, 1, 10)]).collect();
        let (tight, full) = (in_group("a", 3, 0.7), in_group("b", 4, 0.9));
        let of = |rooms: &[(u32, &CgroupRoom)]| {
            let processes = rooms.iter().map(|&(pid, room)| (pid, room.clone())).collect();
            let rooms = Rooms { processes, ..Rooms::default() };
            usage_by_user(&table, Some(&rooms))[&7].clone()
        };
        assert_eq!(of(&[(1, &tight)]).cgroup, Some(tight.clone()));
        assert_eq!(of(&[(1, &tight), (2, &full)]).cgroup, Some(in_group("b", 3, 0.9)));
        assert_eq!(of(&[]).cgroup, Some(CgroupRoom::UNLIMITED));
        // The same name, whatever the order in which they come.
        let (one, other) = (in_group("a", 1, 0.9), in_group("b", 1, 0.9));
        assert_eq!(one.and(&other), other.and(&one));
    }

    #[test]
    fn what_is_not_known_is_no_room() {
        let table = HashMap::from([(1, process(7, 1, u64::MAX)), (2, process(7, 1, u64::MAX))]);
        let of = |room: Option<CgroupRoom>| {
            let processes = room.into_iter().map(|room| (1, room)).collect();
            let rooms = Rooms { processes, unknown: [2].into(), ..Rooms::default() };
            usage_by_user(&table, Some(&rooms))[&7].cgroup_room()
        };
        assert_eq!(of(None), None, "not unlimited");
        assert_eq!(of(Some(in_group("a", 3, 0.7))), None, "the other may have less");
        assert_eq!(of(Some(in_group("a", 0, 1.0))), Some(Limit::Tasks(0)), "there is no less");
    }

    #[test]
    fn a_pid_namespace_takes_the_word_from_unlimited_and_leaves_numbers() {
        let mut inside = process(7, 3, u64::MAX);
        inside.own_pid_max = true;
        let table = HashMap::from([(5, inside.clone()), (4, inside), (3, process(7, 1, u64::MAX))]);
        let rooms = Rooms::default();
        let user = &usage_by_user(&table, Some(&rooms))[&7];
        assert_eq!(
            (user.own_pid_max, user.rlimit_room(), user.cgroup_room()),
            (Some(4), None, None)
        );
        let mut inside = process(7, 3, 10);
        inside.own_pid_max = true;
        let user = &usage_by_user(&HashMap::from([(5, inside)]), Some(&rooms))[&7];
        assert_eq!(user.rlimit_room(), Some(Limit::Tasks(7)));
    }

    proptest! {
        /// Against the plain reading of what the kernel does.
        #[test]
        fn sums_agree_with_the_definition(
            processes in proptest::collection::vec(
                (0u32..4, 1u32..9, prop_oneof![0u64..40, Just(u64::MAX)], any::<bool>()), 0..40),
        ) {
            let table: HashMap<u32, Process> = (1..).zip(processes.iter().map(
                |&(uid, threads, soft, bound)| {
                    let mut process = process(uid, threads, soft);
                    process.place.bound = bound;
                    process
                })).collect();
            let users = usage_by_user(&table, None);
            for uid in 0..4 {
                let mine: Vec<_> = processes.iter().filter(|process| process.0 == uid).collect();
                let Some(user) = users.get(&uid) else {
                    prop_assert!(mine.is_empty());
                    continue;
                };
                let tasks: u64 = mine.iter().map(|process| u64::from(process.1)).sum();
                let bound = || mine.iter().filter(|process| process.3).map(|process| process.2);
                prop_assert_eq!(user.tasks, tasks);
                prop_assert_eq!(user.processes.iter().sum::<u64>(), mine.len() as u64);
                prop_assert_eq!(user.blocked, bound().filter(|&soft| soft <= tasks).count() as u64);
                let value = |limit: Limit| limit.value();
                let expected = bound().min().zip(bound().max()).map(|(low, high)| {
                    let value = |soft| if soft == u64::MAX { f64::INFINITY } else { soft as f64 };
                    (value(low), value(high))
                });
                prop_assert_eq!(user.limits.map(|(l, h)| (value(l), value(h))), expected);
            }
        }
    }
}
