//! Files of a host whose root is a directory of ours.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// A larger file is read up to here.
const MAX_BYTES: u64 = 16 << 20;

/// As the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// What a file below the root has; `None` where there is none. Links lead where they would lead on that host:
/// those of `etc/pam.d` are often absolute.
///
/// # Errors
/// With the path, where it cannot be read.
pub(super) fn read_below(root: &Path, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(resolve_below(root, path)?)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(format!("{}: {error}", root.join(path).display())),
        },
    }
}

/// Where a path of the host lies for us.
pub(super) fn resolve_below(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let parts = |path: &Path| -> Vec<OsString> {
        path.components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
            .map(|part| part.as_os_str().to_owned())
            .collect()
    };
    let mut left: VecDeque<OsString> = parts(path).into();
    let (mut below, mut links) = (PathBuf::new(), 0);
    while let Some(part) = left.pop_front() {
        if part == ".." {
            below.pop();
            continue;
        }
        let next = below.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("too many links"));
                }
                if target.is_absolute() {
                    below.clear();
                }
                for part in parts(&target).into_iter().rev() {
                    left.push_front(part);
                }
            }
            // No link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => below = next,
            Err(error) => return Err(error),
        }
    }
    Ok(root.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("etc/pam.d")).unwrap();
        fs::create_dir_all(root.join("etc/authselect")).unwrap();
        fs::write(root.join("etc/authselect/system-auth"), "ours").unwrap();
        symlink("/etc/authselect/system-auth", root.join("etc/pam.d/absolute")).unwrap();
        symlink("../authselect/system-auth", root.join("etc/pam.d/relative")).unwrap();
        symlink("../../../../etc/authselect", root.join("etc/up")).unwrap();
        symlink("loop", root.join("etc/loop")).unwrap();
        let read = |path: &str| read_below(root, Path::new(path));
        for path in ["etc/pam.d/absolute", "/etc/pam.d/relative", "etc/up/system-auth"] {
            assert_eq!(read(path), Ok(Some(b"ours".to_vec())), "{path}");
        }
        for path in ["etc/none", "etc/none/x", "etc/authselect/system-auth/x"] {
            assert_eq!(read(path), Ok(None), "{path}");
        }
        assert!(read("etc/loop").unwrap_err().contains("too many links"));
        assert!(read("etc").is_err(), "a directory");
    }
}
