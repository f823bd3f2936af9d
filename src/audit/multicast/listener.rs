//! The process that listens to the kernel's audit multicast group, so that nobody else sleeps for it.
//!
//! Joining the group and leaving it are audited themselves: while the queue is full the kernel puts whoever does
//! either to sleep, uninterruptibly. So, like the [helper](crate::audit::queue::helper), this is the exporter executed once
//! more, at start. It alone needs `CAP_AUDIT_READ`, it holds nothing but the audit socket and its end of a pair,
//! and it ends when the other end closes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::audit::child;
use crate::audit::queue::netlink;
use crate::supervised::{self, Pause};
use crate::sys::audit::AuditSocket;

/// First argument of the re-executed binary.
pub(crate) const WORD: &str = "audit-listener";

/// Records are at most 8 KiB (`AUDIT_MESSAGE_TEXT_MAX`), with a header.
pub(crate) const DATAGRAM: usize = 16 * 1024;

/// What the kernel keeps for us while we are not scheduled: its default holds some sixty events.
const QUEUE_BYTES: usize = 8 << 20;

/// It says this often that it lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

/// The first byte of what it sends: it has joined; it cannot, and why; a record as a line; it lives.
pub(crate) const JOINED: u8 = b'J';
/// See [`JOINED`].
pub(crate) const REFUSED: u8 = b'E';
/// See [`JOINED`].
pub(crate) const RECORD: u8 = b'R';
/// See [`JOINED`].
pub(crate) const ALIVE: u8 = b'H';
/// It panicked, with what that said; sent all the time until it listens again.
pub(crate) const PANICKED: u8 = b'P';

/// Starts it and returns it with our end of the pair.
///
/// # Errors
/// When no process can be made.
pub(crate) fn spawn() -> io::Result<(Child, UnixDatagram)> {
    let (ours, theirs) = UnixDatagram::pair()?;
    let child = child::spawn(WORD, OwnedFd::from(theirs))?;
    Ok((child, ours))
}

/// Its whole life; standard input is its end of the pair.
///
/// # Errors
/// When standard input is something else, as when a person starts it.
pub(crate) fn run() -> Result<(), &'static str> {
    let not_by_hand = "audit-listener is started by telltale_exporter itself, not by hand";
    let pair = UnixDatagram::from(child::enter().ok_or(not_by_hand)?);
    let _ = rustix::thread::set_name(c"telltale-listen");
    // An error means that the exporter is gone.
    let _ = listen(&pair);
    Ok(())
}

fn listen(pair: &UnixDatagram) -> io::Result<()> {
    let joined =
        AuditSocket::open(HEARTBEAT).and_then(|socket| socket.join(QUEUE_BYTES).map(|()| socket));
    let socket = match joined {
        Ok(socket) => socket,
        Err(errno) => {
            let why = format!("the kernel's audit multicast: {}", io::Error::from(errno));
            return pair.send(&[&[REFUSED], why.as_bytes()].concat()).map(drop);
        }
    };
    pair.send(&[JOINED])?;
    let mut pause = Pause::default();
    loop {
        let began = Instant::now();
        let mut panicked = match supervised::catch("audit-listen", || pass_on(&socket, pair)) {
            Ok(ended) => return ended,
            Err(text) => [&[PANICKED], text.as_bytes()].concat(),
        };
        panicked.truncate(DATAGRAM);
        // What comes meanwhile waits in the kernel; the exporter may end, and must not wait.
        let until = Instant::now() + pause.after(began.elapsed());
        while Instant::now() < until {
            pair.send(&panicked)?;
            std::thread::sleep(HEARTBEAT);
        }
    }
}

/// Passes records on until the exporter is gone.
fn pass_on(socket: &AuditSocket, pair: &UnixDatagram) -> io::Result<()> {
    let mut buffer = vec![0; DATAGRAM];
    let mut alive = Instant::now();
    loop {
        let length = match socket.receive(&mut buffer) {
            Ok(length) => length,
            // Where the queue was full, the gap in the numbers tells how much is gone.
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        supervised::panic_if_asked("audit-listen");
        if length == 0 || alive.elapsed() >= HEARTBEAT {
            pair.send(&[ALIVE])?;
            alive = Instant::now();
        }
        if let Some((kind, text)) = netlink::record(&buffer[..length]) {
            let line = [&[RECORD], format!("type={kind} msg=").as_bytes(), text].concat();
            pair.send(&line)?;
        }
    }
}
