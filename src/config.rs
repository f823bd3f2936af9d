//! The one YAML file, and the validation of everything in it.

mod source;

use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::yaml::{self, Document, Spanned, or_default};

pub(crate) use crate::yaml::Error;
pub(crate) use source::{Format, Source};

/// The configuration that holds without `--config.file`; it is the commented example we ship.
pub(crate) const DEFAULT: &str = include_str!("../deploy/telltale_exporter.yml");

/// What the configuration file says; everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "or_default")]
    pub users: Users,
    #[serde(deserialize_with = "or_default")]
    pub audit: Audit,
    #[serde(deserialize_with = "or_default")]
    pub logs: Logs,
}

/// Which logs are followed, and what is looked for in them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// What is followed; `None`: chosen for this host.
    sources: Option<Vec<Spanned<Source>>>,
    /// Patterns of signature files, added to the built-in catalogue.
    #[serde(deserialize_with = "or_default")]
    pub signatures: Vec<Spanned<String>>,
    /// Ids of signatures that are switched off.
    #[serde(deserialize_with = "or_default")]
    pub disable: Vec<Spanned<String>>,
    /// Whether pages show lines as they were written: anybody who reaches the port reads them.
    pub examples: bool,
    /// The file that says all this, as messages about its lines call it.
    #[serde(skip)]
    pub file: String,
}

impl Logs {
    /// What is followed; `None`: chosen for this host.
    pub fn sources(&self) -> Option<Vec<Source>> {
        let sources = self.sources.as_ref()?.iter();
        Some(sources.map(|source| source.value.clone()).collect())
    }
}

/// What is expected of the audit subsystem, so that rules can ask for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// Auditing must be on and somebody must listen.
    pub required: bool,
    /// Keys of which a rule must be loaded.
    #[serde(deserialize_with = "expected_keys")]
    pub expected_keys: Vec<String>,
}

/// Most keys that make series.
const MAX_KEYS: usize = 50;

fn expected_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut keys: Vec<String> = or_default(deserializer)?;
    keys.sort();
    keys.dedup();
    if keys.len() > MAX_KEYS {
        return Err(D::Error::custom(format!("at most {MAX_KEYS} expected_keys")));
    }
    Ok(keys)
}

/// Which users are shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Users {
    /// Only users whose name matches; empty: all.
    pub include: Pattern,
    /// Not the users whose name matches; empty: none.
    pub exclude: Pattern,
}

impl Users {
    /// Whether a user of this name is shown.
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.include.0.as_ref().is_none_or(|pattern| pattern.is_match(name))
            && !self.exclude.0.as_ref().is_some_and(|pattern| pattern.is_match(name))
    }
}

/// An optional regular expression; the empty one is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern(Option<Regex>);

/// What is wrong with a regular expression, in one line.
pub(crate) fn describe_regex_error(text: &str, error: &regex::Error) -> String {
    // The last line of a regex error names the mistake, the ones before draw it.
    let error = error.to_string();
    let mistake = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("'{text}' is no regular expression: {mistake}")
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        Regex::new(text)
            .map(|regex| Self(Some(regex)))
            .map_err(|error| describe_regex_error(text, &error))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Config {
    /// What the file says, or the default without one, and all that is wrong with it; that is left out.
    pub(crate) fn read_all(file: Option<&Path>) -> (Self, Vec<Error>) {
        match file {
            Some(path) => match yaml::read_file("--config.file", path) {
                Ok(yaml) => Self::parse_all(&yaml, &path.display().to_string()),
                Err(mistake) => (Self::default(), vec![mistake]),
            },
            None => Self::parse_all(DEFAULT, "built-in configuration"),
        }
    }

    /// What the file says, or the default without one.
    ///
    /// # Errors
    /// The first mistake found.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, Error> {
        first(Self::read_all(file))
    }

    /// Parses YAML; `name` is what errors call it.
    #[cfg(test)]
    pub(crate) fn parse(yaml: &str, name: &str) -> Result<Self, Error> {
        first(Self::parse_all(yaml, name))
    }

    fn parse_all(yaml: &str, name: &str) -> (Self, Vec<Error>) {
        let mut document = Document::<Self>::read(yaml, name);
        source::check(&mut document);
        let (mut config, mistakes) = document.finish();
        name.clone_into(&mut config.logs.file);
        (config, mistakes)
    }
}

/// What was read, if nothing is wrong with it.
///
/// # Errors
/// The first mistake.
pub(crate) fn first((config, mistakes): (Config, Vec<Error>)) -> Result<Config, Error> {
    mistakes.into_iter().next().map_or(Ok(config), Err)
}

#[cfg(test)]
mod tests;
