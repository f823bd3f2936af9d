//! One signature: a log line whose meaning is known, as data.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::{anchors, finder};
use crate::yaml::{Spanned, or_default};
use regex::bytes::{Captures, Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the whole meaning")]
pub enum Severity {
    Critical,
    Warning,
    Info,
}

/// What is asked of whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the whole meaning")]
pub enum Verdict {
    Act,
    Watch,
    Harmless,
}

impl Severity {
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Verdict {
    pub fn label(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Watch => "watch",
            Self::Harmless => "harmless",
        }
    }
}

/// A signature as it stands in a catalogue file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Name in labels and in `disable`: lower-case words with hyphens.
    pub id: Spanned<String>,
    /// What has happened, in a few words.
    pub title: String,
    /// Syslog identifiers it may come from; empty: any.
    #[serde(default, deserialize_with = "or_default")]
    pub programs: Vec<String>,
    /// One or several wordings.
    pub pattern: Wordings,
    /// How bad it is.
    pub severity: Severity,
    /// What is asked of the reader.
    pub verdict: Verdict,
    /// Named groups whose values are counted apart.
    #[serde(default, deserialize_with = "or_default")]
    pub captures: Vec<String>,
    /// It says how a process ended: told beside the kills that audit records tell.
    #[serde(default)]
    pub ends_process: bool,
    /// A named group that says how many the line stands for.
    pub count: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub advice: String,
    /// Where to read on.
    #[serde(default)]
    pub reference: String,
    /// Real lines that show what is meant.
    #[serde(default, deserialize_with = "or_default")]
    pub samples: Samples,
}

/// Lines that must match and near-misses that must not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Samples {
    /// Lines that must match.
    #[serde(rename = "match", deserialize_with = "or_default")]
    pub matching: Vec<Sample>,
    /// Lines that must not.
    #[serde(deserialize_with = "or_default")]
    pub no_match: Vec<String>,
}

/// A line, and where it was seen.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Sample {
    Line(String),
    /// The line with its origin; the built-in ones have it.
    Seen {
        line: String,
        /// A source file, an issue, a recording.
        from: String,
    },
}

impl Sample {
    pub fn line(&self) -> &str {
        match self {
            Self::Line(line) | Self::Seen { line, .. } => line,
        }
    }
}

/// The wordings of a signature, on bytes: a log line need not be UTF-8.
#[derive(Debug, Clone)]
pub struct Wordings(pub Vec<Wording>);

/// One expression. It is compiled when a line first has its anchor: most never meet one, and hundreds of
/// compiled expressions take megabytes.
#[derive(Debug, Clone)]
pub struct Wording {
    text: String,
    regex: OnceLock<Option<Regex>>,
}

/// More than any wording needs; a counted repetition of a class can ask for gigabytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

impl Wording {
    fn new(text: String) -> Result<Self, String> {
        let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
        if parser.parse(&text).is_err() {
            Self::compile(&text)?;
        }
        Ok(Self { text, regex: OnceLock::new() })
    }

    fn compile(text: &str) -> Result<Regex, String> {
        let regex = RegexBuilder::new(text).unicode(false).size_limit(MAX_REGEX_BYTES).build();
        regex.map_err(|error| crate::config::describe_regex_error(text, &error))
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// An expression that cannot be compiled, which [`Signature::mistakes`] tells at the start, matches
    /// nothing.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| Self::compile(&self.text).ok()).as_ref()
    }

    /// Where it first matches.
    pub fn find(&self, line: &[u8]) -> Option<usize> {
        self.regex()?.find(line).map(|found| found.start())
    }

    /// Whether it matches.
    pub fn matches(&self, line: &[u8]) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(line))
    }

    /// The groups of a match.
    pub fn captures<'l>(&self, line: &'l [u8]) -> Option<Captures<'l>> {
        self.regex()?.captures(line)
    }
}

impl<'de> Deserialize<'de> for Wordings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Wordings;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a regular expression, or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Wordings, E> {
                Wording::new(text.to_owned()).map(|one| Wordings(vec![one])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Wordings, A::Error> {
                let mut wordings = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    wordings.push(Wording::new(text).map_err(A::Error::custom)?);
                }
                if wordings.is_empty() {
                    return Err(A::Error::custom("a pattern needs at least one wording"));
                }
                Ok(Wordings(wordings))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl Signature {
    /// What is wrong beyond what a single field shows.
    pub fn mistakes(&self) -> Vec<String> {
        let id = &self.id.value;
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(letters) {
            return vec![format!("id '{id}': use up to 64 of a-z, 0-9 and -")];
        }
        let mut mistakes = Vec::new();
        let mut groups = HashSet::new();
        for wording in &self.pattern.0 {
            match usable(wording.text()) {
                Ok(regex) => groups.extend(regex.capture_names().flatten().map(str::to_owned)),
                Err(mistake) => mistakes.push(format!("{id}: {mistake}")),
            }
        }
        if !mistakes.is_empty() {
            // Groups and samples that fail would only follow from that.
            return mistakes;
        }
        let twice = (1..self.captures.len())
            .find(|&nth| self.captures[..nth].contains(&self.captures[nth]));
        mistakes.extend(
            twice.map(|nth| format!("{id}: captures names '{}' twice", self.captures[nth])),
        );
        let missing =
            self.captures.iter().chain(&self.count).filter(|group| !groups.contains(*group));
        mistakes
            .extend(missing.map(|group| format!("{id}: no wording has a group (?P<{group}>…)")));
        let scoped = |line: &str| super::matcher::hit(self, line.as_bytes());
        let failing = self.samples.matching.iter().map(Sample::line).filter(|line| !scoped(line));
        mistakes.extend(failing.map(|line| format!("{id}: sample does not match: {line}")));
        let wrong = self.samples.no_match.iter().filter(|line| scoped(line));
        mistakes.extend(wrong.map(|line| format!("{id}: sample must not match and does: {line}")));
        mistakes
    }
}

/// A wording compiled, if it is one that a catalogue may have.
fn usable(text: &str) -> Result<Regex, String> {
    let regex = Wording::compile(text)?;
    if regex.is_match(b"") {
        return Err(format!("'{text}' matches every line; say what the line must have"));
    }
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build();
    // What can match has a shortest match.
    if parser.parse(text).is_ok_and(|hir| hir.properties().minimum_len().is_none()) {
        return Err(format!("'{text}' matches no line at all; take out what cannot be"));
    }
    let strength = anchors::strength(text);
    if strength < finder::SHORTEST {
        return Err(format!(
            "'{text}': every match must have {} fixed bytes in a row; say more of the line",
            finder::SHORTEST
        ));
    }
    Ok(regex)
}
