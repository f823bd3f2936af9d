//! Collector `logs`: from bytes to counters, one thread a source.
//!
//! A source's thread follows its files ([`mod@file`]), takes each line apart ([`header`]), asks the
//! [`matcher`] which of the [`catalog`]'s [`signature`]s it is counted for, and publishes positions and
//! [`counts`] together. The collector reads what is published, and never waits for a line.

pub mod catalog;
pub mod counts;
pub mod file;
pub mod header;
pub mod matcher;
pub mod signature;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::collector::{Collector, Error, Found};
use crate::config::{Format, Source};
use crate::metrics::{Desc, Metrics};
use counts::{Counts, Matched, Published, Values};
use file::{Follower, Progress};
use header::Line;
use matcher::Matcher;
use signature::Signature;

/// How often files are looked at when there is nothing new.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const MATCHES: Desc = Desc::counter(
    "telltale_log_signature_matches_total",
    "Log events of a known meaning; every signature exists at 0 from the start.",
);
const CAPTURES: Desc = Desc::counter(
    "telltale_log_signature_captures_total",
    "Events of a signature by the value of a named capture; at most 20 values, then other.",
);
const LAST_MATCH: Desc = Desc::gauge(
    "telltale_log_signature_last_match_timestamp_seconds",
    "When the last line that matched was read.",
);
const INFO: Desc = Desc::gauge(
    "telltale_log_signature_info",
    "1 for each signature that has matched, with its title.",
);
const LINES: Desc = Desc::counter("telltale_log_lines_total", "Log lines read.");
const BYTES: Desc = Desc::counter("telltale_log_bytes_total", "Bytes of log read.");
const UNMATCHED: Desc =
    Desc::counter("telltale_log_unmatched_lines_total", "Log lines that no signature matched.");
const LAG: Desc =
    Desc::gauge("telltale_log_lag_bytes", "Bytes written to the source and not read yet.");
const LAST_LINE: Desc =
    Desc::gauge("telltale_log_last_line_timestamp_seconds", "When the last line was read.");
const UP: Desc =
    Desc::gauge("telltale_log_source_up", "1 when every file of the source can be read.");

/// The files that rsyslog writes, by distribution; those of a set do not overlap.
const LAYOUTS: [&[(&str, &str)]; 2] = [
    &[("syslog", "var/log/syslog"), ("auth", "var/log/auth.log")],
    &[("messages", "var/log/messages"), ("secure", "var/log/secure"), ("cron", "var/log/cron")],
];

/// What is followed on a host that has none of these.
const ONLY_JOURNAL: &str = "no log is followed: this host has none of the files that rsyslog \
    writes (/var/log/syslog, /var/log/messages), so its logs are probably in the journal alone, which \
    is not read yet. Install rsyslog, or name files under logs.sources";

/// What is said where the configuration names an empty list.
const EMPTY_LIST: &str = "no log is followed: logs.sources in the configuration is empty";

/// The collector.
pub struct Logs(View);

/// The signatures and what each source has published.
#[derive(Clone)]
pub struct View {
    matcher: Arc<Matcher>,
    sources: Vec<(String, Arc<Mutex<Published>>)>,
    /// What to say where there is no source.
    pub nothing: &'static str,
}

impl View {
    /// Every source with what it has published.
    pub fn sources(&self) -> Vec<(&str, Published)> {
        let published = |source: &Mutex<Published>| {
            source.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        self.sources.iter().map(|(name, source)| (&**name, published(source))).collect()
    }

    /// Every signature with what it has counted in these sources.
    pub fn signatures(
        &self,
        sources: &[(&str, Published)],
    ) -> impl Iterator<Item = (&Signature, Option<Matched>)> {
        self.matcher.signatures().iter().enumerate().map(|(nth, signature)| {
            let of = |(_, source): &(&str, Published)| source.counts.signatures.get(&nth).cloned();
            (signature, sources.iter().filter_map(of).reduce(Matched::and))
        })
    }
}

/// The sources of this host where the configuration names none: one distribution's set of files.
fn choose(rootfs: &Path) -> Vec<Source> {
    let exists = |path: &str| rootfs.join(path).exists();
    let layout = LAYOUTS.iter().find(|layout| exists(layout[0].1));
    let source = |&(name, path): &(&str, &str)| Source {
        name: name.to_owned(),
        files: vec![rootfs.join(path)],
        format: Format::Syslog,
    };
    let files = layout.copied().unwrap_or_default().iter();
    files.filter(|(_, path)| exists(path)).map(source).collect()
}

impl Logs {
    /// What the pages show.
    pub fn view(&self) -> View {
        self.0.clone()
    }

    /// Starts a thread for each source that is configured, or was chosen where none is.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(
        signatures: Vec<Signature>,
        configured: Option<Vec<Source>>,
        rootfs: &Path,
    ) -> std::io::Result<Self> {
        let nothing = if configured.is_some() { EMPTY_LIST } else { ONLY_JOURNAL };
        let sources = configured.unwrap_or_else(|| choose(rootfs));
        let (matcher, values) = (Arc::new(Matcher::new(signatures)), Arc::new(Values::default()));
        let mut started = Vec::new();
        for source in sources {
            let published = Arc::new(Mutex::new(Published::default()));
            let reader = Reader {
                followers: source.files.iter().cloned().map(Follower::new).collect(),
                format: source.format,
                matcher: Arc::clone(&matcher),
                values: Arc::clone(&values),
                published: Arc::clone(&published),
            };
            std::thread::Builder::new()
                .name(format!("log-{}", source.name))
                .stack_size(256 * 1024)
                .spawn(move || reader.run())?;
            tracing::info!(source = source.name, files = ?source.files, "following");
            started.push((source.name, published));
        }
        Ok(Self(View { matcher, sources: started, nothing }))
    }
}

/// A source's thread.
struct Reader {
    followers: Vec<Follower>,
    format: Format,
    matcher: Arc<Matcher>,
    values: Arc<Values>,
    published: Arc<Mutex<Published>>,
}

impl Reader {
    fn run(mut self) {
        let mut counts = Counts::default();
        loop {
            let mut idle = true;
            for nth in 0..self.followers.len() {
                idle &= !self.look(nth, &mut counts);
            }
            if idle {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Reads one chunk of one file and publishes; `true` when there may be more.
    fn look(&mut self, nth: usize, counts: &mut Counts) -> bool {
        let (follower, now) = (&mut self.followers[nth], SystemTime::now());
        let result = follower.read(|bytes| {
            let line = match self.format {
                Format::Syslog => header::parse(bytes),
                Format::Plain => Line {
                    priority: None,
                    host: b"",
                    program: None,
                    pid: None,
                    message: bytes,
                    times: 1,
                },
            };
            counts.add(&line, &self.matcher, &self.values, now);
        });
        if let Ok(Progress::Read(bytes)) = result {
            counts.bytes += bytes;
        }
        let state = match (&result, follower.position()) {
            // Between a file and its successor nothing is wrong.
            (Ok(Progress::Turned), _) | (Ok(_), None) => None,
            (Ok(_), Some(position)) => Some(Ok(position)),
            (Err(error), _) => Some(Err(error.to_string())),
        };
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = state {
            published.files.insert(follower.path().to_owned(), state);
        }
        if published.counts.lines != counts.lines || published.counts.bytes != counts.bytes {
            published.counts = counts.clone();
        }
        // A file that turned gets its look like the others: it may turn for ever.
        matches!(result, Ok(Progress::Read(_)))
    }
}

impl Collector for Logs {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        let published = self.0.sources();
        if published.is_empty() {
            found.warnings.push(self.0.nothing.to_owned());
        }
        for (name, source) in &published {
            export_source(name, source, &mut found.metrics);
            for (path, state) in &source.files {
                if let Err(error) = state {
                    found.warnings.push(unreadable(name, path, error));
                }
            }
        }
        for (signature, matched) in self.0.signatures(&published) {
            export_signature(signature, matched.as_ref(), &mut found.metrics);
        }
        Ok(())
    }
}

impl Matched {
    /// The same signature in two sources.
    fn and(mut self, other: Self) -> Self {
        self.count = self.count.saturating_add(other.count);
        self.last = self.last.max(other.last);
        for (name, values) in other.captures {
            let mine = self.captures.entry(name).or_default();
            for (value, count) in values {
                let total = mine.entry(value).or_default();
                *total = total.saturating_add(count);
            }
        }
        self
    }
}

fn unreadable(name: &str, path: &Path, error: &str) -> String {
    let cure = if error.contains("denied") {
        "; add the exporter to the group that may read it (adm on Debian), or give it \
         CAP_DAC_READ_SEARCH"
    } else {
        ""
    };
    format!("source {name}: {}: {error}{cure}", path.display())
}

fn export_source(name: &str, source: &Published, metrics: &mut Metrics) {
    let labels = [("source", name)];
    let counts = &source.counts;
    metrics.add(&LINES, &labels, counts.lines as f64);
    metrics.add(&BYTES, &labels, counts.bytes as f64);
    metrics.add(&UNMATCHED, &labels, counts.unmatched as f64);
    let up = !source.files.is_empty() && source.files.values().all(Result::is_ok);
    metrics.add(&UP, &labels, if up { 1.0 } else { 0.0 });
    if up {
        let lag: u64 = source.files.values().flatten().map(|position| position.lag).sum();
        metrics.add(&LAG, &labels, lag as f64);
    }
    if let Some(last) = counts.last_line {
        metrics.add(&LAST_LINE, &labels, seconds(last));
    }
}

fn export_signature(signature: &Signature, matched: Option<&Matched>, metrics: &mut Metrics) {
    let id = ("signature", &*signature.id.value);
    let labels =
        [id, ("severity", signature.severity.label()), ("verdict", signature.verdict.label())];
    metrics.add(&MATCHES, &labels, matched.map_or(0, |matched| matched.count) as f64);
    let Some(matched) = matched else { return };
    metrics.add(&LAST_MATCH, &[id], seconds(matched.last));
    metrics.add(&INFO, &[id, ("title", &signature.title)], 1.0);
    for (name, values) in &matched.captures {
        for (value, count) in values {
            metrics.add(&CAPTURES, &[id, ("name", name), ("value", value)], *count as f64);
        }
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
