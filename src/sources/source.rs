//! A source whose messages are numbered by who wrote them: the kernel's ring, the journal, audit's multicast.

use std::io;
use std::time::Duration;

use super::losses::LostMessages;
use super::published::Place;
use super::sink::Message;

/// It is looked at this often where nothing wakes us.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// What one look at a source came to.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// It stopped before the end of what is there.
    pub more: bool,
    /// Messages that were written and that nobody can be handed any more, by reason.
    pub lost: Vec<(LostMessages, u64)>,
    /// What is to be known about the source.
    pub notes: Vec<String>,
    /// Why there is nothing to read, or not all of it.
    pub error: Option<io::Error>,
}

/// Hands out the messages of one log, each once.
pub(crate) trait Source: Send + 'static {
    /// Goes on at this place, or begins with what is written from now on. Called at start, and again after a panic.
    fn take_up(&mut self, place: Option<Place>);

    /// Hands out what is there, up to a bound.
    fn read(&mut self, hand: &mut dyn FnMut(Message<'_>)) -> Looked;

    /// How far it is read: what lies before was handed out. `None` where that is not known, or means nothing.
    fn place(&self) -> Option<Place>;

    /// What was handed out is published, and need not be handed out again.
    fn accept(&mut self) {}

    /// Waits until there may be more, or a little.
    fn wait(&self) {
        std::thread::sleep(LOOK);
    }

    /// Whether where it stands is known by a look before the first scrape.
    fn looks_at_start(&self) -> bool {
        true
    }

    /// Whether what fails may be tried again ever more seldom.
    fn is_patient(&self) -> bool {
        true
    }
}
