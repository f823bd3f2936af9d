//! The kernel's audit records as a source.

use std::io;

use super::group::Multicast;
use crate::sources::losses::LostMessages;
use crate::sources::published::Place;
use crate::sources::sink::Message;
use crate::sources::source::{Looked, Source};

/// The multicast group, or why it cannot be had, and what was heard there and is not published yet: the kernel says
/// it once, so should counting it panic, it is counted again.
pub(crate) struct AuditRecords {
    group: io::Result<Multicast>,
    lines: Vec<Vec<u8>>,
    /// Events that were lost before they reached us.
    lost: u64,
}

impl AuditRecords {
    /// Of this group.
    pub(crate) fn new(group: io::Result<Multicast>) -> Self {
        Self { group, lines: Vec::new(), lost: 0 }
    }

    /// Waits a little for what the kernel says, unless something is left that was not counted.
    fn listen(&mut self) -> io::Result<()> {
        match &mut self.group {
            Ok(_) if !self.lines.is_empty() => Ok(()),
            Ok(group) => group.read(&mut self.lost, |line| self.lines.push(line.to_vec())),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl Source for AuditRecords {
    // Who has joined the group may not do so again, and what was said before is not said again.
    fn take_up(&mut self, _: Option<Place>) {}

    fn read(&mut self, hand: &mut dyn FnMut(Message<'_>)) -> Looked {
        let error = self.listen().err();
        for line in &self.lines {
            hand(Message::Line(line));
        }
        Looked { lost: vec![(LostMessages::Missing, self.lost)], error, ..Looked::default() }
    }

    fn place(&self) -> Option<Place> {
        None
    }

    fn accept(&mut self) {
        self.lines.clear();
        self.lost = 0;
    }

    // Reading it waits.
    fn wait(&self) {}

    fn looks_at_start(&self) -> bool {
        false
    }

    // Who listens must not let records wait.
    fn is_patient(&self) -> bool {
        false
    }
}
