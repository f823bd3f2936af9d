//! Accepts connections, bounds them, and lets them finish when we stop.

mod answers;
mod listen;
pub(crate) mod pages;
pub(crate) mod routes;
mod runbooks;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

pub(crate) use listen::Listen;

use crate::exporter::Exporter;
use crate::live::lock;
use crate::supervised::{self, Pause};

/// Connections at one time. A further one takes the place of the oldest that has no request under way,
/// so that silent or slow clients, however many, do not keep others out.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may take to send a request, also when it is kept open between two. Not a
/// usual scrape interval, so that a scrape seldom meets the end.
const REQUEST_PATIENCE: Duration = Duration::from_secs(20);

/// How long after its last request began a connection is ended, whatever its client does not read.
const RESPONSE_PATIENCE: Duration = Duration::from_secs(60);

/// The longest request head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long requests under way may take to finish when we stop. With the log's last lines
/// ([`crate::logging::FLUSH`]) it stays below the 2 s that stopping may take.
const DRAIN: Duration = Duration::from_millis(500);

/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds every address.
///
/// # Errors
/// One line that names the address and what to do.
pub(crate) fn bind(listen: &[Listen]) -> Result<Vec<TcpListener>, String> {
    for (nth, address) in listen.iter().enumerate() {
        if listen[..nth].contains(address) && address.candidates.iter().all(|a| a.port() != 0) {
            return Err(format!("--web.listen-address {} is given twice", address.text));
        }
    }
    listen.iter().map(bind_one).collect()
}

fn bind_one(listen: &Listen) -> Result<TcpListener, String> {
    let mut failed = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
    for &address in &listen.candidates {
        match bind_address(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let in_use = error.kind() == ErrorKind::AddrInUse;
                failed = error;
                if in_use {
                    break;
                }
            }
        }
    }
    let port = listen.candidates.first().map_or(0, SocketAddr::port);
    let cure = match failed.kind() {
        ErrorKind::AddrInUse => format!(
            "another program has it (`ss -ltnp 'sport = :{port}'` names it): stop that one or give \
             another --web.listen-address"
        ),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: give a higher --web.listen-address"
                .to_owned()
        }
        _ => "give an address of this host as --web.listen-address".to_owned(),
    };
    Err(format!("cannot listen on {}: {failed}; {cure}", listen.text))
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // Lets a restart bind while connections of the last run linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Serves until `stop` says why to stop, then lets requests under way finish within [`DRAIN`].
///
/// # Errors
/// When the runtime refuses a listener; before anything is served.
pub(crate) async fn serve(
    listeners: Vec<TcpListener>,
    exporter: Arc<Exporter>,
    stop: impl Future<Output = &'static str>,
) -> io::Result<()> {
    let connections = Arc::new(Connections::default());
    let (stopping, _) = watch::channel(false);
    let mut acceptors = Vec::new();
    for listener in listeners {
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tracing::info!(
            %address,
            metrics = exporter.telemetry_path,
            collectors = exporter.collectors().collect::<Vec<_>>().join(","),
            version = crate::VERSION,
            "listening"
        );
        let (connections, exporter) = (Arc::clone(&connections), Arc::clone(&exporter));
        let stopping = stopping.subscribe();
        acceptors.push(tokio::spawn(async move {
            let mut pause = Pause::default();
            loop {
                let began = Instant::now();
                let accepting = accept(&listener, &connections, &exporter, &stopping);
                let Err(error) = supervised::catch_future("http", accepting).await else { return };
                tracing::error!(error, "accepting connections panicked and is taken up again");
                tokio::time::sleep(pause.after(began.elapsed())).await;
            }
        }));
    }
    let signal = stop.await;
    tracing::info!(signal, "stopping");
    for acceptor in acceptors {
        acceptor.abort();
    }
    stopping.send_replace(true);
    if tokio::time::timeout(DRAIN, connections.none_left()).await.is_err() {
        tracing::info!("requests that took too long were cut off");
    }
    Ok(())
}

/// The open connections, oldest first.
#[derive(Default)]
struct Connections {
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    one_less: Notify,
}

/// What others may know of a connection, and do to it.
struct Connection {
    /// Requests under way: 0 or 1, for HTTP/1 answers in turn.
    busy: AtomicBool,
    last_request: Mutex<Instant>,
    end: Notify,
}

impl Connections {
    /// Enters a new connection, and ends the oldest without a request where there are too many; `None`
    /// where every one has a request under way.
    fn enter(&self) -> Option<(u64, Arc<Connection>)> {
        let mut open = lock(&self.open);
        if open.len() >= MAX_CONNECTIONS {
            let idle = |(_, other): &(&u64, &Arc<Connection>)| !other.busy.load(Relaxed);
            let oldest = open.iter().find(idle).map(|(&id, _)| id)?;
            if let Some(other) = open.remove(&oldest) {
                other.end.notify_one();
            }
        }
        let id = self.next.fetch_add(1, Relaxed);
        let connection = Arc::new(Connection {
            busy: AtomicBool::new(false),
            last_request: Mutex::new(Instant::now()),
            end: Notify::new(),
        });
        open.insert(id, Arc::clone(&connection));
        Some((id, connection))
    }

    fn leave(&self, id: u64) {
        lock(&self.open).remove(&id);
        self.one_less.notify_waiters();
    }

    async fn none_left(&self) {
        loop {
            let one_less = self.one_less.notified();
            if lock(&self.open).is_empty() {
                return;
            }
            one_less.await;
        }
    }
}

impl Connection {
    fn last_request(&self) -> Instant {
        *lock(&self.last_request)
    }

    fn request_begins(&self) {
        self.busy.store(true, Relaxed);
        *lock(&self.last_request) = Instant::now();
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Arc<Connections>,
    exporter: &Arc<Exporter>,
    stopping: &watch::Receiver<bool>,
) {
    loop {
        supervised::panic_if_asked("http-accept");
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some((id, entry)) = connections.enter() else { continue };
                let (exporter, stopping) = (Arc::clone(exporter), stopping.clone());
                let connections = Arc::clone(connections);
                tokio::spawn(async move {
                    let served = serve_one(stream, &entry, exporter, stopping);
                    if let Err(error) = supervised::catch_future("http", served).await {
                        tracing::error!(error, "answering a request panicked");
                    }
                    connections.leave(id);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    entry: &Connection,
    exporter: Arc<Exporter>,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        entry.request_begins();
        let exporter = Arc::clone(&exporter);
        async move {
            supervised::panic_if_asked("http");
            let answer = answers::respond(&exporter, &request).await;
            // What is left is to hand it to the kernel; a client that does not read it is as idle as
            // one that sends nothing.
            entry.busy.store(false, Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        let end = entry.last_request() + RESPONSE_PATIENCE;
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = stopping.wait_for(|stopping| *stopping) => break,
            () = entry.end.notified() => return,
            () = tokio::time::sleep_until(end.into()) => {
                if entry.last_request() + RESPONSE_PATIENCE <= Instant::now() {
                    tracing::debug!("connection ended: its client does not read");
                    return;
                }
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    // The drain in `serve` bounds this.
    let _ = connection.await;
}
