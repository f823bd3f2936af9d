//! A line of a log as it is written: its header, its time. It knows nothing of where lines come from or what they mean.

pub(crate) mod dmesg;
pub mod header;
pub(crate) mod json;
pub(crate) mod kernel_clock;
pub(crate) mod stamp;
pub(crate) mod times;
pub(crate) mod year;
