//! What a log is called after its rotation, and which of those files is newer.
//!
//! The names of logrotate (`syslog.1`, `syslog-20261120`, with `extension` `app-20261120.log`, each
//! perhaps `.gz`), of auditd and savelog (`audit.log.1`, `log.0`) and of programs that use `.old`.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::content::{self, FileId};

/// Endings of compressed files.
const COMPRESSED: [&[u8]; 5] = [b".gz", b".xz", b".bz2", b".zst", b".Z"];

/// More rotated files of one log than anybody keeps.
const MAX_SIBLINGS: usize = 4096;

/// Where a rotated file stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rank {
    /// `.1` is newer than `.2`; `.old` is 1.
    Number(u32),
    /// `-20261120` is newer than `-20261119`.
    Date(Vec<u8>),
}

/// A rotated file beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Its path.
    pub path: PathBuf,
    /// Where it stands.
    pub rank: Rank,
    /// Its name says that it is compressed.
    pub compressed: bool,
    /// The file.
    pub id: FileId,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: i64,
}

/// Whether a file's name ends like that of a compressed one.
pub fn is_compressed(name: &OsStr) -> bool {
    plain(name.as_bytes()).1
}

/// The name without the ending of a compressed file, and whether it had one.
pub fn plain(name: &[u8]) -> (&[u8], bool) {
    let bare = COMPRESSED.iter().find_map(|ending| name.strip_suffix(*ending));
    (bare.unwrap_or(name), bare.is_some())
}

/// What `name` says about being a rotated file of `base`: its rank, and whether it is compressed.
pub fn rank(base: &[u8], name: &[u8]) -> Option<(Rank, bool)> {
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
pub fn bases(name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
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
pub fn siblings(path: &Path) -> io::Result<Vec<Sibling>> {
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
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((rank, compressed)) = rank(base.as_bytes(), name.as_bytes()) else { continue };
        // Not through a link: a rotated file is a file.
        let meta = match entry.metadata() {
            Ok(meta) if meta.is_file() && found.len() < MAX_SIBLINGS => meta,
            _ => continue,
        };
        let (id, modified) = (content::id(&meta), content::modified(&meta));
        found.push(Sibling { path: entry.path(), rank, compressed, id, modified });
    }
    sort(&mut found);
    // While it is compressed, a file is there twice; the plain one is whole.
    found.dedup_by(|later, first| later.compressed && later.rank == first.rank);
    Ok(found)
}

/// The newest first: by rank where all have the same kind, else by time.
fn sort(siblings: &mut [Sibling]) {
    let numbered = |sibling: &Sibling| matches!(sibling.rank, Rank::Number(_));
    let mixed = siblings.iter().any(numbered) && !siblings.iter().all(numbered);
    siblings.sort_by(|a, b| {
        let order = match (&a.rank, &b.rank) {
            (Rank::Number(a), Rank::Number(b)) if !mixed => a.cmp(b),
            (Rank::Date(a), Rank::Date(b)) if !mixed => b.cmp(a),
            _ => Ordering::Equal,
        };
        order
            .then_with(|| if mixed { b.modified.cmp(&a.modified) } else { Ordering::Equal })
            .then(a.compressed.cmp(&b.compressed))
            .then_with(|| a.path.cmp(&b.path))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in
            ["log", "log.10.gz", "log.2", "log.1", "log.1.gz", "log.2.gz", "logs.1", "log.x"]
        {
            std::fs::write(dir.path().join(name), name).unwrap();
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
    }
}
