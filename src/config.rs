//! The one YAML file, and the validation of everything in it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;

use crate::args::Args;

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
    pub signatures: Vec<String>,
    /// Ids of signatures that are switched off.
    pub disable: Vec<String>,
    /// Whether pages show lines as they were written: anybody who reaches the port reads them.
    pub examples: bool,
}

/// One source of log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
    fn mistake(&self) -> Option<String> {
        let kinds = [!self.files.is_empty(), self.kmsg, self.journal, self.audit_multicast];
        if kinds.iter().filter(|is| **is).count() != 1 {
            return Some("give it either files, or 'kmsg: true', or 'journal: true', or 'audit_multicast: true'".to_owned());
        }
        if self.format == Format::Audit && self.files.is_empty() {
            return Some("'format: audit' is for files".to_owned());
        }
        if self.follow_links && self.files.is_empty() {
            return Some("'follow_links: true' is for files".to_owned());
        }
        if !self.directories.is_empty() && !self.journal {
            return Some("directories are for 'journal: true'".to_owned());
        }
        if self.files.iter().chain(&self.directories).any(|path| !path.is_absolute()) {
            return Some("files and directories need absolute paths".to_owned());
        }
        let files = self.files.iter().filter_map(|file| file.to_str());
        let mut errors = files.filter_map(|file| Some((file, glob::Pattern::new(file).err()?)));
        errors.next().map(|(file, error)| format!("'{file}' is no pattern: {error}"))
    }

    /// Whether it brings audit events.
    pub fn is_audit(&self) -> bool {
        self.audit_multicast || self.format == Format::Audit
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
    for (nth, source) in list.iter().enumerate() {
        let refuse = |why: &str| {
            let (line, column) = (places[nth].line(), places[nth].column());
            let what = format!("{PLACE}{line}:{column}: source '{}': {why}", source.name);
            Err(D::Error::custom(what))
        };
        if source.name.chars().any(char::is_control) {
            return refuse("its name has a control character");
        }
        if source.name.is_empty() || list[..nth].iter().any(|other| other.name == source.name) {
            return refuse("give each source a name of its own");
        }
        if let Some(mistake) = source.mistake() {
            return refuse(&mistake);
        }
        if let Some(other) = list[..nth].iter().find(|other| other.repeats(source)) {
            return refuse(&format!(
                "it is source '{}' again, its lines would count twice",
                other.name
            ));
        }
        let before = list[..nth].iter().flat_map(|source| &source.files);
        let (mut seen, files) = (before.collect::<BTreeSet<_>>(), &source.files);
        if let Some(twice) = files.iter().find(|file| !seen.insert(file)) {
            let twice = twice.display();
            return refuse(&format!("{twice} is named twice, its lines would count twice"));
        }
    }
    Ok(Some(list))
}

/// Begins a message that knows its place better than the parser, which names that of the whole list.
const PLACE: char = '@';

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

    /// What is wrong with a YAML document called `name`.
    pub fn of_yaml(name: &str, error: &serde_saphyr::Error) -> Self {
        let place = error
            .location()
            .map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or("not valid");
        // The place is said already, and what its options could do is for programmers.
        let message = message.split(" at line ").next().unwrap_or(message);
        let message = message.split("; set ").next().unwrap_or(message);
        let message = message.split(", set ").next().unwrap_or(message);
        if let Some(placed) = message.strip_prefix(PLACE) {
            return Self(format!("{name}:{placed}"));
        }
        let cure = match message {
            "expected sequence start" => ": a list is wanted, [one, two]",
            "invalid boolean" => ": true or false",
            _ => "",
        };
        Self(format!("{name}{place}: {message}{cure}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// The configuration that the command line asks for: the file or the default, then the flags.
    ///
    /// # Errors
    /// The first mistake found.
    pub fn load(args: &Args) -> Result<Self, Error> {
        check_paths(args)?;
        let mut config = Self::read(args)?;
        for (flag, text, pattern) in [
            ("--collector.users.include", &args.users_include, &mut config.users.include),
            ("--collector.users.exclude", &args.users_exclude, &mut config.users.exclude),
        ] {
            if let Some(text) = text {
                *pattern = text.parse().map_err(|error| Error(format!("{flag}: {error}")))?;
            }
        }
        Ok(config)
    }

    /// What the file says, or the default, whatever the flags say.
    pub fn read(args: &Args) -> Result<Self, Error> {
        match &args.config_file {
            Some(path) => {
                Self::parse(&read_file("--config.file", path)?, &path.display().to_string())
            }
            None => Self::parse(DEFAULT, "built-in configuration"),
        }
    }

    /// Parses YAML; `name` is what errors call it.
    pub fn parse(yaml: &str, name: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! { with_snippet: false };
        // `Option`: a file of comments alone is the null document.
        serde_saphyr::from_str_with_options::<Option<Self>>(yaml, options)
            .map(Option::unwrap_or_default)
            .map_err(|error| Error::of_yaml(name, &error))
    }
}

/// Refuses mount points that are none, rather than show a host without users.
fn check_paths(args: &Args) -> Result<(), Error> {
    for (flag, path, must_have) in [
        ("--path.procfs", &args.procfs, "loadavg"),
        ("--path.sysfs", &args.sysfs, ""),
        ("--path.rootfs", &args.rootfs, ""),
    ] {
        if let Err(error) = std::fs::metadata(path.join(must_have)) {
            let (path, what) = (path.display(), flag.trim_start_matches("--path."));
            return Err(Error(format!(
                "{flag} {path}: no {what} is there ({error}); mount it, or correct the flag"
            )));
        }
    }
    Ok(())
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
