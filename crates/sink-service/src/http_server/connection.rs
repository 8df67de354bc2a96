//! One connection, from the handshake to its end.
//!
//! hyper has a timeout for the headers of HTTP/1.1 only, and none before it knows the version. The
//! watch kept here covers every protocol the same way: a connection without a request in flight
//! lives only so long.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::rt::{Executor, Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{BoxError, CONNECTIONS, HANDLER_PANICS, HttpLimits, HttpStats, Peer, REQUESTS, Shared};

/// The smallest read buffer hyper accepts for HTTP/1.1, in bytes.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Serves a connection until its end, or until everything is told to drop.
pub(super) async fn run<H, F, B>(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let _open = Open::new(Arc::clone(&shared.stats));
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "can't set TCP_NODELAY");
    }
    let kill = shared.kill.clone();
    let served = async {
        match &shared.tls {
            None => converse(stream, Peer { address, tls: false }, &shared, handler).await,
            Some(acceptor) => {
                if let Some(stream) = handshake(acceptor, stream, &shared).await {
                    converse(stream, Peer { address, tls: true }, &shared, handler).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = kill.cancelled() => {}
        () = served => {}
    }
}

/// Completes the TLS handshake; `None` when it fails, takes too long or the server ends. Failures
/// are the client's, and scanners cause them all the time, so they are not worth a warning.
async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    let accepted = timeout(shared.limits.header_timeout, acceptor.accept(stream));
    tokio::select! {
        biased;
        () = shared.shutdown.cancelled() => None,
        accepted = accepted => match accepted {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                None
            }
            Err(_elapsed) => {
                tracing::debug!("TLS handshake took too long");
                None
            }
        },
    }
}

/// Serves requests on an established stream.
async fn converse<S, H, F, B>(stream: S, peer: Peer, shared: &Shared, handler: H)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (traffic, watched) = watch::channel(Traffic::default());
    let traffic = Arc::new(traffic);
    let stats = Arc::clone(&shared.stats);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let busy = Busy::new(Arc::clone(&traffic), Arc::clone(&stats));
        request.extensions_mut().insert(peer);
        let handler = handler.clone();
        async move {
            let response = answer(handler, request).await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder(shared);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    supervise(connection, watched, shared).await;
}

/// Drives a connection: open until it falls quiet or the server ends, then closing, which lets what
/// is in flight finish.
async fn supervise<I, S, B>(
    connection: hyper_util::server::conn::auto::Connection<'_, I, S, Streams>,
    watched: watch::Receiver<Traffic>,
    shared: &Shared,
) where
    I: Read + Write + Unpin + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>>,
    S::Future: 'static,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    Streams: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    let limits = &shared.limits;
    let mut connection = pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return report(result),
        () = quiet(watched.clone(), limits.header_timeout, limits.idle_timeout) => {
            if !watched.borrow().served {
                tracing::debug!("no request arrived in time, connection dropped");
                return;
            }
        }
        () = shared.shutdown.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection.as_mut() => report(result),
        // The peer was told and does nothing: it holds half a request, or doesn't take the response.
        () = quiet(watched, limits.header_timeout, limits.header_timeout) => {}
    }
}

/// A broken connection is everyday life for a server; the request's own log line says the rest.
fn report(result: Result<(), BoxError>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended with an error");
    }
}

fn builder(shared: &Shared) -> Builder<Streams> {
    let HttpLimits {
        max_connections: _,
        header_timeout: _,
        idle_timeout,
        max_header_bytes,
        max_concurrent_streams,
        max_pending_reset_streams,
        stream_window_bytes,
        connection_window_bytes,
        ping_interval,
        ping_timeout,
    } = shared.limits;
    let buffer = usize::try_from(max_header_bytes).unwrap_or(usize::MAX).max(SMALLEST_BUFFER);
    let mut builder = Builder::new(Streams { tasks: shared.tasks.clone(), kill: shared.kill.clone() });
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's clock also runs between requests, so it has to be the longer of the two limits.
        .header_read_timeout(idle_timeout)
        .max_buf_size(buffer);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(max_header_bytes)
        .max_concurrent_streams(max_concurrent_streams)
        .max_pending_accept_reset_streams(max_pending_reset_streams)
        .initial_stream_window_size(stream_window_bytes)
        .initial_connection_window_size(connection_window_bytes)
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(ping_timeout);
    builder
}

/// Runs the handler; a panic in it becomes a 500 for this request alone.
async fn answer<H, F, B>(handler: H, request: Request<Incoming>) -> Response<Either<B, Full<Bytes>>>
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
{
    let (method, uri) = (request.method().clone(), request.uri().clone());
    match catching(async move { handler(request).await }).await {
        Ok(response) => response.map(Either::Left),
        Err(panic) => panicked(&method, &uri, &panic),
    }
}

fn panicked<B>(method: &Method, uri: &Uri, panic: &str) -> Response<Either<B, Full<Bytes>>> {
    metrics::counter!(HANDLER_PANICS).increment(1);
    // The query is left out: old sources put their token there.
    tracing::error!(%method, path = uri.path(), panic, "the handler of a request panicked");
    let mut response = Response::new(Either::Right(Full::from("internal error\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// The future's output, or the text of its panic, after which it is never polled again.
async fn catching<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = Box::pin(future);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload.downcast_ref::<&str>().copied().unwrap_or("(no text)").to_owned(),
        })),
    })
    .await
}

/// What a connection is doing, as far as its time limits are concerned.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    /// Requests whose handler runs.
    in_flight: usize,
    /// Whether there ever was one.
    served: bool,
}

/// Counts one request as in flight for as long as it lives.
struct Busy(Arc<watch::Sender<Traffic>>, Arc<HttpStats>);

impl Busy {
    fn new(traffic: Arc<watch::Sender<Traffic>>, stats: Arc<HttpStats>) -> Self {
        stats.requests.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!(REQUESTS).increment(1.0);
        traffic.send_modify(|t| {
            t.in_flight += 1;
            t.served = true;
        });
        Self(traffic, stats)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.1.requests.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!(REQUESTS).decrement(1.0);
        self.0.send_modify(|t| t.in_flight -= 1);
    }
}

/// Returns once no request has been in flight for `first`, or for `later` if there ever was one.
async fn quiet(mut traffic: watch::Receiver<Traffic>, first: Duration, later: Duration) {
    loop {
        let now = *traffic.borrow_and_update();
        let changed = if now.in_flight > 0 {
            traffic.changed().await
        } else {
            let limit = if now.served { later } else { first };
            match timeout(limit, traffic.changed()).await {
                Ok(changed) => changed,
                Err(_elapsed) => return,
            }
        };
        if changed.is_err() {
            // hyper let go of the service: the connection itself is about to end.
            std::future::pending::<()>().await;
        }
    }
}

/// Counts an open connection in the gauge.
struct Open(Arc<HttpStats>);

impl Open {
    fn new(stats: Arc<HttpStats>) -> Self {
        stats.connections.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!(CONNECTIONS).increment(1.0);
        Self(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!(CONNECTIONS).decrement(1.0);
    }
}

/// Runs the streams of HTTP/2 connections as tasks of this server, so that shutting down waits for
/// them and dropping drops them.
#[derive(Clone)]
struct Streams {
    tasks: TaskTracker,
    kill: CancellationToken,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let kill = self.kill.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = kill.cancelled() => {}
                _ = stream => {}
            }
        });
    }
}
