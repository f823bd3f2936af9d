//! What crosses from the audit helper to the exporter: status and rules, and its panics.
//!
//! A frame is a kind, a length (u32, little endian) and so many bytes. The exporter sends nothing; the
//! helper ends when the exporter's side closes.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::pace::Rhythm;

/// Longer than any frame of a helper in its right mind: 1 MiB of rule keys.
const MAX_BYTES: u32 = 1 << 20;

/// What the helper tells.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Writes the frame at once.
    pub(crate) fn send(&self, mut to: impl Write) -> io::Result<()> {
        let (kind, payload) = match self {
            Self::Status(payload) => (b'S', payload.clone()),
            Self::Rules(count, keys) => {
                // A key has no newline: auditctl takes it from an argument, and the kernel's own
                // separator is 0x01.
                let mut payload = count.to_le_bytes().to_vec();
                payload.extend(keys.join(&b'\n'));
                (b'R', payload)
            }
            Self::Refused(errno) => (b'E', errno.to_le_bytes().to_vec()),
            Self::Unanswered => (b'U', Vec::new()),
            Self::Rhythm(rhythm) => {
                let mut payload = vec![u8::from(rhythm.panics)];
                let sleeping = u32::try_from(rhythm.sleeping).unwrap_or(u32::MAX);
                let spacing = u32::try_from(rhythm.spacing.as_millis()).unwrap_or(u32::MAX);
                payload.extend(sleeping.to_le_bytes());
                payload.extend(spacing.to_le_bytes());
                (b'P', payload)
            }
            Self::Crowded(count) => (b'C', count.to_le_bytes().to_vec()),
            Self::Panicked(thread, text) => (b'B', format!("{thread}\n{text}").into_bytes()),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if length > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![kind];
        bytes.extend(length.to_le_bytes());
        bytes.extend(payload);
        to.write_all(&bytes)
    }

    /// Reads the next frame, waiting for it.
    ///
    /// # Errors
    /// `UnexpectedEof` when the helper has ended, `InvalidData` when it sends nonsense.
    pub(crate) fn receive(mut from: impl Read) -> io::Result<Self> {
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        if length > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut payload = vec![0; length as usize];
        from.read_exact(&mut payload)?;
        Self::decode(head[0], &payload).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        let word = |at: usize| payload.get(at..at + 4)?.first_chunk().copied();
        Some(match kind {
            b'S' => Self::Status(payload.to_vec()),
            b'R' => {
                let keys = payload.get(4..)?.split(|&byte| byte == b'\n');
                let keys = keys.filter(|key| !key.is_empty()).map(<[u8]>::to_vec).collect();
                Self::Rules(u32::from_le_bytes(word(0)?), keys)
            }
            b'E' => Self::Refused(i32::from_le_bytes(word(0)?)),
            b'U' => Self::Unanswered,
            b'P' => Self::Rhythm(Rhythm {
                panics: *payload.first()? != 0,
                sleeping: u32::from_le_bytes(word(1)?) as usize,
                spacing: Duration::from_millis(u32::from_le_bytes(word(5)?).into()),
            }),
            b'C' => Self::Crowded(u32::from_le_bytes(word(0)?)),
            b'B' => {
                let text = String::from_utf8_lossy(payload);
                let (thread, text) = text.split_once('\n')?;
                Self::Panicked(thread.to_owned(), text.to_owned())
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_through() {
        let rhythm = Rhythm { sleeping: 3, spacing: Duration::from_millis(37_500), panics: true };
        let frames = [
            Frame::Status(vec![1; 44]),
            Frame::Rules(2, vec![b"telltale_kill".to_vec(), b"\xff".to_vec()]),
            Frame::Rules(0, vec![]),
            Frame::Refused(1),
            Frame::Unanswered,
            Frame::Rhythm(rhythm),
            Frame::Crowded(12),
            Frame::Panicked("audit-ask".to_owned(), "two\nlines".to_owned()),
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

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Frame::receive(&bytes[..]);
        }
    }
}
