//! Who owns a user namespace, by the ioctls of `ioctl_ns(2)`.
#![allow(unsafe_code, reason = "rustix knows the ioctl call, not these two operations")]

use std::ffi::c_void;
use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::fs::fstat;
use rustix::io::{Errno, Result};
use rustix::ioctl::{Getter, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

use super::proc::Proc;

/// Deeper than the kernel nests them (32).
const MAX_DEPTH: usize = 33;

/// A user namespace below ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// Inode number of its `ns/user`, which is not given out again while it lives.
    pub inode: u64,
    /// The uid, as we see it, of who made it.
    pub owner: u32,
}

/// The inode number of our own user namespace.
///
/// # Errors
/// Where the kernel has none, or `self` is not in this `proc`.
pub(crate) fn our_inode(proc: &Proc) -> Result<u64> {
    Ok(fstat(proc.open_file("self/ns/user")?)?.st_ino)
}

/// The user namespace of a process, and its inode number.
///
/// # Errors
/// EACCES without ptrace access to the process.
pub(crate) fn of_process(proc: &Proc, pid: u32) -> Result<(OwnedFd, u64)> {
    let namespace = proc.open_file(&format!("{pid}/ns/user"))?;
    let inode = fstat(&namespace)?.st_ino;
    Ok((namespace, inode))
}

/// This namespace and those above it, up to the last that is below ours, the innermost first.
///
/// # Errors
/// EPERM when it is not below ours.
pub(crate) fn levels_below(mut namespace: OwnedFd, ours: u64) -> Result<Vec<Level>> {
    let mut levels = Vec::new();
    for _ in 0..MAX_DEPTH {
        // SAFETY: NS_GET_OWNER_UID writes one uid_t, which is u32 on every Linux.
        let owner = unsafe { ioctl(&namespace, Getter::<{ opcode::none(0xb7, 4) }, u32>::new())? };
        levels.push(Level { inode: fstat(&namespace)?.st_ino, owner });
        // SAFETY: `Parent` describes NS_GET_PARENT truly, see there.
        let parent = unsafe { ioctl(&namespace, Parent)? };
        if fstat(&parent)?.st_ino == ours {
            return Ok(levels);
        }
        namespace = parent;
    }
    Err(Errno::PERM)
}

/// `NS_GET_PARENT`: a descriptor of the parent namespace.
struct Parent;

// SAFETY: the operation takes no argument and returns a new descriptor that nobody else owns.
unsafe impl Ioctl for Parent {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::none(0xb7, 2)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> Result<OwnedFd> {
        // SAFETY: the call succeeded, so `output` is the new descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(output) })
    }
}
