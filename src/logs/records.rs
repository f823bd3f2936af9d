//! The thread of a source whose messages are numbered by who wrote them: the kernel's ring, the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::counts::{Counter, Counts, Form, Place, Published, Shared};
use super::effects::LostMessages;
use super::header::{self, Line};
use super::source::millis_since;
use super::{RETRY, RETRY_MAX, journal, kmsg, lock};
use crate::audit::events::joiner::Joiner;
use crate::audit::multicast::Multicast;

/// The journal is looked at this often, which costs microseconds; the kernel's ring wakes us.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes of the journal that are read at one time, so that what is published never lies far behind.
const CHUNK: usize = 128 * 1024;

/// Where the messages come from.
pub enum Log {
    /// The kernel's ring: the device, and procfs for the number of the boot.
    Kmsg(PathBuf, PathBuf),
    /// The directories of a journald.
    Journal(Vec<PathBuf>),
    /// The kernel's audit records, or why they cannot be had.
    Audit(io::Result<Multicast>),
}

/// A source's thread.
pub struct Records {
    log: Open,
    published: Arc<Mutex<Published>>,
    shared: Arc<Shared>,
}

enum Open {
    Kmsg { device: PathBuf, procfs: PathBuf, reader: Option<kmsg::Reader> },
    Journal(Box<journal::Reader>),
    Audit { group: io::Result<Multicast>, joiner: Option<Joiner>, born: Instant },
}

impl Records {
    /// Takes up where the last run has left it, or begins with what is written from now on.
    pub fn new(log: Log, published: Arc<Mutex<Published>>, shared: Arc<Shared>) -> Self {
        let place = lock(&published).place.clone();
        let log = match log {
            Log::Kmsg(device, procfs) => Open::Kmsg { device, procfs, reader: None },
            Log::Audit(group) => Open::Audit { group, joiner: None, born: Instant::now() },
            Log::Journal(directories) => {
                let position = match place {
                    Some(Place::Journal(position)) => Some(position),
                    _ => None,
                };
                Open::Journal(Box::new(journal::Reader::new(directories, position, false)))
            }
        };
        let joined = matches!(log, Open::Audit { .. });
        let mut records = Self { log, published, shared };
        // What was there before is passed over, or what came meanwhile begun with.
        while !joined && matches!(records.turn(), Ok(true)) && !records.has_place() {}
        records
    }

    fn has_place(&self) -> bool {
        lock(&self.published).place.is_some()
    }

    /// Follows for ever.
    pub fn run(mut self) {
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
            Open::Audit { group, joiner, .. } => match group {
                Ok(group) => audit(group, &counter, counts, joiner),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            },
            Open::Journal(reader) => {
                let more = entries(reader, &counter, counts);
                *place = Some(Place::Journal(reader.position().clone()));
                let unreadable =
                    reader.unreadable().map(|(path, why)| format!("{}: {why}", path.display()));
                *notes = unreadable.take(MAX_NOTES).collect();
                if reader.has_files() { Ok(more) } else { Err(nothing(reader.places(), notes)) }
            }
        };
        *error = result.as_ref().err().map(ToString::to_string);
        *lock(&self.published) = next;
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
        for line in record.lines() {
            counter.count_message(&line, Some(record.level), counts);
        }
    })?;
    counts.sums.lose_messages(LostMessages::Overwritten, outcome.lost);
    counts.sums.lose_messages(LostMessages::Damaged, outcome.damaged);
    *place = reader.position().map(Place::Kmsg);
    Ok(outcome.more)
}

/// Counts what the kernel says about audit events.
fn audit(
    group: &mut Multicast,
    counter: &Counter<'_>,
    counts: &mut Counts,
    joiner: &mut Option<Joiner>,
) -> io::Result<bool> {
    let lost = group.read(|line| {
        counts.bytes += line.len() as u64;
        counter.count_record(line, joiner, counts);
    })?;
    counter.expire(joiner, counts);
    counts.sums.lose_messages(LostMessages::Missing, lost);
    Ok(false)
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
            counter.count_message(&line, entry.priority, counts);
        }
    });
    counts.sums.lose_messages(LostMessages::Missing, outcome.lost);
    outcome.more
}
