//! Audit records and what they tell: who signalled whom, whose forks failed, what crashed, and who
//! weakened auditing. Pure: bytes and times come from outside.
//!
//! [`signals`], [`forks`] and [`anomalies`] read [`facts`] from an event; [`totals`] adds them up, [`recent`] keeps the
//! last, and [`story`] tells them. [`sink`] is what the sources hand records to.

pub(crate) mod actor;
pub(crate) mod anomalies;
pub(crate) mod facts;
pub(crate) mod forks;
pub(crate) mod json;
#[cfg(test)]
mod oracle;
pub(crate) mod recent;
pub(crate) mod script;
pub(crate) mod signals;
pub(crate) mod sink;
pub(crate) mod story;
pub(crate) mod syscalls;
#[cfg(test)]
mod told;
pub(crate) mod totals;
