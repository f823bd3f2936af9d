//! `scan --explain LINE`: what is made of one line.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::log_line::header::{self, Form};
use crate::log_line::json;
use crate::log_line::times::{Clock, Time};
use crate::signatures::explanation::{self, Outcome};
use crate::signatures::matcher::Matcher;
use crate::signatures::signature::{Signature, Verdict, Wording};
use crate::text;

/// What is known of a line, and whether it counts for a signature that asks to act.
pub(super) fn explain(line: &str, matcher: &Matcher, now: i64, zone: &TimeZone) -> (String, bool) {
    let line = line.strip_suffix('\n').unwrap_or(line).as_bytes();
    let mut clock = Clock::new(zone.clone(), now);
    let mut lines = json::lines(line).unwrap_or_default();
    let mut out = String::new();
    if lines.is_empty() {
        lines.push(line.to_vec());
    } else {
        out += "a line in JSON; it is taken as\n\n";
    }
    let mut asks_to_act = false;
    for (nth, line) in lines.iter().enumerate() {
        if nth > 0 {
            out.push('\n');
        }
        asks_to_act |= explain_line(line, matcher, &mut clock, &mut out);
    }
    (out, asks_to_act)
}

fn explain_line(raw: &[u8], matcher: &Matcher, clock: &mut Clock, out: &mut String) -> bool {
    let (form, line) = header::take_apart(raw);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<10}{}", text::escape(value));
    };
    row("line", &text::decode(raw));
    row("header", form.name());
    match clock.of(raw) {
        Some(time @ Time::At(_)) => row("time", &time.to_string()),
        Some(time @ Time::Uptime(_)) => {
            row("time", &format!("{time}, and nobody knows when that was"));
        }
        None => row("time", "none that is known; in a file, that of the line before"),
    }
    if let Some(priority) = line.priority {
        row(
            "priority",
            &format!("{priority} (facility {}, severity {})", priority >> 3, priority & 7),
        );
    }
    match line.host {
        b"" | b"-" => row("host", "not named"),
        host => row("host", &text::decode(host)),
    }
    match (line.program, form) {
        (Some(program), _) => row("program", &text::decode(program)),
        (None, _) if line.host.is_empty() => {
            row("program", "unknown: signatures of every program are tried");
        }
        (None, _) => {
            row("program", "the header names none: signatures that ask for one do not match");
        }
    }
    if let Some(pid) = line.pid {
        row("pid", &pid.to_string());
    }
    row("message", &text::decode(line.message));
    if let Some(times) = header::repeats(&line) {
        row(
            "repeats",
            &format!("the line before, {times} times: it counts for what that counts for"),
        );
    }
    if line.times != 1 {
        row("stands for", &format!("{} of it", line.times));
    }
    if form == Form::Absent && line.program.is_none() {
        row("", "(docs/LOGS.md, forms of headers, has those that are known)");
    }
    let tried = explanation::explain(matcher, &line);
    let total = matcher.signatures().len();
    let _ = match tried.len() {
        0 => writeln!(out, "\nnone of {total} signatures has a word of it"),
        1 => writeln!(out, "\n1 of {total} signatures has a word of it:"),
        count => writeln!(out, "\n{count} of {total} signatures have a word of it:"),
    };
    for (signature, outcome) in &tried {
        let _ = writeln!(out, "  {:<32} {}", signature.id.value, reason(signature, *outcome));
    }
    tried.iter().any(|(signature, outcome)| {
        matches!(outcome, Outcome::Counts(_)) && signature.verdict == Verdict::Act
    })
}

/// What came of it, in words.
fn reason(signature: &Signature, outcome: Outcome) -> String {
    match outcome {
        Outcome::Counts(1) => "matches".to_owned(),
        Outcome::Counts(count) => format!("matches, and counts {count} times"),
        Outcome::OtherProgram => {
            format!("its text is there, but it is for {}", signature.programs.join(", "))
        }
        Outcome::Quoted => {
            "its text is there, but as what somebody else said, quoted by this program".to_owned()
        }
        Outcome::OtherText => {
            let patterns: Vec<_> = signature.pattern.0.iter().map(Wording::text).collect();
            format!("its pattern is not there: {}", patterns.join(" | "))
        }
    }
}
