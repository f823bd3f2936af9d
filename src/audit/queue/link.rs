//! What the audit helper tells the exporter: status and rules, and its panics, each as a
//! frame (`crate::audit::frame`). The exporter sends nothing; the helper ends when the exporter's side closes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::pace::Rhythm;
use crate::audit::frame;

/// What the helper tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The payload of a status reply that has just come.
    Status(Vec<u8>),
    /// How many rules the kernel has, and the keys of them.
    Rules(u32, Vec<Vec<u8>>),
    /// The kernel refuses, with this errno.
    Refused(i32),
    /// The kernel took a question and could not start the thread that answers it.
    Unanswered,
    /// How the questions go; sent when it changes.
    Rhythm(Rhythm),
    /// So many askers of exporters that have ended still sleep: nothing is asked until they wake.
    Crowded(u32),
    /// A thread of the helper panicked: its name, and what that said.
    Panicked(String, String),
}

impl Frame {
    /// What a panic said, shortened.
    pub(crate) fn panicked(thread: &str, text: &str) -> Self {
        Self::Panicked(thread.to_owned(), frame::shorten(text).to_owned())
    }

    /// Writes the frame at once.
    ///
    /// # Errors
    /// As those of [`frame::send`].
    pub(crate) fn send(&self, to: impl Write) -> io::Result<()> {
        frame::send(self, to)
    }

    /// Reads the next frame, waiting for it.
    ///
    /// # Errors
    /// As those of [`frame::receive`].
    pub(crate) fn receive(from: impl Read) -> io::Result<Self> {
        frame::receive(from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_through() {
        let rhythm = Rhythm { sleeping: 3, spacing: Duration::from_millis(37_500), panics: true };
        let frames = [
            Frame::Status(vec![1; 44]),
            Frame::Rules(2, vec![b"telltale_kill".to_vec(), b"\xff\n\x00".to_vec(), vec![]]),
            Frame::Rules(0, vec![]),
            Frame::Refused(1),
            Frame::Unanswered,
            Frame::Rhythm(rhythm),
            Frame::Crowded(12),
            Frame::panicked("audit-ask", "two\nlines"),
            Frame::panicked("audit-ask", &"long".repeat(1 << 20)),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.send(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for frame in frames {
            assert_eq!(Frame::receive(&mut rest).unwrap(), frame);
        }
        let end = Frame::receive(&mut rest).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_unknown_frame_is_an_error() {
        for bytes in [&[1, 0, 0, 0, 7][..], &[1, 0, 0, 0, 255], &[0, 0, 0, 0], &[2, 0, 0, 0, 3, 0]]
        {
            let error = Frame::receive(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..100), length in 0..100_u32,
        ) {
            let _ = Frame::receive(&bytes[..]);
            // The same behind a length, so that more than the length is looked at.
            bytes.splice(..0, length.to_le_bytes());
            if let Ok(frame) = Frame::receive(&bytes[..]) {
                let mut again = Vec::new();
                frame.send(&mut again).unwrap();
                prop_assert_eq!(Frame::receive(&again[..]).unwrap(), frame);
            }
        }
    }
}
