//! The kernel's audit subsystem: its [`queue`] and who empties it, and what its records tell.
//!
//! A [`record`] comes from the audit daemon's log or the kernel's [`multicast`] group; [`events`] says what happened.

pub(crate) mod auditd;
mod child;
pub(crate) mod defaults;
pub(crate) mod events;
pub(crate) mod multicast;
pub(crate) mod queue;
pub(crate) mod record;
