//! The audit netlink socket, and closing what a re-executed process inherited.
#![allow(unsafe_code, reason = "close_range takes descriptors that nobody here owns")]

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Result;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

/// `AUDIT_NLGRP_READLOG` as a bit.
const READLOG: u32 = 1;

/// A socket of the audit subsystem.
pub(crate) struct AuditSocket(OwnedFd);

impl AuditSocket {
    /// Opens one; receiving waits no longer than `patience`.
    ///
    /// # Errors
    /// EPROTONOSUPPORT where the kernel has no audit.
    pub(crate) fn open(patience: Duration) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::AUDIT))?;
        set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(patience))?;
        Ok(Self(socket))
    }

    /// Sends one datagram to the kernel. While the audit queue is over its limit the kernel puts the
    /// caller to sleep here, uninterruptibly, for up to the backlog wait time, after it has answered.
    ///
    /// # Errors
    /// ECONNREFUSED in a user namespace other than the initial one.
    pub(crate) fn send(&self, datagram: &[u8]) -> Result<()> {
        sendto(&self.0, datagram, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
    }

    /// Joins the group to which the kernel sends every record, with so many bytes for those that wait.
    ///
    /// # Errors
    /// EPERM without `CAP_AUDIT_READ` in the initial user namespace.
    pub(crate) fn join(&self, queue_bytes: usize) -> Result<()> {
        // More than net.core.rmem_max needs CAP_NET_ADMIN; as much as may be is better than nothing.
        if set_socket_recv_buffer_size_force(&self.0, queue_bytes).is_err() {
            set_socket_recv_buffer_size(&self.0, queue_bytes)?;
        }
        bind(&self.0, &SocketAddrNetlink::new(0, READLOG))
    }

    /// Receives one datagram; returns its length.
    ///
    /// # Errors
    /// EAGAIN when the patience is over.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        recv(&self.0, buffer, RecvFlags::empty()).map(|(length, _)| length)
    }
}

/// Closes every descriptor from `first` on, whoever passed it on to us.
///
/// Only for a process that has just been executed and has opened none of them itself.
pub(crate) fn close_inherited(first: u32) {
    // SAFETY: descriptors are closed that no object of this process owns, as the caller promises.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == 0;
    if closed {
        return;
    }
    // Before Linux 5.9; a soft limit can be huge, /proc/self/fd names the few that are open.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    for name in names {
        if let Some(open) = name.to_str().and_then(|name| name.parse().ok())
            && u32::try_from(open).is_ok_and(|open: u32| open >= first)
        {
            // SAFETY: as above; that of the listing is closed already.
            unsafe { libc::close(open) };
        }
    }
}
