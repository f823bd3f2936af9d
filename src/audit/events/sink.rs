//! The sink of audit records: what the events that they join to add up to.

use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::recent::Recent;
use super::totals::Totals;
use crate::audit::record::event::Event;
use crate::audit::record::joiner::{Ended, Joiner, Limits};
use crate::live::lock;
use crate::sources::losses::LostMessages;
use crate::sources::published::Counts;
use crate::sources::sink::{Batch, Carry, Message, Sink};

/// Counts the records of one source.
pub(crate) struct EventSink {
    /// The last stories; for people.
    recent: Arc<Mutex<Recent>>,
    /// The time that events are waited for is counted from here.
    born: Instant,
}

/// Records whose event is not complete, and the events that ended last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(into = "Kept", from = "Kept")]
pub(crate) struct OpenEvents(Option<Joiner>);

/// The same as it is kept over a restart.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    open: Vec<Vec<u8>>,
    ended: Vec<Ended>,
}

impl From<OpenEvents> for Kept {
    fn from(OpenEvents(joiner): OpenEvents) -> Self {
        let open = joiner.iter().flat_map(Joiner::open_lines).map(<[u8]>::to_vec);
        Self {
            open: open.collect(),
            ended: joiner.iter().flat_map(Joiner::ended).cloned().collect(),
        }
    }
}

impl From<Kept> for OpenEvents {
    fn from(kept: Kept) -> Self {
        if kept.open.is_empty() && kept.ended.is_empty() {
            return Self::default();
        }
        let lines = kept.open.iter().map(Vec::as_slice);
        // No line completes an event that was open with it.
        let joiner = Joiner::resumed(Limits::default(), kept.ended, lines, 0, &mut Vec::new());
        Self(Some(joiner))
    }
}

impl PartialEq for OpenEvents {
    fn eq(&self, other: &Self) -> bool {
        Kept::from(self.clone()) == Kept::from(other.clone())
    }
}

impl Eq for OpenEvents {}

impl Carry for OpenEvents {
    fn split_off(&mut self) -> Self {
        Self(self.0.take())
    }

    fn waits(&self) -> bool {
        self.0.is_some()
    }
}

impl EventSink {
    /// Whose stories are told to these.
    pub(crate) fn new(recent: Arc<Mutex<Recent>>) -> Self {
        Self { recent, born: Instant::now() }
    }
}

impl Sink for EventSink {
    type Carry = OpenEvents;
    type Counts = Totals;
    type Batch<'s> = EventBatch<'s>;

    fn begin_batch(&self, _: SystemTime) -> EventBatch<'_> {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        EventBatch { recent: &self.recent, millis }
    }
}

/// Counts the records of one piece.
pub(crate) struct EventBatch<'s> {
    recent: &'s Mutex<Recent>,
    /// When it was read, by a clock that never goes backwards.
    millis: u64,
}

impl Batch for EventBatch<'_> {
    type Carry = OpenEvents;
    type Counts = Totals;

    fn count(&self, message: Message<'_>, open: &mut OpenEvents, to: &mut Counts<Totals>) {
        let Message::Line(bytes) = message else { return };
        let mut ended = Vec::new();
        let joiner = open.0.get_or_insert_with(|| Joiner::new(Limits::default()));
        let late = joiner.late();
        if !joiner.take(bytes, self.millis, &mut ended) {
            to.read.add_unmatched(None);
        }
        to.read.sums.lose_messages(LostMessages::Unjoined, joiner.late() - late);
        self.count_events(&ended, to);
    }

    fn expire(&self, open: &mut OpenEvents, to: &mut Counts<Totals>) {
        let Some(joiner) = &mut open.0 else { return };
        let mut ended = Vec::new();
        joiner.expire(self.millis, &mut ended);
        self.count_events(&ended, to);
        lock(self.recent).expire();
    }

    fn join(&self, own: &mut OpenEvents, given: OpenEvents, to: &mut Counts<Totals>) {
        let (Some(first), Some(second)) = (own.0.as_ref(), given.0.as_ref()) else {
            own.0 = own.0.take().or(given.0);
            return;
        };
        let mut out = Vec::new();
        let ended = first.ended().chain(second.ended()).cloned();
        let lines = first.open_lines().chain(second.open_lines());
        own.0 = Some(Joiner::resumed(Limits::default(), ended, lines, self.millis, &mut out));
        self.count_events(&out, to);
    }
}

impl EventBatch<'_> {
    fn count_events(&self, ended: &[Event], to: &mut Counts<Totals>) {
        for event in ended {
            to.read.sums.lose_messages(LostMessages::Unjoined, event.left_out);
            let facts = Facts::of(event);
            to.sink.add(&facts);
            lock(self.recent).add(facts);
        }
    }
}
