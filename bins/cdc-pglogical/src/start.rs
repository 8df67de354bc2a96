//! `start`: builds the engine and carries changes until told to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sink_core::checkpoint::Leases;
use sink_core::clock::SystemClock;
use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::copy::Board;
use sink_core::flow::{FeedName, FlowApplier, FlowStatus, Supervisor};
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::http_server::HttpStats;
use sink_service::logging::LogHandle;
use sink_service::operators::Operators;
use sink_service::settings::Setting;
use sink_service::shutdown::{self, Reloads, Signals};
use sink_service::snapshot_args::SnapshotMode;
use sink_service::{telemetry, tls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failed;
use crate::args::StartArgs;
use crate::{observe, snapshot, tables};

/// How long a target that does not answer is waited for at start; a supervisor takes over after that.
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between attempts.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for the target to take back leases and connections.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// How often the target's schema is read again.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until SIGTERM or SIGINT, or until a person has to decide.
pub(crate) async fn start(args: StartArgs, settings: &[Setting], log: LogHandle) -> Result<Exit, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let signals = Signals::listen().map_err(|e| (Exit::Failure, e.into()))?;
    let background = TaskTracker::new();
    let stop = CancellationToken::new();
    let metrics = telemetry::install(&background, stop.clone()).map_err(|e| (Exit::Failure, e.into()))?;
    telemetry::announce(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    sink_core::metrics::describe();
    sink_core::metrics::flow::describe();
    snapshot::check(&args).map_err(usage)?;
    let target = args.target().map_err(usage)?;
    if args.is_dry_run().map_err(usage)? {
        return tables::dry_run(&args, target).await;
    }
    let target = Arc::new(connect(target, &signals.shutdown()).await?);
    tracing::info!(version = target.version(), "connected to the target");
    tls::assert_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;

    tables::create_without_copy(&args, &target).await?;

    let status = Arc::new(FlowStatus::new(&args.source.loop_name));
    let answers = Arc::new(observe::answers(&status, &target, metrics, settings));
    let address = args.feed.metrics_addr.as_deref();
    let operators = Operators::serve(address, answers, Arc::new(HttpStats::default())).await;
    let operators = operators
        .with_context(|| format!("cannot listen on {} (--metricsAddr)", address.unwrap_or_default()))
        .map_err(usage)?;

    let leases = Arc::new(Leases::new(&target, Arc::new(SystemClock), hostname()));
    let leases_stop = CancellationToken::new();
    let lease_keeper = TaskTracker::new();
    lease_keeper.spawn({
        let (leases, stop) = (Arc::clone(&leases), leases_stop.clone());
        async move { leases.keep(stop).await }
    });
    background.spawn(stop.clone().run_until_cancelled_owned(reload(
        signals.reloads(),
        log,
        Arc::clone(&target),
    )));
    background.spawn(stop.clone().run_until_cancelled_owned(watch_schema(Arc::clone(&target))));

    let stopping = signals.shutdown();
    let board = Board::new();
    let source = snapshot::source(&args, &target, &status, &board, stopping.clone())?;
    background.spawn(stop.clone().run_until_cancelled_owned(snapshot::show(board, Arc::clone(&status))));
    let supervisor = Supervisor {
        source,
        database: Arc::clone(target.home()),
        applier: Arc::new(FlowApplier::new(Arc::clone(target.home())).map_err(target_failed)?),
        leases: Arc::clone(&leases),
        feed: FeedName::whole(&args.source.loop_name),
        config: args.flow(),
        retry_delay: args.feed.retry_delay,
        status,
    };
    let grace = args.shutdown.grace_period;
    let carried = match args.snapshot.snapshot_mode {
        SnapshotMode::Never | SnapshotMode::Initial => {
            carry(supervisor.run(stopping.clone()), &stopping, grace).await
        }
        SnapshotMode::Only => {
            carry(
                snapshot::only(supervisor.source, &leases, &args.source.loop_name, &stopping),
                &stopping,
                grace,
            )
            .await
        }
    };
    stop.cancel();
    background.close();
    let drained = shutdown::drain(&background, RELEASE_PATIENCE).await;
    leases_stop.cancel();
    lease_keeper.close();
    shutdown::drain(&lease_keeper, RELEASE_PATIENCE).await;
    // A statement that still runs at the server would hold this up; the server ends it when we are gone.
    let closed = tokio::time::timeout(RELEASE_PATIENCE, target.close()).await.is_ok();
    tracing::debug!(drained, closed, "said goodbye to the target");
    operators.stop().await;
    match carried {
        Some(Ok(())) => {
            tracing::info!("stopped");
            Ok(Exit::Success)
        }
        Some(Err(failure)) => Err((Exit::Refused, failure.into())),
        None => Ok(Exit::Undrained),
    }
}

/// Carries until told to stop; `None` if work in flight outlasted the grace period after that.
async fn carry(
    work: impl Future<Output = Result<(), Failure>>,
    stopping: &CancellationToken,
    grace: Duration,
) -> Option<Result<(), Failure>> {
    let patience = async {
        stopping.cancelled().await;
        tracing::info!("stopping: finishing what is in flight");
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        carried = Box::pin(work) => Some(carried),
        () = patience => None,
    }
}

/// Tries until the target answers, patience ends, or the process is told to stop.
async fn connect(config: TargetConfig, stop: &CancellationToken) -> Result<Target, Failed> {
    let deadline = Instant::now() + CONNECT_PATIENCE;
    loop {
        match Target::connect(config.clone()).await {
            Ok(target) => return Ok(target),
            Err(failure) if failure.disposition() == Disposition::Retry && Instant::now() < deadline => {
                tracing::warn!(error = %chain(&failure), "the target does not answer; trying again");
            }
            Err(failure) => return Err(target_failed(failure)),
        }
        if stop.run_until_cancelled(tokio::time::sleep(CONNECT_PAUSE)).await.is_none() {
            return Err((Exit::Target, anyhow::anyhow!("told to stop before the target answered")));
        }
    }
}

pub(crate) fn target_failed(failure: Failure) -> Failed {
    (Exit::Target, failure.into())
}

/// SIGHUP: opens the log file again, reads the configuration and the target's schema again.
async fn reload(mut reloads: Reloads, log: LogHandle, target: Arc<Target>) {
    loop {
        reloads.next().await;
        tracing::info!("reloading");
        if let Err(error) = log.reopen() {
            tracing::error!(error = %chain(&error), "the log file was not opened again");
        }
        if let Err(error) = target.configs().load(target.home()).await {
            tracing::error!(error = %chain(&error), "apply_config was not read; what is in use stays");
        }
        refresh(&target).await;
    }
}

async fn watch_schema(target: Arc<Target>) {
    loop {
        tokio::time::sleep(SCHEMA_INTERVAL).await;
        refresh(&target).await;
    }
}

async fn refresh(target: &Target) {
    if let Err(error) = target.home().schema().refresh(target.home()).await {
        tracing::warn!(error = %chain(&error), "the target's schema was not read");
    }
}

/// Shown to operators as the holder of leases.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let name = if name.is_empty() { "unknown" } else { name };
    format!("{name}:{}", std::process::id())
}
