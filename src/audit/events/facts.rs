//! Everything that is counted or told of one event.

use super::anomalies::{ConfigChange, Crash, Daemon};
use super::forks::FailedFork;
use super::signals::Kill;
use crate::audit::record::event::Event;

/// What an event says.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The type of its first record; none where that was counted before.
    pub kind: Option<String>,
    /// The keys of the rule that wanted it.
    pub keys: Vec<String>,
    /// A signal.
    pub kill: Option<Kill>,
    /// A task that was not made.
    pub fork: Option<FailedFork>,
    /// A crash.
    pub crash: Option<Crash>,
    /// Changes of the audit configuration.
    pub changes: Vec<ConfigChange>,
    /// auditd's own coming and going.
    pub daemon: Option<Daemon>,
}

impl Facts {
    /// Reads an event.
    pub fn of(event: &Event) -> Self {
        let kind = event.kind().filter(|_| !event.continued);
        Self {
            kind: kind.map(|kind| kind.label().into_owned()),
            keys: event.keys(),
            kill: Kill::of(event),
            fork: FailedFork::of(event),
            crash: Crash::of(event),
            changes: ConfigChange::of(event),
            daemon: Daemon::of(event),
        }
    }
}
