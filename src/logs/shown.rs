//! What the log sources have published, as metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use super::counts::{ByLevel, LEVELS, Matched, Published};
use super::effects::{Lost, LostMessages, Rotation};
use super::follower;
use super::signature::Signature;
use crate::config::Source;
use crate::metrics::{Desc, Metrics};

const MATCHES: Desc = Desc::counter(
    "telltale_log_signature_matches_total",
    "Log events of a known meaning; every signature exists at 0 once a log source was read.",
);
const CAPTURES: Desc = Desc::counter(
    "telltale_log_signature_captures_total",
    "Events of a signature by the value of a named capture; at most 20 values, then other.",
);
const LAST_MATCH: Desc = Desc::gauge(
    "telltale_log_signature_last_match_timestamp_seconds",
    "When the last line that matched was written, by its own time where it has one.",
);
const INFO: Desc = Desc::gauge(
    "telltale_log_signature_info",
    "1 for each signature that has matched, with its title and what to do about it.",
);
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
/// Shown beside the sources.
pub(crate) const STATE_ERRORS: Desc = Desc::counter(
    "telltale_state_write_errors_total",
    "Snapshots of positions and counters that could not be written.",
);
const LAG: Desc =
    Desc::gauge("telltale_log_lag_bytes", "Bytes written to the source and not read yet.");
const LAST_LINE: Desc =
    Desc::gauge("telltale_log_last_line_timestamp_seconds", "When the last line was read.");
const UP: Desc =
    Desc::gauge("telltale_log_source_up", "1 when every file of the source can be read.");

/// Shown beside the sources, also where there is none.
pub(crate) const SOURCES: Desc = Desc::gauge(
    "telltale_log_sources",
    "Log sources of which something can be read now; 0: nothing is known of the logs.",
);

/// Whether something of a source can be read now.
pub(crate) fn is_readable(configured: &Source, source: &Published) -> bool {
    let of_files = configured.has_files();
    let any = !of_files || source.files.values().any(|file| file.error.is_none());
    source.read && source.error.is_none() && source.hangs().is_none() && any
}

pub(crate) fn export_source(configured: &Source, source: &Published, metrics: &mut Metrics) {
    let (name, levels) = (&*configured.name, configured.kmsg || configured.journal);
    let numbered = !configured.has_files();
    let reasons: &[LostMessages] = match (configured.is_audit(), numbered) {
        (true, true) => &[LostMessages::Missing, LostMessages::Unjoined],
        (true, false) => &[LostMessages::Unjoined],
        (false, true) => &[LostMessages::Overwritten, LostMessages::Damaged, LostMessages::Missing],
        (false, false) => &[],
    };
    let labels = [("source", name)];
    let counts = &source.counts;
    metrics.add(&LINES, &labels, counts.lines as f64);
    metrics.add(&BYTES, &labels, counts.bytes as f64);
    export_unmatched(name, levels, &counts.unmatched, metrics);
    for (why, reason) in LostMessages::ALL.iter().filter(|(why, _)| reasons.contains(why)) {
        let labels = [("source", name), ("reason", *reason)];
        metrics.add(&LOST_MESSAGES, &labels, counts.sums.lost_messages(*why) as f64);
    }
    if numbered {
        metrics.add(&UP, &labels, if is_readable(configured, source) { 1.0 } else { 0.0 });
        export_last_line(name, source, metrics);
        return;
    }
    for (how, method) in Rotation::ALL {
        let labels = [("source", name), ("method", method)];
        metrics.add(&ROTATIONS, &labels, counts.sums.rotations(how) as f64);
    }
    for (why, reason) in Lost::ALL {
        let labels = [("source", name), ("reason", reason)];
        metrics.add(&LOST, &labels, counts.sums.lost(why) as f64);
    }
    let all = source.files.values().all(|file| file.error.is_none());
    let up = all && is_readable(configured, source);
    metrics.add(&UP, &labels, if up { 1.0 } else { 0.0 });
    if up {
        let generations = source.files.values().flat_map(|file| &file.state.generations);
        let lag: u64 = generations.map(follower::Kept::lag).sum();
        metrics.add(&LAG, &labels, lag as f64);
    }
    export_last_line(name, source, metrics);
}

fn export_last_line(name: &str, source: &Published, metrics: &mut Metrics) {
    if let Some(last) = source.counts.last_line {
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

/// A signature with what it has counted in all sources.
pub(crate) fn export_signature(
    signature: &Signature,
    matched: Option<&Matched>,
    metrics: &mut Metrics,
) {
    let id = ("signature", &*signature.id.value);
    let labels =
        [id, ("severity", signature.severity.label()), ("verdict", signature.verdict.label())];
    metrics.add(&MATCHES, &labels, matched.map_or(0, |matched| matched.count) as f64);
    let Some(matched) = matched else { return };
    metrics.add(&LAST_MATCH, &[id], seconds(matched.last));
    let advice = short_advice(&signature.advice);
    metrics.add(&INFO, &[id, ("title", &signature.title), ("advice", &advice)], 1.0);
    // Those that it had and has no more are kept, and not shown.
    for (name, values) in
        matched.captures.iter().filter(|(name, _)| signature.captures.contains(name))
    {
        for (value, count) in values {
            metrics.add(&CAPTURES, &[id, ("name", name), ("value", value)], *count as f64);
        }
    }
}

/// The longest advice that is a label; the page has all of it.
const MAX_ADVICE: usize = 200;

/// The first sentences of an advice, as many as are short enough for a label; of one that is too long, its first words.
fn short_advice(advice: &str) -> String {
    let words = advice.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.len() <= MAX_ADVICE {
        return words;
    }
    let within = start_of(&words, MAX_ADVICE);
    if let Some(end) = within.rfind(". ").filter(|&end| end >= MAX_ADVICE / 3) {
        return words[..=end].to_owned();
    }
    let within = start_of(&words, MAX_ADVICE - "…".len());
    let end = within.rfind(' ').unwrap_or(within.len());
    format!("{}…", within[..end].trim_end_matches([',', ';', ':']))
}

/// At most so many bytes of a text, in whole characters.
fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn advice_is_cut_at_a_sentence_or_a_word() {
        assert_eq!(short_advice("Restart  it.\n Then wait."), "Restart it. Then wait.");
        let sentences = "Raise the limit of the user as the runbook says it. ".repeat(5);
        let short = short_advice(&sentences);
        assert_eq!(short.matches("it.").count(), 3, "{short}");
        for long in ["word ".repeat(60), "경고 ".repeat(60), "a".repeat(300)] {
            let short = short_advice(&long);
            assert!(short.len() <= MAX_ADVICE && short.ends_with('…'), "{short}");
            assert!(!short.contains(" …"), "{short}");
        }
    }

    #[test]
    fn a_source_that_was_not_read_fails_or_hangs_is_not_readable() {
        let kernel = Source { kmsg: true, ..Source::default() };
        let good = Published { read: true, looked: Some(Instant::now()), ..Published::default() };
        assert!(is_readable(&kernel, &good));
        assert!(!is_readable(&Source::default(), &good), "no file matches");
        assert!(!is_readable(&kernel, &Published { read: false, ..good.clone() }));
        let failing = Published { error: Some("denied".to_owned()), ..good.clone() };
        assert!(!is_readable(&kernel, &failing));
        // A machine that has just booted has no such moment.
        if let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(121)) {
            let hanging = Published { looked: Some(long_ago), ..good };
            assert!(!is_readable(&kernel, &hanging));
            assert!(hanging.hangs().is_some_and(|why| why.contains("hangs")));
        }
    }
}
