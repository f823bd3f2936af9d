//! What touches the kernel directly: `/proc` directories, namespace ioctls, the audit socket.
//!
//! The only `unsafe` of the program is below here.

pub(crate) mod audit;
pub(crate) mod proc;
pub(crate) mod userns;
