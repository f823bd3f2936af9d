//! The log sources as they are kept over a restart: positions, unfinished lines, counters.
//!
//! Signatures are kept by id and files by path, so that another catalogue or configuration takes up
//! what it still has.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audit::events::sink::{EventSink, OpenEvents};
use crate::audit::events::totals::Totals;
use crate::config;
use crate::signatures::counter::Before;
use crate::signatures::line_sink::{LineCounts, LineSink};
use crate::signatures::matched::{Matched, Values};
use crate::sources::file::follower;
use crate::sources::published::{Counts, Place, Published, PublishedTo, ReadCounts, Stream};
use crate::sources::sink::Sink;

/// Every form that a snapshot ever had; the bytes begin with the number of theirs. postcard cannot tell that a field is
/// missing, so a snapshot with another field is another variant, and its elders stay here to be read.
#[derive(Serialize, Deserialize)]
enum Versioned<S> {
    V1(S),
}

/// How many there are.
const VERSIONS: u8 = 1;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Sources of log lines, by name.
    lines: BTreeMap<String, Source<Before, LineCounts>>,
    /// Sources of audit records.
    events: BTreeMap<String, Source<OpenEvents, Totals>>,
    /// What sources have counted that are not configured any more: without it, the sum over all sources
    /// would fall when one is taken out.
    retired: BTreeMap<String, Matched>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source<C, T> {
    /// The configured paths and patterns.
    patterns: Vec<Vec<u8>>,
    files: Vec<File<C>>,
    place: Option<Place>,
    carry: C,
    read: ReadCounts,
    sink: T,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct File<C> {
    path: Vec<u8>,
    position: follower::State,
    carry: C,
}

/// What a source begins with.
#[derive(Debug, Default)]
pub(crate) struct Start<C, T> {
    /// Logs that were followed, and counts that go on.
    pub published: Published<C, T>,
    /// An earlier run followed the same patterns: a log that it did not know has come since, and is
    /// read from its start.
    pub known: bool,
}

/// What a source whose lines this sink counts begins with.
pub(crate) type StartOf<S> = Start<<S as Sink>::Carry, <S as Sink>::Counts>;

/// Sources as they are configured, with what they have published.
pub(crate) type Sources<'s, S> = [(&'s config::Source, PublishedTo<S>)];

impl Snapshot {
    /// What is published now. The order is always the same, so that equal states are equal bytes.
    pub(crate) fn of(
        lines: &Sources<'_, LineSink>,
        events: &Sources<'_, EventSink>,
        retired: &BTreeMap<String, Matched>,
    ) -> Self {
        Self { lines: keep_all(lines), events: keep_all(events), retired: retired.clone() }
    }

    /// As bytes that any later version can read.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Writing to memory cannot fail.
        postcard::to_allocvec(&Versioned::V1(self)).unwrap_or_default()
    }

    /// Reads such bytes.
    ///
    /// # Errors
    /// When they are none, or of a version that came later.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        match postcard::from_bytes(bytes) {
            Ok(Versioned::V1(snapshot)) => Ok(snapshot),
            Err(error) if bytes.first().is_some_and(|&version| version >= VERSIONS) => {
                Err(format!("it is of a newer version ({error})"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Leaves positions alone: the values may be behind what was shown.
    #[must_use]
    pub(crate) fn without_values(mut self) -> Self {
        self.retired.clear();
        for source in self.lines.values_mut() {
            source.read.forget_values();
            source.sink.signatures.clear();
        }
        for source in self.events.values_mut() {
            source.read.forget_values();
            source.sink = Totals::default();
        }
        self
    }

    /// What a source of log lines takes up.
    pub(crate) fn take_lines(&mut self, configured: &config::Source) -> StartOf<LineSink> {
        take(&mut self.lines, configured)
    }

    /// What a source of audit records takes up.
    pub(crate) fn take_events(&mut self, configured: &config::Source) -> StartOf<EventSink> {
        take(&mut self.events, configured)
    }

    /// Takes out what belongs to a collector that is off, to be [kept](Self::keeping) until it is on again.
    #[must_use]
    pub(crate) fn set_aside(&mut self, lines_are_off: bool, events_are_off: bool) -> Self {
        let mut aside = Self::default();
        if lines_are_off {
            aside.lines = std::mem::take(&mut self.lines);
        }
        if events_are_off {
            aside.events = std::mem::take(&mut self.events);
        }
        aside
    }

    /// With what was set aside.
    #[must_use]
    pub(crate) fn keeping(mut self, aside: &Self) -> Self {
        self.lines.extend(aside.lines.clone());
        self.events.extend(aside.events.clone());
        self
    }

    /// After every source has taken its own: what the others have counted.
    pub(crate) fn retire(self) -> BTreeMap<String, Matched> {
        let mut retired = self.retired;
        merge(&mut retired, self.lines.into_values().flat_map(|source| source.sink.signatures));
        retired
    }
}

fn keep_all<C: Clone, T: Clone>(
    sources: &[(&config::Source, Published<C, T>)],
) -> BTreeMap<String, Source<C, T>> {
    let keep = |(configured, published): &(&config::Source, Published<C, T>)| {
        let file = |(path, stream): (&PathBuf, &Arc<Stream<C>>)| File {
            path: path.as_os_str().as_bytes().to_vec(),
            position: stream.position.clone(),
            carry: stream.carry.clone(),
        };
        let source = Source {
            patterns: patterns(configured),
            files: published.files.iter().map(file).collect(),
            place: published.place.clone(),
            carry: published.carry.clone(),
            read: published.counts.read.clone(),
            sink: published.counts.sink.clone(),
        };
        (configured.name.clone(), source)
    };
    sources.iter().map(keep).collect()
}

fn take<C: Default, T: Default>(
    sources: &mut BTreeMap<String, Source<C, T>>,
    configured: &config::Source,
) -> Start<C, T> {
    let Some(source) = sources.remove(&configured.name) else { return Start::default() };
    let known = source.patterns == patterns(configured);
    let file = |file: File<C>| {
        let path = PathBuf::from(OsString::from_vec(file.path));
        let stream = Stream { position: file.position, carry: file.carry, error: None };
        crate::sources::file::patterns::covers(configured, &path).then(|| (path, Arc::new(stream)))
    };
    let files = source.files.into_iter().filter_map(file).collect();
    let place = source.place.filter(|place| match place {
        Place::Kmsg(_) => configured.kmsg,
        Place::Journal(_) => configured.journal,
    });
    let counts = Counts { read: source.read, sink: source.sink };
    let carry = source.carry;
    Start { published: Published { files, place, carry, counts, ..Published::default() }, known }
}

fn merge(
    retired: &mut BTreeMap<String, Matched>,
    counted: impl IntoIterator<Item = (String, Matched)>,
) {
    for (id, matched) in counted {
        match retired.get_mut(&id) {
            Some(mine) => mine.merge(matched),
            None => drop(retired.insert(id, matched)),
        }
    }
}

/// Values of captures that have had series keep them.
pub(crate) fn claim(values: &Values, signatures: &BTreeMap<String, Matched>) {
    for (id, matched) in signatures {
        for (name, counted) in &matched.captures {
            for value in counted.keys().filter(|value| *value != crate::metrics::OTHER) {
                values.claim(id, name, value.clone());
            }
        }
    }
}

fn patterns(source: &config::Source) -> Vec<Vec<u8>> {
    let paths = source.files.iter().chain(&source.directories);
    paths.map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}
