//! Which records are new, by their sequence.

/// What has been counted, and what has been read since the log was opened.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The first sequence that is new; `None` while what is there is passed over up to its end.
    next: Option<u64>,
    /// One more than the sequence that was read last: the ring is read from its start at each open.
    read: Option<u64>,
}

impl Cursor {
    /// Nothing that is there is new.
    ///
    /// The end is read up to, not sought: a seek does not tell its sequence, and without that neither
    /// could the first position be stored nor the first loss be counted.
    pub(super) fn at_end() -> Self {
        Self { next: None, read: None }
    }

    /// New from this sequence.
    pub(super) fn at(next: u64) -> Self {
        Self { next: Some(next), read: None }
    }

    /// The first sequence that is new, once it is known.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// A record was read: if it is new, how many before it were lost.
    pub(super) fn take(&mut self, sequence: u64) -> Option<u64> {
        let after = sequence.saturating_add(1);
        self.read = Some(after);
        let lost = sequence.checked_sub(self.next?)?;
        self.next = Some(after);
        Some(lost)
    }

    /// A record without a sequence was read: whether it is known to be new. Where it is not, it is
    /// counted as lost if those around it turn out to be.
    pub(super) fn pass(&mut self) -> bool {
        let new = self.next.is_some() && self.next == self.read;
        if new {
            self.next = self.next.map(|next| next.saturating_add(1));
        }
        self.read = self.read.map(|read| read.saturating_add(1));
        new
    }

    /// There is nothing more.
    pub(super) fn end(&mut self) {
        match (self.next, self.read) {
            (None, read) => self.next = Some(read.unwrap_or(0)),
            // A virtual machine that was set back has the same boot and lower sequences: what comes
            // is new, though its numbers have been seen.
            (Some(next), Some(read)) if read < next => self.next = Some(read),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn takes(cursor: &mut Cursor, sequences: impl IntoIterator<Item = u64>) -> Vec<Option<u64>> {
        sequences.into_iter().map(|sequence| cursor.take(sequence)).collect()
    }

    #[test]
    fn the_first_start_passes_over_what_is_there() {
        let mut cursor = Cursor::at_end();
        assert_eq!(takes(&mut cursor, 7..10), [None; 3]);
        assert!(!cursor.pass());
        assert_eq!(cursor.next(), None);
        cursor.end();
        assert_eq!(cursor.next(), Some(11));
        // Overwritten before it was read the first time.
        assert_eq!(takes(&mut cursor, [11, 15]), [Some(0), Some(3)]);

        let mut empty = Cursor::at_end();
        empty.end();
        assert_eq!(takes(&mut empty, [0, 1]), [Some(0); 2]);
    }

    #[test]
    fn a_restart_goes_on() {
        let mut cursor = Cursor::at(9);
        assert_eq!(takes(&mut cursor, [7, 8, 9, 10]), [None, None, Some(0), Some(0)]);
        cursor.end();
        assert_eq!(cursor.next(), Some(11));
        assert_eq!(takes(&mut Cursor::at(9), [12]), [Some(3)]);
        // Another boot.
        assert_eq!(takes(&mut Cursor::at(0), [5, 6]), [Some(5), Some(0)]);
    }

    #[test]
    fn damaged_records_count_once() {
        let mut cursor = Cursor::at(8);
        assert!(!cursor.pass());
        assert_eq!(takes(&mut cursor, [7]), [None]);
        assert!(cursor.pass());
        assert_eq!(takes(&mut cursor, [9]), [Some(0)]);
        // Not known to be new when it was read: part of what is lost.
        let mut cursor = Cursor::at(8);
        assert!(!cursor.pass());
        assert_eq!(takes(&mut cursor, [9]), [Some(1)]);
    }

    #[test]
    fn a_machine_that_was_set_back_is_followed() {
        let mut cursor = Cursor::at(1_000);
        takes(&mut cursor, 7..10);
        cursor.end();
        assert_eq!(takes(&mut cursor, [10]), [Some(0)]);
        // Nothing read is no proof.
        let mut cursor = Cursor::at(1_000);
        cursor.end();
        assert_eq!(cursor.next(), Some(1_000));
    }

    proptest! {
        /// Whatever is overwritten and wherever it restarts: each record is counted, lost or handed out.
        #[test]
        fn nothing_is_counted_twice_or_never(
            gaps in proptest::collection::vec((0u64..4, any::<bool>()), 0..40),
        ) {
            let (mut cursor, mut sequence, mut counted) = (Cursor::at(0), 0, 0);
            for (gap, restart) in gaps {
                if restart {
                    cursor = Cursor::at(cursor.next().unwrap());
                    // The ring still has what was read last.
                    prop_assert_eq!(cursor.take(sequence).is_some(), counted == 0);
                    counted = counted.max(1);
                }
                let first = counted == 0;
                sequence += gap + u64::from(!first);
                counted += 1 + cursor.take(sequence).unwrap();
                prop_assert_eq!(counted, sequence + 1);
            }
        }
    }
}
