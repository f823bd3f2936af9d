//! The journal as a source.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::journal::{Reader, lines};
use crate::log_line::header::Line;
use crate::sources::losses::LostMessages;
use crate::sources::published::Place;
use crate::sources::sink::Message;
use crate::sources::source::{Looked, Source};

/// Bytes that are read at one time, so that what is published never lies far behind.
const CHUNK: usize = 128 * 1024;

/// Files that are named one by one.
const MAX_NOTES: usize = 5;

/// The journals of some directories.
pub(crate) struct Journal {
    directories: Vec<PathBuf>,
    reader: Option<Box<Reader>>,
}

impl Journal {
    /// Of these directories.
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories, reader: None }
    }
}

impl Source for Journal {
    fn take_up(&mut self, place: Option<Place>) {
        let position = match place {
            Some(Place::Journal(position)) => Some(position),
            _ => None,
        };
        self.reader = Some(Box::new(Reader::new(self.directories.clone(), position, false)));
    }

    fn read(&mut self, hand: &mut dyn FnMut(Message<'_>)) -> Looked {
        let Some(reader) = &mut self.reader else { return Looked::default() };
        let outcome = reader.read(CHUNK, Instant::now(), |entry| {
            let whole = Line {
                priority: entry.priority,
                host: entry.hostname,
                program: entry.identifier,
                pid: entry.pid,
                message: entry.message,
                times: 1,
            };
            for line in lines(whole, Some(entry.transport)) {
                let (level, when, audit_serial) = (entry.priority, entry.when(), entry.audit);
                hand(Message::Parsed { line, level, when, audit_serial });
            }
        });
        let unreadable =
            reader.unreadable().map(|(path, why)| format!("{}: {why}", path.display()));
        let mut notes: Vec<_> = unreadable.take(MAX_NOTES).collect();
        let error = (!reader.has_files()).then(|| explain_absence(reader.places(), &mut notes));
        let lost = vec![(LostMessages::Missing, outcome.lost)];
        Looked { more: outcome.more, lost, notes, error }
    }

    fn place(&self) -> Option<Place> {
        Some(Place::Journal(self.reader.as_ref()?.position().clone()))
    }
}

/// There is no journal that can be read: what was looked at, and what to do.
fn explain_absence<'a>(
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
