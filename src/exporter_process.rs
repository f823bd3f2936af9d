//! Collector `process`: what the exporter itself uses, under the names every exporter has.

use procfs::prelude::*;
use procfs::process::{LimitValue, Process};

use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;

const CPU: Desc =
    Desc::counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
const OPEN_FDS: Desc = Desc::gauge("process_open_fds", "Number of open file descriptors.");
const MAX_FDS: Desc = Desc::gauge("process_max_fds", "Maximum number of open file descriptors.");
const VIRTUAL: Desc = Desc::gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.");
const RESIDENT: Desc =
    Desc::gauge("process_resident_memory_bytes", "Resident memory size in bytes.");
const START: Desc = Desc::gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
);
const THREADS: Desc = Desc::gauge("process_threads", "Number of OS threads in the process.");

/// The collector. It reads our own `/proc/self`, whatever `--path.procfs` says of the host.
pub(crate) struct OwnProcess;

impl Collector for OwnProcess {
    fn name(&self) -> &'static str {
        "process"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let metrics = &mut found.metrics;
        metrics.add(&CPU, &[], (stat.utime + stat.stime) as f64 / ticks);
        metrics.add(&VIRTUAL, &[], stat.vsize as f64);
        metrics.add(&RESIDENT, &[], stat.rss_bytes().get() as f64);
        metrics.add(&THREADS, &[], stat.num_threads as f64);
        metrics.add(&OPEN_FDS, &[], process.fd_count()? as f64);
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(value) => value as f64,
            LimitValue::Unlimited => f64::INFINITY,
        };
        metrics.add(&MAX_FDS, &[], max_fds);
        let boot = procfs::KernelStats::current()?.btime as f64;
        metrics.add(&START, &[], boot + stat.starttime as f64 / ticks);
        Ok(())
    }
}
