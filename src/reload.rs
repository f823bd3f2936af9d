//! SIGHUP: configuration and catalogue are read anew and take the place of those that run, or these stay
//! and why is said.
//!
//! What needs threads or files of its own (`logs.sources`) is as it was at start: after it nothing is
//! created.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{self, Config};
use crate::live::Live;
use crate::metrics::{Desc, Metrics};
use crate::signatures::catalog;
use crate::signatures::matcher::Matcher;
use crate::supervised;

const SUCCESSFUL: Desc = Desc::gauge(
    "telltale_config_last_reload_successful",
    "1 when the configuration and catalogue on disk were taken at the last start or SIGHUP.",
);
const LOADED: Desc = Desc::gauge(
    "telltale_config_last_reload_success_timestamp_seconds",
    "When configuration and catalogue were last taken.",
);

/// What a reload replaces.
pub(crate) struct Parts {
    /// Whom the collector `users` shows.
    pub users: Live<config::Users>,
    /// What is expected of the audit subsystem.
    pub audit: Live<config::Audit>,
    /// The signatures; `None` while the collector `logs` is off.
    pub matcher: Option<Live<Matcher>>,
}

/// The configuration that runs, and how the last attempt to replace it ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// When the configuration that runs was taken.
    loaded: SystemTime,
    /// Why a newer one was not.
    refused: Option<String>,
    /// What of it waits for a start.
    later: Vec<&'static str>,
}

/// Asks for reloads, and knows how the last one ended.
pub(crate) struct Reload {
    requests: SyncSender<()>,
    outcome: Live<Outcome>,
}

/// Reads the configuration, as at start.
pub(crate) type Load = Box<dyn Fn() -> Result<Config, config::Error> + Send>;

/// The thread that reads: files may hang, and nobody else must.
struct Reader {
    /// Reads what is to run.
    load: Load,
    parts: Parts,
    /// As at start.
    logs: config::Logs,
    outcome: Live<Outcome>,
}

impl Reload {
    /// Starts the thread; `logs` is what runs.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub(crate) fn start(load: Load, parts: Parts, logs: config::Logs) -> std::io::Result<Self> {
        let outcome =
            Live::new(Outcome { loaded: SystemTime::now(), refused: None, later: Vec::new() });
        let reader = Reader { load, parts, logs, outcome: outcome.clone() };
        // One that waits is enough: it will read what is there then.
        let (requests, asked) = sync_channel(1);
        std::thread::Builder::new()
            .name("reload".to_owned())
            .stack_size(1024 * 1024)
            .spawn(move || reader.run(&asked))?;
        Ok(Self { requests, outcome })
    }

    /// Asks for a reload and does not wait for it.
    pub(crate) fn ask(&self) {
        let _ = self.requests.try_send(());
    }

    /// Whether the last attempt was good, and when the last good one was.
    pub(crate) fn export(&self, metrics: &mut Metrics) {
        let outcome = self.outcome.get();
        metrics.add(&SUCCESSFUL, &[], if outcome.refused.is_none() { 1.0 } else { 0.0 });
        let loaded = outcome.loaded.duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics.add(&LOADED, &[], loaded.as_secs_f64());
    }

    /// What the pages say, where there is something to say.
    pub(crate) fn notes(&self) -> Vec<String> {
        let outcome = self.outcome.get();
        let refused = outcome.refused.iter().map(|why| format!("{why}; {STAYS}"));
        let later = outcome.later.iter().map(|what| format!("{what} {LATER}"));
        refused.chain(later).collect()
    }
}

/// What is said of a configuration that was refused.
const STAYS: &str = "the configuration that runs stays";

/// What is said of a part that is not taken while running.
const LATER: &str = "changed and takes effect at the next start";

impl Reader {
    fn run(&self, asked: &Receiver<()>) {
        while asked.recv().is_ok() {
            let before = self.outcome.get();
            let read = supervised::catch("reload", || {
                supervised::panic_if_asked("reload");
                self.read()
            });
            let outcome = match read.and_then(|read| read) {
                Ok(later) => {
                    tracing::info!("configuration and catalogue reloaded");
                    for what in &later {
                        tracing::warn!("{what} {LATER}");
                    }
                    Outcome { loaded: SystemTime::now(), refused: None, later }
                }
                Err(why) => {
                    tracing::error!(why, "not reloaded; {STAYS}");
                    Outcome { refused: Some(why), ..(*before).clone() }
                }
            };
            self.outcome.set(outcome);
        }
    }

    /// Everything is read before anything is replaced; returns what waits for a start.
    fn read(&self) -> Result<Vec<&'static str>, String> {
        let config = (self.load)().map_err(|error| error.to_string())?;
        if let Some(matcher) = &self.parts.matcher {
            let catalog = catalog::load(&config.logs).map_err(|error| error.to_string())?;
            catalog.announce();
            matcher.set(Matcher::new(catalog.signatures));
        }
        self.parts.users.set(config.users);
        self.parts.audit.set(config.audit);
        let mut later = Vec::new();
        if self.parts.matcher.is_some() {
            later.extend((config.logs.sources() != self.logs.sources()).then_some("logs.sources"));
            later.extend((config.logs.examples != self.logs.examples).then_some("logs.examples"));
        }
        Ok(later)
    }
}
