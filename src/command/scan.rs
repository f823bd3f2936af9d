//! `scan`: the catalogue over existing logs.
//!
//! The matcher is that of the service; what differs is where the lines come from ([`super::input`],
//! [`reader`]) and what is made of them ([`tally`], [`report`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{FINE, FOUND, Format, WRONG};
use crate::signatures::matcher::Matcher;
use crate::signatures::signature::Verdict;

mod bar;
mod duplicates;
mod explain;
mod reader;
pub(crate) mod report;
mod tally;

use super::input::{Input, Progress};
use super::times::Window;
use bar::Bar;
use report::{Look, Report};
use tally::Tally;

/// Columns where nothing says how many there are.
const WIDTH: usize = 100;

/// The arguments.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "TIME is 2026-11-20, '2026-11-20 05:13[:11]', 2026-11-20T05:13:11Z (or +01:00), \
    'Nov 20 05:13[:11]',\n05:13[:11], today, yesterday, now, -2h, '2h ago', 90m, 3d or 1w, in the zone of this host. A line \
    without a time follows the line before; lines of\nthe kernel's log that count from a boot that \
    nobody knows are always looked at.\nAn event that several logs tell counts as often as in the one that has it \
    most often.\n\
    Exit codes: 1 if something was found that asks to act; else 2 if a file could not be read to its \
    end; else 0."
)]
pub(crate) struct Options {
    /// Logs, plain or compressed by gzip, xz or zstd: syslog files, journals (journalctl -o export),
    /// kernel logs (dmesg, copies of /dev/kmsg); - is standard input
    #[arg(value_name = "FILE", required_unless_present = "explain")]
    files: Vec<PathBuf>,

    /// Instead of reading files, say what is made of this line: its header, its time, the signatures that were
    /// tried and why they do not match
    #[arg(long, value_name = "LINE", allow_hyphen_values = true, conflicts_with_all = ["files", "since", "until", "format", "unknown"])]
    explain: Option<String>,

    /// Only lines from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,

    /// Only lines up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,

    /// Form of the report
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Show so many kinds of lines that no signature knows, the most frequent first
    #[arg(long, value_name = "N", default_value_t = 10)]
    unknown: usize,
}

/// Reads, prints the report and says the exit code.
pub(crate) fn run(options: &Options, config_file: Option<&Path>) -> Result<u8, String> {
    let zone = TimeZone::system();
    let now = Timestamp::now().as_microsecond();
    let window = Window::of(options.since.as_deref(), options.until.as_deref(), now, &zone)?;
    let matcher = Matcher::new(super::catalogue(config_file)?);
    if let Some(line) = &options.explain {
        let (text, asks_to_act) = explain::explain(line, &matcher, now, &zone);
        super::print(&text)?;
        return Ok(if asks_to_act { FOUND } else { FINE });
    }
    let progress = Arc::new(Progress::default());
    let mut bar = Bar::new(&options.files, &progress);
    let files = duplicates::by_log(&options.files);
    let several = duplicates::count_logs(&files) > 1;
    let mut tally = Tally::new(&matcher, window, options.unknown > 0, several);
    let mut errors = Vec::new();
    for file in files {
        errors.extend(scan(file, (now, &zone), &progress, &mut tally, &mut bar));
    }
    drop(bar);
    let report = Report { errors, ..tally.report(options.unknown) };
    super::print(&shown(&report, options.format)?)?;
    let asks_to_act = !report.of(Verdict::Act).is_empty();
    Ok(match (asks_to_act, report.errors.is_empty()) {
        (true, _) => FOUND,
        (false, true) => FINE,
        (false, false) => WRONG,
    })
}

/// Reads one file; what could not be read of it comes back.
fn scan(
    (log, path): (u32, &Path),
    (now, zone): (i64, &TimeZone),
    progress: &Arc<Progress>,
    tally: &mut Tally<'_>,
    bar: &mut Bar,
) -> Vec<String> {
    let mut input = match Input::open(path, progress) {
        Ok(input) => input,
        Err(error) => return vec![error.to_string()],
    };
    let modified = input.modified().and_then(|time| Timestamp::try_from(time).ok());
    let reference = modified.map_or(now, Timestamp::as_microsecond);
    tally.begin_file(log);
    reader::read(&mut input, (reference, zone), tally, || bar.draw())
}

fn shown(report: &Report, format: Format) -> Result<String, String> {
    match format {
        Format::Json => report.json().map_err(|error| error.to_string()),
        Format::Markdown => Ok(report::markdown(report)),
        Format::Text => {
            let out = std::io::stdout();
            let size = rustix::termios::tcgetwinsize(&out).ok();
            let columns = size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
            let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colours = rustix::termios::isatty(&out) && !no_colour;
            Ok(report::text(report, Look { width: columns.unwrap_or(WIDTH), colours }))
        }
    }
}
