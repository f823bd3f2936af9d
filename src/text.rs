//! Text that others chose, made safe for what it is shown in: a terminal, a page, JSON, Markdown, a label.
//!
//! Names of commands, lines of logs and names of files hold whatever their author wants. Wherever they are
//! shown, nothing in them may move a cursor, break the line, hide or turn the direction of what follows.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Control characters, line ends beyond ASCII, and what hides text or turns its direction.
pub(crate) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// On one line, for a terminal, a log line or a label: what is unsafe is written as in Rust, `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        push_escaped(&mut out, char);
    }
    out
}

/// The same, in which lines stay lines.
pub(crate) fn escape_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char == '\n' { out.push(char) } else { push_escaped(&mut out, char) }
    }
    out
}

fn push_escaped(out: &mut String, char: char) {
    if is_unsafe(char) { out.extend(char.escape_default()) } else { out.push(char) }
}

/// Bytes that may be anything: UTF-8 stays, any other byte becomes `\xNN`. What is unsafe stays as well.
///
/// Distinct bytes can become the same text (a command may be called `\xff` in ASCII), so whoever labels
/// series with it sums up by the text, not by the bytes.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Bytes that may be anything, for a label, whose format writes the end of a line as `\n`.
pub(crate) fn label(bytes: &[u8]) -> String {
    escape_lines(&decode(bytes))
}

/// For an HTML document, in which lines stay lines; also between double quotes.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push(char),
            _ => push_escaped(&mut out, char),
        }
    }
    out
}

/// For Markdown, on one line, in which nothing is markup: neither a cell's end, nor a link, nor HTML.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::new();
    for char in escape(text).chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(char);
            }
            // A mention would call somebody.
            '@' => out.push_str("&#64;"),
            _ => out.push(char),
        }
    }
    out
}

/// A string of JSON, quotes included.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ => push_json(&mut out, char),
        }
    }
    out.push('"');
    out
}

/// A whole document that is JSON already, in which lines stay lines: serde leaves in strings what JSON
/// allows there, and a terminal obeys.
pub(crate) fn json_document(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        if char == '\n' { out.push(char) } else { push_json(&mut out, char) }
    }
    out
}

/// A value of logfmt: as it is, or between quotes where it would end early or is unsafe.
pub(crate) fn logfmt_value(text: &str) -> Cow<'_, str> {
    let needs_quotes = |char| matches!(char, ' ' | '=' | '"') || is_unsafe(char);
    if !text.contains(needs_quotes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' | '\'' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // As in JSON: readers of logfmt refuse the form of Rust, and the whole line with it.
            _ => push_json(&mut out, char),
        }
    }
    out.push('"');
    Cow::Owned(out)
}

fn push_json(out: &mut String, char: char) {
    if is_unsafe(char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    } else {
        out.push(char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_has_its_form() {
        let text = "a\x1b[2J\n\u{202e}<é>\t\"|\\\u{e0001}";
        assert_eq!(escape(text), r#"a\u{1b}[2J\n\u{202e}<é>\t"|\\u{e0001}"#);
        assert_eq!(escape_lines("a\n\r"), "a\n\\r");
        assert_eq!(html(text), "a\\u{1b}[2J\n\\u{202e}&lt;é&gt;\\t&quot;|\\\\u{e0001}");
        assert_eq!(json_string(text), r#""a\u001b[2J\n\u202e<é>\t\"|\\\udb40\udc01""#);
        assert_eq!(logfmt_value("/var/log/a\\b'c-é"), "/var/log/a\\b'c-é");
        assert_eq!(logfmt_value("a b\r"), r#""a b\r""#);
        assert_eq!(logfmt_value("a=b"), r#""a=b""#);
        assert_eq!(logfmt_value("\u{202e}it's"), r#""\u202eit\'s""#);
        assert_eq!(logfmt_value(text), r#""a\u001b[2J\n\u202e<é>\t\"|\\\udb40\udc01""#);
        assert_eq!(markdown("a|b @c\u{7f}"), r"a\|b &#64;c\\u{7f}");
        assert_eq!(label(b"\xff\x1b\xc3\xa9"), r"\xff\u{1b}é");
        assert_eq!(decode(b"a\xffb\xc3\xa9"), "a\\xffb\u{e9}");
    }

    #[test]
    fn what_turns_or_hides_text_is_unsafe() {
        for char in "\u{0}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\
                     \u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}"
            .chars()
        {
            assert!(is_unsafe(char), "{char:?}");
        }
        for char in "aé ß中😀\u{a0}–".chars() {
            assert!(!is_unsafe(char), "{char:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_unsafe_is_left(
            text in "(?s)(.|[\u{0}-\u{20}<>&\"'\\\\|`@]|[\u{7f}-\u{9f}]|[\u{2000}-\u{206f}]|\u{61c}|\u{feff}|[\u{e0000}-\u{e007f}]){0,60}",
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            for one_line in [escape(&text), markdown(&text), json_string(&text), logfmt_value(&text).into_owned()] {
                proptest::prop_assert!(!one_line.chars().any(is_unsafe), "{:?}", one_line);
            }
            let document = serde_json::to_string_pretty(&[&text]).unwrap();
            for lines in [escape_lines(&text), label(&bytes), html(&text), json_document(&document)] {
                proptest::prop_assert!(
                    !lines.chars().any(|char| char != '\n' && is_unsafe(char)), "{:?}", lines);
            }
            proptest::prop_assert!(!html(&text).contains(['<', '>', '"', '\'']));
            let read: String = serde_json::from_str(&json_string(&text)).unwrap();
            proptest::prop_assert_eq!(&read, &text);
            let [read]: [String; 1] = serde_json::from_str(&json_document(&document)).unwrap();
            proptest::prop_assert_eq!(&read, &text);
        }
    }
}
