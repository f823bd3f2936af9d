//! The log sources as they are kept over a restart: positions, unfinished lines, counters.
//!
//! Signatures are kept by id and files by path, so that another catalogue or configuration takes up
//! what it still has.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::counter::Before;
use super::counts::{self, ByLevel, Counts, Matched, Place, Published, Values};
use super::effects::Sums;
use super::follower;
use super::twins::Twins;
use crate::audit::events::joiner::{Ended, Joiner, Limits};
use crate::audit::events::totals::Totals;
use crate::config;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    sources: BTreeMap<String, Source>,
    /// What sources have counted that are not configured any more: without it, the sum over all sources
    /// would fall when one is taken out.
    retired: BTreeMap<String, Matched>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// The configured paths and patterns.
    patterns: Vec<Vec<u8>>,
    files: Vec<File>,
    lines: u64,
    bytes: u64,
    unmatched: ByLevel,
    place: Option<Place>,
    sums: Sums,
    last_line: Option<SystemTime>,
    audit: Totals,
    signatures: BTreeMap<String, Matched>,
    twins: Twins,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    path: Vec<u8>,
    state: follower::State,
    before: Before,
    /// Records of audit events that are not complete, and the events that ended last.
    open: Vec<Vec<u8>>,
    ended: Vec<Ended>,
}

/// What a source begins with.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Logs that were followed, and counts that go on.
    pub published: Published,
    /// An earlier run followed the same patterns: a log that it did not know has come since, and is
    /// read from its start.
    pub known: bool,
}

impl Snapshot {
    /// What is published now. The order is always the same, so that equal states are equal bytes.
    pub(crate) fn of(
        sources: &[(&config::Source, Published)],
        retired: &BTreeMap<String, Matched>,
    ) -> Self {
        let source = |source: &config::Source, published: &Published| {
            let counts = &published.counts;
            let file = |(path, file): (&PathBuf, &counts::File)| File {
                path: path.as_os_str().as_bytes().to_vec(),
                state: file.state.clone(),
                before: file.before.clone(),
                open: joiner(file).flat_map(Joiner::open_lines).map(<[u8]>::to_vec).collect(),
                ended: joiner(file).flat_map(Joiner::ended).cloned().collect(),
            };
            Source {
                patterns: patterns(source),
                files: published.files.iter().map(file).collect(),
                lines: counts.lines,
                bytes: counts.bytes,
                unmatched: counts.unmatched,
                place: published.place.clone(),
                sums: counts.sums,
                last_line: counts.last_line,
                audit: counts.audit.clone(),
                signatures: counts.signatures.clone(),
                twins: counts.twins.clone(),
            }
        };
        let named = |(of, published): &(&config::Source, Published)| {
            (of.name.clone(), source(of, published))
        };
        Self { sources: sources.iter().map(named).collect(), retired: retired.clone() }
    }

    /// The bytes of the snapshot file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Writing to memory cannot fail.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads the bytes of the snapshot file.
    ///
    /// # Errors
    /// When they are not a snapshot's.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        postcard::from_bytes(bytes).map_err(|error| error.to_string())
    }

    /// Leaves positions alone: the values may be behind what was shown.
    #[must_use]
    pub(crate) fn without_values(mut self) -> Self {
        self.retired.clear();
        for source in self.sources.values_mut() {
            (source.lines, source.bytes) = (0, 0);
            source.unmatched = ByLevel::default();
            source.sums = Sums::default();
            source.signatures.clear();
            source.audit = Totals::default();
        }
        self
    }

    /// What a source of the configuration takes up.
    pub(crate) fn take(&mut self, configured: &config::Source) -> Start {
        let Some(source) = self.sources.remove(&configured.name) else { return Start::default() };
        let known = source.patterns == patterns(configured);
        let counts = Counts {
            lines: source.lines,
            bytes: source.bytes,
            unmatched: source.unmatched,
            sums: source.sums,
            last_line: source.last_line,
            audit: source.audit,
            signatures: source.signatures,
            twins: source.twins,
        };
        let file = |file: File| {
            let path = PathBuf::from(OsString::from_vec(file.path));
            let followed = !file.open.is_empty() || !file.ended.is_empty();
            let lines = file.open.iter().map(Vec::as_slice);
            // No line completes an event that was open with it.
            let resumed =
                || Joiner::resumed(Limits::default(), file.ended, lines, 0, &mut Vec::new());
            let joiner = followed.then(resumed);
            let (state, before) = (file.state, file.before);
            let shown = counts::File { state, before, joiner, error: None };
            super::patterns::covers(configured, &path).then_some((path, shown))
        };
        let files = source.files.into_iter().filter_map(file).collect();
        let place = source.place.filter(|place| match place {
            Place::Kmsg(_) => configured.kmsg,
            Place::Journal(_) => configured.journal,
        });
        Start { published: Published { files, place, counts, ..Published::default() }, known }
    }

    /// After every source has taken its own: what the others have counted.
    pub(crate) fn retire(self) -> BTreeMap<String, Matched> {
        let mut retired = self.retired;
        merge(&mut retired, self.sources.into_values().flat_map(|source| source.signatures));
        retired
    }
}

/// That of a log of the audit daemon.
fn joiner(file: &counts::File) -> impl Iterator<Item = &Joiner> {
    file.joiner.iter()
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
