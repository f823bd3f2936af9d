//! What happens to a log besides lines: rotations, and bytes that no line was made of.

use serde::{Deserialize, Serialize};

/// How a file went from under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    Rename,
    /// It was copied and truncated.
    Copytruncate,
    /// It was truncated, and no copy is there.
    Truncated,
    /// Another file is there, and the old one is gone.
    Recreated,
}

/// Why bytes are part of no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The rest of a line that was too long, or came too late.
    Cut,
    /// NULs before the first line: the writer went on where it was before a truncation.
    Hole,
    /// Not read yet when the file was truncated, and in no copy.
    Truncated,
    /// Not read yet when the file went away.
    Gone,
    /// In a rotated file that is compressed in a form that is not read; so many compressed bytes.
    Unreadable,
}

/// Why messages that were written are not counted, where a source numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LostMessages {
    /// The kernel's ring was written over before they were read.
    Overwritten,
    /// They cannot be taken apart.
    Damaged,
    /// Missing in the journal (deleted before they were read, damaged, or in a file that cannot be read) or
    /// among the kernel's audit events.
    Missing,
    /// Audit records that came after their event was told, or for which there was no room.
    Unjoined,
}

impl LostMessages {
    /// Every reason, with its label.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Overwritten, "overwritten"),
        (Self::Damaged, "damaged"),
        (Self::Missing, "missing"),
        (Self::Unjoined, "unjoined"),
    ];
}

impl Rotation {
    /// Every kind, with its label.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Rename, "rename"),
        (Self::Copytruncate, "copytruncate"),
        (Self::Truncated, "truncated"),
        (Self::Recreated, "recreated"),
    ];
}

impl Lost {
    /// Every reason, with its label.
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Cut, "cut"),
        (Self::Hole, "hole"),
        (Self::Truncated, "truncated"),
        (Self::Gone, "gone"),
        (Self::Unreadable, "unreadable"),
    ];
}

/// Sums since the counters began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    rotations: [u64; 4],
    lost: [u64; 5],
    messages: [u64; 4],
}

impl Sums {
    pub(crate) fn rotations(&self, how: Rotation) -> u64 {
        self.rotations[how as usize]
    }

    /// How many bytes.
    pub(crate) fn lost(&self, why: Lost) -> u64 {
        self.lost[why as usize]
    }

    /// How many messages.
    pub(crate) fn lost_messages(&self, why: LostMessages) -> u64 {
        self.messages[why as usize]
    }

    /// So many messages are not counted.
    pub(crate) fn lose_messages(&mut self, why: LostMessages, messages: u64) {
        self.messages[why as usize] += messages;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, others) in self.rotations.iter_mut().zip(other.rotations) {
            *mine += others;
        }
        for (mine, others) in self.lost.iter_mut().zip(other.lost) {
            *mine += others;
        }
        for (mine, others) in self.messages.iter_mut().zip(other.messages) {
            *mine += others;
        }
    }
}

/// What has happened and is not counted yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Rotations and lost bytes.
    pub sums: Sums,
    /// Lines that have no end, and are waited for no longer.
    pub lines: Vec<Vec<u8>>,
}

impl Effects {
    /// A rotation was seen.
    pub(crate) fn rotated(&mut self, how: Rotation) {
        self.sums.rotations[how as usize] += 1;
    }

    /// So many bytes are part of no line.
    pub(crate) fn lost(&mut self, why: Lost, bytes: u64) {
        self.sums.lost[why as usize] += bytes;
    }
}
