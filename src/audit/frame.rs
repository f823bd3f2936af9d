//! What crosses between the exporter and its helper processes: frames of a length (u32, little endian) and so many
//! bytes of postcard.
//!
//! Both ends are the same binary, so there are no versions. What is no frame is an error all the same: a helper that
//! is out of order must neither take our memory nor be believed.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

/// The most bytes of a frame after its length; the longest are the keys of all rules.
const MAX_BYTES: usize = 1 << 20;

/// Bytes of the length.
pub(super) const HEAD: usize = size_of::<u32>();

/// The most bytes of a text in a frame, so that what a panic said always fits in.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// What is shown of a text that may be long.
pub(super) fn shorten(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_TEXT_BYTES)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The bytes of a frame.
///
/// # Errors
/// `InvalidData` when it is too long.
pub(super) fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_extend(frame, vec![0; HEAD]).map_err(no_frame)?;
    let mut bytes: Vec<u8> = bytes;
    let length = bytes.len() - HEAD;
    if length > MAX_BYTES {
        return Err(no_frame(format_args!("{length} bytes, at most {MAX_BYTES} are sent")));
    }
    let length = u32::try_from(length).map_err(no_frame)?;
    bytes[..HEAD].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The frame that these bytes are, no more and no less.
///
/// # Errors
/// `InvalidData` when they are none.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> io::Result<T> {
    let (head, payload) =
        bytes.split_first_chunk().ok_or_else(|| no_frame(format_args!("{} bytes", bytes.len())))?;
    let length = read_length(*head)?;
    if payload.len() != length {
        return Err(no_frame(format_args!("{} bytes instead of {length}", payload.len())));
    }
    decode_payload(payload)
}

/// Writes a frame at once.
///
/// # Errors
/// Those of writing; `InvalidData` when it is too long.
pub(super) fn send(frame: &impl Serialize, mut to: impl Write) -> io::Result<()> {
    to.write_all(&encode(frame)?)
}

/// Reads the next frame, waiting for it.
///
/// # Errors
/// `UnexpectedEof` when the other end is closed, `InvalidData` when what comes is no frame.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let mut payload = vec![0; read_length(head)?];
    from.read_exact(&mut payload)?;
    decode_payload(&payload)
}

fn read_length(head: [u8; HEAD]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head);
    match usize::try_from(length) {
        Ok(length) if length <= MAX_BYTES => Ok(length),
        _ => Err(no_frame(format_args!("{length} bytes, at most {MAX_BYTES} are taken"))),
    }
}

fn decode_payload<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(payload).map_err(no_frame)? {
        (frame, []) => Ok(frame),
        (_, rest) => Err(no_frame(format_args!("{} bytes too many", rest.len()))),
    }
}

fn no_frame(why: impl std::fmt::Display) -> io::Error {
    let text = format!("what a helper process and telltale_exporter say is no frame ({why})");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_has_a_length_and_at_most_so_many_bytes() {
        let bytes = encode(&"ab").unwrap();
        assert_eq!(bytes, [3, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(decode::<&str>(&bytes).unwrap(), "ab");
        let too_long = encode(&"x".repeat(MAX_BYTES)).unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::InvalidData);
        assert!(encode(&"x".repeat(MAX_BYTES - 3)).is_ok());
    }

    #[test]
    fn what_is_no_frame_is_one_clear_error() {
        let whole = encode(&"ab").unwrap();
        let cut = &whole[..6];
        let longer = [&whole[..], b"x"].concat();
        let two_values = [2, 0, 0, 0, 0, 0];
        let endless = [255, 255, 255, 255, 1];
        for bytes in [&[][..], &[1, 2], cut, &longer, &two_values, &endless, &[1, 0, 0, 0, 9]] {
            let error = decode::<&str>(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
            let text = error.to_string();
            assert!(text.contains("no frame") && !text.contains('\n'), "{text}");
        }
        // A reader does not wait for, or make room for, a length that no frame has.
        let error = receive::<String>(&endless[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(receive::<String>(cut).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shorten("é"), "é");
        let long = format!("x{}", "é".repeat(MAX_TEXT_BYTES));
        assert_eq!(shorten(&long).len(), MAX_TEXT_BYTES - 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let taken: io::Result<(u8, Vec<Vec<u8>>, Option<String>)> = decode(&bytes);
            if let Ok(frame) = taken {
                let again: (u8, Vec<Vec<u8>>, Option<String>) =
                    decode(&encode(&frame).unwrap()).unwrap();
                prop_assert_eq!(again, frame);
            }
            let mut rest = &bytes[..];
            while receive::<(u8, Vec<Vec<u8>>)>(&mut rest).is_ok() {}
        }
    }
}
