//! What the page says of the logs: sources, what matched, and the lines that nobody knows.

use super::{Line, Mark, Table};
use crate::config::Source;
use crate::logs::counts::{LEVELS, Published};
use crate::logs::effects::{Lost, LostMessages, Rotation};
use crate::logs::signature::Verdict;
use crate::logs::{self, View};

/// Shapes of unknown lines on the page.
const SHAPES: usize = 15;

/// Said where lines were read and none was of the kind.
const NONE: &str = "none since start";

/// Said where none was read.
const UNKNOWN: &str = "unknown, because no log source could be read since the start";

/// The sources, the signatures that have matched, those that ask to act first, and unknown lines.
pub(super) fn tables(view: &View) -> [Table; 3] {
    let published = view.sources();
    let sources = published.iter().map(|(configured, source)| {
        let files: Vec<_> = match (configured.kmsg, configured.journal) {
            (true, _) => vec!["/dev/kmsg".to_owned()],
            (_, true) => vec!["the journal".to_owned()],
            _ if configured.audit_multicast => vec!["the kernel's multicast".to_owned()],
            _ => configured.files.iter().map(|path| path.display().to_string()).collect(),
        };
        let (mark, state) = state(configured, source);
        let counts = &source.counts;
        let rotations: u64 = Rotation::ALL.iter().map(|(how, _)| counts.sums.rotations(*how)).sum();
        let lost: u64 = Lost::ALL.iter().map(|(why, _)| counts.sums.lost(*why)).sum();
        let messages = LostMessages::ALL.iter().map(|(why, _)| counts.sums.lost_messages(*why));
        let messages: u64 = messages.sum();
        let numbers = [
            source.files.len() as u64,
            counts.lines,
            counts.unmatched(),
            rotations,
            lost,
            messages,
        ];
        let mut cells = vec![configured.name.clone(), files.join(" "), state];
        // What an earlier run has counted is no answer to what there is now.
        let number = |number: &u64| if source.read { number.to_string() } else { "–".to_owned() };
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
    let known = logs::any_line_was_read(&published);
    let empty = if known { NONE } else { UNKNOWN };
    let matcher = view.matcher().get();
    let mut matched: Vec<_> = view
        .signatures(&matcher, &published)
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
    [sources, matched, unknown(view, empty)]
}

/// How a source stands.
fn state(configured: &Source, source: &Published) -> (Mark, String) {
    let of_files = source.files.values().filter_map(|file| file.error.clone());
    let of_all = source.error.clone().into_iter().chain(source.hangs());
    let errors: Vec<_> = of_all.chain(of_files).collect();
    let error = match &errors[..] {
        [] => None,
        [one] => Some(one.clone()),
        [one, ..] => Some(format!("{one}, and {} more", errors.len() - 1)),
    };
    match error {
        Some(error) if source.read => (Mark::Act, error),
        Some(error) => (Mark::Act, format!("unknown, because nothing of it was read yet: {error}")),
        None if configured.has_files() && source.files.is_empty() => {
            (Mark::Watch, "unknown, because no file matches".to_owned())
        }
        None if !source.read => {
            (Mark::Act, "unknown, because nothing of it was read yet".to_owned())
        }
        None => (Mark::Plain, "ok".to_owned()),
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
