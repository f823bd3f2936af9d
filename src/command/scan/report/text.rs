//! For a terminal: what to do first, then what to watch, the harmless in a few lines, the unknown.

use super::{Finding, Report, counted, escaped, flat, left_out, size, span, thousands};
use crate::signatures::signature::{Severity, Verdict};

/// How it may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns; fewer than 40 count as 40.
    pub width: usize,
    /// Colours: on a terminal whose user has not set `NO_COLOR`.
    pub colours: bool,
}

/// How many captured values are shown.
const CAPTURES: usize = 5;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";

/// The report as text.
pub(crate) fn text(report: &Report, look: Look) -> String {
    let mut page = Page { out: String::new(), look: Look { width: look.width.max(40), ..look } };
    let summary = format!(
        "{} ({}): {} known in {}, {} unknown",
        counted(report.lines, "line"),
        size(report.bytes),
        thousands(report.lines.saturating_sub(report.unmatched)),
        counted(report.signatures.len() as u64, "signature"),
        thousands(report.unmatched),
    );
    page.wrapped("", &summary, "");
    if let Some(said) = left_out(report) {
        page.wrapped("", &said, DIM);
    }
    for (heading, verdict) in [("ACT", Verdict::Act), ("WATCH", Verdict::Watch)] {
        let found = report.of(verdict);
        if !found.is_empty() {
            page.heading(heading, found.len());
        }
        for (nth, finding) in found.into_iter().enumerate() {
            if nth > 0 {
                page.out.push('\n');
            }
            page.finding(finding);
        }
    }
    harmless(&mut page, report);
    unknown(&mut page, report);
    if !report.errors.is_empty() {
        page.heading("NOT READ", report.errors.len());
        for error in &report.errors {
            page.wrapped("  ", &escaped(error), RED);
        }
    }
    page.out
}

fn harmless(page: &mut Page, report: &Report) {
    let mut found = report.of(Verdict::Harmless);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.count));
    if found.is_empty() {
        return;
    }
    let sum = found.iter().map(|finding| finding.count).sum();
    let ids: Vec<_> = found
        .iter()
        .map(|finding| format!("{}\u{a0}×{}", escaped(&finding.id), thousands(finding.count)))
        .collect();
    let what = counted(found.len() as u64, "signature");
    page.out.push('\n');
    let folded = format!("harmless: {} in {what} ({})", counted(sum, "line"), ids.join(", "));
    page.wrapped("", &folded, DIM);
}

fn unknown(page: &mut Page, report: &Report) {
    if report.unknown.is_empty() {
        return;
    }
    page.out.push('\n');
    let about = report.unknown.iter().any(|shape| shape.about);
    let about = if about { ", of each kind about" } else { "" };
    let heading = format!("Lines nobody knows: {}{about}", thousands(report.unmatched));
    page.line("", &heading, BOLD);
    for shape in &report.unknown {
        page.line(&format!("{:>9}  ", thousands(shape.count)), &escaped(&shape.text), "");
        page.line("           ", &escaped(&shape.example), DIM);
    }
    page.wrapped(
        "  ",
        "If you know one of them, --format json has a signature to begin with for each (.unknown[].stub): \
         put it into a file under logs.signatures.",
        DIM,
    );
}

struct Page {
    out: String,
    look: Look,
}

impl Page {
    fn heading(&mut self, name: &str, count: usize) {
        self.out.push('\n');
        self.line("", &format!("{name} ({count})"), BOLD);
    }

    /// One line, cut to the width.
    fn line(&mut self, indent: &str, text: &str, colour: &str) {
        let room = self.look.width.saturating_sub(indent.chars().count());
        self.out.push_str(indent);
        self.coloured(&cut(text, room), colour);
        self.out.push('\n');
    }

    /// As many lines as it takes, between words; a word that is longer than a line is not broken.
    fn wrapped(&mut self, indent: &str, text: &str, colour: &str) {
        let room = self.look.width - indent.chars().count();
        // What begins with an arrow goes on behind it.
        let hang = if text.starts_with("→ ") { "  " } else { "" };
        let mut line = String::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                self.out.push_str(indent);
                self.coloured(&line, colour);
                self.out.push('\n');
                hang.clone_into(&mut line);
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.out.push_str(indent);
        self.coloured(&line, colour);
        self.out.push('\n');
    }

    fn coloured(&mut self, text: &str, colour: &str) {
        if self.look.colours && !colour.is_empty() {
            for part in ["\x1b[", colour, "m", text, "\x1b[0m"] {
                self.out.push_str(part);
            }
        } else {
            self.out.push_str(text);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let colour = match finding.severity {
            Severity::Critical => RED,
            Severity::Warning => YELLOW,
            Severity::Info => BOLD,
        };
        let count = format!("{:>9}  ", format!("{}×", thousands(finding.count)));
        self.line(&count, &escaped(&finding.title), colour);
        let indent = " ".repeat(11);
        let when = span(finding).map_or_else(String::new, |span| format!(", {span}"));
        let what = format!("{}, {}{when}", escaped(&finding.id), finding.severity.label());
        self.wrapped(&indent, &what, DIM);
        self.line(&indent, &escaped(&finding.example), "");
        let values: Vec<_> = finding
            .captures
            .iter()
            .take(CAPTURES)
            .map(|capture| {
                let value = cut(&escaped(&capture.value), 40);
                format!("{}={value}\u{a0}×{}", escaped(&capture.name), thousands(capture.count))
            })
            .collect();
        if !values.is_empty() {
            let more = finding.captures.len().saturating_sub(CAPTURES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.wrapped(&indent, &format!("{}{more}", values.join(", ")), "");
        }
        for part in [&finding.advice, &finding.reference] {
            if !part.is_empty() {
                self.wrapped(&indent, &format!("→ {}", flat(part)), "");
            }
        }
    }
}

/// So many characters, the last an ellipsis where something was cut off.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}
