//! The series of a source: what was read, what was lost, and whether it can be read.

use std::time::{SystemTime, UNIX_EPOCH};

use super::losses::{Lost, LostMessages, Rotation};
use super::published::{ByLevel, LEVELS};
use super::status::{Health, Status};
use crate::metrics::{Desc, Metrics};

const LINES: Desc = Desc::counter("telltale_log_lines_total", "Log lines read.");
const BYTES: Desc = Desc::counter("telltale_log_bytes_total", "Bytes of log read.");
const UNMATCHED: Desc =
    Desc::counter("telltale_log_unmatched_lines_total", "Log lines that no signature matched.");
const ROTATIONS: Desc =
    Desc::counter("telltale_log_rotations_total", "Rotations of the source's logs, by method.");
const LOST: Desc = Desc::counter(
    "telltale_log_lost_bytes_total",
    "Bytes of log that are part of no line counted, by reason.",
);
const LOST_MESSAGES: Desc = Desc::counter(
    "telltale_log_lost_messages_total",
    "Messages that were written and are not counted, by reason, where the source numbers them.",
);
const LAG: Desc =
    Desc::gauge("telltale_log_lag_bytes", "Bytes written to the source and not read yet.");
const LAST_LINE: Desc =
    Desc::gauge("telltale_log_last_line_timestamp_seconds", "When the last line was read.");
const UP: Desc =
    Desc::gauge("telltale_log_source_up", "1 when every file of the source can be read.");

/// Exports what is shown of a source whatever its lines mean.
pub(crate) fn export_source(status: &Status, metrics: &mut Metrics) {
    let (configured, read) = (&status.configured, &status.read);
    let (name, levels) = (&*configured.name, configured.kmsg || configured.journal);
    let numbered = !configured.has_files();
    let reasons: &[LostMessages] = match (configured.is_audit(), numbered) {
        (true, true) => &[LostMessages::Missing, LostMessages::Unjoined],
        (true, false) => &[LostMessages::Unjoined],
        (false, true) => &[LostMessages::Overwritten, LostMessages::Damaged, LostMessages::Missing],
        (false, false) => &[],
    };
    let labels = [("source", name)];
    metrics.add(&LINES, &labels, read.lines as f64);
    metrics.add(&BYTES, &labels, read.bytes as f64);
    export_unmatched(name, levels, &read.unmatched, metrics);
    for (why, reason) in LostMessages::ALL.iter().filter(|(why, _)| reasons.contains(why)) {
        let labels = [("source", name), ("reason", *reason)];
        metrics.add(&LOST_MESSAGES, &labels, read.sums.lost_messages(*why) as f64);
    }
    if numbered {
        metrics.add(&UP, &labels, if status.is_readable() { 1.0 } else { 0.0 });
        export_last_line(name, read.last_line, metrics);
        return;
    }
    for (how, method) in Rotation::ALL {
        let labels = [("source", name), ("method", method)];
        metrics.add(&ROTATIONS, &labels, read.sums.rotations(how) as f64);
    }
    for (why, reason) in Lost::ALL {
        let labels = [("source", name), ("reason", reason)];
        metrics.add(&LOST, &labels, read.sums.lost(why) as f64);
    }
    let up = status.health() == Health::Up;
    metrics.add(&UP, &labels, if up { 1.0 } else { 0.0 });
    if up {
        metrics.add(&LAG, &labels, status.lag as f64);
    }
    export_last_line(name, read.last_line, metrics);
}

fn export_last_line(name: &str, last_line: Option<SystemTime>, metrics: &mut Metrics) {
    if let Some(last) = last_line {
        metrics.add(&LAST_LINE, &[("source", name)], seconds(last));
    }
}

/// By level where the source has levels: files have none.
fn export_unmatched(name: &str, levels: bool, unmatched: &ByLevel, metrics: &mut Metrics) {
    if !levels {
        metrics.add(&UNMATCHED, &[("source", name)], unmatched.iter().sum::<u64>() as f64);
        return;
    }
    for (level, count) in LEVELS.iter().zip(unmatched) {
        metrics.add(&UNMATCHED, &[("source", name), ("level", level)], *count as f64);
    }
    if unmatched[LEVELS.len()] > 0 {
        metrics.add(&UNMATCHED, &[("source", name)], unmatched[LEVELS.len()] as f64);
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
