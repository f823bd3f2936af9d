//! Audit records and what they tell: who signalled whom, whose forks failed, what crashed, and who
//! weakened auditing. Pure: bytes and times come from outside. The sources of the collector `logs` bring them.
//!
//! [`record`] takes a line apart, [`joiner`] puts the records of an [`event`] together, [`signals`],
//! [`forks`] and [`anomalies`] read [`facts`] from it; [`totals`] adds them up, [`recent`] keeps the last, and
//! [`story`] tells them.

pub mod actor;
pub mod anomalies;
pub mod event;
pub mod facts;
pub mod forks;
pub mod joiner;
pub mod json;
pub mod kind;
#[cfg(test)]
mod oracle;
pub mod recent;
pub mod record;
pub mod script;
pub mod signals;
pub mod story;
pub mod syscalls;
#[cfg(test)]
mod testing;
pub mod time;
#[cfg(test)]
mod told;
pub mod totals;
