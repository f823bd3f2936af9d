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
    "1 for each signature that has matched, with its title and what to do about it.",
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
