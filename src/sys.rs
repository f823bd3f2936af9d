//! What touches the kernel directly: `/proc` directories, namespace ioctls, the audit socket.
//!
//! The only `unsafe` of the program is below here.

pub mod audit;
pub mod proc;
pub mod userns;
