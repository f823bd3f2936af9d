//! Which links are followed to a log: whoever may make a link could name any file for us to read.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::content::{self, FileId};

/// As many links as the kernel follows for one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// How the name of a log came to be followed, and so which links it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The configuration names it.
    Named,
    /// A pattern below this directory found it: it must lie there.
    Below(PathBuf),
    /// A pattern found it with `follow_links`: links and directories that root owns lead to it.
    Links,
}

impl Trust {
    /// Refuses a file that was opened by this path and may be anybody's.
    ///
    /// # Errors
    /// `InvalidInput` where it is refused, and those of following the path.
    pub(crate) fn check(&self, path: &Path, file: FileId) -> io::Result<()> {
        let why = match self {
            Self::Named => return Ok(()),
            Self::Below(directory) if content::lies_below(path, directory, file)? => return Ok(()),
            Self::Below(_) => {
                "a link out of the directory of its pattern is not followed; name its file in the configuration if \
                 it is meant, or set 'follow_links: true' for the source if root made the link"
            }
            Self::Links => match resolve_by_root(path)? {
                Ok(meta) if content::id(&meta) == file => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::NotFound.into()),
                Err(why) => why,
            },
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

/// Follows a path whose links and directories all must be root's, to a regular file; else why not.
fn resolve_by_root(path: &Path) -> io::Result<Result<Metadata, &'static str>> {
    let mut left: VecDeque<OsString> = parts(path);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        let meta = std::fs::symlink_metadata(&next)?;
        if meta.is_symlink() {
            links += 1;
            if meta.uid() != 0 || links > MAX_LINKS {
                return Ok(Err("a link that root does not own is not followed"));
            }
            let target = std::fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                left.push_front(part);
            }
        } else if meta.is_dir() {
            if meta.uid() != 0 {
                return Ok(Err(
                    "a link through a directory that root does not own is not followed",
                ));
            }
            at = next;
        } else if left.is_empty() && meta.is_file() {
            return Ok(Ok(meta));
        } else {
            return Ok(Err("it leads to no regular file"));
        }
    }
    Ok(Err("it leads to no regular file"))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn links_of_root_lead_anywhere_and_those_of_others_nowhere() {
        if !rustix::process::geteuid().is_root() {
            // Nobody else can make links for others; the live tests run as root.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("pods")).unwrap();
        std::fs::create_dir(path("theirs")).unwrap();
        std::fs::write(path("pods/0.log"), "x").unwrap();
        std::fs::write(path("theirs/0.log"), "x").unwrap();
        for (target, name) in [
            ("pods/0.log", "relative"),
            (path("pods/0.log").to_str().unwrap(), "absolute"),
            ("relative", "twice"),
            ("pods/../pods/0.log", "up"),
            ("loop", "loop"),
            ("pods", "directory"),
            ("theirs/0.log", "through"),
            ("pods/0.log", "planted"),
        ] {
            symlink(target, path(name)).unwrap();
        }
        chown(path("theirs"), Some(65534), None).unwrap();
        std::os::unix::fs::lchown(path("planted"), Some(65534), None).unwrap();
        let log = content::id(&std::fs::metadata(path("pods/0.log")).unwrap());
        let other = content::id(&std::fs::metadata(path("theirs/0.log")).unwrap());
        for name in ["relative", "absolute", "twice", "up", "pods/0.log"] {
            assert!(Trust::Links.check(&path(name), log).is_ok(), "{name}");
        }
        for (name, id) in [("loop", log), ("directory", log), ("through", other), ("planted", log)]
        {
            let error = Trust::Links.check(&path(name), id).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
        }
        assert!(Trust::Links.check(&path("relative"), other).is_err());
    }
}
