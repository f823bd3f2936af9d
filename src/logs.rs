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
pub(crate) mod dmesg;
pub(crate) mod effects;
pub(crate) mod export;
pub(crate) mod finder;
pub(crate) mod follower;
pub(crate) mod foreign;
pub mod header;
pub(crate) mod journal;
pub(crate) mod kmsg;
pub(crate) mod line_sink;
pub(crate) mod lines;
pub(crate) mod logrotate;
pub(crate) mod matched;
pub(crate) mod matcher;
#[cfg(test)]
mod model_files;
pub(crate) mod numbered;
pub(crate) mod patterns;
pub(crate) mod published;
pub(crate) mod records;
pub(crate) mod rotated;
pub(crate) mod signature;
pub(crate) mod signature_metrics;
pub(crate) mod sink;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod source_metrics;
pub(crate) mod status;
pub(crate) mod times;
pub(crate) mod trust;
pub(crate) mod twins;
pub(crate) mod unknown;
pub(crate) mod watch;

use std::time::Duration;

/// What cannot be read is tried again after this, and then ever more seldom, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
