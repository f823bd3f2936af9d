//! What a log is called after its rotation, and which of those files is newer.
//!
//! The names of logrotate (`syslog.1`, `syslog-20261120`, with `extension` `app-20261120.log`, each
//! perhaps `.gz`), of auditd and savelog (`audit.log.1`, `log.0`) and of programs that use `.old`.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::content::{self, FileId};

/// Endings of compressed files.
const COMPRESSED: [&[u8]; 8] =
    [b".gz", b".xz", b".bz2", b".zst", b".zstd", b".lz4", b".lzma", b".Z"];

/// More rotated files of one log than anybody keeps.
const MAX_SIBLINGS: usize = 4096;

/// Where a rotated file stands among the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// `.1` is newer than `.2`; `.old` is 1.
    Number(u32),
    /// `-20261120` is newer than `-20261119`.
    Date(Vec<u8>),
}

/// A rotated file beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sibling {
    pub path: PathBuf,
    /// Where it stands.
    pub rank: Rank,
    /// Its name says that it is compressed.
    pub compressed: bool,
    pub id: FileId,
    /// Its size as it stands, in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970. Compressors keep it.
    pub modified: i64,
}

/// Whether a file's name ends like that of a compressed one.
pub(crate) fn is_compressed(name: &OsStr) -> bool {
    plain(name.as_bytes()).1
}

/// The name without the ending of a compressed file, and whether it had one.
pub(crate) fn plain(name: &[u8]) -> (&[u8], bool) {
    let bare = COMPRESSED.iter().find_map(|ending| name.strip_suffix(*ending));
    (bare.unwrap_or(name), bare.is_some())
}

/// What `name` says about being a rotated file of `base`: its rank, and whether it is compressed.
pub(crate) fn rank(base: &[u8], name: &[u8]) -> Option<(Rank, bool)> {
    let (plain, compressed) = plain(name);
    let extension = base.iter().rposition(|&byte| byte == b'.').filter(|&at| at > 0);
    let (stem, extension) = base.split_at(extension.unwrap_or(base.len()));
    let suffix = plain.strip_prefix(base).or_else(|| {
        // logrotate's `extension`: the rotation stands in front of it.
        let inner = plain.strip_prefix(stem)?.strip_suffix(extension)?;
        (!extension.is_empty()).then_some(inner)
    })?;
    rank_of(suffix).map(|rank| (rank, compressed))
}

/// The log that `name` would be a rotated file of, if such a log exists: each possible name.
pub(crate) fn bases(name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let (plain, _) = plain(name);
    let starts = (1..plain.len()).filter(|&at| b"-._".contains(&plain[at]));
    starts.flat_map(move |at| {
        let extension = plain.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > at);
        let bare = plain[..at].to_vec();
        let extended = extension.map(|dot| [&plain[..at], &plain[dot..]].concat());
        let is_rotation = |base: &Vec<u8>| rank(base, plain).is_some();
        [Some(bare), extended].into_iter().flatten().filter(is_rotation)
    })
}

fn rank_of(suffix: &[u8]) -> Option<Rank> {
    if suffix == b".old" {
        return Some(Rank::Number(1));
    }
    let (separator, rest) = suffix.split_first()?;
    let digits = |byte: &u8| byte.is_ascii_digit() || b"-._:T".contains(byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    if !b"-._".contains(separator) || !ends(rest.first()) || !ends(rest.last()) {
        return None;
    }
    if rest.len() <= 4 && rest.iter().all(u8::is_ascii_digit) {
        // `worker-1.log` is no rotated `worker.log`: nobody writes numbers after another sign.
        if *separator != b'.' {
            return None;
        }
        return std::str::from_utf8(rest).ok()?.parse().ok().map(Rank::Number);
    }
    rest.iter().all(digits).then(|| Rank::Date(rest.to_vec()))
}

/// The rotated files of the log at `path`, the newest first.
///
/// # Errors
/// When the directory cannot be read, or changes faster than it can be listed.
pub(crate) fn siblings(path: &Path) -> io::Result<Vec<Sibling>> {
    let mut before = list(path)?;
    // A listing is no snapshot: a file that is renamed meanwhile may be missed.
    for _ in 0..5 {
        let now = list(path)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "its rotated files change all the time"))
}

fn list(path: &Path) -> io::Result<Vec<Sibling>> {
    let (Some(directory), Some(base)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    list_in(directory, base)
}

/// The rotated files of a log of this name in another directory, where logrotate's `olddir` has put them.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn list_in(directory: &Path, base: &OsStr) -> io::Result<Vec<Sibling>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Some((rank, compressed)) = rank(base.as_bytes(), entry.file_name().as_bytes()) else {
            continue;
        };
        if found.len() < MAX_SIBLINGS {
            found.extend(sibling(&entry, rank, compressed));
        }
    }
    sort(&mut found);
    Ok(found)
}

/// A rotated file; not through a link, for a rotated file is a file.
fn sibling(entry: &DirEntry, rank: Rank, compressed: bool) -> Option<Sibling> {
    let meta = entry.metadata().ok().filter(Metadata::is_file)?;
    let (id, modified) = (content::id(&meta), content::modified(&meta));
    Some(Sibling { path: entry.path(), rank, compressed, id, size: meta.len(), modified })
}

/// The rotated files of a directory by the log that they would be of. For thousands of logs in one directory it is
/// listed once.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn list_by_log(directory: &Path) -> io::Result<HashMap<OsString, Vec<Sibling>>> {
    let mut found: HashMap<OsString, Vec<Sibling>> = HashMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        for base in bases(name.as_bytes()) {
            let Some((rank, compressed)) = rank(&base, name.as_bytes()) else { continue };
            let siblings = found.entry(OsString::from_vec(base)).or_default();
            if siblings.len() < MAX_SIBLINGS {
                siblings.extend(sibling(&entry, rank, compressed));
            }
        }
    }
    found.values_mut().for_each(sort);
    Ok(found)
}

/// The newest first: by the time of the last write. Names only break ties, for `.1` is the newest with logrotate and
/// the oldest with log4j2.
fn sort(siblings: &mut Vec<Sibling>) {
    // While it is compressed, a file is there twice; the plain one is whole.
    let is_plain = |one: &&Sibling| !one.compressed;
    let plain: BTreeSet<Rank> =
        siblings.iter().filter(is_plain).map(|one| one.rank.clone()).collect();
    siblings.retain(|one| !one.compressed || !plain.contains(&one.rank));
    siblings.sort_by(|a, b| {
        let by_name = match (&a.rank, &b.rank) {
            (Rank::Number(a), Rank::Number(b)) => a.cmp(b),
            (Rank::Date(a), Rank::Date(b)) => b.cmp(a),
            (Rank::Number(_), Rank::Date(_)) => Ordering::Less,
            (Rank::Date(_), Rank::Number(_)) => Ordering::Greater,
        };
        b.modified.cmp(&a.modified).then(by_name).then_with(|| a.path.cmp(&b.path))
    });
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    fn set_modified(path: &Path, time: SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn names_of_rotated_files() {
        let date = |text: &str| Rank::Date(text.as_bytes().to_vec());
        for (base, name, expected) in [
            ("syslog", "syslog.1", Some((Rank::Number(1), false))),
            ("syslog", "syslog.12.gz", Some((Rank::Number(12), true))),
            ("syslog", "syslog-20261120", Some((date("20261120"), false))),
            ("syslog", "syslog-20261120.xz", Some((date("20261120"), true))),
            ("syslog", "syslog.2026-11-20-08", Some((date("2026-11-20-08"), false))),
            ("syslog", "syslog-20261120-1763600000", Some((date("20261120-1763600000"), false))),
            ("audit.log", "audit.log.3", Some((Rank::Number(3), false))),
            ("app.log", "app-20261120.log.gz", Some((date("20261120"), true))),
            ("app.log", "app.2.log", Some((Rank::Number(2), false))),
            ("Xorg.0.log", "Xorg.0.log.old", Some((Rank::Number(1), false))),
            ("worker.log", "worker-1.log", None),
            ("eth", "eth_0", None),
            ("syslog", "syslog", None),
            ("syslog", "syslog.gz", None),
            ("syslog", "syslog.err", None),
            ("syslog", "syslog.1x", None),
            ("syslog", "syslog-", None),
            ("syslog", "syslog.1.", None),
            ("syslog", "daemon.1", None),
            ("app.log", "app-debug.log", None),
            ("app.log", "app.log.gz", None),
        ] {
            assert_eq!(rank(base.as_bytes(), name.as_bytes()), expected, "{base} {name}");
            let mut bases = bases(name.as_bytes());
            assert_eq!(bases.any(|found| found == base.as_bytes()), expected.is_some(), "{name}");
        }
        assert!(bases(b"access.log").next().is_none());
    }

    #[test]
    fn the_newest_comes_first_and_a_file_being_compressed_once() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in
            ["log", "log.1", "log.1.gz", "log.2", "log.2.gz", "log.10.gz", "logs.1", "log.x"]
                .into_iter()
                .enumerate()
        {
            std::fs::write(dir.path().join(name), name).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(1_000_000 - age as u64);
            set_modified(&dir.path().join(name), time);
        }
        std::fs::create_dir(dir.path().join("log.3")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("log.4")).unwrap();
        let names: Vec<_> = siblings(&dir.path().join("log"))
            .unwrap()
            .into_iter()
            .map(|sibling| sibling.path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["log.1", "log.2", "log.10.gz"]);
        assert!(siblings(Path::new("/nonexistent/log")).is_err());
        let by_log = list_by_log(dir.path()).unwrap();
        assert_eq!(by_log[OsStr::new("log")].len(), 3);
        assert_eq!(by_log[OsStr::new("logs")].len(), 1);
    }

    /// log4j2's default: the highest number is the newest.
    #[test]
    fn times_say_which_is_newer_and_names_only_where_they_are_equal() {
        let dir = tempfile::tempdir().unwrap();
        for (name, seconds) in [("app.log.1", 10), ("app.log.2", 20), ("app.log.3", 20)] {
            std::fs::write(dir.path().join(name), name).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            set_modified(&dir.path().join(name), time);
        }
        let ranks: Vec<_> = siblings(&dir.path().join("app.log"))
            .unwrap()
            .into_iter()
            .map(|one| one.rank)
            .collect();
        assert_eq!(ranks, [Rank::Number(2), Rank::Number(3), Rank::Number(1)]);
    }
}
