//! What becomes of what a source reads: the source knows where it stands, the sink what it means.

use std::time::SystemTime;

use super::published::Counts;
use crate::log_line::header::Line;
use crate::log_line::kernel_clock::When;

/// A piece of what a source reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message<'a> {
    /// A line of a file, or a record of the audit subsystem.
    Line(&'a [u8]),
    /// What came taken apart.
    Parsed {
        /// Who wrote it, and the text.
        line: Line<'a>,
        /// Its severity by syslog(3), if it has one.
        level: Option<u8>,
        /// What is known of its time.
        when: When,
        /// The number of the audit event that it tells, where that was handed on beside it.
        audit_serial: Option<u64>,
    },
}

/// What the next line of a log needs to know of those before. It is saved, renamed and swapped together with the
/// position in the log; only the sink looks into it.
pub(crate) trait Carry: Clone + Default + Send + Sync + 'static {
    /// Takes out what belongs to a file that is given to another log, and leaves what the next file under this
    /// name needs.
    fn split_off(&mut self) -> Self;

    /// Whether something in it ends with time, though nothing is read any more.
    fn waits(&self) -> bool;
}

/// Counts what lines mean.
pub(crate) trait Sink: Send + Sync + 'static {
    /// What is carried from a line to the next.
    type Carry: Carry;
    /// What lines add up to.
    type Counts: Clone + Default + Send + Sync + 'static;
    /// What counts the lines of one piece.
    type Batch<'s>: Batch<Carry = Self::Carry, Counts = Self::Counts>
    where
        Self: 's;

    /// Begins to count a piece that was read at this time.
    fn begin_batch(&self, now: SystemTime) -> Self::Batch<'_>;
}

/// Counts the lines of one piece.
pub(crate) trait Batch {
    /// What is carried from a line to the next.
    type Carry;
    /// What lines add up to.
    type Counts;

    /// Counts a line; that it was read is counted already.
    fn count(&self, message: Message<'_>, carry: &mut Self::Carry, to: &mut Counts<Self::Counts>);

    /// Counts what nothing comes for any more; to be called where there is nothing more to read.
    fn expire(&self, carry: &mut Self::Carry, to: &mut Counts<Self::Counts>);

    /// Joins what is carried of a file with what is carried under the name that it was given.
    fn join(&self, own: &mut Self::Carry, given: Self::Carry, to: &mut Counts<Self::Counts>);
}
