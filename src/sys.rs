//! What touches the kernel directly: opening files, `/proc`, namespace ioctls, the audit socket.
//!
//! The only `unsafe` of the program is below here.

pub(crate) mod audit;
pub(crate) mod boot;
pub(crate) mod open;
pub(crate) mod proc;
pub(crate) mod task_stat;
pub(crate) mod userns;
