//! Collector `host`: all tasks of the host against the limits that hold for everybody, root too.

use std::path::{Path, PathBuf};

use procfs::prelude::*;

use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;

const TASKS: Desc =
    Desc::gauge("telltale_host_tasks", "Tasks on the host, kernel threads included.");
const FORKS: Desc =
    Desc::counter("telltale_host_forks_total", "Tasks created since boot, threads included.");
const LIMIT: Desc = Desc::gauge(
    "telltale_host_tasks_limit",
    "Most tasks the host can have: by pid numbers (pid_max) and by kernel.threads-max (threads_max).",
);

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
