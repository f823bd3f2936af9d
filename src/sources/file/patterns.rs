//! What the configuration's paths, patterns and directories stand for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::Source;

/// How patterns are meant: `*` stays within a directory, and hidden files are not logs.
pub(crate) const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Directories in which the logs of one pattern may appear. More are a mistake in the pattern.
const MAX_DIRECTORIES: usize = 10_000;

/// Whether a path is one of the source's: by its name, a pattern or its directory.
pub(crate) fn covers(source: &Source, path: &Path) -> bool {
    source.files.iter().any(|file| {
        file == path
            || path.parent() == Some(file)
            || file
                .to_str()
                .and_then(|text| glob::Pattern::new(text).ok())
                .is_some_and(|pattern| pattern.matches_path_with(path, GLOB))
    })
}

/// Whether an entry of the configuration is a pattern.
pub(crate) fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// What an entry matches now.
pub(crate) fn paths_of(pattern: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = pattern.to_str().and_then(|pattern| glob::glob_with(pattern, GLOB).ok());
    paths.into_iter().flatten().filter_map(Result::ok)
}

/// The part of a path before its first pattern.
pub(crate) fn fixed_part(pattern: &Path) -> PathBuf {
    pattern.components().take_while(|part| !is_pattern(part.as_ref())).collect()
}

/// The directories in which something may appear that makes a pattern match: those that its beginnings match. An
/// empty directory is one of them, and the fixed part even if it is not there yet.
pub(crate) fn directories_of(pattern: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([fixed_part(pattern)]);
    let mut beginning = PathBuf::new();
    for part in pattern.parent().into_iter().flat_map(Path::components) {
        beginning.push(part);
        if is_pattern(&beginning) {
            let directories = paths_of(&beginning).filter(|path| path.is_dir());
            found.extend(directories.take(MAX_DIRECTORIES.saturating_sub(found.len())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_that_a_log_may_appear_in_is_known_before_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["pods/a/logs", "pods/b", "pods/.hidden/logs", "other"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::write(path("pods/file"), "").unwrap();
        let names = |pattern: &str| -> Vec<_> {
            directories_of(&path(pattern))
                .into_iter()
                .map(|found| found.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names("pods/*/*/*.log"), ["pods", "pods/a", "pods/a/logs", "pods/b"]);
        assert_eq!(names("pods/*/logs/*.log"), ["pods", "pods/a", "pods/a/logs", "pods/b"]);
        assert_eq!(names("pods/*.log"), ["pods"]);
        assert_eq!(names("none/*/x.log"), ["none"]);
    }
}
