//! Audit records and what they tell: who signalled whom, whose forks failed, what crashed, and who
//! weakened auditing. Pure: bytes and times come from outside. No collector uses it yet.
//!
//! [`record`] takes a line apart, [`joiner`] puts the records of an [`event`] together, [`signals`],
//! [`forks`] and [`anomalies`] read facts from it, [`story`] tells them.

pub mod actor;
pub mod anomalies;
pub mod event;
pub mod forks;
pub mod joiner;
pub mod json;
pub mod kind;
#[cfg(test)]
mod oracle;
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
