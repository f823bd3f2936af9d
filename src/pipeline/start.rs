//! Starts a thread for each source that is configured, or was chosen where none is.

use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::View;
use super::collectors::{AuditEvents, LogLines};
use crate::audit::defaults::choose_audit;
use crate::audit::events::recent::Recent;
use crate::audit::events::sink::EventSink;
use crate::audit::multicast::group::Multicast;
use crate::audit::multicast::source::AuditRecords;
use crate::collector::Collector;
use crate::config::{self, Format, Source};
use crate::live::{Live, lock};
use crate::log_line::header::Headers;
use crate::log_line::times;
use crate::signatures::line_sink::{LineSink, Meanings};
use crate::signatures::matcher::Matcher;
use crate::signatures::signature::Signature;
use crate::snapshot::contents::{self, Snapshot, StartOf};
use crate::snapshot::store::{Loaded, State};
use crate::sources::defaults::{self, Choice};
use crate::sources::file::runner::FileRunner;
use crate::sources::journal::Journal;
use crate::sources::kernel_ring::source::KernelRing;
use crate::sources::message_runner::MessageRunner;
use crate::sources::published::Shared;
use crate::sources::sink::Sink;
use crate::sources::source;
use crate::supervised;
use crate::user_names::Shown;

/// What is said where the configuration names an empty list.
const EMPTY_LIST: &str = "no log is followed: logs.sources in the configuration is empty";

/// What is said where it names some.
const AS_CONFIGURED: &str = "the sources are those of the configuration";

/// The start waits so long for a source to find its files; their filesystem may hang.
const READY_BOUND: Duration = Duration::from_secs(5);

/// Descriptors that are left to everything else: 256 connections, and what a scrape opens.
const OTHER_DESCRIPTORS: u64 = 600;

/// What a pipeline is made of.
pub(crate) struct Setup<'a> {
    /// The catalogue; `None` while the collector `logs` is off.
    pub signatures: Option<Vec<Signature>>,
    /// Whether the collector `audit_events` is on.
    pub events: bool,
    pub config: &'a config::Logs,
    pub rootfs: &'a Path,
    pub procfs: &'a Path,
    /// What the last run has left, and where what this one leaves goes.
    pub state: (State, Loaded),
    pub names: Shown,
}

/// What reads, and what shows.
pub(crate) struct Pipeline {
    pub view: View,
    pub collectors: Vec<Box<dyn Collector>>,
}

/// The sources that are followed.
struct Sources {
    lines: Vec<Source>,
    events: Vec<(Source, Option<Multicast>)>,
    why: String,
}

/// Starts the threads of the sources. They take up what the last run has left.
///
/// # Errors
/// When a thread cannot be created.
pub(crate) fn start(setup: Setup<'_>) -> io::Result<Pipeline> {
    let (state, loaded) = setup.state;
    let follows_lines = setup.signatures.is_some();
    let Sources { lines, events, why } =
        sources(setup.config, setup.rootfs, follows_lines, setup.events);
    tracing::info!(why, "log sources");
    let doubles = defaults::doubles(&lines);
    for what in &doubles {
        tracing::warn!("{what}");
    }
    let mut snapshot = restore(&loaded);
    let aside = snapshot.set_aside(!follows_lines, !setup.events);
    let line_starts: Vec<_> = lines.iter().map(|source| snapshot.take_lines(source)).collect();
    let event_starts: Vec<_> =
        events.iter().map(|(source, _)| snapshot.take_events(source)).collect();
    let retired = snapshot.retire();

    let recent = Arc::new(Mutex::new(Recent::default()));
    let endings = Arc::clone(&recent);
    let on_ending = move |millis: u64, text: &[u8]| lock(&endings).add_line(millis, text);
    let matcher = Matcher::new(setup.signatures.unwrap_or_default());
    let meanings = Arc::new(Meanings::new(matcher, times::zone(setup.rootfs), on_ending));
    let counted = line_starts.iter().map(|start| &start.published.counts.sink.signatures);
    counted.chain([&retired]).for_each(|counted| contents::claim(&meanings.values, counted));

    let descriptors = descriptors_of_each(lines.len() + events.len());
    let mut running_lines = Vec::new();
    for (source, start) in lines.into_iter().zip(line_starts) {
        let headers = if source.format == Format::Plain { Headers::Absent } else { Headers::Any };
        let sink = LineSink { meanings: Arc::clone(&meanings), headers };
        let published = if source.kmsg {
            let ring = defaults::ring(setup.rootfs);
            follow_messages(&source, start, KernelRing::new(ring, setup.procfs.to_owned()), sink)?
        } else if source.journal {
            let own = !source.directories.is_empty();
            let of_host = || defaults::journals(setup.rootfs);
            let directories = if own { source.directories.clone() } else { of_host() };
            follow_messages(&source, start, Journal::new(directories), sink)?
        } else {
            follow_files(&source, start, sink, descriptors)?
        };
        running_lines.push((source, published));
    }
    let mut running_events = Vec::new();
    for ((source, multicast), start) in events.into_iter().zip(event_starts) {
        let sink = EventSink::new(Arc::clone(&recent));
        let published = if source.audit_multicast {
            let group = multicast.map_or_else(Multicast::join, Ok);
            follow_messages(&source, start, AuditRecords::new(group), sink)?
        } else {
            follow_files(&source, start, sink, descriptors)?
        };
        running_events.push((source, published));
    }
    let view = View {
        meanings,
        recent,
        lines: follows_lines.then(|| running_lines.into()),
        events: setup.events.then(|| running_events.into()),
        retired: Arc::new(retired),
        aside: Arc::new(aside),
        state: Arc::new(Mutex::new(state)),
        examples: setup.config.examples,
        choice: why,
        names: Live::default(),
        doubles: doubles.into(),
    };
    // So that a run that ends before its first scrape has a beginning.
    view.save();
    let mut collectors: Vec<Box<dyn Collector>> = Vec::new();
    if follows_lines {
        collectors.push(Box::new(LogLines(view.clone())));
    }
    if setup.events {
        collectors.push(Box::new(AuditEvents { view: view.clone(), names: setup.names }));
    }
    Ok(Pipeline { view, collectors })
}

/// The sources that are configured, or chosen, of the collectors that are on.
fn sources(config: &config::Logs, rootfs: &Path, lines: bool, events: bool) -> Sources {
    if let Some(sources) = config.sources() {
        let why = if sources.is_empty() { EMPTY_LIST } else { AS_CONFIGURED };
        let (records, others): (Vec<_>, Vec<_>) = sources.into_iter().partition(Source::is_audit);
        let records = records.into_iter().filter(|_| events).map(|source| (source, None));
        return Sources {
            lines: others.into_iter().filter(|_| lines).collect(),
            events: records.collect(),
            why: why.to_owned(),
        };
    }
    let chosen = lines.then(|| defaults::choose_lines(rootfs));
    let audit = events.then(|| choose_audit(rootfs, Multicast::join));
    let whys =
        chosen.iter().map(|choice| &*choice.why).chain(audit.iter().map(|choice| &*choice.why));
    let why = whys.collect::<Vec<_>>().join("; ");
    Sources {
        lines: chosen.map(|choice: Choice<_>| choice.of).unwrap_or_default(),
        events: audit.and_then(|choice| choice.of).into_iter().collect(),
        why,
    }
}

/// Files that each of so many sources may have open at one time.
fn descriptors_of_each(sources: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let free = limit.unwrap_or(u64::MAX).saturating_sub(OTHER_DESCRIPTORS);
    usize::try_from(free / (sources as u64).max(1)).unwrap_or(usize::MAX)
}

/// Follows logs that are files, on a thread.
fn follow_files<S: Sink>(
    source: &Source,
    start: StartOf<S>,
    sink: S,
    descriptors: usize,
) -> io::Result<Shared<S>> {
    tracing::info!(source = source.name, files = ?source.files, "following");
    let published = Arc::new(Mutex::new(start.published));
    let (mut known, sink, configured) = (start.known, Arc::new(sink), source.clone());
    follow::<S>(&source.name, published, move |published, ready| {
        let (source, sink) = (configured.clone(), Arc::clone(&sink));
        let runner = FileRunner::new(source, known, Arc::clone(published), sink, descriptors);
        known = true;
        lock(published).error = None;
        tell_ready(ready);
        runner.run();
    })
}

/// Follows a log whose messages are numbered, on a thread.
fn follow_messages<N: source::Source, S: Sink>(
    source: &Source,
    start: StartOf<S>,
    messages: N,
    sink: S,
) -> io::Result<Shared<S>> {
    tracing::info!(source = source.name, "following");
    let published = Arc::new(Mutex::new(start.published));
    let mut runner = MessageRunner::new(messages, sink, Arc::clone(&published));
    follow::<S>(&source.name, published, move |_, ready| {
        runner.take_up();
        tell_ready(ready);
        runner.run();
    })
}

/// Nobody waits any more for a source whose filesystem hung while it was taken up.
fn tell_ready(ready: &SyncSender<()>) {
    let _ = ready.try_send(());
}

/// Runs a source on a thread of its own, again after each panic, and waits until it knows where it stands: what is
/// written from now on counts, and the first scrape shows it.
fn follow<S: Sink>(
    name: &str,
    published: Shared<S>,
    mut run: impl FnMut(&Shared<S>, &SyncSender<()>) + Send + 'static,
) -> io::Result<Shared<S>> {
    let shared = Arc::clone(&published);
    let (ready, found) = sync_channel(1);
    let thread = format!("log-{name}");
    std::thread::Builder::new().name(thread.clone()).stack_size(512 * 1024).spawn(move || {
        let tell = |text: &str| {
            lock(&shared).error = Some(text.to_owned());
            tell_ready(&ready);
        };
        supervised::run(&thread, tell, || run(&shared, &ready));
    })?;
    let _ = found.recv_timeout(READY_BOUND);
    Ok(published)
}

/// What of the last run may be taken up.
fn restore(loaded: &Loaded) -> Snapshot {
    let read = |bytes: &[u8], what: &str| {
        let decoded = Snapshot::decode(bytes);
        decoded.inspect_err(|error| tracing::warn!(error, "{what} cannot be read")).ok()
    };
    if let Some(shown) =
        loaded.shown.as_deref().and_then(|bytes| read(bytes, "what was last shown"))
    {
        return shown;
    }
    let positions = loaded.positions.as_deref();
    if let Some(positions) = positions.and_then(|bytes| read(bytes, "the file of positions")) {
        tracing::info!(
            "log positions are taken up; counters begin at 0, for what was last shown is not known"
        );
        return positions;
    }
    if *loaded != Loaded::default() {
        tracing::warn!("counters begin at 0, and logs are followed from their end");
    }
    Snapshot::default()
}
