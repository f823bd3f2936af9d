//! The state directory: where it is, whose it is, and what is found in it.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::slots::{Found, Slots};

/// What was found, and what is to be said of it; an error where another exporter uses the directory.
pub(super) type Opened = Result<(Found, Option<String>), String>;

/// systemd's state directory, else the user's.
pub(super) fn default() -> Option<PathBuf> {
    systemd("STATE_DIRECTORY").or_else(|| {
        let base = variable("XDG_STATE_HOME").filter(|base| base.is_absolute());
        let base = base.or_else(|| Some(variable("HOME")?.join(".local/state")))?;
        Some(base.join("telltale_exporter"))
    })
}

/// The first of the directories that systemd gives in this variable.
pub(super) fn systemd(name: &str) -> Option<PathBuf> {
    let list = variable(name)?;
    let first = list.as_os_str().as_bytes().split(|&byte| byte == b':').next();
    first.map(|first| PathBuf::from(OsStr::from_bytes(first)))
}

/// A path from the environment; an empty one is none.
pub(super) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Opens everything in the directory; the lock is held as long as the file is open.
pub(super) fn open(directory: &Path) -> (Slots, Option<File>, Opened) {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let lock = lock(directory);
    let (mut slots, found) = match &lock {
        Err(Some(owner)) => {
            let refusal = format!(
                "--path.state {}: another telltale_exporter{owner} uses it; give each its own",
                directory.display()
            );
            return (Slots::open(Path::new("/nonexistent")).0, None, Err(refusal));
        }
        _ => Slots::open(directory),
    };
    let mut note = made.err().map(|error| error.to_string());
    let found = match found {
        Found::Damaged(why) => {
            match slots.set_aside() {
                Ok(aside) => {
                    tracing::warn!(why, aside = %aside.display(), "the snapshot cannot be \
                    used and was set aside; counters begin at 0, logs are followed from their end");
                }
                Err(error) => note = Some(format!("the snapshot cannot be used ({why}: {error})")),
            }
            Found::Nothing
        }
        Found::Unreadable(why) => {
            note = Some(format!("the snapshot cannot be read ({why})"));
            Found::Nothing
        }
        found => found,
    };
    (slots, lock.ok(), Ok((found, note)))
}

/// Takes the lock of the directory; `Err(Some)`: somebody has it, `Err(None)`: there can be none.
fn lock(directory: &Path) -> Result<File, Option<String>> {
    let path = directory.join("lock");
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.or_else(|_| File::open(&path)).map_err(|_| None)?;
    match file.try_lock() {
        Ok(()) => {
            // For whoever is refused.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let owner = std::fs::read_to_string(&path).unwrap_or_default();
            let known = !owner.is_empty() && owner.bytes().all(|byte| byte.is_ascii_digit());
            Err(Some(if known { format!(" (pid {owner})") } else { String::new() }))
        }
        Err(std::fs::TryLockError::Error(_)) => Err(None),
    }
}
