//! One signature: a log line whose meaning is known, as data.

use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_saphyr::Spanned;

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
    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Verdict {
    /// The label value.
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
    #[serde(default)]
    pub programs: Vec<String>,
    /// One or several wordings.
    pub pattern: Wordings,
    /// How bad it is.
    pub severity: Severity,
    /// What is asked of the reader.
    pub verdict: Verdict,
    /// Named groups whose values are counted apart.
    #[serde(default)]
    pub captures: Vec<String>,
    /// A named group that says how many the line stands for.
    pub count: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub advice: String,
    /// Where to read on.
    #[serde(default)]
    pub reference: String,
    /// Real lines that show what is meant.
    #[serde(default)]
    pub samples: Samples,
}

/// Lines that must match and near-misses that must not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Samples {
    /// Lines that must match.
    #[serde(rename = "match")]
    pub matching: Vec<String>,
    /// Lines that must not.
    pub no_match: Vec<String>,
}

/// The wordings of a signature, on bytes: a log line need not be UTF-8.
#[derive(Debug, Clone)]
pub struct Wordings(pub Vec<Regex>);

/// More than any wording needs; a counted repetition of a class can ask for gigabytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

fn wording(text: &str) -> Result<Regex, String> {
    let regex = RegexBuilder::new(text).unicode(false).size_limit(MAX_REGEX_BYTES).build();
    let regex = regex.map_err(|error| crate::config::mistake(text, &error))?;
    if regex.is_match(b"") {
        return Err(format!("'{text}' matches every line; say what the line must have"));
    }
    Ok(regex)
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
                wording(text).map(|regex| Wordings(vec![regex])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Wordings, A::Error> {
                let mut wordings = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    wordings.push(wording(&text).map_err(A::Error::custom)?);
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
    pub fn mistake(&self) -> Option<String> {
        let id = &self.id.value;
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(letters) {
            return Some(format!("id '{id}': use up to 64 of a-z, 0-9 and -"));
        }
        for group in self.captures.iter().chain(&self.count) {
            let has = |regex: &Regex| regex.capture_names().flatten().any(|name| name == group);
            if !self.pattern.0.iter().all(has) {
                return Some(format!("{id}: a wording has no group (?P<{group}>…)"));
            }
        }
        let scoped = |line: &String| super::matcher::hit(self, line.as_bytes());
        if let Some(line) = self.samples.matching.iter().find(|line| !scoped(line)) {
            return Some(format!("{id}: sample does not match: {line}"));
        }
        let wrong = self.samples.no_match.iter().find(|line| scoped(line));
        wrong.map(|line| format!("{id}: sample must not match and does: {line}"))
    }
}
