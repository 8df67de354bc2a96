//! The listener for operators: health, readiness, metrics, diagnostics. It is stopped last, so that a process can be
//! watched while it drains.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http_server::{self, HttpLimits, HttpServer, HttpStats};
use crate::shutdown;

/// Most connections; further ones wait.
const MAX_CONNECTIONS: usize = 64;
/// Time for the last answers.
const GRACE: Duration = Duration::from_secs(1);

/// An answer to come: a status and a text.
pub type Answer = Pin<Box<dyn Future<Output = (StatusCode, String)> + Send>>;

/// Who answers what.
pub struct Answers {
    /// `/_/healthz`: 200 while the process can do its work.
    pub health: Box<dyn Fn() -> Answer + Send + Sync>,
    /// `/_/readyz`: 200 while it does; with the state as JSON.
    pub ready: Box<dyn Fn() -> Answer + Send + Sync>,
    /// `/_/varz`: metrics as Prometheus reads them.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// `/_/diag`: what support asks for, as JSON, without secrets.
    pub diagnostics: Box<dyn Fn() -> Answer + Send + Sync>,
}

/// The listener.
pub struct Operators {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Operators {
    /// Answers on `address`, if there is one.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn answering(
        address: Option<&str>,
        answers: Arc<Answers>,
        stats: Arc<HttpStats>,
    ) -> std::io::Result<Self> {
        let handler = move |request| {
            let answers = Arc::clone(&answers);
            async move { answer(&answers, &request).await }
        };
        Self::serve(address, stats, handler).await
    }

    /// Serves on `address`, if there is one.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn serve<H, F>(
        address: Option<&str>,
        stats: Arc<HttpStats>,
        handler: H,
    ) -> std::io::Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let operators = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let Some(address) = address else { return Ok(operators) };
        let listener = http_server::bind(address).await?;
        let bound = listener.local_addr().map_or_else(|_| address.to_owned(), |a| a.to_string());
        tracing::info!(address = %bound, "listening for operators");
        let server = HttpServer {
            listener,
            tls: None,
            limits: HttpLimits { max_connections: MAX_CONNECTIONS, ..HttpLimits::default() },
            shutdown: operators.stop.clone(),
            grace: GRACE,
            stats,
        };
        operators.tasks.spawn(server.serve(handler));
        Ok(operators)
    }

    /// Stops listening.
    pub async fn stop(self) {
        self.stop.cancel();
        shutdown::drain(&self.tasks, GRACE * 3).await;
    }
}

async fn answer(answers: &Answers, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    let path = request.uri().path();
    let (status, kind, text) = match (request.method(), path) {
        (&Method::GET, "/_/healthz") => {
            let (status, text) = (answers.health)().await;
            (status, TEXT, text)
        }
        (&Method::GET, "/_/readyz") => {
            let (status, text) = (answers.ready)().await;
            (status, JSON, text)
        }
        (&Method::GET, "/_/varz") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (answers.metrics)())
        }
        (&Method::GET, "/_/diag") => {
            let (status, text) = (answers.diagnostics)().await;
            (status, JSON, text)
        }
        (_, "/_/healthz" | "/_/readyz" | "/_/varz" | "/_/diag") => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /_/healthz, /_/readyz, /_/varz and /_/diag".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
