//! Collector `logs`: from bytes to counters, one thread a source.
//!
//! A source's thread ([`mod@source`]) follows its logs ([`follower`]) over rotation and restart, takes
//! each line apart ([`header`]), asks the [`matcher`] which of the [`catalog`]'s [`signature`]s it is
//! counted for, and publishes positions and [`counts`] together. The collector reads what is published,
//! writes it to the [`snapshot`] and shows it, and never waits for a line.
//!
//! [`export`] and [`kmsg`] are the forms of the journal and of the kernel's log; [`unknown`] finds the most
//! frequent shapes among the lines that no signature knows. [`logrotate`] is a collector of its own.

pub mod anchors;
pub(crate) mod boot;
pub mod catalog;
pub(crate) mod choice;
mod clock;
mod content;
pub(crate) mod counter;
pub(crate) mod counts;
pub(crate) mod effects;
pub(crate) mod export;
pub(crate) mod finder;
pub(crate) mod follower;
pub(crate) mod foreign;
pub mod header;
pub(crate) mod journal;
pub(crate) mod kmsg;
pub(crate) mod lines;
pub(crate) mod logrotate;
pub(crate) mod matcher;
#[cfg(test)]
mod model_files;
pub(crate) mod patterns;
pub(crate) mod records;
pub(crate) mod rotated;
pub(crate) mod shown;
pub(crate) mod signature;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod times;
pub(crate) mod trust;
pub(crate) mod twins;
pub(crate) mod unknown;
pub(crate) mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::audit::events::recent::Recent;
use crate::audit::multicast::Multicast;
use crate::collector::{Collector, Error, Found};
use crate::config::{self, Source};
use crate::live::{Live, lock};
use crate::state::{Loaded, State};
use crate::supervised;
use crate::users::names::Shown;
use choice::Choice;
use counts::{Matched, Published, Shared, Values};
use matcher::Matcher;
use records::{Log, Records};
use shown::{SOURCES, STATE_ERRORS, export_signature, export_source, is_readable};
use signature::Signature;
use snapshot::Snapshot;
use source::Reader;
use unknown::Shape;

/// What is said where the configuration names an empty list.
const EMPTY_LIST: &str = "no log is followed: logs.sources in the configuration is empty";

/// What is said where it names some.
const AS_CONFIGURED: &str = "the sources are those of the configuration";

pub(crate) struct Logs {
    view: View,
    state: State,
    names: Shown,
}

/// The signatures and what each source has published.
#[derive(Clone)]
pub(crate) struct View {
    shared: Arc<Shared>,
    sources: Vec<(Source, Arc<Mutex<Published>>)>,
    /// What was counted by sources that are not configured any more.
    retired: Arc<BTreeMap<String, Matched>>,
    /// Whether pages may show lines as they were written.
    pub examples: bool,
    /// What was chosen to be followed, and why; or why there is nothing.
    pub choice: String,
    /// Names of the users in the stories, as of the last collection.
    names: Live<HashMap<u32, String>>,
    /// What counts twice.
    doubles: Arc<[String]>,
}

impl View {
    /// Every source with what it has published.
    pub(crate) fn sources(&self) -> Vec<(&Source, Published)> {
        self.sources.iter().map(|(source, shared)| (source, lock(shared).clone())).collect()
    }

    /// Every signature with what it has counted in these sources.
    pub(crate) fn signatures<'m>(
        &self,
        matcher: &'m Matcher,
        sources: &[(&Source, Published)],
    ) -> impl Iterator<Item = (&'m Signature, Option<Matched>)> {
        matcher.signatures().iter().map(|signature| {
            let id = &signature.id.value;
            let counted = sources.iter().filter_map(|(_, source)| source.counts.signatures.get(id));
            let all = counted.chain(self.retired.get(id)).cloned();
            let merged = all.reduce(|mut sum, other| {
                sum.merge(other);
                sum
            });
            (signature, merged)
        })
    }

    /// The signatures that are on; a reload replaces them.
    pub(crate) fn matcher(&self) -> &Live<Matcher> {
        &self.shared.matcher
    }

    /// The most frequent shapes of lines that no signature matched.
    pub(crate) fn unknown(&self, most: usize) -> Vec<Shape> {
        lock(&self.shared.unknown).top(most)
    }

    /// How the source of audit events stands: `None` where there is none, else what is wrong with it.
    pub(crate) fn audit_source(&self) -> Option<Vec<String>> {
        let (source, published) = self.sources.iter().find(|(source, _)| source.is_audit())?;
        Some(warnings(&source.name, &lock(published)))
    }

    /// The last stories of the audit events, with names, and of what else ended processes.
    pub(crate) fn recent(&self) -> Recent {
        lock(&self.shared.recent).clone().named(&self.names.get())
    }

    /// Writes what is about to be shown: after that no restart can fall back behind it.
    fn save(&self, sources: &[(&Source, Published)], state: &mut State) {
        let snapshot = Snapshot::of(sources, &self.retired);
        state.save(snapshot.encode());
    }
}

/// What cannot be read is tried again after this, and then ever more seldom, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The start waits so long for a source to find its files; their filesystem may hang.
const READY_BOUND: Duration = Duration::from_secs(5);

/// Descriptors that are left to everything else: 256 connections, and what a scrape opens.
const OTHER_DESCRIPTORS: u64 = 600;

impl Logs {
    /// What the pages show.
    pub(crate) fn view(&self) -> View {
        self.view.clone()
    }

    /// Starts a thread for each source that is configured, or was chosen where none is. They take up
    /// what the last run has left.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub(crate) fn start(
        signatures: Vec<Signature>,
        config: &config::Logs,
        (rootfs, procfs): (&Path, &Path),
        (state, loaded): (State, Loaded),
        names: Shown,
    ) -> std::io::Result<Self> {
        let Choice { sources, why, mut multicast } = match config.sources() {
            Some(sources) => {
                let why = if sources.is_empty() { EMPTY_LIST } else { AS_CONFIGURED };
                Choice { sources, why: why.to_owned(), multicast: None }
            }
            None => choice::choose(rootfs, Multicast::join),
        };
        tracing::info!(why, "log sources");
        let doubles = choice::doubles(&sources);
        for what in &doubles {
            tracing::warn!("{what}");
        }
        let mut snapshot = restored(loaded);
        let values = Values::default();
        let starts: Vec<_> = sources.iter().map(|source| snapshot.take(source)).collect();
        let retired = snapshot.retire();
        let counted = starts.iter().map(|start| &start.published.counts.signatures);
        counted.chain([&retired]).for_each(|counted| snapshot::claim(&values, counted));

        let matcher = Live::new(Matcher::new(signatures));
        let (unknown, recent) = Default::default();
        let zone = times::zone(rootfs);
        let shared = Arc::new(Shared { matcher, values, unknown, recent, zone });
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.unwrap_or(u64::MAX).saturating_sub(OTHER_DESCRIPTORS);
        let descriptors = descriptors / (sources.len() as u64).max(1);
        let mut started = Vec::new();
        for (source, start) in sources.into_iter().zip(starts) {
            let published = Arc::new(Mutex::new(start.published));
            tracing::info!(source = source.name, files = ?source.files, "following");
            let log = if source.audit_multicast {
                Some(Log::Audit(multicast.take().map_or_else(Multicast::join, Ok)))
            } else {
                log_of(&source, rootfs, procfs)
            };
            let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
            let parts = (source.clone(), Arc::clone(&published), Arc::clone(&shared));
            let (ready, found) = std::sync::mpsc::sync_channel(1);
            std::thread::Builder::new()
                .name(format!("log-{}", source.name))
                .stack_size(512 * 1024)
                .spawn(move || {
                    let (source, published, shared) = parts;
                    let name = format!("log-{}", source.name);
                    // Nobody waits any more for a filesystem that hung.
                    let ready = || {
                        let _ = ready.try_send(());
                    };
                    let tell = |text: &str| {
                        lock(&published).error = Some(text.to_owned());
                        ready();
                    };
                    if let Some(log) = log {
                        let mut records = Records::new(log, Arc::clone(&published), shared);
                        let follow = || {
                            records.take_up();
                            ready();
                            records.run();
                        };
                        supervised::run(&name, tell, follow);
                    } else {
                        let mut known = start.known;
                        let follow = || {
                            let shared = (Arc::clone(&published), Arc::clone(&shared));
                            let reader =
                                Reader::new(source.clone(), known, shared.0, shared.1, descriptors);
                            known = true;
                            lock(&published).error = None;
                            ready();
                            reader.run();
                        };
                        supervised::run(&name, tell, follow);
                    }
                })?;
            // So that what is written from now on counts, and the first scrape shows where it stands.
            let _ = found.recv_timeout(READY_BOUND);
            started.push((source, published));
        }
        let view = View {
            shared,
            sources: started,
            retired: Arc::new(retired),
            choice: why,
            names: Live::default(),
            doubles: doubles.into(),
            examples: config.examples,
        };
        let mut logs = Self { view, state, names };
        // So that a run that ends before its first scrape has a beginning.
        logs.view.save(&logs.view.sources(), &mut logs.state);
        Ok(logs)
    }
}

/// What a source of numbered messages is read from.
fn log_of(source: &Source, rootfs: &Path, procfs: &Path) -> Option<Log> {
    if source.kmsg {
        return Some(Log::Kmsg(choice::ring(rootfs), procfs.to_owned()));
    }
    let own = !source.directories.is_empty();
    let directories = || if own { source.directories.clone() } else { choice::journals(rootfs) };
    source.journal.then(|| Log::Journal(directories()))
}

/// What of the last run's snapshot may be taken up.
fn restored(loaded: Loaded) -> Snapshot {
    let Some(payload) = loaded.payload else { return Snapshot::default() };
    match Snapshot::decode(&payload) {
        Ok(snapshot) if loaded.values => snapshot,
        Ok(snapshot) => {
            tracing::info!(
                "log positions are taken up; counters begin at 0, for the snapshot is not \
                known to be as new as what was last shown"
            );
            snapshot.without_values()
        }
        Err(error) => {
            tracing::warn!(
                error,
                "the snapshot cannot be read; counters begin at 0, logs are \
                followed from their end"
            );
            Snapshot::default()
        }
    }
}

impl Collector for Logs {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let published = self.view.sources();
        if published.is_empty() {
            found.warnings.push(self.view.choice.clone());
        }
        found.warnings.extend(self.view.doubles.iter().cloned());
        self.view.save(&published, &mut self.state);
        found.warnings.extend(self.state.warnings());
        found.metrics.add(&STATE_ERRORS, &[], self.state.errors() as f64);
        self.export_audit(&published, found);
        for (source, shown) in &published {
            export_source(source, shown, &mut found.metrics);
            found.warnings.extend(warnings(&source.name, shown));
        }
        let readable = published.iter().filter(|(source, shown)| is_readable(source, shown));
        found.metrics.add(&SOURCES, &[], readable.count() as f64);
        if !any_line_was_read(&published) {
            // At 0 they would say that nothing happened.
            return Ok(());
        }
        let matcher = self.view.matcher().get();
        for (signature, matched) in self.view.signatures(&matcher, &published) {
            export_signature(signature, matched.as_ref(), &mut found.metrics);
        }
        Ok(())
    }
}

impl Logs {
    /// What audit events add up to, and the names of the users in them.
    fn export_audit(&self, published: &[(&Source, Published)], found: &mut Found) {
        let Some((_, source)) = published.iter().find(|(source, _)| source.is_audit()) else {
            return;
        };
        let mut uids = lock(&self.view.shared.recent).uids();
        uids.extend(source.counts.audit.uids());
        if !uids.is_empty() {
            self.view.names.set(lock(&self.names).resolve(&uids).clone());
        }
        source.counts.audit.export(&self.view.names.get(), &mut found.metrics);
    }
}

/// Logs that are named one by one where they cannot be read.
const MAX_NAMED: usize = 5;

/// Whether the lines of any source were read since the start: until then it is not known what the
/// signatures would have counted.
pub(crate) fn any_line_was_read(sources: &[(&Source, Published)]) -> bool {
    sources.iter().any(|(source, published)| !source.is_audit() && published.read)
}

/// What is wrong with a source.
fn warnings(name: &str, source: &Published) -> Vec<String> {
    let mut warnings: Vec<_> =
        source.notes.iter().map(|note| format!("source {name}: {note}")).collect();
    let whole = source.error.iter().cloned().chain(source.hangs());
    warnings.extend(whole.map(|error| format!("source {name}: {error}")));
    let failing = source.files.iter().filter_map(|(path, file)| Some((path, file.error.as_ref()?)));
    let failing: Vec<_> = failing.collect();
    warnings
        .extend(failing.iter().take(MAX_NAMED).map(|(path, error)| unreadable(name, path, error)));
    if failing.len() > MAX_NAMED {
        warnings.push(format!("source {name}: and {} more", failing.len() - MAX_NAMED));
    }
    warnings
}

fn unreadable(name: &str, path: &Path, error: &str) -> String {
    let cure = if error.contains("denied") && path.starts_with("/var/log/audit") {
        "; name a group of the exporter's as log_group in auditd.conf, and let it into /var/log/audit (chgrp, \
         chmod g+rx)"
    } else if error.contains("denied") {
        "; add the exporter to the group that may read it (adm on Debian), or give it \
         CAP_DAC_READ_SEARCH"
    } else {
        ""
    };
    format!("source {name}: {}: {error}{cure}", path.display())
}
