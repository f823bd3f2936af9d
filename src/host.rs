//! Collector `host`: all tasks of the host against the limits that hold for everybody, root too.

use std::path::{Path, PathBuf};

use procfs::prelude::*;

use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;
use crate::sys::proc::Proc;
use crate::users::namespaces;

const TASKS: Desc =
    Desc::gauge("telltale_host_tasks", "Tasks on the host, kernel threads included.");
const FORKS: Desc =
    Desc::counter("telltale_host_forks_total", "Tasks created since boot, threads included.");
const LIMIT: Desc = Desc::gauge(
    "telltale_host_tasks_limit",
    "Most tasks the host can have: by pid numbers (pid_max) and by kernel.threads-max (threads_max).",
);

/// What is said where `pid_max` cannot be read.
const FOREIGN_PID_MAX: &str = "kernel.pid_max belongs to each pid namespace since Linux 6.14, and we are in \
    another than the processes below --path.procfs: the limit of pid numbers is not shown. Run with --pid=host";

pub(crate) struct Host {
    procfs: PathBuf,
}

impl Host {
    /// Reads below this mount of procfs.
    pub(crate) fn new(procfs: &Path) -> Self {
        Self { procfs: procfs.to_owned() }
    }
}

impl Collector for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let mut failed = None;
        let foreign = Proc::open(&self.procfs).is_ok_and(|proc| namespaces::foreign_pid_max(&proc));
        match procfs::LoadAverage::from_file(self.procfs.join("loadavg")) {
            Ok(load) => found.metrics.add(&TASKS, &[], f64::from(load.max)),
            Err(error) => failed = Some(error.into()),
        }
        match procfs::KernelStats::from_file(
            self.procfs.join("stat"),
            procfs::current_system_info(),
        ) {
            Ok(stat) => found.metrics.add(&FORKS, &[], stat.processes as f64),
            Err(error) => failed = Some(error.into()),
        }
        // procfs::sys::kernel reads these below /proc only, wherever procfs is mounted.
        for (ceiling, file) in
            [("pid_max", "sys/kernel/pid_max"), ("threads_max", "sys/kernel/threads-max")]
        {
            if ceiling == "pid_max" && foreign {
                found.warnings.push(FOREIGN_PID_MAX.to_owned());
                continue;
            }
            let path = self.procfs.join(file);
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let limit: u64 = text.trim().parse().map_err(|_| {
                        format!("{}: '{}' is no number", path.display(), text.trim())
                    })?;
                    found.metrics.add(&LIMIT, &[("ceiling", ceiling)], limit as f64);
                }
                Err(error) => failed = Some(format!("{}: {error}", path.display()).into()),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
