//! `kills`: who signalled whom, told from the audit daemon's logs on disk.
//!
//! Whoever may read those files may know all that is in them, so nothing is withheld here.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::input::{Input, Progress};
use super::times::Window;
use super::{FINE, WRONG};
use crate::audit::auditd;
use crate::audit::events::signals::{Kill, number};
use crate::audit::events::story::{Reader, Teller};
use crate::audit::record::Record;
use crate::audit::record::event::Event;
use crate::audit::record::joiner::{Joiner, Limits};
use crate::log_line::times::Time;
use crate::sources::lines::Lines;
use crate::text;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// The arguments.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "TIME is as for scan: 2026-11-20, '2026-11-20 05:13[:11]', 05:13, today, yesterday, -2h, 3d.\n\
    Signals are in the audit log where a rule wants them: deploy/audit/30-telltale.rules. The kernel's OOM killer\n\
    is not among them: telltale_exporter scan finds it in the system's log.\n\
    Exit codes: 0; 2 if a file could not be read to its end."
)]
pub(crate) struct Options {
    /// Only signals sent from this time on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,

    /// Only signals sent up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,

    /// Only signals to this command name or process number
    #[arg(long, value_name = "COMM|PID")]
    target: Option<String>,

    /// Only this signal: KILL, SIGKILL or 9
    #[arg(long, value_name = "SIGNAL")]
    signal: Option<String>,

    /// Only events of the audit rule with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// An audit log, plain or compressed, or - for standard input; several may be given [default: the audit
    /// daemon's log, as its configuration names it, and its rotated files]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,

    /// Sentences, or one JSON object a line
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Form,
}

/// The form of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal.
    Text,
    /// For a program.
    Json,
}

/// Tells the stories and says the exit code.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    let zone = TimeZone::system();
    let now = Timestamp::now().as_microsecond();
    let (since, until) = (options.since.as_deref(), options.until.as_deref());
    let window = Window::of(since, until, now, &zone)?;
    let signal = options.signal.as_deref().map(|text| {
        number(text).ok_or_else(|| format!("--signal: '{text}' is no signal; kill -l lists them"))
    });
    let mut telling = Telling {
        options,
        window,
        signal: signal.transpose()?,
        zone,
        out: std::io::BufWriter::new(std::io::stdout()),
        day: None,
        records: 0,
        signals: 0,
        told: 0,
        gone: false,
    };
    let files = files(options)?;
    let mut joiner = Joiner::new(Limits::default());
    let mut code = FINE;
    for path in &files {
        for error in telling.read(path, &mut joiner) {
            // Nothing can be done about a standard error that is closed.
            let _ = writeln!(std::io::stderr(), "telltale_exporter: {}", text::escape(&error));
            code = WRONG;
        }
    }
    let mut ended = Vec::new();
    joiner.finish(&mut ended);
    telling.tell(&ended);
    telling.end(&files)?;
    Ok(code)
}

/// The files, the oldest first, by their first records: copies have other times than what they are copied from.
fn files(options: &Options) -> Result<Vec<PathBuf>, String> {
    let mut files = options.file.clone();
    if files.is_empty() {
        let log = auditd::log_file(Path::new("/"));
        let pattern = glob::Pattern::escape(&log.to_string_lossy()) + "*";
        let found = glob::glob(&pattern).map(|paths| paths.filter_map(Result::ok).collect());
        files = found.unwrap_or_default();
        // The directory may be closed to us: then opening the log says why.
        if files.is_empty() {
            files.push(log);
        }
    }
    // While one is being compressed it is there twice.
    let given = files.clone();
    files.retain(|path| !is_compressed_twin(path, &given));
    files.sort_by_cached_key(|path| begins(path));
    let from_stdin = files.iter().filter(|path| **path == *"-").count();
    if from_stdin > 1 {
        return Err("--file -: standard input can be read once only".to_owned());
    }
    Ok(files)
}

/// Whether the same file is given uncompressed as well.
fn is_compressed_twin(path: &Path, given: &[PathBuf]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["gz", "xz", "zst"].contains(&ending) && given.contains(&path.with_extension(""))
}

/// The time of the first record; one that cannot be read, or can be read once only, comes last.
fn begins(path: &Path) -> u64 {
    if !std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        return u64::MAX;
    }
    let (mut start, mut length) = (vec![0; 16 * 1024], 0);
    if let Ok(mut input) = Input::open(path, &Arc::new(Progress::default())) {
        // It comes in pieces of any size.
        while let Ok(count @ 1..) = input.read(&mut start[length..]) {
            length += count;
        }
    }
    let first = start[..length].split(|&byte| byte == b'\n').find_map(Record::parse);
    first.map_or(u64::MAX, |record| record.stamp.millis)
}

/// What is told, and of what.
struct Telling<'a> {
    options: &'a Options,
    window: Window,
    signal: Option<i32>,
    zone: TimeZone,
    out: std::io::BufWriter<std::io::Stdout>,
    /// The day of the last sentence.
    day: Option<Date>,
    records: u64,
    /// Signals, told or not.
    signals: u64,
    told: u64,
    /// Nobody reads any more, as of `| head`.
    gone: bool,
}

impl Telling<'_> {
    /// Reads one file; what could not be read of it comes back.
    fn read(&mut self, path: &Path, joiner: &mut Joiner) -> Vec<String> {
        let mut errors = Vec::new();
        let mut input = match Input::open(path, &Arc::new(Progress::default())) {
            Ok(input) => input,
            Err(error) => return vec![error.to_string()],
        };
        let (mut buffer, mut lines, mut ended) = (vec![0; PIECE], Lines::default(), Vec::new());
        let (mut records, mut bytes) = (0, 0);
        let mut take = |line: &[u8], ended: &mut Vec<Event>| {
            // The time of the record is the clock: what is read back is not waited for.
            let now = Record::parse(line).map_or(0, |record| record.stamp.millis);
            records += u64::from(joiner.push(line, now, ended));
        };
        while !self.gone {
            let length = input.read(&mut buffer).unwrap_or_else(|error| {
                errors.push(error.to_string());
                0
            });
            if length == 0 {
                break;
            }
            bytes += length;
            lines.take(&buffer[..length], |line| take(line, &mut ended));
            self.tell(&std::mem::take(&mut ended));
        }
        lines.hand_out(|line| take(line, &mut ended));
        self.tell(&ended);
        self.records += records;
        // auditd's own is empty for a moment after it was rotated.
        if records == 0 && bytes > 0 && errors.is_empty() && !self.gone {
            errors.push(format!("{}: no audit record is in it", input.name()));
        }
        errors
    }

    /// Tells the signals among these events.
    fn tell(&mut self, events: &[Event]) {
        for kill in events.iter().filter_map(Kill::of) {
            self.signals += 1;
            if !self.is_wanted(&kill) {
                continue;
            }
            self.told += 1;
            let text = match self.options.format {
                Form::Json => Teller { reader: Reader::Trusted, offset: 0 }.kill_json(&kill),
                Form::Text => self.sentence(&kill),
            };
            if writeln!(self.out, "{text}").is_err() {
                self.gone = true;
                return;
            }
        }
    }

    /// The story, below its day where that is another than before.
    fn sentence(&mut self, kill: &Kill) -> String {
        let (teller, day) = Teller::local(Reader::Trusted, kill.id.stamp.millis, &self.zone);
        let story = teller.kill(kill);
        if self.day.replace(day) == Some(day) { story } else { format!("{day}\n{story}") }
    }

    fn is_wanted(&self, kill: &Kill) -> bool {
        let micros = i64::try_from(kill.id.stamp.millis).unwrap_or(i64::MAX).saturating_mul(1000);
        let target = self.options.target.as_deref().is_none_or(|wanted| {
            let pid = wanted.parse::<u32>().ok();
            kill.targets.iter().any(|target| {
                target.comm.as_deref() == Some(wanted) || pid.is_some() && target.pid == pid
            })
        });
        target
            && self.window.has(Time::At(micros))
            && self.signal.is_none_or(|signal| signal == kill.signal)
            && self.options.key.as_ref().is_none_or(|key| kill.keys.contains(key))
    }

    /// Says on standard error what it means that nothing was told.
    fn end(mut self, files: &[PathBuf]) -> Result<(), String> {
        match self.out.flush() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(format!("cannot write to standard output: {error}"));
            }
            _ => {}
        }
        if self.told == 0 && self.records > 0 {
            let (records, signals, count) = (self.records, self.signals, files.len());
            let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
            let why = match signals {
                0 => format!(
                    "no signal among {records} audit records of {files}; signals are recorded where a rule \
                     wants them: auditctl -l, deploy/audit/30-telltale.rules"
                ),
                1 => format!("there is 1 signal in {files}, and it is not one that was asked for"),
                _ => format!(
                    "there are {signals} signals in {files}, and none of them was asked for"
                ),
            };
            let _ = writeln!(std::io::stderr(), "{why}");
        }
        Ok(())
    }
}
