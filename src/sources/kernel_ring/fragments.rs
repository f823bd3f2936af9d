//! Fragments to messages, for kernels before 4.10; later ones join them before anybody reads.

use super::record::{Part, Record};

/// What is joined gets no longer; what follows is on its own.
const MAX_MESSAGE: usize = 64 * 1024;

/// A message that may not be whole yet.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    held: Option<Record<'static>>,
    /// The sequence of the last fragment in it.
    last: u64,
}

impl Fragments {
    /// Hands out a message when it is known to be whole: at once, or when the next one begins.
    pub(super) fn take(&mut self, record: Record<'_>, mut hand: impl FnMut(&Record<'_>)) {
        if let Some(held) = &mut self.held
            && record.part == Part::Rest
            // With a gap between them it is not known to be the rest of this one.
            && self.last.checked_add(1) == Some(record.sequence)
            && held.message.len() + record.message.len() <= MAX_MESSAGE
        {
            held.message.to_mut().extend_from_slice(&record.message);
            self.last = record.sequence;
            return;
        }
        self.hand_out(&mut hand);
        if record.part == Part::Fragment {
            self.last = record.sequence;
            self.held = Some(record.into_owned());
        } else {
            hand(&record);
        }
    }

    /// Hands out what is there, because the rest is waited for no longer.
    pub(super) fn hand_out(&mut self, mut hand: impl FnMut(&Record<'_>)) {
        if let Some(held) = self.held.take() {
            hand(&held);
        }
    }

    /// The sequence of the first fragment that has not been handed out.
    pub(super) fn first(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::kernel_ring::record::parse;

    /// Flags, sequences and texts to messages; `|` is where nothing more came.
    fn joined(records: &[(char, u64, &str)]) -> Vec<(u64, String)> {
        let (mut fragments, mut out) = (Fragments::default(), Vec::new());
        let mut hand = |record: &Record<'_>| {
            out.push((record.sequence, String::from_utf8_lossy(&record.message).into_owned()));
        };
        for (flag, sequence, text) in records {
            if *flag == '|' {
                fragments.hand_out(&mut hand);
                assert_eq!(fragments.first(), None);
                continue;
            }
            let bytes = format!("6,{sequence},0,{flag};{text}");
            fragments.take(parse(bytes.as_bytes()).unwrap(), &mut hand);
        }
        fragments.hand_out(&mut hand);
        out
    }

    #[test]
    fn fragments_are_joined_in_sequence_only() {
        let of = |sequence, text: &str| (sequence, text.to_owned());
        assert_eq!(
            joined(&[('c', 1, "a "), ('+', 2, "b "), ('+', 3, "c"), ('-', 4, "d")]),
            [of(1, "a b c"), of(4, "d")]
        );
        assert_eq!(joined(&[('c', 1, "a"), ('c', 2, "b")]), [of(1, "a"), of(2, "b")]);
        assert_eq!(joined(&[('c', 1, "a"), ('+', 3, "c")]), [of(1, "a"), of(3, "c")]);
        assert_eq!(joined(&[('c', 1, "a"), ('|', 0, ""), ('+', 2, "b")]), [of(1, "a"), of(2, "b")]);
        assert_eq!(joined(&[('-', 1, "a"), ('+', 2, "b")]), [of(1, "a"), of(2, "b")]);
        let last = u64::MAX;
        assert_eq!(joined(&[('c', last, "a"), ('+', 0, "b")]), [of(last, "a"), of(0, "b")]);
    }

    #[test]
    fn a_message_does_not_grow_for_ever() {
        let long = "x".repeat(1000);
        let mut records = vec![('c', 0, &*long)];
        records.extend((1..100).map(|sequence| ('+', sequence, &*long)));
        let messages = joined(&records);
        assert_eq!((messages[0].1.len(), messages.len()), (65_000, 36));
        assert_eq!(messages.iter().map(|(_, text)| text.len()).sum::<usize>(), 100_000);
    }
}
