//! One HTTP request from its head to its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use sink_core::checkpoint::Mode;
use sink_service::body::{BodyBudget as _, BodyLimits, discard_body, read_body};
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::budget::{ByteBudget, Share};
use crate::encoding::Encoding;
use crate::intake::{Intake, Offer};
use crate::payload::{Payload, PayloadError};
use crate::reply::{self, Refusal};
use crate::route::{Content, FeedOptions, FeedPath, Route, feed_options, route};
use crate::{health, metrics, payload};

/// How long an attempt may go on after the time for a delivery is over.
const HANG_TOLERANCE: Duration = Duration::from_secs(5);

/// Longest time spent on the rest of a refused body, so that the client sees why; the source gives up at three seconds.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// What a request may cost, and who may make one.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Who may write.
    pub access: Access,
    /// The mode of feeds that do not choose one (`--immediate`).
    pub default_mode: Mode,
    /// Longest body, in bytes, packed and unpacked (`--maxBodyBytes`).
    pub max_body_bytes: usize,
    /// Bytes of all bodies in flight (`--maxInFlightBytes`).
    pub max_in_flight_bytes: usize,
    /// Longest pause in a body.
    pub body_idle_timeout: Duration,
    /// Longest time for a body.
    pub body_timeout: Duration,
}

/// Answers requests.
pub struct Webhook {
    intake: Arc<Intake>,
    config: WebhookConfig,
    budget: ByteBudget,
    /// Deliveries outlive their requests: the client may go away, the work is finished all the same.
    deliveries: TaskTracker,
    render_metrics: Box<dyn Fn() -> String + Send + Sync>,
    draining: AtomicBool,
}

impl Webhook {
    /// Joins the parts; `render_metrics` prints them for `/_/varz`.
    #[must_use]
    pub fn new(
        intake: Arc<Intake>,
        config: WebhookConfig,
        deliveries: TaskTracker,
        render_metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Arc<Self> {
        let budget = ByteBudget::new(config.max_in_flight_bytes);
        let render_metrics = Box::new(render_metrics);
        Arc::new(Self {
            intake,
            config,
            budget,
            deliveries,
            render_metrics,
            draining: AtomicBool::new(false),
        })
    }

    /// From now on `/_/readyz` tells load balancers to go elsewhere.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The state of this process and its schemas: status and JSON.
    pub async fn readyz(&self) -> (StatusCode, String) {
        health::readyz(&self.intake, &self.config.access, self.draining.load(Ordering::Relaxed)).await
    }

    /// Answers one request. Never fails; every outcome is a response.
    pub async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let response = match route(request.uri().path()) {
            Route::Healthz => {
                let (status, text) = health::healthz(&self.intake).await;
                return reply::text(status, text);
            }
            Route::Readyz => {
                let (status, text) = self.readyz().await;
                return reply::with_type(status, "application/json", text);
            }
            Route::Varz => {
                let content_type = "text/plain; version=0.0.4; charset=utf-8";
                return reply::with_type(StatusCode::OK, content_type, (self.render_metrics)());
            }
            Route::ApplyConfig => {
                let text = format!("{:#}\n", self.intake.target.configs().to_json());
                return reply::with_type(StatusCode::OK, "application/json", text);
            }
            Route::NotFound => {
                let text = "not found; a feed posts to /database/schema or /database/schema/table, or uploads files beneath";
                reply::text(StatusCode::NOT_FOUND, text)
            }
            Route::Unsupported(advice) => reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, advice),
            Route::Feed(path) => {
                let (head, mut body) = request.into_parts();
                let outcome = Arc::clone(&self).receive(&path, &head, &mut body).await;
                if let Err(refusal) = &outcome {
                    let (schema, status) = (&path.schema, refusal.status.as_u16());
                    tracing::warn!(%schema, status, reason = %refusal.text, "a delivery was refused");
                    if refusal.status != StatusCode::REQUEST_TIMEOUT {
                        discard_body(body, DISCARD_TIME).await;
                    }
                }
                reply::response(outcome)
            }
        };
        metrics::answered(response.status(), started.elapsed());
        response
    }

    async fn receive(
        self: Arc<Self>,
        path: &FeedPath,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<(), Refusal> {
        let schema = &path.schema;
        self.config.access.authorize(head, schema.database.as_str(), schema.schema.as_str())?;
        if !matches!(head.method, Method::POST | Method::PUT) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "a feed uses POST or PUT"));
        }
        let options = feed_options(head.uri.query())?;
        let encoding = encoding_of(&head.headers, &path.content)?;
        let limits = BodyLimits {
            max_bytes: self.config.max_body_bytes,
            idle_timeout: self.config.body_idle_timeout,
            total_timeout: self.config.body_timeout,
        };
        let mut share = self.budget.share();
        let body = read_body(body, limits, &mut share).await?;
        metrics::received(body.len());
        let delivery = Delivery { path: path.clone(), options, encoding, body, share };
        let webhook = Arc::clone(&self);
        let done = self.deliveries.spawn(Box::pin(async move { webhook.deliver(delivery).await }));
        done.await.unwrap_or_else(|_| {
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the delivery failed unexpectedly; see the log",
            ))
        })
    }

    async fn deliver(self: Arc<Self>, delivery: Delivery) -> Result<(), Refusal> {
        let Delivery { path, options, encoding, body, mut share } = delivery;
        let limit = self.config.max_body_bytes;
        let body = match encoding {
            Encoding::Identity => body,
            Encoding::Gzip | Encoding::Zstd => {
                // Unpacking is work without a pause; it must not hold up other requests.
                let unpacking = tokio::task::spawn_blocking(move || {
                    let unpacked = encoding.unpack(body, limit, |bytes| share.grow(bytes));
                    (unpacked, share)
                });
                let joined = unpacking.await;
                let (unpacked, kept) = joined
                    .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body cannot be unpacked"))?;
                share = kept;
                unpacked?
            }
        };
        let payload = parse(&path, &body)?;
        let mode = match options.immediate {
            Some(true) => Mode::Immediate,
            Some(false) => Mode::Consistent,
            None => self.config.default_mode,
        };
        if mode == Mode::Consistent {
            payload.expect_times()?;
        }
        let topic = match &path.content {
            Content::Rows { topic, .. } => Some(topic.as_str()),
            Content::Webhook | Content::Mark(_) => None,
        };
        let (table, feed) = (path.table.as_ref(), options.feed.as_deref());
        let offer = Offer { schema: &path.schema, table, topic, feed, mode, payload };
        // Attempts end by themselves before this; only a target that hangs in one is cut off here. Whether that one
        // took effect does not matter, since the rows will come again.
        let longest = self.intake.config.timeout + HANG_TOLERANCE;
        let outcome = tokio::time::timeout(longest, self.intake.take_in(offer)).await;
        drop(share);
        outcome.unwrap_or_else(|_| {
            Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the target did not answer within --applyTimeout",
            ))
        })
    }
}

/// A request whose body has arrived.
struct Delivery {
    path: FeedPath,
    options: FeedOptions,
    encoding: Encoding,
    body: Bytes,
    share: Share,
}

/// Reads a body as what its path says it is.
fn parse<'a>(path: &FeedPath, body: &'a [u8]) -> Result<Payload<'a>, PayloadError> {
    match (&path.content, &path.table) {
        (Content::Webhook, None) => payload::parse(body),
        (Content::Webhook, Some(_)) => payload::parse_for_table(body),
        (Content::Rows { .. }, _) => payload::parse_lines(body),
        (Content::Mark(at), _) => Ok(Payload::of_mark(*at)),
    }
}

/// How the body is packed. What HTTP says of it wins over a file's name: both mean the same bytes.
fn encoding_of(headers: &HeaderMap, content: &Content) -> Result<Encoding, Refusal> {
    let unsupported = |text: &str| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.to_ascii_lowercase().contains("csv") {
        return Err(unsupported(
            "CSV rows carry neither table, key nor time; create the changefeed with format=json",
        ));
    }
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(match content {
            Content::Rows { encoding, .. } => *encoding,
            Content::Webhook | Content::Mark(_) => Encoding::Identity,
        });
    };
    value
        .to_str()
        .ok()
        .and_then(Encoding::from_header)
        .ok_or_else(|| unsupported("the content encoding must be gzip, zstd or none"))
}
