//! Where a cgroup lies below the mount that we see, from the path that `/proc/PID/cgroup` shows us.
//!
//! The kernel writes that path as seen from the root of the reader's cgroup namespace: `/../../a/b` goes
//! two groups up from there (`cgroup_namespaces(7)`). `mountinfo` says in the same way which group the mount
//! shows. In a container with a private namespace and the host's hierarchy mounted, only the depth of our
//! own root is told: its name is found by looking for ourselves.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::hierarchy::{MAX_GROUPS, Version};
use crate::live::lock;

/// We are looked for again after this, where we were not found: it costs a walk.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A group as seen from the root of our cgroup namespace: so many up, then down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Relative {
    ups: usize,
    down: PathBuf,
}

impl Relative {
    fn parse(path: &Path) -> Self {
        let mut relative = Self::default();
        for part in path.components() {
            match part {
                Component::ParentDir => relative.ups += 1,
                Component::Normal(name) => relative.down.push(name),
                _ => {}
            }
        }
        relative
    }
}

/// How paths that we read become paths below the mount.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The group that the mount shows.
    mount: Relative,
    /// Our own group.
    own: Relative,
    search: Mutex<Search>,
}

/// The search for our own group below the mount.
#[derive(Debug, Default)]
struct Search {
    last: Option<Instant>,
    /// Groups from the mount down to the root of our namespace, as far as they are known.
    found: Option<PathBuf>,
}

impl View {
    /// Of the hierarchy that is mounted at `root`. A directory that is no cgroup mount is a host's whole
    /// hierarchy.
    pub(super) fn of(root: &Path, version: Version) -> Self {
        let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let Some(mount) = mounted_group(&mountinfo, &root) else { return Self::default() };
        let own = fs::read("/proc/self/cgroup").unwrap_or_default();
        let own = version.pids_path(&own).unwrap_or_default();
        let own = Relative::parse(Path::new(OsStr::from_bytes(own)));
        Self { mount: Relative::parse(&mount), own, search: Mutex::default() }
    }

    /// The path below the mount at `root` of a group that we read as `path`; `None` where the mount does
    /// not show it, or we do not know where.
    pub(super) fn resolve(&self, root: &Path, path: &Path) -> Option<PathBuf> {
        let wanted = Relative::parse(path);
        match wanted.ups.cmp(&self.mount.ups) {
            Ordering::Equal => wanted.down.strip_prefix(&self.mount.down).ok().map(Path::to_owned),
            // The kernel names the nearest common group: what goes less far up lies below a group between
            // the mount and us.
            Ordering::Less if self.mount.down.as_os_str().is_empty() => {
                let above = self.above_us(root)?;
                let depth = self.mount.ups - wanted.ups;
                let mut path: PathBuf = above.components().take(depth).collect();
                if path.components().count() < depth {
                    return None;
                }
                path.extend(wanted.down.components());
                Some(path)
            }
            _ => None,
        }
    }

    /// The groups from the mount down to the root of our namespace.
    fn above_us(&self, root: &Path) -> Option<PathBuf> {
        let mut search = lock(&self.search);
        if search.found.is_none() && search.last.is_none_or(|last| last.elapsed() > LOOK_AGAIN) {
            search.last = Some(Instant::now());
            // Moved out of our namespace since it was made, we know the groups down to where it went.
            let known = self.mount.ups.checked_sub(self.own.ups)?;
            let depth = known + self.own.down.components().count();
            search.found = find_process(root, depth, std::process::id())
                .filter(|path| path.ends_with(&self.own.down))
                .map(|path| path.components().take(known).collect());
        }
        search.found.clone()
    }
}

/// The group at this depth whose `cgroup.procs` has the process.
fn find_process(root: &Path, depth: usize, pid: u32) -> Option<PathBuf> {
    let mut level = vec![PathBuf::new()];
    let mut seen = 0;
    for _ in 0..depth {
        let mut next = Vec::new();
        for parent in level {
            for entry in fs::read_dir(root.join(&parent)).ok()?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) && seen < MAX_GROUPS {
                    seen += 1;
                    next.push(parent.join(entry.file_name()));
                }
            }
        }
        level = next;
    }
    let pid = pid.to_string();
    level.into_iter().find(|path| {
        let list = fs::read_to_string(root.join(path).join("cgroup.procs")).unwrap_or_default();
        list.lines().any(|line| line == pid)
    })
}

/// The group that the cgroup mount at `root` shows, by a `mountinfo` file (proc(5)); `None` where it is no
/// cgroup mount.
fn mounted_group(mountinfo: &[u8], root: &Path) -> Option<PathBuf> {
    let mut best: Option<(PathBuf, Option<PathBuf>)> = None;
    for line in mountinfo.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b' ');
        let (Some(group), Some(point)) = (fields.nth(3), fields.next()) else { continue };
        let Some(kind) = fields.skip_while(|field| *field != b"-").nth(1) else { continue };
        let point = unescape(point);
        let longest = best.as_ref().map_or(0, |(point, _)| point.as_os_str().len());
        // Of several at one place, the last is on top.
        if root.starts_with(&point) && point.as_os_str().len() >= longest {
            let is_cgroup = matches!(kind, b"cgroup" | b"cgroup2");
            let below = root.strip_prefix(&point).unwrap_or(Path::new("")).to_owned();
            best = Some((point, is_cgroup.then(|| unescape(group).join(below))));
        }
    }
    best?.1
}

/// Undoes what the kernel escapes in `mountinfo`: `\040` for a space, and so on.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(mount: &str, own: &str) -> View {
        View {
            mount: Relative::parse(Path::new(mount)),
            own: Relative::parse(Path::new(own)),
            search: Mutex::default(),
        }
    }

    /// A hierarchy with these groups, of which one has us.
    fn tree(groups: &[&str], ours: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for group in groups {
            fs::create_dir_all(root.path().join(group)).unwrap();
            fs::write(root.path().join(group).join("cgroup.procs"), "1\n").unwrap();
        }
        let ours = root.path().join(ours).join("cgroup.procs");
        fs::write(ours, format!("1\n{}\n22\n", std::process::id())).unwrap();
        root
    }

    fn resolved(view: &View, root: &Path, path: &str) -> Option<String> {
        view.resolve(root, Path::new(path)).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn the_hosts_own_view_and_a_directory_of_fixtures_are_as_they_read() {
        let view = view("/", "/system.slice/telltale.service");
        let root = Path::new("/nonexistent");
        assert_eq!(resolved(&view, root, "user.slice/a").as_deref(), Some("user.slice/a"));
        assert_eq!(resolved(&view, root, "").as_deref(), Some(""));
        assert_eq!(resolved(&view, root, "../a"), None, "above what is mounted");
    }

    #[test]
    fn a_private_namespace_with_the_hosts_mount_finds_itself_once() {
        // docker, and a pod: stripping the dots would name groups that do not exist.
        let groups =
            ["docker/aa", "docker/bb", "system.slice/ssh.service", "kube/podA/ctrA", "kube/podB/x"];
        let root = tree(&groups, "docker/aa");
        let docker = view("/../..", "/");
        let of = |view: &View, path| resolved(view, root.path(), path);
        assert_eq!(
            of(&docker, "../../system.slice/ssh.service").as_deref(),
            Some("system.slice/ssh.service")
        );
        assert_eq!(of(&docker, "../bb").as_deref(), Some("docker/bb"));
        assert_eq!(of(&docker, "").as_deref(), Some("docker/aa"));
        assert_eq!(of(&docker, "deep/er").as_deref(), Some("docker/aa/deep/er"));
        assert_eq!(of(&docker, "../.."), Some(String::new()));
        assert_eq!(of(&docker, "../../../x"), None);

        let root = tree(&groups, "kube/podA/ctrA");
        let pod = view("/../../..", "/");
        let of = |path| resolved(&pod, root.path(), path);
        assert_eq!(of("../../podB/ctrB").as_deref(), Some("kube/podB/ctrB"));
        assert_eq!(of("../side").as_deref(), Some("kube/podA/side"));
    }

    #[test]
    fn one_that_was_moved_or_stands_deeper_knows_what_can_be_known() {
        // Below the root of our namespace.
        let root = tree(&["docker/aa/inner"], "docker/aa/inner");
        let deeper = view("/../..", "/inner");
        assert_eq!(resolved(&deeper, root.path(), "../bb").as_deref(), Some("docker/bb"));
        // Moved to a sister of it: what lies below the root of our namespace is not known by name.
        let root = tree(&["docker/aa", "docker/zz"], "docker/zz");
        let moved = view("/../..", "/../zz");
        assert_eq!(resolved(&moved, root.path(), "../bb").as_deref(), Some("docker/bb"));
        assert_eq!(resolved(&moved, root.path(), "inner"), None);
    }

    #[test]
    fn who_is_not_found_knows_only_what_needs_no_name() {
        let root = tree(&["docker/aa"], "docker/aa");
        fs::write(root.path().join("docker/aa/cgroup.procs"), "1\n").unwrap();
        let lost = view("/../..", "/");
        assert_eq!(resolved(&lost, root.path(), "../../a/b").as_deref(), Some("a/b"));
        assert_eq!(resolved(&lost, root.path(), "../bb"), None);
    }

    #[test]
    fn a_mount_of_a_part_shows_that_part_only() {
        let root = Path::new("/nonexistent");
        // Docker on cgroup v1 without a namespace of its own: the container's group is bound there.
        let part = view("/docker/aa", "/docker/aa");
        assert_eq!(resolved(&part, root, "docker/aa/x").as_deref(), Some("x"));
        assert_eq!(resolved(&part, root, "system.slice/ssh.service"), None);
        // A private one with a mount of its own root.
        let own = view("/", "/");
        assert_eq!(resolved(&own, root, "../../system.slice/ssh.service"), None);
        let sister = view("/../bb", "/");
        assert_eq!(resolved(&sister, root, "../bb/x").as_deref(), Some("x"));
        assert_eq!(resolved(&sister, root, "../cc"), None);
        assert_eq!(resolved(&sister, root, "x"), None);
    }

    #[test]
    fn mountinfo_says_what_is_mounted() {
        let text = b"24 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 24 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw\n\
            31 30 0:27 / /sys/fs/cgroup/pids rw shared:9 - cgroup cgroup rw,pids\n\
            40 24 0:27 /../.. /host\\040x/sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            41 24 0:27 /../..docker /over rw - cgroup cgroup rw\n42 24 0:9 / /over rw - tmpfs t rw\nbroken\n";
        let of = |root: &str| mounted_group(text, Path::new(root));
        assert_eq!(of("/sys/fs/cgroup/pids"), Some("/".into()));
        assert_eq!(of("/host x/sys/fs/cgroup/pids"), Some("/../..".into()));
        assert_eq!(of("/sys/fs/cgroup"), None, "no cgroup mount");
        assert_eq!(of("/home/fixtures/sys/fs/cgroup"), None);
        assert_eq!(of("/over"), None, "what is mounted on top counts");
        assert_eq!(mounted_group(b"", Path::new("/sys")), None);
        assert_eq!(mounted_group(b"1 2 3 /a\\9 /b\\", Path::new("/b")), None);
    }
}
