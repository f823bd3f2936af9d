//! Keeps the process table true: a full scan for a scrape, a cheap sample in between.
//!
//! A scan reads `status` of every process. `limits`, `uid_map` and `cgroup` cost more again, so they are read
//! when a process is new or has changed its identity, and else in turn: a process that changes its own
//! limit is noticed after at most [`TURNS`] scans, or half as many where its user is past half of its
//! limit. A sample reads only the number of threads of processes already known.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use procfs::prelude::*;
use rustix::io::{Errno, Result};

use super::hierarchy::Version;
use super::limits;
use super::namespaces::Charging;
use super::status::{self, Status};
use super::table::{Process, tasks_by_user, usage_by_user};
use crate::sys::proc::{Proc, gone, refused};

/// Scans after which every limit has been read again.
pub(crate) const TURNS: u32 = 8;

/// So many limits are read again at any scan, before turns are taken.
const AT_ONCE: usize = 128;

/// The process table and how it is filled.
pub struct Scanner {
    procfs: PathBuf,
    table: HashMap<u32, Process>,
    /// Whether processes' cgroups are wanted, and of which version.
    cgroups: Option<Version>,
    scans: u32,
    buffer: Vec<u8>,
}

/// What a scan could not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Processes that are listed but may not be read.
    pub refused: u64,
    /// Tasks of processes that are not even listed to us (hidepid=2).
    pub hidden: u64,
}

impl Unseen {
    /// All of them; a hidden task counts as a process, for no more is known of it.
    pub fn total(self) -> u64 {
        self.refused + self.hidden
    }
}

impl Scanner {
    /// An empty table over this mount of procfs; `cgroups` where the host has a pids controller.
    pub fn new(procfs: PathBuf, cgroups: Option<Version>) -> Self {
        Self { procfs, table: HashMap::new(), cgroups, scans: 0, buffer: Vec::new() }
    }

    /// The mount of procfs that is read.
    pub(super) fn procfs(&self) -> &Path {
        &self.procfs
    }

    /// The processes of the last scan or sample, by pid.
    pub fn table(&self) -> &HashMap<u32, Process> {
        &self.table
    }

    /// Reads every process.
    ///
    /// # Errors
    /// When `/proc` cannot be listed, or the host or we are out of file descriptors or memory: better
    /// no numbers than numbers that leave somebody out.
    pub fn scan(&mut self) -> Result<Unseen> {
        let proc = Proc::open(&self.procfs)?;
        let charging = Charging::read(&proc);
        let pids = proc.pids()?;
        let mut unseen = Unseen::default();
        self.keep(&pids);
        for &pid in &pids {
            self.try_read(pid, &mut unseen, |this| this.observe(&proc, &charging, pid))?;
        }
        self.scans = self.scans.wrapping_add(1);
        self.refresh_limits(&proc, &charging, &mut unseen)?;
        self.refresh_cgroups(&proc, &mut unseen)?;
        // Every pid namespace has a process 1; if it is not listed, hidepid hides it and others.
        if !pids.contains(&1) {
            unseen.hidden = self.hidden_tasks();
        }
        Ok(unseen)
    }

    /// Counts the tasks of processes already known, and reads new ones; returns tasks by user.
    ///
    /// # Errors
    /// Those of [`Scanner::scan`].
    pub fn sample(&mut self) -> Result<HashMap<u32, u64>> {
        let proc = Proc::open(&self.procfs)?;
        let pids = proc.pids()?;
        self.keep(&pids);
        let mut charging = None;
        for &pid in &pids {
            self.try_read(pid, &mut Unseen::default(), |this| {
                let known = this.table.get_mut(&pid);
                if let Some(process) = known {
                    let task = proc.task_dir(pid)?;
                    let same = *process.task_inode.get_or_insert(task.inode) == task.inode;
                    // One whose threads changed may have changed its uid before, as daemons do.
                    if same && task.threads == Some(process.threads) {
                        return Ok(());
                    }
                }
                let charging = charging.get_or_insert_with(|| Charging::read(&proc));
                this.observe(&proc, charging, pid)
            })?;
        }
        Ok(tasks_by_user(self.table.values()))
    }

    /// Forgets the processes that are no longer listed.
    fn keep(&mut self, pids: &[u32]) {
        let listed: HashSet<u32> = pids.iter().copied().collect();
        self.table.retain(|pid, _| listed.contains(pid));
    }

    /// Runs `read` on one process; forgets it where it has vanished or may not be read.
    fn try_read(
        &mut self,
        pid: u32,
        unseen: &mut Unseen,
        read: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let Err(error) = read(self) else { return Ok(()) };
        self.table.remove(&pid);
        if refused(error) {
            unseen.refused += 1;
        } else if !gone(error) {
            return Err(error);
        }
        Ok(())
    }

    /// Reads `status`, and where the process is new or another, whom it is charged to.
    fn observe(&mut self, proc: &Proc, charging: &Charging, pid: u32) -> Result<()> {
        let inode = proc.read(&format!("{pid}/status"), &mut self.buffer)?;
        // A file in another form cannot be judged: as good as unreadable.
        let status = status::parse(&self.buffer).ok_or(Errno::ACCESS)?;
        if let Some(known) = self.table.get_mut(&pid)
            && known.is_still(inode, &status)
        {
            known.state = status.state;
            known.threads = status.threads;
            return Ok(());
        }
        let Status { command, state, real_uid, threads, effective_capabilities, .. } = status;
        let own_pid_max = charging.pid_max_of_namespaces && status.pid_namespaces > 1;
        let place = charging.place(proc, pid, real_uid, effective_capabilities)?;
        let process = Process {
            inode,
            task_inode: None,
            command: command.into(),
            state,
            real_uid,
            capabilities: effective_capabilities,
            threads,
            place,
            nproc: None,
            own_pid_max,
            cgroup: None,
        };
        self.table.insert(pid, process);
        Ok(())
    }

    /// Reads limits where they are unknown, due, or decide something.
    fn refresh_limits(
        &mut self,
        proc: &Proc,
        charging: &Charging,
        unseen: &mut Unseen,
    ) -> Result<()> {
        let bound = || self.table.iter().filter(|(_, process)| process.needs_limit());
        let turns = turns_for(bound().count(), TURNS);
        let due: HashSet<u32> = bound()
            .filter(|(pid, process)| process.nproc.is_none() || self.is_turn(**pid, turns))
            .map(|(&pid, _)| pid)
            .collect();
        self.read_limits(proc, charging, due.iter().copied(), unseen)?;

        // Users past half of their limit take turns twice as fast.
        let pressed: HashSet<u32> = usage_by_user(&self.table, None)
            .into_iter()
            .filter(|(_, usage)| usage.limits.is_some_and(|(low, _)| low.share(usage.tasks) >= 0.5))
            .map(|(uid, _)| uid)
            .collect();
        let is_pressed =
            |process: &Process| process.needs_limit() && pressed.contains(&process.place.charged);
        let count = self.table.values().filter(|process| is_pressed(process)).count();
        let turns = turns_for(count, TURNS / 2);
        let rest: Vec<u32> = self
            .table
            .iter()
            .filter(|(pid, process)| {
                is_pressed(process) && !due.contains(pid) && self.is_turn(**pid, turns)
            })
            .map(|(&pid, _)| pid)
            .collect();
        self.read_limits(proc, charging, rest.into_iter(), unseen)
    }

    /// Reads in which cgroup processes are, where that is unknown or due.
    fn refresh_cgroups(&mut self, proc: &Proc, unseen: &mut Unseen) -> Result<()> {
        let Some(version) = self.cgroups else { return Ok(()) };
        let turns = turns_for(self.table.len(), TURNS);
        let due = |(pid, process): &(&u32, &Process)| {
            process.cgroup.is_none() || self.is_turn(**pid, turns)
        };
        let due: Vec<u32> = self.table.iter().filter(due).map(|(&pid, _)| pid).collect();
        for pid in due {
            self.try_read(pid, unseen, |this| {
                proc.read(&format!("{pid}/cgroup"), &mut this.buffer)?;
                if let Some(process) = this.table.get_mut(&pid) {
                    process.cgroup = version.pids_path(&this.buffer).map(Into::into);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn is_turn(&self, pid: u32, turns: u32) -> bool {
        pid.wrapping_add(self.scans).is_multiple_of(turns)
    }

    fn read_limits(
        &mut self,
        proc: &Proc,
        charging: &Charging,
        pids: impl Iterator<Item = u32>,
        unseen: &mut Unseen,
    ) -> Result<()> {
        for pid in pids {
            self.try_read(pid, unseen, |this| {
                let Some(process) = this.table.get_mut(&pid) else { return Ok(()) };
                // It may have entered a namespace without changing anything else that shows.
                process.place =
                    charging.place(proc, pid, process.real_uid, process.capabilities)?;
                proc.read(&format!("{pid}/limits"), &mut this.buffer)?;
                let nproc = limits::parse(&this.buffer).ok_or(Errno::ACCESS)?;
                process.nproc = Some(nproc);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Tasks that the kernel knows and we have not seen; at least 1.
    fn hidden_tasks(&self) -> u64 {
        let seen: u64 = self.table.values().map(|process| u64::from(process.threads)).sum();
        let all = procfs::LoadAverage::from_file(self.procfs.join("loadavg"))
            .map_or(0, |load| u64::from(load.max));
        all.saturating_sub(seen).max(1)
    }
}

/// In how many scans so many processes have their turn.
fn turns_for(processes: usize, most: u32) -> u32 {
    u32::try_from(processes.div_ceil(AT_ONCE)).unwrap_or(most).clamp(1, most)
}
