//! What lines mean: the catalogue of signatures, how a line is matched against all of them at once, and what is
//! counted for it. [`line_sink`] is what the sources hand lines to.

pub mod anchors;
pub mod catalog;
pub(crate) mod counter;
pub(crate) mod explanation;
mod finder;
pub(crate) mod line_sink;
pub(crate) mod matched;
pub(crate) mod matcher;
pub(crate) mod metrics;
pub(crate) mod signature;
pub(crate) mod twins;
