//! JSON objects, written by hand: what is written here is flat and small.

use std::fmt::Write as _;

/// An object that is being written.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// A member that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// A string, or `null`.
    pub(crate) fn text(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        self.raw(name, &text.map_or_else(|| "null".to_owned(), string))
    }

    /// A number, `true` or `false`, or `null`.
    pub(crate) fn value(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        self.raw(name, &value.map_or_else(|| "null".to_owned(), |value| value.to_string()))
    }

    /// A list of what is JSON already.
    pub(crate) fn list(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = String>,
    ) -> &mut Self {
        let items: Vec<_> = items.into_iter().collect();
        self.raw(name, &format!("[{}]", items.join(",")))
    }

    /// The whole object.
    pub(crate) fn end(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// A string of JSON, on one line whatever is in it.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            // Only the basic plane has such.
            _ if is_unsafe(char) => drop(write!(out, "\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Text for a terminal or a log line: nothing in it moves the cursor, breaks the line or turns the
/// direction of what follows.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unsafe(char) { out.extend(char.escape_default()) } else { out.push(char) }
    }
    out
}

/// Control characters, and those of Unicode that part lines, join or turn the direction.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let mut inner = Object::default();
        inner.value("pid", Some(7)).text("comm", Some("my \"app\"\n"));
        let mut object = Object::default();
        object.text("a", None).value("b", Some(true)).value("c", None::<u32>);
        object.list("d", [inner.end()]).list("e", []);
        let expected =
            r#"{"a":null,"b":true,"c":null,"d":[{"pid":7,"comm":"my \"app\"\n"}],"e":[]}"#;
        assert_eq!(object.end(), expected);
        assert_eq!(Object::default().end(), "{}");
    }

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(
            string("\\ \x1b[2J \r\x7f\u{9b} é \u{202e}"),
            r#""\\ \u001b[2J \u000d\u007f\u009b é \u202e""#
        );
        assert_eq!(escaped("a\x1b[2J\nb\u{202e}é"), r"a\u{1b}[2J\nb\u{202e}é");
        assert_eq!(escaped("tab\t"), "tab\\t");
    }
}
