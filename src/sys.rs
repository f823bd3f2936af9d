//! What touches the kernel directly: `/proc` directories and namespace ioctls.
//!
//! The only `unsafe` of the program is below here.

pub mod proc;
pub mod userns;
