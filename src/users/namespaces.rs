//! Whom the kernel charges for a process: its own real uid, or the owner of its user namespace.
//!
//! Since Linux 5.14 (`kernel/ucount.c`) a task in a user namespace is charged to its uid *there*, and
//! to the namespace's owner in the parent, and so on up. For us, at the top, a rootless container's
//! tasks belong to the user who started it, whatever uids they show. Before 5.14 each task is charged
//! to its own uid.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use procfs::sys::kernel::Version;
use rustix::io::{Errno, Result};

use super::status;
use crate::sys::proc::Proc;
use crate::sys::userns::{self, Level};

/// `uid_map` of the initial user namespace.
const IDENTITY: [u32; 3] = [0, 0, u32::MAX];

/// The first kernel that charges tasks in a namespace to its owner.
const CHARGES_OWNER: Version = Version { major: 5, minor: 14, patch: 0 };

/// The first kernel whose `kernel.pid_max` is that of the pid namespace.
const PID_MAX_OF_NAMESPACES: Version = Version { major: 6, minor: 14, patch: 0 };

/// `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE`: either exempts from the process limit.
const EXEMPTING: u64 = 1 << 21 | 1 << 24;

/// How this host's kernel charges tasks, and where we stand in it.
pub(crate) struct Charging {
    /// Our own `uid_map`; `None` where the kernel has no user namespaces.
    own: Option<Vec<u8>>,
    /// Inode number of our own namespace, where it can be read.
    ours: Option<u64>,
    /// Whether ours is the initial namespace, the only one whose root and capabilities exempt.
    initial: bool,
    charges_owner: bool,
    /// Whether each pid namespace has a `pid_max` of its own.
    pub pid_max_of_namespaces: bool,
    /// What was found out in this scan; a number may stand for another namespace in the next.
    levels: RefCell<HashMap<u64, Arc<[Level]>>>,
}

/// Where a process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The uid, as we see it, that is charged for its tasks.
    pub charged: u32,
    /// Whether its own limit is compared with what that uid is charged for.
    pub bound: bool,
    /// In which user namespace below ours it is, which charges its tasks as well.
    pub(crate) inside: Option<Inside>,
}

/// A user namespace below ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inside {
    /// It and those above it, the innermost first.
    Levels(Arc<[Level]>),
    /// Its `uid_map`, where the kernel tells us no more.
    Map(Arc<[u8]>),
}

impl Place {
    /// In our own user namespace.
    pub fn own(charged: u32, bound: bool) -> Self {
        Self { charged, bound, inside: None }
    }
}

impl Charging {
    /// Reads how the kernel behind `proc` charges.
    pub(crate) fn read(proc: &Proc) -> Self {
        let mut own = Vec::new();
        let own = proc.read("self/uid_map", &mut own).is_ok().then_some(own);
        let release = read_release(proc);
        // A release we cannot read is that of a new kernel rather than of a very old one.
        let since = |first| release.is_none_or(|release| release >= first);
        let charges_owner = since(CHARGES_OWNER);
        let pid_max_of_namespaces = since(PID_MAX_OF_NAMESPACES);
        let initial = own.as_deref().is_none_or(|own| lines(own).eq([IDENTITY]));
        let ours = userns::our_inode(proc).ok();
        let levels = RefCell::default();
        Self { own, ours, initial, charges_owner, pid_max_of_namespaces, levels }
    }

    /// Whom a process of this real uid, with these effective capabilities, is charged to.
    ///
    /// # Errors
    /// Those of [`Proc::read`]: the process may be gone.
    pub(crate) fn place(
        &self,
        proc: &Proc,
        pid: u32,
        real_uid: u32,
        capabilities: u64,
    ) -> Result<Place> {
        // Nobody below can become root of the initial namespace, and that is exempt everywhere
        // (measured: also within a child namespace).
        if self.initial && real_uid == 0 {
            return Ok(Place::own(0, false));
        }
        let mut map = Vec::new();
        let within_ours = match &self.own {
            None => true,
            Some(own) => match proc.read(&format!("{pid}/uid_map"), &mut map) {
                Ok(_) => map == *own,
                Err(error) => return Err(error),
            },
        };
        if within_ours {
            let exempt = self.initial && capabilities & EXEMPTING != 0;
            return Ok(Place::own(real_uid, !exempt));
        }
        if !self.charges_owner {
            return Ok(Place::own(real_uid, true));
        }
        // Its own limit is compared with the count inside the namespace, which is not ours.
        Ok(match self.levels(proc, pid) {
            Ok(levels) => {
                let charged = levels.last().map_or(0, |level| level.owner);
                Place { charged, bound: false, inside: Some(Inside::Levels(levels)) }
            }
            Err(_) => Place {
                charged: probable_owner(&map, real_uid),
                bound: false,
                inside: Some(Inside::Map(map.into())),
            },
        })
    }

    /// The namespaces from that of the process up to ours.
    fn levels(&self, proc: &Proc, pid: u32) -> Result<Arc<[Level]>> {
        let (namespace, inode) = userns::of_process(proc, pid)?;
        let ours = self.ours.ok_or(Errno::ACCESS)?;
        if let Some(levels) = self.levels.borrow().get(&inode) {
            return Ok(Arc::clone(levels));
        }
        let levels: Arc<[Level]> = userns::levels_below(namespace, ours)?.into();
        self.levels.borrow_mut().insert(inode, Arc::clone(&levels));
        Ok(levels)
    }
}

/// The owner as the map suggests where the kernel does not tell us: rootless containers map one uid
/// alone, their owner's; a namespace without a map yet belongs to who made it; else root set it up.
fn probable_owner(map: &[u8], real_uid: u32) -> u32 {
    if lines(map).next().is_none() {
        return real_uid;
    }
    lines(map).find(|&[_, _, count]| count == 1).map_or(0, |[_, outside, _]| outside)
}

/// The lines of a `uid_map`: first uid inside, first uid outside, count (`user_namespaces(7)`).
pub(super) fn lines(map: &[u8]) -> impl Iterator<Item = [u32; 3]> {
    map.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some([next()?, next()?, next()?])
    })
}

/// The release of the kernel behind `proc`.
fn read_release(proc: &Proc) -> Option<Version> {
    let mut release = Vec::new();
    proc.read("sys/kernel/osrelease", &mut release).ok()?;
    version(&release)
}

/// Whether the `pid_max` that we read is that of our pid namespace, while `proc` lists another.
pub(crate) fn foreign_pid_max(proc: &Proc) -> bool {
    if read_release(proc).is_some_and(|release| release < PID_MAX_OF_NAMESPACES) {
        return false;
    }
    let mut file = Vec::new();
    match proc.read("self/status", &mut file) {
        Ok(_) => status::parse(&file).is_some_and(|status| status.pid_namespaces > 1),
        // A directory of fixtures has no `self`, or not all of it; procfs has it for whoever it lists.
        Err(_) => proc.is_procfs(),
    }
}

fn version(release: &[u8]) -> Option<Version> {
    Version::from_str(std::str::from_utf8(release).ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A procfs of one kernel release, our own map and that of process 7.
    fn place(release: &str, own: Option<&str>, map: &str, uid: u32, capabilities: u64) -> Place {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["self", "7", "sys/kernel"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("sys/kernel/osrelease"), release).unwrap();
        if let Some(own) = own {
            std::fs::write(dir.path().join("self/uid_map"), own).unwrap();
            std::fs::write(dir.path().join("7/uid_map"), map).unwrap();
        }
        // There is no 7/ns/user, so the owner comes from the map.
        let proc = Proc::open(dir.path()).unwrap();
        Charging::read(&proc).place(&proc, 7, uid, capabilities).unwrap()
    }

    const INITIAL: &str = "         0          0 4294967295\n";
    const ROOTLESS: &str = "         0       1500          1\n         1     100000      65536\n";
    const NEW: &str = "6.1.0-13-amd64\n";

    #[test]
    fn initial_namespace() {
        let ordinary = place(NEW, Some(INITIAL), INITIAL, 1500, 0);
        assert_eq!(ordinary, Place::own(1500, true));
        for exempt in [1 << 21, 1 << 24, u64::MAX] {
            assert!(!place(NEW, Some(INITIAL), INITIAL, 1500, exempt).bound);
        }
        assert!(place(NEW, Some(INITIAL), INITIAL, 1500, 1 << 6).bound);
        assert_eq!(place(NEW, Some(INITIAL), INITIAL, 0, 0), Place::own(0, false));
    }

    #[test]
    fn a_child_namespace_charges_its_owner_and_capabilities_in_it_do_not_exempt() {
        let rootless = place(NEW, Some(INITIAL), ROOTLESS, 100_004, u64::MAX);
        let inside = Some(Inside::Map(ROOTLESS.as_bytes().into()));
        assert_eq!(rootless, Place { charged: 1500, bound: false, inside });
        let dockerd = "         0     231072      65536\n";
        assert_eq!(place(NEW, Some(INITIAL), dockerd, 231_072, 0).charged, 0);
        assert_eq!(place(NEW, Some(INITIAL), "", 1500, 0).charged, 1500);
    }

    #[test]
    fn kernels_before_5_14_charge_the_uid_itself() {
        for release in ["3.10.0-1160.el7.x86_64\n", "5.13.19\n"] {
            let place = place(release, Some(INITIAL), ROOTLESS, 100_004, u64::MAX);
            assert_eq!(place, Place::own(100_004, true), "{release}");
        }
        assert_eq!(place("5.14.0-70.el9\n", Some(INITIAL), ROOTLESS, 100_004, 0).charged, 1500);
    }

    #[test]
    fn inside_a_container_nobody_is_exempt() {
        let own = "         0     100000      65536\n";
        assert_eq!(place(NEW, Some(own), own, 0, u64::MAX), Place::own(0, true));
    }

    #[test]
    fn without_user_namespaces() {
        assert_eq!(place(NEW, None, "", 1500, 0), Place::own(1500, true));
    }
}
