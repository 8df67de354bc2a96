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
use sink_service::body::{BodyBudget as _, BodyError, BodyLimits, discard_body, read_body};
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::answers::Answers;
use crate::budget::{ByteBudget, Share};
use crate::diag::Diagnostics;
use crate::encoding::Encoding;
use crate::intake::{Intake, Offer};
use crate::payload::{Payload, PayloadError};
use crate::refusal_log::RefusalLog;
use crate::reply::{self, Refusal};
use crate::route::{Content, FeedOptions, FeedPath, Route, feed_options, route};
use crate::{health, metrics, payload};

/// How long an attempt may go on after the time for a delivery is over.
const HANG_TOLERANCE: Duration = Duration::from_secs(5);

/// What a request costs besides its body, about, in bytes.
const REQUEST_BYTES: usize = 16 << 10;

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
    diagnostics: Diagnostics,
    asked: Asked,
    refusals: RefusalLog,
    draining: AtomicBool,
}

/// What anybody may ask.
#[derive(Default)]
struct Asked {
    healthz: Answers,
    readyz: Answers,
    varz: Answers,
    diag: Answers,
    apply_config: Answers,
}

impl Webhook {
    /// Joins the parts; `render_metrics` prints them for `/_/varz`, `diagnostics` is what `/_/diag` cannot find out.
    #[must_use]
    pub fn new(
        intake: Arc<Intake>,
        config: WebhookConfig,
        deliveries: TaskTracker,
        render_metrics: impl Fn() -> String + Send + Sync + 'static,
        diagnostics: Diagnostics,
    ) -> Arc<Self> {
        let budget = ByteBudget::new(config.max_in_flight_bytes);
        let render_metrics = Box::new(render_metrics);
        Arc::new(Self {
            intake,
            config,
            budget,
            deliveries,
            render_metrics,
            diagnostics,
            asked: Asked::default(),
            refusals: RefusalLog::default(),
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

    /// What support asks for, as JSON.
    pub async fn diag(&self) -> String {
        format!("{:#}\n", self.diagnostics.collect(&self.intake, self.draining.load(Ordering::Relaxed)).await)
    }

    /// Answers one request. Never fails; every outcome is a response.
    pub async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let route = route(request.uri().path());
        let (head, body) = request.into_parts();
        if let Some(response) = self.administer(&route, &head).await {
            return response;
        }
        let response = match route {
            Route::Feed(path) => self.delivery(path, head, body, started).await,
            Route::Unsupported(advice) => reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, advice),
            _ => {
                let text = "not found; a feed posts to /database/schema or /database/schema/table, or uploads files beneath";
                reply::text(StatusCode::NOT_FOUND, text)
            }
        };
        metrics::answered(response.status(), started.elapsed());
        response
    }

    /// Answers one request of the listener for operators, which takes no feeds.
    pub async fn handle_admin(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let route = route(request.uri().path());
        let (head, _) = request.into_parts();
        let answered = self.administer(&route, &head).await;
        answered.unwrap_or_else(|| {
            let text = "not found; this address serves /_/healthz, /_/readyz, /_/varz, /_/config/apply and /_/diag; feeds \
                        post to --bindAddr";
            reply::text(StatusCode::NOT_FOUND, text)
        })
    }

    /// What both listeners serve; `None` for everything else.
    async fn administer(&self, route: &Route, head: &Parts) -> Option<Response<Full<Bytes>>> {
        Some(match route {
            Route::Healthz => {
                let (status, body) = self.asked.healthz.get(|| health::healthz(&self.intake)).await;
                reply::with_type(status, "text/plain; charset=utf-8", body)
            }
            Route::Readyz => {
                let (status, body) = self.asked.readyz.get(|| self.readyz()).await;
                reply::with_type(status, "application/json", body)
            }
            Route::Varz => {
                let render = async || (StatusCode::OK, (self.render_metrics)());
                let (status, body) = self.asked.varz.get(render).await;
                reply::with_type(status, "text/plain; version=0.0.4; charset=utf-8", body)
            }
            Route::ApplyConfig => {
                let show =
                    async || (StatusCode::OK, format!("{:#}\n", self.intake.target.configs().to_json()));
                let (status, body) = self.asked.apply_config.get(show).await;
                reply::with_type(status, "application/json", body)
            }
            Route::Diag if self.may_diagnose(head) => {
                let (status, body) = self.asked.diag.get(async || (StatusCode::OK, self.diag().await)).await;
                reply::with_type(status, "application/json", body)
            }
            Route::Diag => {
                let text = "diagnostics need a token for the schema _.diag";
                reply::text(StatusCode::FORBIDDEN, text)
            }
            Route::Feed(_) | Route::Unsupported(_) | Route::NotFound => return None,
        })
    }

    /// Whether a request may see diagnostics: the one place that decides.
    fn may_diagnose(&self, head: &Parts) -> bool {
        self.config.access.authorize(head, "_", "diag").is_ok()
    }

    /// Receives a delivery and tells of it; never with the query string, which may hold a token.
    async fn delivery(
        self: Arc<Self>,
        path: FeedPath,
        head: Parts,
        mut body: Incoming,
        started: Instant,
    ) -> Response<Full<Bytes>> {
        let mut bytes = 0;
        let schema = &path.schema;
        let outcome = Arc::clone(&self).receive(&path, &head, &mut body, &mut bytes).await;
        let latency_seconds = started.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => tracing::debug!(%schema, status = 200, bytes, latency_seconds, "a delivery was taken"),
            Err(refusal) => {
                let status = refusal.status.as_u16();
                let reason = &refusal.text;
                if let Some(passed_over) = self.refusals.admit(Instant::now()) {
                    tracing::warn!(
                        %schema, status, bytes, latency_seconds, %reason, passed_over, "a delivery was refused"
                    );
                }
                if refusal.status != StatusCode::REQUEST_TIMEOUT {
                    discard_body(body, DISCARD_TIME).await;
                }
            }
        }
        reply::response(outcome)
    }

    async fn receive(
        self: Arc<Self>,
        path: &FeedPath,
        head: &Parts,
        body: &mut Incoming,
        bytes: &mut usize,
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
        // A delivery lives on when its client is gone; so even those with hardly a body must not be any number.
        if !share.take(REQUEST_BYTES).await {
            return Err(BodyError::OverBudget.into());
        }
        let body = read_body(body, limits, &mut share).await?;
        metrics::received(body.len());
        *bytes = body.len();
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
