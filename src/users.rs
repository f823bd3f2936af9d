//! Collector `users`: whom the kernel charges for each task, and against which ceiling.
//!
//! [`scan`] keeps the [`table`] of processes true, [`status`], [`limits`] and [`namespaces`] say what
//! a process is, may and whom it is charged to, [`cgroups`] is a collector of its own.
//! Here the sums become the [`report`] and are exported.

pub(crate) mod cgroups;
pub(crate) mod hierarchy;
pub(crate) mod inside;
pub(crate) mod limits;
pub(crate) mod logins;
pub(crate) mod namespaces;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod status;
pub(crate) mod table;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::collector::{Collector, Error, Found};
use crate::config;
use crate::live::{Live, lock};
use crate::peak::Peak;
use crate::user_names::Shown;
use hierarchy::Hierarchy;
use report::Report;
use scan::Scanner;

/// How often the number of tasks is sampled for the peak.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Share of one CPU that sampling may take: a dear sample is followed by a longer pause.
const SAMPLE_BUDGET: f64 = 0.005;

pub(crate) struct Users {
    rootfs: PathBuf,
    scanner: Scanner,
    cgroups: Option<Hierarchy>,
    names: Shown,
    shows: Live<config::Users>,
    peaks: HashMap<u32, Peak>,
    namespaces: inside::Names,
    latest: Latest,
}

/// The report of the last collection, shared with the pages; empty before the first.
pub(crate) type Latest = Live<Report>;

impl Users {
    /// Looks at the host below these mounts, shows whom the configuration shows.
    pub(crate) fn new(
        procfs: &Path,
        sysfs: &Path,
        rootfs: &Path,
        names: Shown,
        shows: Live<config::Users>,
    ) -> Self {
        let cgroups = Hierarchy::find(sysfs);
        let version = cgroups.as_ref().map(Hierarchy::version);
        Self {
            rootfs: rootfs.to_owned(),
            scanner: Scanner::new(procfs.to_owned(), version),
            cgroups,
            names,
            shows,
            peaks: HashMap::new(),
            namespaces: inside::Names::default(),
            latest: Latest::default(),
        }
    }

    /// Where the pages find the last report.
    pub(crate) fn latest(&self) -> Latest {
        self.latest.clone()
    }

    /// Takes tasks by user into the peaks; a user without tasks stays as long as its peak does.
    fn push_peaks(&mut self, tasks: impl Iterator<Item = (u32, u64)>) {
        let now = Instant::now();
        for (uid, tasks) in tasks {
            self.peaks.entry(uid).or_default().push(now, tasks);
        }
        self.peaks.retain(|_, peak| peak.highest(now) > 0);
    }
}

impl Collector for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let unseen = self
            .scanner
            .scan()
            .map_err(|error| format!("cannot read the processes of this host: {error}"))?;
        let rooms = self.cgroups.as_ref().map(|cgroups| cgroups.rooms(self.scanner.table()));
        if rooms.as_ref().is_some_and(|rooms| rooms.cut) {
            found.warnings.push(hierarchy::CUT.to_owned());
        }
        if rooms.as_ref().is_some_and(|rooms| rooms.outside) {
            found.warnings.push(hierarchy::OUTSIDE.to_owned());
        }
        let mut users = table::usage_by_user(self.scanner.table(), rooms.as_ref());
        self.push_peaks(users.iter().map(|(&uid, usage)| (uid, usage.tasks)));
        for &uid in self.peaks.keys() {
            users.entry(uid).or_default();
        }

        let (table, procfs) = (self.scanner.table(), self.scanner.procfs());
        let (namespaces, approximate) =
            self.namespaces.rows(table, &users, procfs, self.cgroups.as_ref());
        if approximate {
            found.warnings.push(inside::APPROXIMATE.to_owned());
        }
        inside::export(&namespaces, &mut found.metrics);

        let mut names = lock(&self.names);
        let names = names.resolve(&users.keys().copied().collect::<BTreeSet<_>>());
        let shows = self.shows.get();
        users.retain(|uid, _| shows.shows(&names[uid]));
        let asked: Vec<_> =
            users.iter().map(|(&uid, usage)| (uid, &*names[&uid], usage.tasks)).collect();
        let host = logins::Host {
            rootfs: &self.rootfs,
            procfs,
            table,
            hierarchy: self.cgroups.as_ref(),
            slices_unseen: rooms.as_ref().is_some_and(|rooms| rooms.outside),
        };
        let mut outlook = host.outlook(&asked);
        found.warnings.append(&mut outlook.warnings);
        let now = Instant::now();
        let rows = users.into_iter().map(|(uid, usage)| report::Row {
            uid,
            user: names[&uid].clone(),
            peak: self.peaks.get_mut(&uid).map_or(0, |peak| peak.highest(now)),
            usage,
            commands: Vec::new(),
            login: outlook.logins.remove(&uid),
        });
        let mut report = Report::ranked(rows.collect(), unseen);
        report.add_commands(self.scanner.table(), rooms.as_ref());
        report.namespaces = namespaces;
        report.export(&mut found.metrics);
        found.warnings.extend(report.warning());
        self.latest.set(report);
        Ok(())
    }

    /// Samples the tasks of every user within the budget. An error is left for the next collection to
    /// tell.
    fn sample(&mut self) -> Option<Instant> {
        let started = thread_cpu_time();
        if let Ok(tasks) = self.scanner.sample() {
            let mut names = lock(&self.names);
            names.expect(tasks.keys().copied());
            drop(names);
            self.push_peaks(tasks.into_iter());
        }
        let spent = thread_cpu_time().saturating_sub(started);
        Some(Instant::now() + spent.div_f64(SAMPLE_BUDGET).max(SAMPLE_EVERY))
    }
}

/// CPU time that this thread has used.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
