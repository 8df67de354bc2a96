//! `start`: builds the engine and serves until told to stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sink_core::apply::SqlApplier;
use sink_core::checkpoint::Leases;
use sink_core::clock::SystemClock;
use sink_core::failure::chain;
use sink_core::resolver::Resolvers;
use sink_core::staging::SqlStager;
use sink_core::staging::sql::registry::Registry;
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::http_server::{self, HttpLimits, HttpServer, HttpStats, Served};
use sink_service::logging::LogHandle;
use sink_service::process;
use sink_service::settings::Setting;
use sink_service::shutdown::{self, Reloads, Signals};
use sink_service::telemetry;
use sink_service::tls::{self, CertReloader};
use source_webhook::auth::Authenticator;
use source_webhook::intake::Intake;
use source_webhook::{Webhook, metrics as webhook_metrics};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failed;
use crate::admin;
use crate::args::StartArgs;
use crate::operate::target_failed;

/// Longest wait for the target to take back leases and connections.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn start(args: StartArgs, settings: &[Setting], log: LogHandle) -> Result<Exit, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let signals = Signals::listen().map_err(|e| (Exit::Failure, e.into()))?;
    let background = TaskTracker::new();
    let stop = CancellationToken::new();
    let metrics = telemetry::install(&background, stop.clone()).map_err(|e| (Exit::Failure, e.into()))?;
    sink_core::metrics::describe();
    webhook_metrics::describe();
    let certificate = args.tls.source().context("TLS flags").map_err(usage)?;
    let certificate = certificate.map(CertReloader::new).transpose().context("TLS").map_err(usage)?;

    if args.server.ndjson_buffer_size.is_some() {
        tracing::info!("--ndjsonBufferSize has no effect: lines are bounded by --maxBodyBytes");
    }
    let target = open_target(&args, &signals).await?;
    tls::assert_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;

    let registry = Arc::new(Registry::default());
    let stager = Arc::new(SqlStager::new(Arc::clone(&target), Arc::clone(&registry)));
    let applier = Arc::new(SqlApplier::new(Arc::clone(&target), registry, args.applier()));
    let leases = Arc::new(Leases::new(&target, Arc::new(SystemClock), process::holder()));
    let resolvers = Arc::new(Resolvers::new(
        Arc::clone(&target),
        Arc::clone(&stager),
        Arc::clone(&applier),
        Arc::clone(&leases),
        args.resolver(target.product()),
        stop.clone(),
        background.clone(),
    ));
    let intake = Intake::new(Arc::clone(&target), stager, applier, Arc::clone(&resolvers), args.intake());
    let deliveries = TaskTracker::new();
    let stats = Arc::new(HttpStats::default());
    let diagnostics = admin::diagnostics(settings, Arc::clone(&leases), Arc::clone(&stats));
    let authenticator = args.authenticator();
    check_tokens(authenticator.as_ref(), &target, &background, &stop).await;
    let config = args.webhook(authenticator.clone());
    let render = move || metrics.render();
    let webhook = Webhook::new(Arc::new(intake), config, deliveries.clone(), render, diagnostics);
    let admin = admin::serve(args.server.metrics_addr.as_deref(), &webhook, &stats).await?;

    let leases_stop = CancellationToken::new();
    let lease_keeper = TaskTracker::new();
    lease_keeper.spawn({
        let (leases, stop) = (Arc::clone(&leases), leases_stop.clone());
        async move { leases.keep(stop).await }
    });
    background.spawn({
        let resolvers = Arc::clone(&resolvers);
        async move { resolvers.watch().await }
    });
    let tokens = authenticator.map(|authenticator| (authenticator, Arc::clone(&target)));
    let reload = Reload { certificate: certificate.clone(), log, tokens, resolvers };
    background.spawn(stop.clone().run_until_cancelled_owned(reload.run(signals.reloads())));
    let diagnose = admin::diagnose(Arc::clone(&webhook), signals.diagnoses());
    background.spawn(stop.clone().run_until_cancelled_owned(diagnose));
    if let Some(certificate) = &certificate {
        background.spawn(Arc::clone(certificate).watch(stop.clone()));
    }

    let served = serve(&args, certificate, &signals, Arc::clone(&webhook), stats).await?;
    let leaving = Leaving { deliveries, background, stop, lease_keeper, leases_stop, target };
    let drained = leaving.leave(args.shutdown.grace_period).await;
    admin.stop().await;
    let clean = drained && matches!(served, Served::Drained);
    tracing::info!(clean, "stopped");
    Ok(if clean { Exit::Success } else { Exit::Undrained })
}

/// What is still at work when no request is taken any more.
struct Leaving {
    deliveries: TaskTracker,
    background: TaskTracker,
    stop: CancellationToken,
    lease_keeper: TaskTracker,
    leases_stop: CancellationToken,
    target: Arc<Target>,
}

impl Leaving {
    /// Ends things in the order in which they depend on each other. Answers whether all work was finished.
    async fn leave(self, grace: Duration) -> bool {
        self.deliveries.close();
        let delivered = shutdown::drain(&self.deliveries, grace).await;
        // Resolvers finish the slice at hand; then the leases go, so that others take over at once.
        self.stop.cancel();
        self.background.close();
        let drained = shutdown::drain(&self.background, grace).await;
        self.leases_stop.cancel();
        self.lease_keeper.close();
        let released = shutdown::drain(&self.lease_keeper, RELEASE_PATIENCE).await;
        // A statement that still runs at the server would hold this up; the server ends it when we are gone.
        let closed = tokio::time::timeout(RELEASE_PATIENCE, self.target.close()).await.is_ok();
        tracing::debug!(released, closed, "said goodbye to the target");
        delivered && drained
    }
}

/// Accepts requests until the first signal, then lets those in flight finish.
async fn serve(
    args: &StartArgs,
    certificate: Option<Arc<CertReloader>>,
    signals: &Signals,
    webhook: Arc<Webhook>,
    stats: Arc<HttpStats>,
) -> Result<Served, Failed> {
    let address = &args.server.bind_addr;
    let listener = http_server::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
        .map_err(|e| (Exit::Usage, e))?;
    let bound = listener.local_addr().map_or_else(|_| address.clone(), |a| a.to_string());
    let tls = certificate.map(tls::server_config).transpose().map_err(|e| (Exit::Usage, e.into()))?;
    tracing::info!(address = %bound, tls = tls.is_some(), "listening");
    let stopping = signals.shutdown();
    let server = HttpServer {
        listener,
        tls,
        limits: HttpLimits::default(),
        shutdown: stopping.clone(),
        grace: args.shutdown.grace_period,
        stats,
    };
    let drain_flag = async {
        stopping.cancelled().await;
        tracing::info!("stopping: finishing what is in flight");
        webhook.start_draining();
    };
    let handler = {
        let webhook = Arc::clone(&webhook);
        move |request| Arc::clone(&webhook).handle(request)
    };
    let (served, ()) = tokio::join!(server.serve(handler), drain_flag);
    Ok(served)
}

/// Reads the keys of tokens, and again from time to time.
async fn check_tokens(
    authenticator: Option<&Arc<Authenticator>>,
    target: &Arc<Target>,
    background: &TaskTracker,
    stop: &CancellationToken,
) {
    let Some(authenticator) = authenticator else {
        tracing::info!("deliveries are accepted from everybody (--disableAuthentication)");
        return;
    };
    authenticator.reload(target).await;
    let (authenticator, target, stop) = (Arc::clone(authenticator), Arc::clone(target), stop.clone());
    background.spawn(async move { authenticator.keep_fresh(&target, stop).await });
}

/// Connects to the target and opens every database that was written before.
async fn open_target(args: &StartArgs, signals: &Signals) -> Result<Arc<Target>, Failed> {
    let config = args.target.config().map_err(|e| (Exit::Usage, e))?;
    let target = Arc::new(connect(config, &signals.shutdown()).await?);
    tracing::info!(version = target.version(), "connected to the target");
    for (database, failure) in target.open_known().await.map_err(target_failed)? {
        tracing::warn!(%database, error = %chain(&failure), "a database that was written before cannot be opened");
    }
    Ok(target)
}

/// Connects, unless told to stop before the target answers.
async fn connect(config: TargetConfig, stop: &CancellationToken) -> Result<Target, Failed> {
    let target = Target::connect_patiently(config, stop).await.map_err(target_failed)?;
    target.ok_or_else(|| (Exit::Target, anyhow::anyhow!("told to stop before the target answered")))
}

/// What SIGHUP does.
struct Reload {
    certificate: Option<Arc<CertReloader>>,
    log: LogHandle,
    tokens: Option<(Arc<Authenticator>, Arc<Target>)>,
    resolvers: Arc<Resolvers>,
}

impl Reload {
    async fn run(self, mut reloads: Reloads) {
        loop {
            reloads.next().await;
            tracing::info!("reloading");
            if let Err(error) = self.log.reopen() {
                tracing::error!(error = %chain(&error), "the log file was not opened again");
            }
            if let Some(Err(error)) = self.certificate.as_ref().map(|certificate| certificate.reload()) {
                tracing::error!(error = %chain(&error), "the certificate was not read again; the old one stays");
            }
            let tokens = async {
                if let Some((authenticator, target)) = &self.tokens {
                    authenticator.reload(target).await;
                }
            };
            // Neither waits for the other: each may have to wait for the target.
            tokio::join!(tokens, self.resolvers.reload());
        }
    }
}
