//! What the page says of the logs: sources, what matched, and the lines that nobody knows.

use super::{Line, Mark, Table};
use crate::pipeline::View;
use crate::signatures::signature::Verdict;
use crate::sources::losses::{Lost, LostMessages, Rotation};
use crate::sources::published::LEVELS;
use crate::sources::status::{Health, Status};

/// Shapes of unknown lines on the page.
const SHAPES: usize = 15;

/// Said where lines were read and none was of the kind.
const NONE: &str = "none since start";

/// Said where none was read.
const UNKNOWN: &str = "unknown, because no log source could be read since the start";

/// The sources, and if the collector `logs` is on the signatures that have matched, those that ask to act first, and
/// unknown lines.
pub(super) fn tables(view: &View) -> Vec<Table> {
    let counted = view.counted();
    let statuses = counted.line_sources().into_iter().chain(counted.event_sources());
    let sources = statuses.map(|status| {
        let configured = &status.configured;
        let files: Vec<_> = match (configured.kmsg, configured.journal) {
            (true, _) => vec!["/dev/kmsg".to_owned()],
            (_, true) => vec!["the journal".to_owned()],
            _ if configured.audit_multicast => vec!["the kernel's multicast".to_owned()],
            _ => configured.files.iter().map(|path| path.display().to_string()).collect(),
        };
        let (mark, state) = describe_health(&status);
        let read = &status.read;
        let rotations: u64 = Rotation::ALL.iter().map(|(how, _)| read.sums.rotations(*how)).sum();
        let lost: u64 = Lost::ALL.iter().map(|(why, _)| read.sums.lost(*why)).sum();
        let messages = LostMessages::ALL.iter().map(|(why, _)| read.sums.lost_messages(*why));
        let messages: u64 = messages.sum();
        let numbers = [status.logs as u64, read.lines, read.unmatched(), rotations, lost, messages];
        let mut cells = vec![configured.name.clone(), files.join(" "), state];
        // What an earlier run has counted is no answer to what there is now.
        let number =
            |number: &u64| if status.was_read { number.to_string() } else { "–".to_owned() };
        cells.extend(numbers.iter().map(number));
        Line { mark, cells }
    });
    let sources = Table {
        title: "Log sources",
        heads: vec![
            "source",
            "files",
            "state",
            "logs",
            "lines",
            "unknown",
            "rotations",
            "bytes lost",
            "messages lost",
        ],
        rows: sources.collect(),
        empty: "none; the notes say why",
    };
    let Some(matcher) = view.matcher() else { return vec![sources] };
    let known = counted.any_line_was_read();
    let empty = if known { NONE } else { UNKNOWN };
    let matcher = matcher.get();
    let mut matched: Vec<_> = counted
        .signatures(&matcher)
        .filter(|_| known)
        .filter_map(|(signature, matched)| Some((signature, matched?.count)))
        .collect();
    matched.sort_by_key(|(signature, count)| {
        (signature.verdict as u8, signature.severity as u8, std::cmp::Reverse(*count))
    });
    let matched = matched.into_iter().map(|(signature, count)| {
        let mark = match signature.verdict {
            Verdict::Act => Mark::Act,
            Verdict::Watch => Mark::Watch,
            Verdict::Harmless => Mark::Plain,
        };
        let cells = vec![
            signature.verdict.label().to_owned(),
            signature.severity.label().to_owned(),
            count.to_string(),
            signature.id.value.clone(),
            signature.title.clone(),
            signature.advice.clone(),
        ];
        Line { mark, cells }
    });
    let matched = Table {
        title: "Log lines of a known meaning",
        heads: vec!["verdict", "severity", "count", "signature", "what", "what to do"],
        rows: matched.collect(),
        empty,
    };
    vec![sources, matched, unknown(view, empty)]
}

/// How a source is doing, in words.
fn describe_health(status: &Status) -> (Mark, String) {
    match status.health() {
        Health::Up => (Mark::Plain, "ok".to_owned()),
        Health::Failing(why) => (Mark::Act, why),
        Health::Unknown(why) => (Mark::Act, format!("unknown, because {why}")),
        Health::Empty => (Mark::Watch, "unknown, because no file matches".to_owned()),
    }
}

/// The most frequent shapes of lines that no signature matched. They may hold what not everybody who
/// reaches the port should read (a command line, a password typed as a name; the shape of a line that came
/// once is the line), so without `logs.examples` only how many, how severe and whose they are is said.
fn unknown(view: &View, empty: &'static str) -> Table {
    let rows = view.unknown(SHAPES).into_iter().map(|shape| {
        let about = if shape.over > 0 { "about " } else { "" };
        let level = shape.level.and_then(|level| LEVELS.get(usize::from(level))).copied();
        let mut cells = vec![
            format!("{about}{}", shape.count),
            level.unwrap_or("–").to_owned(),
            shape.program.clone().unwrap_or_else(|| "–".to_owned()),
        ];
        if view.examples {
            cells.push(shape.text.clone());
            cells.push(shape.example.clone());
            cells.push(shape.stub());
        }
        Line { mark: Mark::Plain, cells }
    });
    let mut heads = vec!["lines", "level", "program"];
    if view.examples {
        heads.extend(["shape", "example", "signature to be filled in"]);
    }
    let title = if view.examples {
        "Lines nobody knows, by shape"
    } else {
        "Lines nobody knows, by shape (what they say: logs.examples: true, or telltale_exporter scan)"
    };
    Table { title, heads, rows: rows.collect(), empty }
}
