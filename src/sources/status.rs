//! How a source is doing: one answer for metrics, pages and the log.

use std::path::{Path, PathBuf};

use super::file::follower;
use super::published::{Published, ReadCounts};
use crate::config::Source;

/// A source as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    /// As it is configured.
    pub configured: Source,
    /// Something of it was read since this start.
    pub was_read: bool,
    /// What was read since its counters began.
    pub read: ReadCounts,
    /// How many logs it has.
    pub logs: usize,
    /// Bytes that were there and are not read yet.
    pub lag: u64,
    /// Why the source as a whole cannot be read.
    trouble: Option<String>,
    /// Logs that cannot be read, and why.
    unreadable: Vec<(PathBuf, String)>,
    /// What is to be known about it besides.
    notes: Vec<String>,
}

/// Whether a source is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// All of it.
    Up,
    /// Not all of it, and why.
    Failing(String),
    /// Nothing of it was read since the start, and why.
    Unknown(String),
    /// It has no log yet.
    Empty,
}

/// Logs that are named one by one where they cannot be read.
const MAX_NAMED: usize = 5;

impl Status {
    /// Of a source that has published this.
    pub(crate) fn of<C, T>(configured: &Source, published: &Published<C, T>) -> Self {
        let streams = published.files.iter();
        let unreadable = streams
            .clone()
            .filter_map(|(path, stream)| Some((path.clone(), stream.error.clone()?)));
        let generations = streams.flat_map(|(_, stream)| &stream.position.generations);
        Self {
            configured: configured.clone(),
            was_read: published.read,
            read: published.counts.read.clone(),
            logs: published.files.len(),
            lag: generations.map(follower::Kept::lag).sum(),
            trouble: published.error.clone().or_else(|| published.hangs()),
            unreadable: unreadable.collect(),
            notes: published.notes.clone(),
        }
    }

    /// Whether something of it can be read now.
    pub(crate) fn is_readable(&self) -> bool {
        let any = !self.configured.has_files() || self.unreadable.len() < self.logs;
        self.was_read && self.trouble.is_none() && any
    }

    /// How it is doing.
    pub(crate) fn health(&self) -> Health {
        let first = self.trouble.as_ref().or(self.unreadable.first().map(|(_, why)| why));
        let more = usize::from(self.trouble.is_some()) + self.unreadable.len();
        let why = first.map(|why| match more {
            1 => why.clone(),
            _ => format!("{why}, and {} more", more - 1),
        });
        match why {
            Some(why) if self.was_read => Health::Failing(why),
            Some(why) => Health::Unknown(format!("nothing of it was read yet: {why}")),
            None if self.configured.has_files() && self.logs == 0 => Health::Empty,
            None if !self.was_read => Health::Unknown("nothing of it was read yet".to_owned()),
            None => Health::Up,
        }
    }

    /// What is wrong with it, and what to do.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let name = &self.configured.name;
        let whole = self.notes.iter().chain(&self.trouble);
        let mut warnings: Vec<_> = whole.map(|what| format!("source {name}: {what}")).collect();
        let named = self.unreadable.iter().take(MAX_NAMED);
        warnings.extend(named.map(|(path, error)| explain_unreadable(name, path, error)));
        if self.unreadable.len() > MAX_NAMED {
            let more = self.unreadable.len() - MAX_NAMED;
            warnings.push(format!("source {name}: and {more} more"));
        }
        warnings
    }
}

fn explain_unreadable(name: &str, path: &Path, error: &str) -> String {
    let cure = if error.contains("denied") && path.starts_with("/var/log/audit") {
        "; name a group of the exporter's as log_group in auditd.conf, and let it into /var/log/audit (chgrp, \
         chmod g+rx)"
    } else if error.contains("denied") {
        "; add the exporter to the group that may read it (adm on Debian), or give it \
         CAP_DAC_READ_SEARCH"
    } else {
        ""
    };
    format!("source {name}: {}: {error}{cure}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_source_that_was_not_read_fails_or_hangs_is_not_readable() {
        type Shown = Published<(), ()>;
        let kernel = Source { kmsg: true, ..Source::default() };
        let good = Shown { read: true, looked: Some(Instant::now()), ..Shown::default() };
        let of_kernel = Status::of(&kernel, &good);
        assert!(of_kernel.is_readable() && of_kernel.health() == Health::Up);
        let of_files = Status::of(&Source::default(), &good);
        assert!(!of_files.is_readable() && of_files.health() == Health::Empty, "no file matches");
        let unread = Status::of(&kernel, &Shown { read: false, ..good.clone() });
        assert!(!unread.is_readable() && matches!(unread.health(), Health::Unknown(_)));
        let failing = Shown { error: Some("denied".to_owned()), ..good.clone() };
        let failing = Status::of(&kernel, &failing);
        assert!(!failing.is_readable() && failing.health() == Health::Failing("denied".to_owned()));
        // A machine that has just booted has no such moment.
        if let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(121)) {
            let hanging = Status::of(&kernel, &Shown { looked: Some(long_ago), ..good });
            assert!(!hanging.is_readable());
            assert!(hanging.warnings()[0].contains("hangs"));
        }
    }
}
