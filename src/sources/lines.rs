//! Bytes to lines: whatever the pieces they come in, each line is handed out once.

use memchr::memchr;
use serde::{Deserialize, Serialize};

/// A longer line is handed out cut; the rest of it is passed over.
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// What is left between two pieces: part of the state that survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    /// A line whose newline has not come yet.
    partial: Vec<u8>,
    /// The line was handed out already: what is left of it is passed over.
    cut: bool,
}

impl Lines {
    /// In the middle of a line that is not ours to count.
    pub(crate) fn within() -> Self {
        Self { partial: Vec::new(), cut: true }
    }

    /// Whether the last piece ended in the middle of a line that has not been handed out.
    pub(crate) fn waiting(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Hands out the lines that end in this piece; returns how many bytes of cut lines were passed over.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) -> u64 {
        let mut passed = 0;
        while let Some(end) = memchr(b'\n', bytes) {
            passed += self.end(&bytes[..end], &mut line);
            bytes = &bytes[end + 1..];
        }
        if self.cut {
            return passed + bytes.len() as u64;
        }
        let bytes = if self.partial.is_empty() { without_nuls(bytes) } else { bytes };
        let (fits, rest) = bytes.split_at(bytes.len().min(MAX_LINE - self.partial.len()));
        self.partial.extend_from_slice(fits);
        if !rest.is_empty() {
            self.hand_out(line);
        }
        passed + rest.len() as u64
    }

    /// Hands out a line that has no end, because it is waited for no longer.
    pub(crate) fn hand_out(&mut self, mut line: impl FnMut(&[u8])) {
        if self.waiting() {
            line(without_ends(&self.partial));
            self.partial = Vec::new();
            self.cut = true;
        }
    }

    /// The last piece of a line; what is passed over of it.
    fn end(&mut self, text: &[u8], line: &mut impl FnMut(&[u8])) -> u64 {
        if self.cut {
            self.cut = false;
            return text.len() as u64;
        }
        let text = if self.partial.is_empty() { without_nuls(text) } else { text };
        let (fits, rest) = text.split_at(text.len().min(MAX_LINE - self.partial.len()));
        if self.partial.is_empty() {
            line(without_ends(fits));
        } else {
            self.partial.extend_from_slice(fits);
            line(without_ends(&self.partial));
            self.partial = Vec::new();
        }
        rest.len() as u64
    }
}

/// A filesystem that lost what was not written yet leaves NULs, and the first line after the crash comes after them.
fn without_nuls(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|&&byte| byte == 0).count()..]
}

/// Lines of CRLF files end before the carriage return, and the first of a file may begin with a byte order
/// mark: so may any, where files were put together.
fn without_ends(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> (Vec<String>, u64, Lines) {
        let (mut lines, mut out, mut passed) = (Lines::default(), Vec::new(), 0);
        for piece in pieces {
            passed +=
                lines.take(piece, |line| out.push(String::from_utf8_lossy(line).into_owned()));
        }
        (out, passed, lines)
    }

    #[test]
    fn lines_end_at_newlines_only() {
        let (lines, passed, rest) = split(&[b"one\ntw", b"o\r\n\nthr", b"\0ee"]);
        assert_eq!((lines, passed), (vec!["one".into(), "two".into(), String::new()], 0));
        assert!(rest.waiting());
    }

    #[test]
    fn what_comes_after_nuls_is_a_line() {
        let nuls = vec![0; 2 * MAX_LINE];
        for pieces in [&[&nuls[..], b"one\n"][..], &[b"\0one\n"], &[b"\0", b"\0\0one", b"\n"]] {
            let (lines, passed, rest) = split(pieces);
            assert_eq!((lines, passed, rest), (vec!["one".to_owned()], 0, Lines::default()));
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_line() {
        let mark = b"\xef\xbb\xbf";
        for pieces in [
            &[&[&mark[..], b"one\n"].concat()[..]][..],
            &[&mark[..1], &mark[1..], b"one\n"],
            &[b"\0", &mark[..], b"one\r\n"],
        ] {
            assert_eq!(split(pieces).0, ["one"]);
        }
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_counted_as_passed_over() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let pieces: [&[&[u8]]; 2] =
            [&[&long, b"tail\nnext\n"], &[&[&long[..], b"tail\nnext\n"].concat()]];
        for pieces in pieces {
            let (lines, passed, _) = split(pieces);
            assert_eq!((lines.len(), lines[0].len(), &*lines[1]), (2, MAX_LINE, "next"));
            assert_eq!(passed, 2 * MAX_LINE as u64 + 4);
        }
        let exactly = [&long[..MAX_LINE], b"\n"].concat();
        assert_eq!(split(&[&exactly]).1, 0);
    }

    #[test]
    fn a_line_that_is_waited_for_no_longer_counts_once() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.take(b"half", |line| out.push(line.to_vec()));
        for _ in 0..2 {
            lines.hand_out(|line| out.push(line.to_vec()));
        }
        let passed = lines.take(b" a line\nnext\n", |line| out.push(line.to_vec()));
        assert_eq!((out, passed), (vec![b"half".to_vec(), b"next".to_vec()], 7));
    }

    proptest! {
        /// However the bytes arrive, the lines are those of the whole.
        #[test]
        fn any_split_gives_the_same_lines(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let (mut lines, mut got, mut rest) = (Lines::default(), Vec::new(), &text[..]);
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                prop_assert_eq!(lines.take(piece, |line| got.push(line.to_vec())), 0);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let mut expected: Vec<_> = text.split(|&byte| byte == b'\n')
                .map(without_nuls).map(|line| without_ends(line).to_vec()).collect();
            let last = text.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
            prop_assert_eq!(&lines.partial[..], without_nuls(last));
            expected.pop();
            prop_assert_eq!(got, expected);
        }
    }
}
