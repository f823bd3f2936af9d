//! Accepts connections, bounds them, and lets them finish when we stop.

pub mod pages;
pub mod routes;

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::args::Listen;
use crate::exporter::Exporter;

/// Connections at one time; a further one waits in the kernel's queue.
const MAX_CONNECTIONS: u32 = 256;

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
pub fn bind(listen: &[Listen]) -> Result<Vec<TcpListener>, String> {
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
pub async fn serve(
    listeners: Vec<TcpListener>,
    exporter: Arc<Exporter>,
    stop: impl Future<Output = &'static str>,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let (stopping, _) = watch::channel(false);
    let mut acceptors = Vec::new();
    for listener in listeners {
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tracing::info!(
            %address,
            metrics = exporter.telemetry_path,
            collectors = exporter.collectors().collect::<Vec<_>>().join(","),
            version = crate::args::VERSION,
            "listening"
        );
        let (connections, exporter) = (Arc::clone(&connections), Arc::clone(&exporter));
        acceptors.push(tokio::spawn(accept(listener, connections, exporter, stopping.subscribe())));
    }
    let signal = stop.await;
    tracing::info!(signal, "stopping");
    for acceptor in acceptors {
        acceptor.abort();
    }
    stopping.send_replace(true);
    // Each connection holds one permit: all of them free means that none is left.
    if tokio::time::timeout(DRAIN, connections.acquire_many(MAX_CONNECTIONS)).await.is_err() {
        tracing::info!("requests that took too long were cut off");
    }
    Ok(())
}

async fn accept(
    listener: tokio::net::TcpListener,
    connections: Arc<Semaphore>,
    exporter: Arc<Exporter>,
    stopping: watch::Receiver<bool>,
) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (exporter, stopping) = (Arc::clone(&exporter), stopping.clone());
                tokio::spawn(async move {
                    connection(stream, exporter, stopping).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    exporter: Arc<Exporter>,
    mut stopping: watch::Receiver<bool>,
) {
    let last_request = Arc::new(Mutex::new(Instant::now()));
    let read_last = || *last_request.lock().unwrap_or_else(PoisonError::into_inner);
    let service = service_fn(|request| {
        *last_request.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let exporter = Arc::clone(&exporter);
        async move { Ok::<_, Infallible>(routes::respond(&exporter, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        let end = read_last() + RESPONSE_PATIENCE;
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            _ = stopping.wait_for(|stopping| *stopping) => break,
            () = tokio::time::sleep_until(end.into()) => {
                if read_last() + RESPONSE_PATIENCE <= Instant::now() {
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
