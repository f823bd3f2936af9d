//! What `/proc` says of tasks: the audit daemon's, and those of helpers that have ended.

use std::time::Duration;

use crate::sys::task_stat::TaskStat;

/// Name of every thread of the helper; tells its sleepers from others in `/proc`.
pub(super) const HELPER: &str = "telltale-audit";

/// After which time asleep a task makes the kernel panic, if one does: `kernel.hung_task_panic`.
pub(super) fn panics_after() -> Option<Duration> {
    let read = |name: &str| -> Option<u64> {
        let path = format!("/proc/sys/kernel/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let seconds = read("hung_task_timeout_secs").filter(|&seconds| seconds > 0)?;
    (read("hung_task_panic")? > 0).then(|| Duration::from_secs(seconds))
}

/// Whether the process is stopped by a signal.
pub(super) fn is_stopped(pid: u32) -> bool {
    read_stat(&format!("/proc/{pid}/stat")).is_some_and(TaskStat::is_stopped)
}

/// What a `stat` file says; `None` where the task is gone.
fn read_stat(path: &str) -> Option<TaskStat> {
    TaskStat::parse(&std::fs::read(path).ok()?)
}

/// Askers of helpers that have ended, or whose exporter has, and that still sleep in the kernel: threads of our name
/// and our real uid in uninterruptible sleep.
pub(super) fn count_stale_sleepers() -> u32 {
    let uid = format!("Uid:\t{}\t", rustix::process::getuid().as_raw());
    let comm = |pid: u32| std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let stat = |pid: u32| read_stat(&format!("/proc/{pid}/stat"));
    let exporter = stat(std::process::id()).map(|own| comm(own.parent));
    let mut sleepers = 0;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if comm(pid).trim_ascii_end() != HELPER.as_bytes() {
            continue;
        }
        // The leader of one that has ended is a zombie until the last of its threads wakes.
        let serves =
            stat(pid).is_some_and(|stat| !stat.has_ended() && Some(comm(stat.parent)) == exporter);
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        if serves || !status.contains(&uid) {
            continue;
        }
        for task in std::fs::read_dir(process.path().join("task")).into_iter().flatten().flatten() {
            let stat = read_stat(&task.path().join("stat").display().to_string());
            sleepers += u32::from(stat.is_some_and(|stat| stat.state == b'D'));
        }
    }
    sleepers
}
