//! The series of a signature.

use super::matched::Matched;
use super::signature::Signature;
use crate::metrics::{Desc, Metrics};
use crate::sources::metrics::seconds;

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
    "1 for each signature that has matched, with its title.",
);
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
    metrics.add(&INFO, &[id, ("title", &signature.title)], 1.0);
    // Those that it had and has no more are kept, and not shown.
    for (name, values) in
        matched.captures.iter().filter(|(name, _)| signature.captures.contains(name))
    {
        for (value, count) in values {
            metrics.add(&CAPTURES, &[id, ("name", name), ("value", value)], *count as f64);
        }
    }
}
