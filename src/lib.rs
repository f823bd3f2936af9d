//! `telltale_exporter`: shows who is running out of processes on a Linux host, to Prometheus.
//!
//! # The map of the house
//! * [`cli`] is what the command line says, [`config`] what the YAML file says; [`yaml`] reads it.
//! * [`command`] is what can be asked without serving: `check`, `signatures`, `scan`, `kills`.
//! * [`exporter`] builds the collectors from both and gathers one scrape.
//! * [`collector`] gives each collector a thread, a clock and a bound; [`metrics`] is the text they
//!   produce.
//! * [`users`] is the room of the process limits: whom the kernel charges, against which ceiling. Its
//!   door is the collector `users`; `cgroups` and `host` live there too. [`process`] is the exporter's
//!   own use.
//! * [`audit`] is the room of the audit subsystem: a helper process asks, a collector shows;
//!   [`audit::events`] is what happened, read from records that the sources of `logs` bring.
//! * [`logs`] is the room of the log lines: followed, matched, counted.
//! * [`state`] keeps over a restart what must not be forgotten: log positions and counters.
//! * [`http`] answers: metrics, pages, health. [`reload`] is what SIGHUP does: parts of the configuration
//!   are [`live`].
//! * [`supervised`] catches the panics of all threads and takes their work up again.
//! * [`nearest`] finds what a misspelt name was meant to be.
//! * [`program`] is what `main` runs, from the first line on.
//! * [`sys`] touches the kernel. Everything else parses bytes.
//!
//! Threads: one runs hyper on tokio, one each collector, one each log source, one asks for names, one
//! listens to the audit helper, one reloads, one writes the log, one the state. All are made before the
//! first request; afterwards nothing is created, so that the exporter goes on when the host or its own
//! user is out of processes.

mod audit;
mod cli;
mod collector;
mod command;
mod config;
mod decode;
mod exporter;
mod http;
mod live;
mod logging;
mod logs;
mod metrics;
mod nearest;
mod peak;
mod process;
mod program;
mod reload;
mod state;
mod supervised;
mod sys;
mod text;
mod users;
mod yaml;

pub use program::run;

/// What tests, benchmarks and fuzzing use besides the program itself; for nobody else.
pub mod internals {
    pub use crate::audit::events::facts::Facts;
    pub use crate::audit::events::joiner::{Joiner, Limits};
    pub use crate::audit::events::recent::Recent;
    pub use crate::audit::events::record::Record;
    pub use crate::audit::events::story::{Reader, Teller};
    pub use crate::audit::events::totals::Totals;
    pub use crate::logs::anchors;
    pub use crate::logs::boot::kernel_start;
    pub use crate::logs::matcher::Matcher;
    pub use crate::logs::signature::{Signature, Wording};
    pub use crate::logs::{catalog, header};
    pub use crate::supervised::FAULTS;
    pub use crate::users::hierarchy::Hierarchy;
    pub use crate::users::scan::Scanner;
    pub use crate::users::table::usage_by_user;

    /// Reading the journal.
    pub mod journal {
        pub use crate::logs::journal::{Position, Reader};
    }

    /// Reading the kernel's ring.
    pub mod kmsg {
        pub use crate::logs::kmsg::record::Record;
        pub use crate::logs::kmsg::{MAX_RECORDS, Outcome, Position, Reader};
    }
}

/// Version and source revision, as `--version` prints them.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("TELLTALE_REVISION"), ")");

/// Every collector: one that is not among them cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the whole meaning")]
pub enum CollectorName {
    Audit,
    Cgroups,
    Host,
    Logrotate,
    Logs,
    Process,
    Users,
}

impl CollectorName {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Audit,
        Self::Cgroups,
        Self::Host,
        Self::Logrotate,
        Self::Logs,
        Self::Process,
        Self::Users,
    ];

    /// The name that flags, `collect[]` and the `collector` label have.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Cgroups => "cgroups",
            Self::Host => "host",
            Self::Logrotate => "logrotate",
            Self::Logs => "logs",
            Self::Process => "process",
            Self::Users => "users",
        }
    }
}
