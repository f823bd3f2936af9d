//! The kernel's ring as a source.

use std::path::PathBuf;

use super::{Position, Reader};
use crate::log_line::kernel_clock::When;
use crate::sources::losses::LostMessages;
use crate::sources::published::Place;
use crate::sources::sink::Message;
use crate::sources::source::{LOOK, Looked, Source};

/// The ring, opened when it is first read and again after each failure.
pub(crate) struct KernelRing {
    device: PathBuf,
    procfs: PathBuf,
    reader: Option<Reader>,
    /// Where it is to go on.
    position: Option<Position>,
}

impl KernelRing {
    /// Of this device; the number of the boot is below `procfs`.
    pub(crate) fn new(device: PathBuf, procfs: PathBuf) -> Self {
        Self { device, procfs, reader: None, position: None }
    }
}

impl Source for KernelRing {
    fn take_up(&mut self, place: Option<Place>) {
        self.reader = None;
        self.position = match place {
            Some(Place::Kmsg(position)) => Some(position),
            _ => None,
        };
    }

    fn read(&mut self, hand: &mut dyn FnMut(Message<'_>)) -> Looked {
        let opened = match &mut self.reader {
            Some(reader) => Ok(reader),
            None => Reader::open(&self.device, &self.procfs, self.position)
                .map(|reader| self.reader.insert(reader)),
        };
        let read = opened.and_then(|reader| {
            let outcome = reader.read(|record| {
                let when = When { header: None, uptime: i64::try_from(record.micros).ok() };
                let level = Some(record.level);
                for line in record.lines() {
                    hand(Message::Parsed { line, level, when, audit_serial: None });
                }
            })?;
            self.position = reader.position();
            Ok(outcome)
        });
        match read {
            Ok(outcome) => Looked {
                more: outcome.more,
                lost: vec![
                    (LostMessages::Overwritten, outcome.lost),
                    (LostMessages::Damaged, outcome.damaged),
                ],
                ..Looked::default()
            },
            Err(error) => {
                self.reader = None;
                Looked { error: Some(error), ..Looked::default() }
            }
        }
    }

    fn place(&self) -> Option<Place> {
        self.position.map(Place::Kmsg)
    }

    fn wait(&self) {
        if self.reader.as_ref().is_none_or(|reader| reader.wait(LOOK).is_err()) {
            std::thread::sleep(LOOK);
        }
    }
}
