//! The one YAML file, and the validation of everything in it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;

mod mistakes;

use mistakes::Place;

/// The configuration that holds without `--config.file`; it is the commented example we ship.
pub const DEFAULT: &str = include_str!("../deploy/telltale_exporter.yml");

/// More than any sensible file; keeps a wrong path (a log, a device) out of memory.
const MAX_BYTES: u64 = 1 << 20;

/// What the configuration file says; everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The `users` collector.
    pub users: Users,
    /// The `audit` collector.
    pub audit: Audit,
    /// The `logs` collector.
    pub logs: Logs,
}

/// Which logs are followed, and what is looked for in them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// What is followed; `None`: chosen for this host.
    #[serde(deserialize_with = "sources")]
    pub sources: Option<Vec<Source>>,
    /// Patterns of signature files, added to the built-in catalogue.
    pub signatures: Vec<Spanned<String>>,
    /// Ids of signatures that are switched off.
    pub disable: Vec<Spanned<String>>,
    /// Whether pages show lines as they were written: anybody who reaches the port reads them.
    pub examples: bool,
    /// The file that says all this, as messages about its lines call it.
    #[serde(skip)]
    pub file: String,
}

/// One source of log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of its own in the configuration")]
pub struct Source {
    /// The label `source`.
    pub name: String,
    /// Paths of logs, patterns of them, or directories all of whose files are logs.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// What a line of these files looks like.
    #[serde(default)]
    pub format: Format,
    /// Links that root owns, through directories that root owns, are followed from a pattern to any regular file.
    #[serde(default)]
    pub follow_links: bool,
    /// The kernel's ring, `/dev/kmsg`.
    #[serde(default)]
    pub kmsg: bool,
    /// The journal of systemd-journald.
    #[serde(default)]
    pub journal: bool,
    /// The records that the kernel sends to everybody who may listen (`AUDIT_NLGRP_READLOG`).
    #[serde(default)]
    pub audit_multicast: bool,
    /// Directories of that journal; none: those of this host's journald.
    #[serde(default)]
    pub directories: Vec<PathBuf>,
}

impl Source {
    /// What is wrong with it by itself.
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let kinds = [!self.files.is_empty(), self.kmsg, self.journal, self.audit_multicast];
        let is_one = kinds.iter().filter(|is| **is).count() == 1;
        if !is_one {
            mistakes.push("give it either files, or 'kmsg: true', or 'journal: true', or 'audit_multicast: true'".to_owned());
        }
        if is_one && self.format == Format::Audit && self.files.is_empty() {
            mistakes.push("'format: audit' is for files".to_owned());
        }
        if self.follow_links && self.files.is_empty() {
            mistakes.push("'follow_links: true' is for files".to_owned());
        }
        if !self.directories.is_empty() && !self.journal {
            mistakes.push("directories are for 'journal: true'".to_owned());
        }
        if self.files.iter().chain(&self.directories).any(|path| !path.is_absolute()) {
            mistakes.push("files and directories need absolute paths".to_owned());
        }
        let files = self.files.iter().filter_map(|file| file.to_str());
        let errors = files.filter_map(|file| Some((file, glob::Pattern::new(file).err()?)));
        mistakes.extend(errors.map(|(file, error)| format!("'{file}' is no pattern: {error}")));
        mistakes
    }

    /// Whether it brings audit events.
    pub fn is_audit(&self) -> bool {
        self.audit_multicast || self.format == Format::Audit
    }

    /// Whether it is read from files, and not from what numbers its messages.
    pub fn has_files(&self) -> bool {
        !(self.kmsg || self.journal || self.audit_multicast)
    }

    /// Whether both would count the same messages.
    fn repeats(&self, other: &Self) -> bool {
        (self.kmsg && other.kmsg)
            || (self.is_audit() && other.is_audit())
            || (self.journal && other.journal && self.directories == other.directories)
    }
}

/// What the lines of a source look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// With a syslog header, traditional or ISO 8601, told apart line by line.
    #[default]
    Syslog,
    /// Without a header: the whole line is the message.
    Plain,
    /// Records of the audit daemon.
    Audit,
}

/// Most sources; each has a thread.
const MAX_SOURCES: usize = 50;

fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Source>>, D::Error> {
    let Some(spanned) = Option::<Vec<Spanned<Source>>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if spanned.len() > MAX_SOURCES {
        return Err(D::Error::custom(format!("at most {MAX_SOURCES} sources")));
    }
    let (list, places): (Vec<_>, Vec<_>) =
        spanned.into_iter().map(|one| (one.value, one.defined)).unzip();
    let mut mistakes = Vec::new();
    for (nth, source) in list.iter().enumerate() {
        let mut refuse = |why: String| {
            let (line, column) = (places[nth].line(), places[nth].column());
            let name = source.name.escape_debug();
            mistakes.push(format!("{PLACE}{line}:{column}: source '{name}': {why}"));
        };
        if source.name.chars().any(char::is_control) {
            refuse("its name has a control character".to_owned());
        }
        if source.name.is_empty() || list[..nth].iter().any(|other| other.name == source.name) {
            refuse("give each source a name of its own".to_owned());
        }
        source.mistakes().into_iter().for_each(&mut refuse);
        if let Some(other) = list[..nth].iter().find(|other| other.repeats(source)) {
            let other = other.name.escape_debug();
            refuse(format!("it is source '{other}' again, its lines would count twice"));
        }
        let before = list[..nth].iter().flat_map(|source| &source.files);
        let mut seen: BTreeSet<_> = before.collect();
        for twice in source.files.iter().filter(|file| !seen.insert(file)) {
            let twice = twice.display();
            refuse(format!("{twice} is named twice, its lines would count twice"));
        }
    }
    if mistakes.is_empty() { Ok(Some(list)) } else { Err(D::Error::custom(mistakes.join(AND))) }
}

/// Begins a message that knows its place better than the parser, which names that of the whole list.
const PLACE: char = '@';

/// Stands between several such messages.
const AND: &str = " @@@ ";

/// What is expected of the audit subsystem, so that rules can ask for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Auditing must be on and somebody must listen.
    pub required: bool,
    /// Keys of which a rule must be loaded.
    #[serde(deserialize_with = "expected_keys")]
    pub expected_keys: Vec<String>,
}

/// Most keys that make series.
const MAX_KEYS: usize = 50;

fn expected_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut keys = Vec::<String>::deserialize(deserializer)?;
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
pub struct Users {
    /// Only users whose name matches; empty: all.
    pub include: Pattern,
    /// Not the users whose name matches; empty: none.
    pub exclude: Pattern,
}

impl Users {
    /// Whether a user of this name is shown.
    pub fn shows(&self, name: &str) -> bool {
        self.include.0.as_ref().is_none_or(|pattern| pattern.is_match(name))
            && !self.exclude.0.as_ref().is_some_and(|pattern| pattern.is_match(name))
    }
}

/// An optional regular expression; the empty one is none.
#[derive(Debug, Clone, Default)]
pub struct Pattern(Option<Regex>);

/// What is wrong with a regular expression, in one line.
pub fn mistake(text: &str, error: &regex::Error) -> String {
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
        Regex::new(text).map(|regex| Self(Some(regex))).map_err(|error| mistake(text, &error))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A mistake in the configuration, in one line that names file, line and cure.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error that is already one line.
    pub fn new(line: String) -> Self {
        Self(line)
    }

    /// What is wrong with a YAML document called `name`: the first of it.
    pub fn of_yaml(name: &str, error: &serde_saphyr::Error) -> Self {
        Self::all_of_yaml(name, error).swap_remove(0).1
    }

    /// What the parser told of a YAML document called `name`, at least one, each with its place in it.
    fn all_of_yaml(name: &str, error: &serde_saphyr::Error) -> Vec<(Option<Place>, Self)> {
        let message = error.to_string();
        let message = message.lines().next().unwrap_or("not valid");
        // The place is said already, and what its options could do is for programmers.
        let message = message.split(" at line ").next().unwrap_or(message);
        let message = message.split("; set ").next().unwrap_or(message);
        let message = message.split(", set ").next().unwrap_or(message);
        let line = |line: u64| usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        if message.starts_with(PLACE) {
            let placed = |one: &str| {
                let one = one.trim_start_matches(PLACE);
                let number = one.split(':').next().and_then(|number| number.parse().ok());
                let place = number.map(|number| Place { line: line(number), item: true });
                (place, Self(format!("{name}:{one}")))
            };
            return message.split(AND).map(placed).collect();
        }
        let at = error.location();
        let place = at.map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
        let cure = match message {
            "expected sequence start" => ": a list is wanted, [one, two]",
            "invalid boolean" => ": true or false",
            _ => "",
        };
        let mistake = Self(format!("{name}{place}: {message}{cure}"));
        vec![(at.map(|at| Place { line: line(at.line()), item: false }), mistake)]
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// What the file says, or the default without one, and all that is wrong with it; that is left out.
    pub fn read_all(file: Option<&Path>) -> (Self, Vec<Error>) {
        match file {
            Some(path) => match read_file("--config.file", path) {
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
    pub fn read(file: Option<&Path>) -> Result<Self, Error> {
        first(Self::read_all(file))
    }

    /// Parses YAML; `name` is what errors call it.
    pub fn parse(yaml: &str, name: &str) -> Result<Self, Error> {
        first(Self::parse_all(yaml, name))
    }

    fn parse_all(yaml: &str, name: &str) -> (Self, Vec<Error>) {
        let (mut config, mistakes) = mistakes::read_all::<Self>(yaml, name);
        name.clone_into(&mut config.logs.file);
        (config, mistakes)
    }
}

/// What was read, if nothing is wrong with it.
///
/// # Errors
/// The first mistake.
pub fn first((config, mistakes): (Config, Vec<Error>)) -> Result<Config, Error> {
    mistakes.into_iter().next().map_or(Ok(config), Err)
}

/// Reads a YAML file; `what` is what errors call it.
pub fn read_file(what: &str, path: &Path) -> Result<String, Error> {
    use std::io::Read as _;
    let refuse =
        |why: &dyn fmt::Display| Error(format!("cannot read {what} {}: {why}", path.display()));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        Config::parse(yaml, "t.yml").unwrap_err().to_string()
    }

    #[test]
    fn built_in_default_shows_everybody() {
        let config = Config::parse(DEFAULT, "built-in").unwrap();
        assert!(config.users.shows("root") && config.users.shows("4711"));
    }

    #[test]
    fn empty_documents_are_valid() {
        for yaml in ["", "# nothing\n", "---\n", "users:\n", "users: {}\n"] {
            assert!(Config::parse(yaml, "t.yml").unwrap().users.shows("root"), "{yaml:?}");
        }
    }

    #[test]
    fn include_and_exclude() {
        let yaml = "users:\n  include: '^www'\n  exclude: 'test$'\n";
        let users = Config::parse(yaml, "t.yml").unwrap().users;
        assert!(users.shows("www-data"));
        assert!(!users.shows("root") && !users.shows("www-test"));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (yaml, place, word) in [
            ("users:\n  excluded: x\n", "t.yml:2:", "excluded"),
            ("user:\n  exclude: x\n", "t.yml:1:", "user"),
            ("users:\n  exclude: '('\n", "t.yml:2:", "unclosed group"),
            ("users: [1]\n", "t.yml:1:", ""),
            ("users:\n\texclude: x\n", "t.yml:2:", ""),
            ("logs:\n  sources: [{name: a, files: [/a, /a]}]\n", "t.yml:2:", "twice"),
            ("logs:\n  sources: [{name: a, files: ['/a[']}]\n", "t.yml:2:", "no pattern"),
            ("logs:\n  sources: [{name: a, files: [a]}]\n", "t.yml:2:", "absolute"),
            ("logs:\n  sources: [{name: a}]\n", "t.yml:2:", "either files"),
            (
                "logs:\n  sources: [{name: a, files: [/a], kmsg: true}]\n",
                "t.yml:2:",
                "either files",
            ),
            (
                "logs:\n  sources: [{name: a, kmsg: true, directories: [/a]}]\n",
                "t.yml:2:",
                "directories",
            ),
            (
                "logs:\n  sources: [{name: a, kmsg: true}, {name: b, kmsg: true}]\n",
                "t.yml:2:",
                "'a' again",
            ),
            (
                "logs:\n  sources:\n    - {name: a, kmsg: true}\n    - name: b\n      files: [b]\n",
                "t.yml:4:7: source 'b'",
                "absolute",
            ),
            (
                "logs:\n  sources:\n  - {name: a, files: /a}\n",
                "t.yml:3:",
                "a list is wanted, [one, two]",
            ),
            ("audit: {required: maybe}\n", "t.yml:1:", "true or false"),
            ("logs: {}\nlogs: {}\n", "t.yml:2:", "duplicate mapping key: logs"),
        ] {
            let line = error(yaml);
            assert!(line.starts_with(place), "{yaml:?}: {line}");
            assert!(line.contains(word) && !line.contains('\n'), "{yaml:?}: {line}");
            assert!(!line.contains("Policy"), "{line}");
        }
    }
}
