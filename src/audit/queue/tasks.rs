//! What `/proc` says of tasks: the audit daemon's, and those of helpers that have ended.

use std::time::Duration;

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
    let state = task_state_and_parent(&format!("/proc/{pid}/stat"));
    state.is_some_and(|(state, _)| matches!(state, b'T' | b't'))
}

/// The state letter and the parent in a `stat` file; the name before them may contain anything but ends with the
/// last parenthesis.
fn task_state_and_parent(path: &str) -> Option<(u8, u32)> {
    let stat = std::fs::read(path).ok()?;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    Some((fields.next()?.bytes().next()?, fields.next()?.parse().ok()?))
}

/// Askers of helpers that have ended, or whose exporter has, and that still sleep in the kernel: threads of our name
/// and our real uid in uninterruptible sleep.
pub(super) fn count_stale_sleepers() -> u32 {
    let uid = format!("Uid:\t{}\t", rustix::process::getuid().as_raw());
    let comm = |pid: u32| std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let parent = |own: u32| task_state_and_parent(&format!("/proc/{own}/stat"));
    let exporter = parent(std::process::id()).map(|(_, parent)| comm(parent));
    let mut sleepers = 0;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if comm(pid).trim_ascii_end() != HELPER.as_bytes() {
            continue;
        }
        // The leader of one that has ended is a zombie until the last of its threads wakes.
        let serves = parent(pid)
            .is_some_and(|(state, parent)| state != b'Z' && Some(comm(parent)) == exporter);
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        if serves || !status.contains(&uid) {
            continue;
        }
        for task in std::fs::read_dir(process.path().join("task")).into_iter().flatten().flatten() {
            let state = task_state_and_parent(&task.path().join("stat").display().to_string());
            sleepers += u32::from(state.is_some_and(|(state, _)| state == b'D'));
        }
    }
    sleepers
}
