//! Files that hold no lines of text, told by how they begin.

use crate::decode::Form;

/// What a file is that is no log of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// journald's own.
    Journal,
    /// Two bytes a character, as Windows programs write (SQL Server, also on Linux).
    Utf16,
    /// gzip, xz, zstd, bzip2 or lz4.
    Compressed,
}

/// So many bytes of UTF-16 without a mark are enough to tell it.
const ENOUGH: usize = 16;

impl Foreign {
    /// What a file is that begins so; `None` for text.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        /// bzip2 and lz4, which are not decompressed.
        const OTHERS: [&[u8]; 2] = [b"BZh", &[0x04, 0x22, 0x4d, 0x18]];
        if head.starts_with(b"LPKSHHRH") {
            Some(Self::Journal)
        } else if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") || is_utf16(head) {
            Some(Self::Utf16)
        } else {
            let compressed =
                Form::of(head) != Form::Plain || OTHERS.iter().any(|magic| head.starts_with(magic));
            compressed.then_some(Self::Compressed)
        }
    }

    /// Why it is not followed, and what to do.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::Journal => {
                "this is a file of journald, and no text: read it with 'journal: true' and its directory under \
                 directories"
            }
            Self::Utf16 => {
                "this is UTF-16, of which no line is understood: let the program write UTF-8, or follow a converted \
                 copy (tail -c +1 -F FILE | iconv -f UTF-16 -t UTF-8 > COPY)"
            }
            Self::Compressed => {
                "this is compressed, and no log that is being written: take it out of files; \
                 'telltale_exporter scan FILE' reads it"
            }
        }
    }
}

/// Text of ASCII characters in UTF-16: every other byte is NUL, and the others are not.
fn is_utf16(head: &[u8]) -> bool {
    let Some(head) = head.get(..ENOUGH) else { return false };
    let nuls = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    matches!((nuls(0), nuls(1)), (0, 8) | (8, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_by_how_it_begins() {
        let utf16 = |text: &str, mark: bool, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let mark = mark.then_some(0xfeff);
            mark.into_iter().chain(text.encode_utf16()).flat_map(order).collect()
        };
        for (head, expected) in [
            (utf16("EVENT one\r\n", true, u16::to_le_bytes), Some(Foreign::Utf16)),
            (utf16("EVENT one\r\n", true, u16::to_be_bytes), Some(Foreign::Utf16)),
            (utf16("EVENT one\r\n", false, u16::to_le_bytes), Some(Foreign::Utf16)),
            (utf16("EVENT one\r\n", false, u16::to_be_bytes), Some(Foreign::Utf16)),
            (b"LPKSHHRH and more".to_vec(), Some(Foreign::Journal)),
            (b"\x1f\x8b\x08\x00".to_vec(), Some(Foreign::Compressed)),
            (b"BZh9".to_vec(), Some(Foreign::Compressed)),
            (b"Nov 20 05:08:30 host sshd[1]: text".to_vec(), None),
            (b"\xef\xbb\xbfa line in UTF-8".to_vec(), None),
            (vec![0; 64], None),
            ([vec![0; 32], b"after a hole".to_vec()].concat(), None),
            (b"".to_vec(), None),
            (b"\0".to_vec(), None),
        ] {
            assert_eq!(Foreign::of(&head), expected, "{head:?}");
        }
    }
}
