//! Audit records and what they tell: who signalled whom, whose forks failed, what crashed, and who
//! weakened auditing. Pure: bytes and times come from outside.
//!
//! [`record`] takes a line apart, [`joiner`] puts the records of an [`event`] together, [`signals`],
//! [`forks`] and [`anomalies`] read [`facts`] from it; [`totals`] adds them up, [`recent`] keeps the last, and
//! [`story`] tells them. [`sink`] is what the sources hand records to.

pub(crate) mod actor;
pub(crate) mod anomalies;
pub(crate) mod event;
pub(crate) mod facts;
pub(crate) mod forks;
pub(crate) mod joiner;
pub(crate) mod json;
pub(crate) mod kind;
#[cfg(test)]
mod oracle;
pub(crate) mod recent;
pub(crate) mod record;
pub(crate) mod script;
pub(crate) mod signals;
pub(crate) mod sink;
pub(crate) mod story;
pub(crate) mod syscalls;
#[cfg(test)]
mod testing;
pub(crate) mod time;
#[cfg(test)]
mod told;
pub(crate) mod totals;
