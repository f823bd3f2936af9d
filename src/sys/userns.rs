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

/// The uid, in our own namespace, of the owner of the outermost namespace below ours that holds the
/// process `pid`: the user whom the kernel charges for its tasks.
///
/// # Errors
/// EACCES without ptrace access to the process, EPERM when it is not below our namespace.
pub(crate) fn owner_below_ours(proc: &Proc, pid: u32) -> Result<u32> {
    let ours = fstat(proc.open_file("self/ns/user")?)?.st_ino;
    let mut namespace = proc.open_file(&format!("{pid}/ns/user"))?;
    for _ in 0..MAX_DEPTH {
        // SAFETY: `Parent` describes NS_GET_PARENT truly, see there.
        let parent = unsafe { ioctl(&namespace, Parent)? };
        if fstat(&parent)?.st_ino == ours {
            // SAFETY: NS_GET_OWNER_UID writes one uid_t, which is u32 on every Linux.
            return unsafe { ioctl(&namespace, Getter::<{ opcode::none(0xb7, 4) }, u32>::new()) };
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
