//! The kernel's audit records as it sends them to everybody who may listen.
//!
//! The [`listener`] is a process of its own, the [`group`] what it says, and that a [`source`].

pub(crate) mod group;
pub(crate) mod listener;
pub(crate) mod source;
