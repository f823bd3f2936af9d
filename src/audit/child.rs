//! The exporter executed once more, with one end of a pair of sockets and nothing else of ours: for what the
//! kernel may put to sleep for minutes.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use crate::sys::audit::close_inherited;

/// Starts it with this first argument; its end of the pair becomes its standard input.
///
/// # Errors
/// When no process can be made.
pub(crate) fn spawn(word: &str, end: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    // What concerns the exporter is none of its business: LISTEN_*, NOTIFY_SOCKET and the rest.
    command.arg0("telltale_exporter").arg(word).env_clear();
    #[cfg(debug_assertions)]
    command.envs(std::env::vars_os().filter(|(name, _)| name == crate::supervised::FAULTS));
    command
        // A terminal that closes sends SIGHUP to its group: it means a reload to the exporter alone.
        .process_group(0)
        .stdin(Stdio::from(end))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Within it, first thing: closes whatever was passed on and returns its end of the pair; `None` where
/// standard input is something else, as when a person starts it.
pub(crate) fn enter() -> Option<OwnedFd> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    rustix::net::sockopt::socket_type(&stdin).ok()?;
    // 0 to 2 are ours; the copy of 0 is closed here with whatever else was passed on to us.
    drop(stdin);
    close_inherited(3);
    io::stdin().as_fd().try_clone_to_owned().ok()
}
