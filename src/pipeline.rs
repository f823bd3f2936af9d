//! From bytes to series: which sources are read, which sink counts their lines, what of it is shown and what is kept.
//!
//! Nobody else knows both the sources and the two sinks. Each source has a thread, made by [`mod@start`]. What was counted
//! is written to the state before it is shown: see [`View::save`].

mod collectors;
mod start;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use crate::audit::events::recent::Recent;
use crate::audit::events::sink::EventSink;
use crate::config::Source;
use crate::live::{Live, lock};
use crate::metrics::{Desc, Metrics};
use crate::signatures::line_sink::{LineSink, Meanings};
use crate::signatures::matched::Matched;
use crate::signatures::matcher::Matcher;
use crate::signatures::signature::Signature;
use crate::snapshot::contents::Snapshot;
use crate::snapshot::store::State;
use crate::sources::published::{Published, PublishedTo, Shared};
use crate::sources::sink::Sink;
use crate::sources::status::Status;
use crate::unknown_lines::Shape;

pub(crate) use start::{Setup, start};

const STATE_ERRORS: Desc = Desc::counter(
    "telltale_state_write_errors_total",
    "Snapshots of positions and counters that could not be written.",
);

/// Sources whose lines one sink counts, with what they publish.
type Running<S> = Arc<[(Source, Shared<S>)]>;

/// What the sources have counted, for the collectors and the pages.
#[derive(Clone)]
pub(crate) struct View {
    meanings: Arc<Meanings>,
    /// The last stories of the audit events, and of what else ended processes.
    recent: Arc<Mutex<Recent>>,
    /// `None` while the collector `logs` is off.
    lines: Option<Running<LineSink>>,
    /// `None` while the collector `audit_events` is off.
    events: Option<Running<EventSink>>,
    /// What was counted by sources that are not configured any more.
    retired: Arc<BTreeMap<String, Matched>>,
    /// What the last run has left of a collector that is off.
    aside: Arc<Snapshot>,
    state: Arc<Mutex<State>>,
    /// Whether pages may show lines as they were written.
    pub examples: bool,
    /// What was chosen to be followed, and why; or why there is nothing.
    pub choice: String,
    /// Names of the users in the stories, as of the last collection.
    names: Live<HashMap<u32, String>>,
    /// What counts twice.
    doubles: Arc<[String]>,
}

/// What all sources had published at one moment.
pub(crate) struct Counted<'v> {
    lines: Vec<(&'v Source, PublishedTo<LineSink>)>,
    events: Vec<(&'v Source, PublishedTo<EventSink>)>,
    retired: &'v BTreeMap<String, Matched>,
}

impl Counted<'_> {
    /// How the sources of log lines are doing.
    pub(crate) fn line_sources(&self) -> Vec<Status> {
        statuses(&self.lines)
    }

    /// How the sources of audit records are doing.
    pub(crate) fn event_sources(&self) -> Vec<Status> {
        statuses(&self.events)
    }

    /// Whether the lines of any source were read since the start: until then it is not known what the
    /// signatures would have counted.
    pub(crate) fn any_line_was_read(&self) -> bool {
        self.lines.iter().any(|(_, published)| published.read)
    }

    /// Every signature with what it has counted in all sources.
    pub(crate) fn signatures<'m>(
        &self,
        matcher: &'m Matcher,
    ) -> impl Iterator<Item = (&'m Signature, Option<Matched>)> {
        matcher.signatures().iter().map(|signature| {
            let id = &signature.id.value;
            let of_source = |(_, source): &(_, PublishedTo<LineSink>)| {
                source.counts.sink.signatures.get(id).cloned()
            };
            let counted = self.lines.iter().filter_map(of_source);
            let merged = counted.chain(self.retired.get(id).cloned()).reduce(|mut sum, other| {
                sum.merge(other);
                sum
            });
            (signature, merged)
        })
    }
}

fn statuses<C, T>(sources: &[(&Source, Published<C, T>)]) -> Vec<Status> {
    sources.iter().map(|(source, published)| Status::of(source, published)).collect()
}

/// What each source has published, now.
fn take<S: Sink>(sources: Option<&Running<S>>) -> Vec<(&Source, PublishedTo<S>)> {
    let sources = sources.into_iter().flat_map(|sources| sources.iter());
    sources.map(|(source, shared)| (source, lock(shared).clone())).collect()
}

impl View {
    /// What all sources have published.
    pub(crate) fn counted(&self) -> Counted<'_> {
        let lines = take::<LineSink>(self.lines.as_ref());
        let events = take::<EventSink>(self.events.as_ref());
        Counted { lines, events, retired: &self.retired }
    }

    /// Writes what is about to be shown, and returns it: after that no restart can fall back behind it. Whichever
    /// collector shows it, all of it is written at one time, for a position belongs to all that was counted before it.
    fn save(&self) -> Counted<'_> {
        let mut state = lock(&self.state);
        let counted = self.counted();
        let snapshot = Snapshot::of(&counted.lines, &counted.events, &self.retired);
        let snapshot = snapshot.keeping(&self.aside);
        state.save(snapshot.encode(), move || snapshot.without_values().encode());
        counted
    }

    /// Whether anything is followed.
    pub(crate) fn has_sources(&self) -> bool {
        let lines = self.lines.as_ref().is_some_and(|sources| !sources.is_empty());
        lines || self.events.as_ref().is_some_and(|sources| !sources.is_empty())
    }

    /// Whether the collector `audit_events` is on.
    pub(crate) fn follows_events(&self) -> bool {
        self.events.is_some()
    }

    /// The signatures that are on; a reload replaces them. `None` while the collector `logs` is off.
    pub(crate) fn matcher(&self) -> Option<&Live<Matcher>> {
        self.lines.as_ref().map(|_| &self.meanings.matcher)
    }

    /// The most frequent shapes of lines that no signature matched.
    pub(crate) fn unknown(&self, most: usize) -> Vec<Shape> {
        lock(&self.meanings.unknown).top(most)
    }

    /// How the source of audit events stands: `None` where there is none, else what is wrong with it.
    pub(crate) fn audit_source(&self) -> Option<Vec<String>> {
        let (source, published) = self.events.as_ref()?.first()?;
        Some(Status::of(source, &lock(published)).warnings())
    }

    /// The last stories of the audit events, with names, and of what else ended processes.
    pub(crate) fn recent(&self) -> Recent {
        lock(&self.recent).clone().named(&self.names.get())
    }

    /// What is wrong with the state, in sentences.
    pub(crate) fn state_warnings(&self) -> Vec<String> {
        lock(&self.state).warnings()
    }

    /// Brings the positions of what was last shown to the disk; at the end of the exporter.
    pub(crate) fn flush_state(&self) {
        lock(&self.state).flush();
    }

    /// How often the state could not be written.
    pub(crate) fn export_state(&self, metrics: &mut Metrics) {
        metrics.add(&STATE_ERRORS, &[], lock(&self.state).errors() as f64);
    }
}
