//! What survives a restart: positions and counters, and what of them may be believed.
//!
//! [`contents`] is what is kept, [`store`] where and when it is written.

pub(crate) mod contents;
mod directory;
mod mark;
mod slots;
pub(crate) mod store;
