//! `telltale_exporter`: shows who is running out of processes on a Linux host, to Prometheus.
//!
//! # Where what is
//! Bytes come in once and go out as series: [`sources`] read them, [`signatures`] and [`audit::events`] say what they
//! mean, the [`pipeline`] makes these known to each other, [`collectors`] show it.
//!
//! * [`log_line`] is a line's header and time, [`audit::record`] one audit record.
//! * [`sources`] read files, the journal and the kernel's ring, each line once; [`unknown_lines`] are the shapes of
//!   those that no signature knows. [`snapshot`] keeps positions and counters over a restart.
//! * [`users`] and [`host`] are whom the kernel charges for a task, and against which ceiling;
//!   [`audit::queue`] is the kernel's audit queue, [`logrotate`] when it ran, [`exporter_process`] our own use.
//! * [`exporter`] builds the collectors and gathers one scrape; [`collector`] gives each a thread and a bound;
//!   [`metrics`] is the text they produce. [`http`] answers: metrics, pages, health.
//! * [`cli`] is what the command line says, [`config`] what the YAML file says, read by [`yaml`]; [`reload`] is what
//!   SIGHUP does: parts of the configuration are [`live`]. [`command`] is what can be asked without serving.
//! * [`supervised`] catches the panics of all threads and takes their work up again. [`text`] makes what others wrote
//!   safe to show. [`program`] is what `main` runs, from the first line on.
//! * [`sys`] is the unsafe code: what no crate offers of the kernel.
//!
//! A room uses only rooms that stand before it in the list of `tests/it/imports.rs`.
//!
//! Threads: one runs hyper on tokio, one each collector, one each log source, one asks for names, one
//! listens to the audit helper, one reloads, one writes the log, one the state. All are made before the
//! first request; afterwards nothing is created, so that the exporter goes on when the host or its own
//! user is out of processes.

mod audit;
mod cli;
mod collector;
mod collectors;
mod command;
mod config;
mod decode;
mod exporter;
mod exporter_process;
mod host;
mod http;
mod journal;
mod live;
mod log_line;
mod logging;
mod logrotate;
mod metrics;
mod nearest;
mod peak;
mod pipeline;
mod program;
mod reload;
mod signatures;
mod snapshot;
mod sources;
mod supervised;
mod sys;
mod text;
mod unknown_lines;
mod user_names;
mod users;
mod yaml;

pub use program::run;

/// What tests, benchmarks and fuzzing use besides the program itself; for nobody else.
pub mod internals {
    pub use crate::audit::events::facts::Facts;
    pub use crate::audit::events::recent::Recent;
    pub use crate::audit::events::story::{Reader, Teller};
    pub use crate::audit::events::totals::Totals;
    pub use crate::audit::record::Record;
    pub use crate::audit::record::joiner::{Joiner, Limits};
    pub use crate::log_line::header;
    pub use crate::log_line::kernel_clock::kernel_start;
    pub use crate::signatures::anchors;
    pub use crate::signatures::catalog;
    pub use crate::signatures::matcher::Matcher;
    pub use crate::signatures::signature::{Signature, Wording};
    #[cfg(debug_assertions)]
    pub use crate::supervised::FAULTS;
    pub use crate::users::cgroups::Hierarchy;
    pub use crate::users::scan::Scanner;
    pub use crate::users::table::usage_by_user;

    /// Reading the journal.
    pub mod journal {
        pub use crate::journal::{Position, Reader};
    }

    /// Reading the kernel's ring.
    pub mod kmsg {
        pub use crate::sources::kernel_ring::record::Record;
        pub use crate::sources::kernel_ring::{MAX_RECORDS, Outcome, Position, Reader};
    }
}

/// Version and source revision, as `--version` prints them.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("TELLTALE_REVISION"), ")");
