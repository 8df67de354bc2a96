//! Serves HTTP/1.1 and HTTP/2, with or without TLS, on a listener, for a handler which is a plain
//! async function.
//!
//! This module knows no path and no body. It bounds what clients can take (connections, time before
//! a request, headers, streams, windows), keeps one request's panic from harming others, and ends
//! in order: stop accepting, let requests finish, close what is left.
//!
//! What a handler should know: its future is dropped when the client goes away, so work that must
//! run to its end belongs in a task of its own; a response has to be taken by the client within the
//! idle timeout; every request carries a [`Peer`] as an extension.

mod connection;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use metrics::Unit;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::{Kind, Metric};

const CONNECTIONS: &str = "http_connections";
const REQUESTS: &str = "http_requests_in_flight";
const HANDLER_PANICS: &str = "http_handler_panics_total";

/// The metrics of this module.
pub const METRICS: &[Metric] = &[
    Metric {
        name: CONNECTIONS,
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: "",
        help: "Open HTTP connections of all listeners, those in a TLS handshake included.",
    },
    Metric {
        name: REQUESTS,
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: "",
        help: "HTTP requests that are being answered.",
    },
    Metric {
        name: HANDLER_PANICS,
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "",
        help: "Requests answered 500 because their handler panicked.",
    },
];

/// What a server is doing at the moment, for those who ask. May be shared by several servers.
#[derive(Debug, Default)]
pub struct HttpStats {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl HttpStats {
    /// Connections open, those in a TLS handshake included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests whose handler runs.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Pause after the system refused to hand out a connection, most likely for want of file
/// descriptors: without one the loop would spin until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long dropped connections have to unwind once the grace period is over.
const DROP_TIME: Duration = Duration::from_secs(1);

/// An error of any kind, as body types report it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one client, and all of them together, may take.
///
/// Memory that clients can make the server hold, bodies a handler has read aside: at most
/// `max_connections` times (`connection_window_bytes` + about twice `max_header_bytes` + 50 KiB for
/// TLS); 400 MiB with the defaults, if every connection is hostile.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Connections served at the same time; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// Time for the TLS handshake, and again for the head of a connection's first request.
    pub header_timeout: Duration,
    /// Time without any request, after the first. Longer than the idle timeout of usual clients (90 s
    /// in Go), so that normally the client is the one who closes and no request meets a closed door.
    pub idle_timeout: Duration,
    /// Size of a request's headers in bytes; with HTTP/1.1 also of the read buffer, at least 8 KiB.
    pub max_header_bytes: u32,
    /// Requests in flight on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// HTTP/2 streams which the client reset before they were looked at ("rapid reset").
    pub max_pending_reset_streams: usize,
    /// Body bytes an HTTP/2 client may send ahead on one stream.
    pub stream_window_bytes: u32,
    /// Body bytes an HTTP/2 client may send ahead on all streams of a connection.
    pub connection_window_bytes: u32,
    /// Time between pings on an HTTP/2 connection.
    pub ping_interval: Duration,
    /// Time for the answer to a ping; then the peer counts as gone.
    pub ping_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            max_header_bytes: 32 * 1024,
            max_concurrent_streams: 256,
            max_pending_reset_streams: 32,
            // At 5 ms round trip 128 KiB still carries 25 MB/s on a stream.
            stream_window_bytes: 128 * 1024,
            connection_window_bytes: 256 * 1024,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

/// Who sent a request; found in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the other end of the connection, which may be a proxy's.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Every request was answered.
    Drained,
    /// The grace period ended first; this many connections and streams were dropped.
    CutOff(usize),
}

/// Everything a server needs besides its handler.
#[derive(Debug)]
pub struct HttpServer {
    /// Where connections come from.
    pub listener: TcpListener,
    /// Encrypts every connection, if given.
    pub tls: Option<Arc<ServerConfig>>,
    /// What clients may take.
    pub limits: HttpLimits,
    /// Cancelled when serving should end.
    pub shutdown: CancellationToken,
    /// Time for requests in flight after that.
    pub grace: Duration,
    /// Where it shows what it is doing.
    pub stats: Arc<HttpStats>,
}

/// What every connection needs to know.
struct Shared {
    tls: Option<TlsAcceptor>,
    limits: HttpLimits,
    stats: Arc<HttpStats>,
    /// Finish what is in flight.
    shutdown: CancellationToken,
    /// Drop everything.
    kill: CancellationToken,
    tasks: TaskTracker,
}

impl HttpServer {
    /// Serves until `shutdown` is cancelled and the requests in flight are answered or the grace
    /// period is over. Dropping the future drops all connections.
    pub async fn serve<H, F, B>(self, handler: H) -> Served
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { listener, tls, limits, shutdown, grace, stats } = self;
        let kill = CancellationToken::new();
        let _kill_when_dropped = kill.clone().drop_guard();
        let tasks = TaskTracker::new();
        let tls = tls.map(TlsAcceptor::from);
        let shared =
            Arc::new(Shared { tls, limits, stats, shutdown, kill: kill.clone(), tasks: tasks.clone() });
        let slots = Arc::new(Semaphore::new(limits.max_connections));

        while let Some((stream, address, slot)) = next_connection(&listener, &slots, &shared.shutdown).await {
            let connection = connection::run(stream, address, Arc::clone(&shared), handler.clone());
            tasks.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
        // From here on the port refuses connections, so that clients turn to another instance.
        drop(listener);
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_ok() {
            return Served::Drained;
        }
        let left = tasks.len();
        kill.cancel();
        // A handler that blocks its thread can't be dropped; the process need not wait for it.
        let _ = timeout(DROP_TIME, tasks.wait()).await;
        Served::CutOff(left)
    }
}

/// Waits for a free slot and then for a connection; `None` at shutdown.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let slot =
            Arc::clone(slots).acquire_owned().await.expect("the semaphore of the slots is never closed");
        let (stream, address) = accept(listener).await;
        (stream, address, slot)
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accepted => Some(accepted),
    }
}

/// Accepts, through errors: those of a connection that is gone already are skipped, those of the
/// system (no descriptors, no memory) are waited out and logged once per episode.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "can't accept connections, trying on");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Listens on `host:port`, or, as Go programs do, on all interfaces for `:port`.
///
/// # Errors
/// The address is malformed, unknown or taken.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    let port: u16 = port.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        // A listener on `::` takes IPv4 too, except on hosts without IPv6 at all.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests;
