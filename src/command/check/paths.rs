//! Whether the logs that the configuration names are there and can be read, as far as a look can tell.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::Source;
use crate::journal;
use crate::sources::defaults;
use crate::sources::file::patterns::is_pattern;

/// What of these sources a start would find missing or closed, each with its source.
pub(super) fn unreadable(sources: &[Source], rootfs: &Path) -> Vec<String> {
    let mut said = Vec::new();
    for source in sources {
        let mut warn = |what: String| said.push(format!("source '{}': {what}", source.name));
        source.files.iter().filter_map(|file| of_file(file)).for_each(&mut warn);
        if source.kmsg {
            of_path(&defaults::ring(rootfs)).into_iter().for_each(&mut warn);
        }
        if source.journal {
            of_journal(&source.directories, rootfs).into_iter().for_each(&mut warn);
        }
    }
    said
}

/// A file, a directory, or a pattern of them.
fn of_file(file: &Path) -> Option<String> {
    if !is_pattern(file) {
        return of_path(file);
    }
    let pattern = file.to_str()?;
    let mut closed = Vec::new();
    let mut found = false;
    for path in glob::glob(pattern).ok()? {
        match path {
            Ok(path) => {
                found = true;
                closed.extend(of_path(&path));
            }
            Err(error) => {
                closed.push(format!("{}: {}", error.path().display(), reason(error.error())));
            }
        }
    }
    match &closed[..] {
        [] if found => None,
        [] => Some(format!("{pattern}: no file there; what appears later is followed")),
        [one] => Some(one.clone()),
        [one, rest @ ..] => Some(format!("{one} (and {} more of {pattern})", rest.len())),
    }
}

fn of_path(path: &Path) -> Option<String> {
    let error = access(path, Access::READ_OK).err()?;
    Some(format!("{}: {}", path.display(), reason(&error.into())))
}

/// Of the host's own journal one of the places is enough.
fn of_journal(directories: &[PathBuf], rootfs: &Path) -> Vec<String> {
    let own = directories.is_empty().then(|| defaults::journals(rootfs));
    let places = own.as_deref().unwrap_or(directories);
    let wrong = places.iter().filter_map(|path| match journal::has_files(path) {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "{}: no journal file is there or in a directory of a machine in it, as journalctl -D looks for them",
            path.display()
        )),
        Err(error) => Some(format!("{}: {}", path.display(), reason(&error))),
    });
    let wrong: Vec<_> = wrong.collect();
    if places.is_empty() {
        vec!["the journal is not found without /etc/machine-id".to_owned()]
    } else if own.is_some() && wrong.len() < places.len() {
        Vec::new()
    } else {
        wrong
    }
}

/// What the system says, and what to do.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{text}; correct the path, or it is followed once it appears")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "{text} for who runs this check; run it as the service's user (sudo -u) to know"
            )
        }
        _ => text.to_owned(),
    }
}
