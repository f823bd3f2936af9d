//! Logs that are files, followed over rotation and restart.
//!
//! The [`runner`] finds the logs of a source and gives each its turn; a [`follower`] reads one log through every file
//! that it ever was, by the [`content`] of these.

mod clock;
pub(crate) mod content;
pub(crate) mod follower;
pub(crate) mod foreign;
#[cfg(test)]
mod model_files;
pub(crate) mod patterns;
pub(crate) mod rotated;
pub(crate) mod runner;
mod trust;
mod watch;
