//! What a scan found, and the forms it is shown in.
//!
//! Log lines are written by anybody, so nothing of them reaches a terminal or a ticket as it stands:
//! control characters, and those that turn the direction of text, are escaped in every form.

use serde::Serialize;

use crate::log_line::times::Time;
use crate::signatures::signature::{Severity, Verdict};
use crate::text::{escape, json_document};

mod markdown;
mod text;

pub(crate) use markdown::markdown;
pub(crate) use text::{Look, text};

/// The result of a scan.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    pub lines: u64,
    /// Bytes of lines read, decompressed.
    pub bytes: u64,
    /// Lines that no signature knows.
    pub unmatched: u64,
    /// Signatures that were found, in any order.
    pub signatures: Vec<Finding>,
    /// Shapes of the lines that none knows, the most frequent first.
    pub unknown: Vec<Shape>,
    /// Events that are not counted, for another log tells the same.
    pub left_out: u64,
    /// There were too many events to remember all: some may be counted for several logs.
    pub forgot: bool,
    /// What was not read, or not to its end: one line each.
    pub errors: Vec<String>,
}

/// A signature that was found.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the names are those of the catalogue")]
pub(crate) struct Finding {
    pub id: String,
    pub title: String,
    #[serde(serialize_with = "severity")]
    pub severity: Severity,
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// How often, with repetitions counted.
    pub count: u64,
    pub first: Option<Time>,
    pub last: Option<Time>,
    /// One line, as it was found; see [`crate::text::decode`] for bytes that are not UTF-8.
    pub example: String,
    pub advice: String,
    pub reference: String,
    /// Who wrote such lines.
    pub programs: Vec<String>,
    /// Captured values, the most frequent first.
    pub captures: Vec<Capture>,
}

/// How often a named group had this value.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the names are the whole meaning")]
pub(crate) struct Capture {
    pub name: String,
    pub value: String,
    pub count: u64,
}

/// Lines alike that no signature knows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shape {
    /// What they have in common.
    #[serde(rename = "shape")]
    pub text: String,
    pub count: u64,
    /// The count is not exact: not every such line was looked at.
    pub about: bool,
    pub example: String,
    /// The start of a signature for them, in YAML.
    pub stub: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn severity<S: serde::Serializer>(value: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.label())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn verdict<S: serde::Serializer>(value: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.label())
}

impl Report {
    /// The findings of a verdict: the worst first, then the most frequent.
    pub(crate) fn of(&self, verdict: Verdict) -> Vec<&Finding> {
        let found = self.signatures.iter().filter(|finding| finding.verdict == verdict);
        let mut found: Vec<_> = found.collect();
        found.sort_by(|a, b| {
            let key =
                |finding: &Finding| (finding.severity as u8, std::cmp::Reverse(finding.count));
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
        });
        found
    }

    /// One JSON object; lossless, and what a terminal would obey is escaped.
    ///
    /// # Errors
    /// None that can happen with these types.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        Ok(json_document(&serde_json::to_string_pretty(self)?) + "\n")
    }
}

/// On one line, for a terminal; log lines have many tabs.
pub(in crate::command) fn escaped(text: &str) -> String {
    escape(&text.replace('\t', " "))
}

/// What was left out because another log has it too, for people; one sentence or two.
fn left_out(report: &Report) -> Option<String> {
    if report.left_out == 0 && !report.forgot {
        return None;
    }
    let mut said =
        format!("{} left out that another log tells too.", counted(report.left_out, "event"));
    if report.forgot {
        said.push_str(
            " There were too many to remember all: events may count once for each log that tells them.",
        );
    }
    Some(said)
}

/// 1,234,567.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 line`, `3,412 lines`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// 1.5 MB; powers of 1000.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return counted(bytes, "byte");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// From when to when, to the second, and what both have in common once; a time alone when it is one.
fn span(finding: &Finding) -> Option<String> {
    let (first, last) = (short(finding.first?), short(finding.last?));
    if first == last {
        return Some(first);
    }
    if last.ends_with(BOOT)
        && let Some(first) = first.strip_suffix(BOOT)
    {
        return Some(format!("{first} … {last}"));
    }
    match (first.split_once('T'), last.split_once('T')) {
        (Some((day, _)), Some((other, clock))) if day == other => {
            Some(format!("{first} … {clock}"))
        }
        _ => Some(format!("{first} … {last}")),
    }
}

/// How [`Time::Uptime`] ends.
const BOOT: &str = " since boot";

/// On one line, whatever lines a catalogue file has it on.
fn flat(text: &str) -> String {
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Without the fraction.
fn short(time: Time) -> String {
    match time {
        Time::At(micros) => Time::At(micros.div_euclid(1_000_000) * 1_000_000).to_string(),
        Time::Uptime(_) => time.to_string(),
    }
}

#[cfg(test)]
mod tests;
