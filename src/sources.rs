//! Where lines come from: each is read once, whatever happens to the log that it stands in.
//!
//! A [`source`] whose messages are numbered by who wrote them (the [`kernel_ring`], the [`journal`]) is read by a
//! [`message_runner`], logs that are files by [`file::runner`]. Both hand what they read to a [`sink`] and
//! [publish](published) how far they came together with what the sink has made of it.

pub(crate) mod defaults;
pub(crate) mod file;
pub(crate) mod journal;
pub(crate) mod kernel_ring;
pub(crate) mod lines;
pub(crate) mod losses;
pub(crate) mod message_runner;
pub(crate) mod metrics;
pub(crate) mod published;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod status;

use std::time::Duration;

/// What cannot be read is tried again after this, and then ever more seldom, up to a minute.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
