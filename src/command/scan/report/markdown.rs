//! For a ticket: a table, then the details. No HTML, which some trackers show as text.

use std::fmt::Write as _;

use super::{Report, counted, escaped, flat, left_out, size, span, thousands};
use crate::signatures::signature::Verdict;
use crate::text;

/// The report as Markdown, of the kind with tables.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!(
        "{} ({}) read, {} unknown.\n",
        counted(report.lines, "line"),
        size(report.bytes),
        thousands(report.unmatched)
    );
    if let Some(said) = left_out(report) {
        let _ = writeln!(out, "\n{said}");
    }
    let found: Vec<_> = [Verdict::Act, Verdict::Watch, Verdict::Harmless]
        .into_iter()
        .flat_map(|verdict| report.of(verdict))
        .collect();
    if !found.is_empty() {
        out.push_str("\n| verdict | severity | count | what | signature | when |\n");
        out.push_str("|---|---|---:|---|---|---|\n");
    }
    for finding in &found {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            finding.verdict.label(),
            finding.severity.label(),
            thousands(finding.count),
            text::markdown(&finding.title),
            text::markdown(&finding.id),
            span(finding).unwrap_or_default(),
        );
    }
    for finding in found.iter().filter(|finding| finding.verdict != Verdict::Harmless) {
        let _ = writeln!(
            out,
            "\n### {} ({})\n",
            text::markdown(&finding.title),
            text::markdown(&finding.id)
        );
        out.push_str(&block(&finding.example));
        for part in [&finding.advice, &finding.reference] {
            if !part.is_empty() {
                let _ = writeln!(out, "\n{}", text::markdown(&flat(part)));
            }
        }
        let values: Vec<_> = finding
            .captures
            .iter()
            .map(|capture| format!("{}={} ×{}", capture.name, capture.value, capture.count))
            .collect();
        if !values.is_empty() {
            let _ = write!(out, "\n{}", block(&values.join(", ")));
        }
    }
    if !report.unknown.is_empty() {
        out.push_str("\n### Lines nobody knows\n");
        for shape in &report.unknown {
            let about = if shape.about { "about " } else { "" };
            let _ = write!(out, "\n{about}{}:\n\n", counted(shape.count, "line"));
            out.push_str(&block(&format!("{}\n{}", escaped(&shape.text), escaped(&shape.example))));
        }
    }
    if !report.errors.is_empty() {
        out.push_str("\n### Not read\n\n");
        for error in &report.errors {
            let _ = writeln!(out, "- {}", text::markdown(error));
        }
    }
    out
}

/// A block of code between fences that are longer than any run of backticks in it.
fn block(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escaped).collect();
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", lines.join("\n"))
}
