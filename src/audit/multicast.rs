//! The kernel's audit records as it sends them to everybody who may listen.
//!
//! The [`listener`] is a process of its own, which tells over the [`link`]; the [`group`] hears it, and is a [`source`].

pub(crate) mod group;
mod link;
pub(crate) mod listener;
pub(crate) mod source;
