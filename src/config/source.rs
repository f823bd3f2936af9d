//! A source of log lines as the configuration has it, and what may be wrong with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;

use crate::text;
use crate::yaml::{Document, Spanned, or_default};

use super::Config;

/// Most sources; each has a thread.
const MAX_SOURCES: usize = 50;

/// One source of log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of its own in the configuration")]
pub struct Source {
    /// The label `source`.
    pub name: String,
    /// Paths of logs, patterns of them, or directories all of whose files are logs.
    #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
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

/// Takes out the sources that are wrong, with what is wrong with each.
pub(super) fn check(document: &mut Document<Config>) {
    let Some(mut sources) = document.value.logs.sources.take() else { return };
    if let Some(one_more) = sources.get(MAX_SOURCES) {
        document.refuse(one_more.defined, &format!("at most {MAX_SOURCES} sources"));
        sources.truncate(MAX_SOURCES);
    }
    let mut right = Vec::new();
    for (nth, source) in sources.iter().enumerate() {
        let mistakes = mistakes_among(&source.value, &sources[..nth]);
        let name = text::escape(&source.value.name);
        for why in &mistakes {
            document.refuse(source.defined, &format!("source '{name}': {why}"));
        }
        if mistakes.is_empty() {
            right.push(source.clone());
        }
    }
    document.value.logs.sources = Some(right);
}

/// What is wrong with a source by itself and beside those before it.
fn mistakes_among(source: &Source, before: &[Spanned<Source>]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let before = || before.iter().map(|other| &other.value);
    if source.name.chars().any(text::is_unsafe) {
        mistakes.push("its name has a control character".to_owned());
    }
    if source.name.is_empty() || before().any(|other| other.name == source.name) {
        mistakes.push("give each source a name of its own".to_owned());
    }
    mistakes.extend(source.mistakes());
    if let Some(other) = before().find(|other| other.repeats(source)) {
        let other = text::escape(&other.name);
        mistakes.push(format!("it is source '{other}' again, its lines would count twice"));
    }
    let mut seen: BTreeSet<_> = before().flat_map(|source| &source.files).collect();
    for twice in source.files.iter().filter(|file| !seen.insert(file)) {
        let twice = twice.display();
        mistakes.push(format!("{twice} is named twice, its lines would count twice"));
    }
    mistakes
}
