//! The thread of a source whose messages are numbered by who wrote them: the kernel's ring, the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::boot::When;
use super::counts::{Counter, Counts, Form, Place, Published, Shared};
use super::effects::LostMessages;
use super::header::{self, Line};
use super::source::millis_since;
use super::{RETRY, RETRY_MAX, journal, kmsg, lock};
use crate::audit::events::joiner::Joiner;
use crate::audit::multicast::Multicast;
use crate::supervised;

/// The journal is looked at this often, which costs microseconds; the kernel's ring wakes us.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes of the journal that are read at one time, so that what is published never lies far behind.
const CHUNK: usize = 128 * 1024;

/// Where the messages come from.
pub(crate) enum Log {
    /// The kernel's ring: the device, and procfs for the number of the boot.
    Kmsg(PathBuf, PathBuf),
    /// The directories of a journald.
    Journal(Vec<PathBuf>),
    /// The kernel's audit records, or why they cannot be had.
    Audit(io::Result<Multicast>),
}

/// A source's thread.
pub(crate) struct Records {
    log: Open,
    published: Arc<Mutex<Published>>,
    shared: Arc<Shared>,
}

enum Open {
    Kmsg { device: PathBuf, procfs: PathBuf, reader: Option<kmsg::Reader> },
    Journal { directories: Vec<PathBuf>, reader: Option<Box<journal::Reader>> },
    Audit { group: io::Result<Multicast>, heard: Heard, joiner: Option<Joiner>, born: Instant },
}

/// What the kernel said about audit events and is not published yet. It says it once: should counting it
/// panic, it is counted again.
#[derive(Default)]
struct Heard {
    lines: Vec<Vec<u8>>,
    /// Events that were lost before they reached us.
    lost: u64,
}

impl Records {
    /// For a thread that is going to [take it up](Self::take_up).
    pub(crate) fn new(log: Log, published: Arc<Mutex<Published>>, shared: Arc<Shared>) -> Self {
        let log = match log {
            Log::Kmsg(device, procfs) => Open::Kmsg { device, procfs, reader: None },
            Log::Journal(directories) => Open::Journal { directories, reader: None },
            Log::Audit(group) => {
                Open::Audit { group, heard: Heard::default(), joiner: None, born: Instant::now() }
            }
        };
        Self { log, published, shared }
    }

    /// Takes up what was published last, by this run or the one before, or begins with what is written from
    /// now on.
    pub(crate) fn take_up(&mut self) {
        match &mut self.log {
            Open::Kmsg { reader, .. } => *reader = None,
            Open::Journal { directories, reader } => {
                let position = match lock(&self.published).place.clone() {
                    Some(Place::Journal(position)) => Some(position),
                    _ => None,
                };
                let opened = journal::Reader::new(directories.clone(), position, false);
                *reader = Some(Box::new(opened));
            }
            // Who has joined its group may not do so again.
            Open::Audit { .. } => return,
        }
        // What was there before is passed over, or what came meanwhile begun with.
        while matches!(self.turn(), Ok(true)) && !self.has_place() {}
    }

    fn has_place(&self) -> bool {
        lock(&self.published).place.is_some()
    }

    /// Follows for ever.
    pub(crate) fn run(&mut self) {
        let mut retry = RETRY;
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => {
                    retry = RETRY;
                    self.wait();
                }
                Err(_) => {
                    std::thread::sleep(retry);
                    // Who listens to audit events must not let them wait.
                    let patient = !matches!(self.log, Open::Audit { .. });
                    retry = if patient { (retry * 2).min(RETRY_MAX) } else { RETRY };
                }
            }
        }
    }

    /// Until there may be more.
    fn wait(&self) {
        match &self.log {
            Open::Kmsg { reader: Some(reader), .. } if reader.wait(LOOK).is_ok() => {}
            // Reading it waits.
            Open::Audit { .. } => {}
            _ => std::thread::sleep(LOOK),
        }
    }

    /// Reads and counts what is there, up to a bound, and publishes; whether there is more.
    ///
    /// What is published is not locked meanwhile, for a disk may hang, and scrapes must not: this thread
    /// alone changes it.
    fn turn(&mut self) -> io::Result<bool> {
        let mut next = lock(&self.published).clone();
        let Published { counts, place, error, notes, .. } = &mut next;
        let form = match &self.log {
            Open::Audit { born, .. } => Form::Audit(millis_since(*born)),
            _ => Form::Text(header::parse),
        };
        let counter = Counter::new(&self.shared, form);
        // Audit events that are not complete, after what was heard.
        let mut joined = None;
        let result = match &mut self.log {
            Open::Kmsg { device, procfs, reader } => {
                let position = match place {
                    Some(Place::Kmsg(position)) => Some(*position),
                    _ => None,
                };
                let opened = match reader {
                    Some(reader) => Ok(reader),
                    None => kmsg::Reader::open(device, procfs, position)
                        .map(|opened| reader.insert(opened)),
                };
                let read = opened.and_then(|reader| kernel(reader, &counter, counts, place));
                if read.is_err() {
                    *reader = None;
                }
                read
            }
            Open::Audit { group, heard, joiner, .. } => match group {
                Ok(group) => {
                    let result = heard.listen(group);
                    let mut next = joiner.clone();
                    heard.count(&counter, counts, &mut next);
                    joined = Some(next);
                    result.map(|()| false)
                }
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            },
            Open::Journal { reader: None, .. } => Ok(false),
            Open::Journal { reader: Some(reader), .. } => {
                let more = entries(reader, &counter, counts);
                *place = Some(Place::Journal(reader.position().clone()));
                let unreadable =
                    reader.unreadable().map(|(path, why)| format!("{}: {why}", path.display()));
                *notes = unreadable.take(MAX_NOTES).collect();
                if reader.has_files() { Ok(more) } else { Err(nothing(reader.places(), notes)) }
            }
        };
        supervised::panic_if_asked("records");
        *error = result.as_ref().err().map(ToString::to_string);
        next.read |= result.is_ok();
        next.looked = Some(Instant::now());
        *lock(&self.published) = next;
        if let (Open::Audit { heard, joiner, .. }, Some(joined)) = (&mut self.log, joined) {
            (*heard, *joiner) = (Heard::default(), joined);
        }
        result
    }
}

/// Files that are named one by one.
const MAX_NOTES: usize = 5;

/// There is no journal that can be read: what was looked at, and what to do.
fn nothing<'a>(
    places: impl Iterator<Item = (&'a Path, bool)>,
    notes: &mut Vec<String>,
) -> io::Error {
    let absent = |there: bool| if there { "" } else { " (not there)" };
    let places = places.map(|(path, there)| format!("{}{}", path.display(), absent(there)));
    let places = places.take(MAX_NOTES).collect::<Vec<_>>().join(", ");
    let why = if !notes.is_empty() {
        "no file of the journal can be read: add the exporter to the group systemd-journal, or name \
         files under logs.sources"
            .to_owned()
    } else if places.is_empty() {
        "the journal is not found without /etc/machine-id; name its directories under logs.sources"
            .to_owned()
    } else {
        format!(
            "there is no journal file in {places}, nor in directories of machines in there \
             (/var/log/journal/MACHINE-ID); start systemd-journald with Storage=persistent or volatile, or \
             name the directories under logs.sources as for journalctl -D"
        )
    };
    let first = notes.first().map_or_else(String::new, |note| format!(" ({note})"));
    notes.clear();
    io::Error::new(io::ErrorKind::NotFound, format!("{why}{first}"))
}

/// Counts what the kernel's ring has.
fn kernel(
    reader: &mut kmsg::Reader,
    counter: &Counter<'_>,
    counts: &mut Counts,
    place: &mut Option<Place>,
) -> io::Result<bool> {
    let outcome = reader.read(|record| {
        let when = When { header: None, uptime: i64::try_from(record.micros).ok() };
        for line in record.lines() {
            counter.count_message(&line, Some(record.level), (when, None), counts);
        }
    })?;
    counts.sums.lose_messages(LostMessages::Overwritten, outcome.lost);
    counts.sums.lose_messages(LostMessages::Damaged, outcome.damaged);
    *place = reader.position().map(Place::Kmsg);
    Ok(outcome.more)
}

impl Heard {
    /// Waits a little for what the kernel says, unless something is left that was not counted.
    fn listen(&mut self, group: &mut Multicast) -> io::Result<()> {
        if !self.lines.is_empty() {
            return Ok(());
        }
        group.read(&mut self.lost, |line| self.lines.push(line.to_vec()))
    }

    fn count(&self, counter: &Counter<'_>, counts: &mut Counts, joiner: &mut Option<Joiner>) {
        for line in &self.lines {
            counts.bytes += line.len() as u64;
            counter.count_record(line, joiner, counts);
        }
        if self.lines.is_empty() {
            counter.expire(joiner, counts);
        }
        counts.sums.lose_messages(LostMessages::Missing, self.lost);
    }
}

/// Counts what the journal has.
fn entries(reader: &mut journal::Reader, counter: &Counter<'_>, counts: &mut Counts) -> bool {
    let outcome = reader.read(CHUNK, Instant::now(), |entry| {
        let whole = Line {
            priority: entry.priority,
            host: entry.hostname,
            program: entry.identifier,
            pid: entry.pid,
            message: entry.message,
            times: 1,
        };
        for line in journal::lines(whole, Some(entry.transport)) {
            counter.count_message(&line, entry.priority, (entry.when(), entry.audit), counts);
        }
    });
    counts.sums.lose_messages(LostMessages::Missing, outcome.lost);
    outcome.more
}
