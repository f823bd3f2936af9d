//! A shape as people read it, and as the signature they can make of it.

use super::mask::{self, DIGITS, Gaps, TEXT, WORD};
use crate::text::decode;

/// Less than that in a row finds lines of anything.
const LITERAL: usize = 5;

/// The words with `<*>` for each hole.
pub(super) fn text(mask: &[u8], gaps: Gaps) -> String {
    let mut text = String::with_capacity(mask.len() + 16);
    for piece in mask.split_inclusive(|&byte| byte <= TEXT) {
        let (fixed, hole) = match piece.split_last() {
            Some((&last, fixed)) if last <= TEXT => (fixed, "<*>"),
            _ => (piece, ""),
        };
        text.push_str(&String::from_utf8_lossy(fixed));
        text.push_str(hole);
    }
    if gaps.cut {
        text.push_str(" …");
    }
    text
}

/// Bytes of a log as text on one line that may stand in YAML: what is not UTF-8 or cannot be seen is written
/// as an escape.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut printable = String::with_capacity(bytes.len());
    for character in decode(bytes).chars() {
        match character {
            '\t'..='\r' => printable.push(' '),
            _ if mask::shown(character) => printable.push(character),
            _ => printable.extend(character.escape_unicode()),
        }
    }
    printable
}

/// An expression that every line of the shape matches.
pub(super) fn pattern(mask: &[u8], gaps: Gaps) -> String {
    let space = if gaps.wide { r"\s+" } else { " " };
    let edge = if gaps.wide { r"\s*" } else { "" };
    let mut pattern = format!("^{edge}");
    for piece in mask.split_inclusive(|&byte| byte <= TEXT || byte == b' ') {
        let (fixed, end) = match piece.split_last() {
            Some((&DIGITS, fixed)) => (fixed, r"\d+"),
            Some((&WORD, fixed)) => (fixed, r"\S+"),
            Some((&TEXT, fixed)) => (fixed, ".+"),
            Some((b' ', fixed)) => (fixed, space),
            _ => (piece, ""),
        };
        pattern.push_str(&regex_syntax::escape(&String::from_utf8_lossy(fixed)));
        pattern.push_str(end);
    }
    if !gaps.cut {
        pattern.push_str(edge);
        pattern.push('$');
    }
    pattern
}

/// Whether the expression has a literal that is long enough to look for.
fn is_telling(mask: &[u8], gaps: Gaps) -> bool {
    let parts = |&byte: &u8| byte <= TEXT || gaps.wide && byte == b' ';
    mask.split(parts).any(|fixed| fixed.len() >= LITERAL)
}

/// The program and the first words, as an id may be written.
fn id(program: Option<&str>, mask: &[u8]) -> String {
    const WORDS: usize = 6;
    const LENGTH: usize = 64;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric();
    let words = mask.split(|byte| !plain(byte)).filter(|word| !word.is_empty()).take(WORDS);
    let program = program.unwrap_or_default().as_bytes();
    let mut id = String::new();
    for word in program.split(|byte| !plain(byte)).filter(|word| !word.is_empty()).chain(words) {
        let joint = usize::from(!id.is_empty());
        if id.len() + joint + word.len() > LENGTH {
            break;
        }
        id.push_str(if joint == 1 { "-" } else { "" });
        id.push_str(&String::from_utf8_lossy(word).to_ascii_lowercase());
    }
    if id.is_empty() { "unnamed".to_owned() } else { id }
}

/// A signature to be filled in.
pub(super) fn signature(
    program: Option<&str>,
    exactly: bool,
    mask: &[u8],
    gaps: Gaps,
    example: &str,
) -> String {
    let programs = program.filter(|_| exactly).map(|program| {
        let program = quoted(program);
        format!("  programs: [{program}]\n")
    });
    let warning = if is_telling(mask, gaps) {
        ""
    } else {
        "  # No fixed part of 5 bytes or more: it costs time, and matches more than is meant.\n"
    };
    format!(
        "- id: {}\n  title: 'TODO: what it means'\n{}{warning}  pattern: {}\n  severity: info\n  \
         verdict: watch\n  samples:\n    match:\n      - {}\n",
        id(program, mask),
        programs.unwrap_or_default(),
        quoted(&pattern(mask, gaps)),
        quoted(example),
    )
}

/// Single-quoted YAML, in which only the quote itself is special.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;
