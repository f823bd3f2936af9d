//! What the listener tells the exporter, one frame (`crate::audit::frame`) a datagram. The exporter sends nothing; the
//! listener ends when the exporter's side closes.

use serde::{Deserialize, Serialize};

use crate::audit::frame;

/// Records are at most 8 KiB (`AUDIT_MESSAGE_TEXT_MAX`), with a header.
pub(super) const MAX_RECORD: usize = 16 * 1024;

/// The longest datagram of the listener: a record as a line of the audit log, and what postcard adds.
pub(super) const MAX_DATAGRAM: usize = frame::HEAD + MAX_RECORD + 64;

/// What the listener tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Heard<'a> {
    /// It has joined the group.
    Joined,
    /// It cannot join, and why.
    Refused(&'a str),
    /// A record, as a line of the audit log.
    Record(&'a [u8]),
    /// It lives.
    Alive,
    /// It panicked, with what that said; told all the time until it listens again.
    Panicked(&'a str),
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_through() {
        let longest = [b"type=1300 msg=".as_slice(), &[b'x'; MAX_RECORD]].concat();
        for heard in [
            Heard::Joined,
            Heard::Refused("not permitted"),
            Heard::Record(b"type=1300 msg=\xff\n"),
            Heard::Record(&longest),
            Heard::Record(b""),
            Heard::Alive,
            Heard::Panicked(frame::shorten(&"é".repeat(MAX_RECORD))),
        ] {
            let bytes = frame::encode(&heard).unwrap();
            assert!(bytes.len() <= MAX_DATAGRAM);
            assert_eq!(frame::decode::<Heard<'_>>(&bytes).unwrap(), heard);
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_unknown_is_an_error() {
        let whole = frame::encode(&Heard::Record(b"type=1300")).unwrap();
        let unknown = [1, 0, 0, 0, 5];
        for bytes in (0..whole.len()).map(|end| &whole[..end]).chain([&unknown[..]]) {
            let error = frame::decode::<Heard<'_>>(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = frame::decode::<Heard<'_>>(&payload);
            let length = u32::try_from(payload.len()).unwrap();
            let bytes = [&length.to_le_bytes()[..], &payload].concat();
            if let Ok(heard) = frame::decode::<Heard<'_>>(&bytes) {
                let again = frame::encode(&heard).unwrap();
                prop_assert_eq!(frame::decode::<Heard<'_>>(&again).unwrap(), heard);
            }
        }
    }
}
