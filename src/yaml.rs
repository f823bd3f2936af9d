//! Reading YAML so that every mistake is told with its place: file, line and column.

mod remainder;

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny};
use serde_saphyr::DuplicateKeyPolicy::LastWins;
use serde_saphyr::localizer::Localizer;
use serde_saphyr::{Error as ParseError, Location, UserMessageFormatter};

pub(crate) use serde_saphyr::Spanned;

use crate::text;

use remainder::Remainder;

/// More than any sensible file; keeps a wrong path (a log, a device) out of memory.
const MAX_BYTES: u64 = 1 << 20;

/// More are not told at once.
const MAX_MISTAKES: usize = 100;

/// A mistake in what the user wrote, in one line that names file, line and cure.
#[derive(Debug)]
pub struct Error {
    /// Where it is, if it is in a YAML document and the parser knows it.
    at: Option<Location>,
    line: String,
}

impl Error {
    /// An error that is already one line.
    pub fn new(line: String) -> Self {
        Self { at: None, line }
    }

    /// What is wrong at a place of the document called `name`.
    pub fn at(name: &str, at: Location, what: &str) -> Self {
        let line = format!("{name}:{}:{}: {what}", at.line(), at.column());
        Self { at: Some(at), line }
    }

    /// What the parser refuses in the document called `name`.
    fn of_parser(name: &str, error: &ParseError) -> Self {
        let what = describe(error);
        match error.location() {
            Some(at) => Self::at(name, at, &what),
            None => Self::new(format!("{name}: {what}")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Error {}

/// Leaves out the place, which is told before the message.
struct WithoutPlace;

impl Localizer for WithoutPlace {
    fn attach_location<'a>(
        &self,
        base: std::borrow::Cow<'a, str>,
        _: Location,
    ) -> std::borrow::Cow<'a, str> {
        base
    }
}

/// What is wrong and how to correct it, in one line.
fn describe(error: &ParseError) -> String {
    let cure = match error {
        ParseError::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("duplicate mapping key: {}", text::escape(key));
        }
        ParseError::Unexpected { expected: "sequence start", .. } => {
            ": a list is wanted, [one, two]"
        }
        ParseError::Unexpected { expected: "mapping start", .. } => ": 'key: value' is wanted",
        ParseError::InvalidScalar { ty: "boolean", .. } => ": true or false",
        _ => "",
    };
    let what = error.render_with_formatter(&UserMessageFormatter.with_localizer(&WithoutPlace));
    format!("{}{cure}", what.lines().next().unwrap_or("not valid"))
}

/// Reads a YAML file; `what` is what errors call it.
pub(crate) fn read_file(what: &str, path: &Path) -> Result<String, Error> {
    use std::io::Read as _;
    let refuse = |why: &dyn fmt::Display| {
        Error::new(format!("cannot read {what} {}: {why}", path.display()))
    };
    let mut text = String::new();
    // Looked at before it is opened: opening a FIFO waits for its writer.
    if !std::fs::metadata(path).map_err(|error| refuse(&error))?.is_file() {
        return Err(refuse(&"it is not a regular file"));
    }
    let file = std::fs::File::open(path).map_err(|error| refuse(&error))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| refuse(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(refuse(&"it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Understands a document as a whole or not at all; `name` is what errors call it.
pub(crate) fn parse<T: DeserializeOwned + Default>(yaml: &str, name: &str) -> Result<T, Error> {
    deserialize(yaml).map_err(|error| Error::of_parser(name, &error))
}

fn deserialize<T: DeserializeOwned + Default>(yaml: &str) -> Result<T, ParseError> {
    let options = serde_saphyr::options! { with_snippet: false };
    // `Option`: a file of comments alone is the null document.
    let value = serde_saphyr::from_str_with_options::<Option<T>>(yaml, options)?;
    Ok(value.unwrap_or_default())
}

fn is_yaml(text: &str) -> bool {
    let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: LastWins };
    serde_saphyr::from_str_with_options::<IgnoredAny>(text, options).is_ok()
}

/// A key whose value is left empty has its default: all that was below it may be commented out.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What could be understood of a document, and all that is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Document<T> {
    /// The document without what was refused.
    pub value: T,
    name: String,
    mistakes: Vec<Error>,
    /// Lines of which something was taken out, or of what they contain.
    touched: Vec<bool>,
}

impl<T: DeserializeOwned + Default> Document<T> {
    /// Reads a document with all its mistakes; `name` is what they call it.
    ///
    /// The parser gives up at a mistake. So what it refused is taken out (a key or an item of a list, with
    /// what belongs to it) and the rest is read again, until it is understood. What only follows from that
    /// is no mistake of its own: a source whose `files` is misspelt has none.
    pub(crate) fn read(yaml: &str, name: &str) -> Self {
        let mut rest = Remainder::of(yaml);
        let mut document = Self { name: name.to_owned(), ..Self::default() };
        loop {
            let text = rest.text();
            let error = match deserialize::<T>(&text) {
                Ok(value) => {
                    document.value = value;
                    document.touched = rest.touched;
                    return document;
                }
                Err(error) => error,
            };
            let is_yaml = is_yaml(&text);
            // What is no YAML without what was taken out of it is no mistake of the user's.
            let mistakes = &mut document.mistakes;
            if !mistakes.is_empty() && (!is_yaml || mistakes.len() >= MAX_MISTAKES) {
                let more = "more may be wrong after these; correct them and check again";
                mistakes.push(Error::new(format!("{name}: {more}")));
                return document;
            }
            let line = error.location().map(line_index);
            let follows = line.is_some_and(|line| rest.is_touched(line));
            let removal = line.map(|line| rest.remove_at(line)).unwrap_or_default();
            let mut mistake = Error::of_parser(name, &error);
            if removal.unseen {
                mistake.line.push_str(UNSEEN);
            }
            if removal.unseen || !follows {
                mistakes.push(mistake);
            }
            if !is_yaml || !removal.removed {
                return document;
            }
        }
    }

    /// Adds what is wrong with the meaning of a part that was understood, unless it only follows from
    /// another mistake in it.
    pub(crate) fn refuse(&mut self, at: Location, what: &str) {
        if !self.touched.get(line_index(at)).is_some_and(|touched| *touched) {
            self.mistakes.push(Error::at(&self.name, at, what));
        }
    }

    /// What was understood, and the mistakes in the order of their lines.
    pub(crate) fn finish(mut self) -> (T, Vec<Error>) {
        self.mistakes.sort_by_key(|mistake| mistake.at.map_or(u64::MAX, |at| at.line()));
        (self.value, self.mistakes)
    }
}

/// What is said of a mistake within braces or brackets: they are taken out as a whole.
const UNSEEN: &str = " (what stands beside it on the line is looked at when it is corrected)";

/// The line, counted from 0.
fn line_index(at: Location) -> usize {
    usize::try_from(at.line().saturating_sub(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only their types matter")]
    struct Settings {
        logs: Logs,
        users: Vec<String>,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only their types matter")]
    struct Logs {
        #[serde(deserialize_with = "or_default")]
        sources: Vec<Source>,
        kmsg: bool,
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only their types matter")]
    struct Source {
        name: String,
        files: Vec<String>,
    }

    fn mistakes(yaml: &str) -> Vec<String> {
        let (_, mistakes) = Document::<Settings>::read(yaml, "t.yml").finish();
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_yaml_is_one_mistake() {
        for yaml in
            ["users:\n\texclude: x\nlog: 1\n", "logs: [\n", "a: b: c\n", "\u{0}", "users: *x\n"]
        {
            assert_eq!(mistakes(yaml).len(), 1, "{yaml:?}: {:?}", mistakes(yaml));
        }
        assert!(mistakes("").is_empty());
    }

    #[test]
    fn what_the_user_wrote_does_not_change_the_rest_of_the_message() {
        for (yaml, said) in [
            ("'a at line 7; set b': 1\n", "unknown field `a at line 7; set b`, expected one of"),
            ("users: []\nusers: []\n", "t.yml:2:1: duplicate mapping key: users"),
            ("logs: {kmsg: perhaps}\n", "invalid boolean: true or false"),
            ("logs: {sources: 1}\n", "expected sequence start: a list is wanted, [one, two]"),
            ("users: []\n---\nusers: []\n", "only single YAML document expected"),
        ] {
            let mistakes = mistakes(yaml);
            assert!(mistakes[0].contains(said), "{yaml:?}: {mistakes:?}");
            assert!(
                !mistakes[0].contains("Policy") && !mistakes[0].contains(", column"),
                "{mistakes:?}"
            );
        }
    }

    #[test]
    fn mistakes_of_meaning_stand_among_those_of_the_parser() {
        let yaml = "logs:\n  sources:\n    - name: a\n      files: []\n    - nam: b\n      files: []\nuser: 1\n";
        let mut document = Document::<Settings>::read(yaml, "t.yml");
        let places: Vec<Spanned<String>> = parse("\n\n- a\n\n- b\n", "places").unwrap();
        document.refuse(places[0].defined, "a is wrong");
        document.refuse(places[1].defined, "b follows");
        let (_, mistakes) = document.finish();
        let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes[0], "t.yml:3:3: a is wrong", "{mistakes:?}");
        assert!(mistakes[1].contains("`nam`"), "{mistakes:?}");
        // The parser misses the name, not knowing that it is the misspelt one.
        assert!(mistakes[2].contains("missing field `name`"), "{mistakes:?}");
        assert!(mistakes[3].contains("`user`"), "{mistakes:?}");
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    }

    proptest::proptest! {
        /// Whatever is written, it comes to an end and says something where the parser refuses.
        #[test]
        fn it_ends(lines in proptest::collection::vec("( {0,6})(- )?(users|logs|sources|name|files|kmsg|x)?(: ?)?(\\[|\\{|\\]|'|true|/a|#)?", 0..15)) {
            let yaml = lines.join("\n");
            let parsed = serde_saphyr::from_str::<Option<Settings>>(&yaml);
            proptest::prop_assert_eq!(parsed.is_ok(), mistakes(&yaml).is_empty());
        }
    }
}
