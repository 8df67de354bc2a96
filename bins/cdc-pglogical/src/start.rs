//! `start`: builds the engine and carries changes until told to stop.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sink_core::failure::{Failure, chain};
use sink_core::flow::copy::Board;
use sink_core::flow::{FeedName, FlowApplier, FlowStatus, Supervisor, Upkeep, upkeep};
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::http_server::HttpStats;
use sink_service::logging::LogHandle;
use sink_service::operators::Operators;
use sink_service::process;
use sink_service::settings::Setting;
use sink_service::shutdown::{Reloads, Signals};
use sink_service::snapshot_args::SnapshotMode;
use sink_service::telemetry::{self, MetricsHandle};
use sink_service::tls;
use source_pglogical::snapshot::SnapshotSource;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Failed;
use crate::args::StartArgs;
use crate::{observe, preflight, snapshot, tables, watching};

/// Runs until SIGTERM or SIGINT, or until a person has to decide.
pub(crate) async fn start(args: StartArgs, settings: &[Setting], log: LogHandle) -> Result<Exit, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let signals = Signals::listen().map_err(|e| (Exit::Failure, e.into()))?;
    snapshot::check(&args).map_err(usage)?;
    let target = args.target().map_err(usage)?;
    if args.is_dry_run().map_err(usage)? {
        return tables::dry_run(&args, target).await;
    }
    let background = TaskTracker::new();
    let metrics =
        telemetry::install(&background, signals.shutdown()).map_err(|e| (Exit::Failure, e.into()))?;
    telemetry::announce(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    sink_core::metrics::describe();
    sink_core::metrics::flow::describe();
    source_pglogical::metrics::describe();
    let target = Arc::new(connect(target, &signals.shutdown()).await?);
    tracing::info!(version = target.version(), "connected to the target");
    configure(&target).await?;
    tls::assert_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;
    preflight::before_start(&args, &target, &signals.shutdown()).await?;
    tables::create_without_copy(&args, &target).await?;

    let upkeep = Upkeep::begin(Arc::clone(&target), process::holder());
    let status = Arc::new(FlowStatus::new(&args.source.loop_name));
    let operators = operators(&args, &status, &target, (metrics, settings)).await?;
    upkeep.spawn(reload(signals.reloads(), log, Arc::clone(&target)));
    let stopping = signals.shutdown();
    let guard = watching::guard(&args, &target)?;
    let mut supervisor = supervisor(&args, &target, &upkeep, Arc::clone(&status), &stopping)?;
    supervisor.source = supervisor.source.guarded(Arc::clone(&guard));
    let work: Work = match args.snapshot.snapshot_mode {
        SnapshotMode::Never | SnapshotMode::Initial => {
            let (stop, grace) = (stopping.child_token(), args.shutdown.grace_period);
            Box::pin(watching::beside(supervisor.run(stop.clone()), guard, status, stop, grace))
        }
        SnapshotMode::Only => {
            let (leases, feed) = (Arc::clone(upkeep.leases()), args.source.loop_name.clone());
            let stopping = stopping.clone();
            Box::pin(async move { snapshot::only(supervisor.source, &leases, &feed, &stopping).await })
        }
    };
    let carried = carry(work, &stopping, args.shutdown.grace_period).await;
    upkeep.end().await;
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

type Work = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Joins the pieces.
fn supervisor(
    args: &StartArgs,
    target: &Arc<Target>,
    upkeep: &Upkeep,
    status: Arc<FlowStatus>,
    stopping: &CancellationToken,
) -> Result<Supervisor<SnapshotSource>, Failed> {
    let board = Board::new();
    let source = snapshot::source(args, target, &status, &board, stopping.clone())?;
    upkeep.spawn(snapshot::show(board, Arc::clone(&status)));
    let origin = args.replication_origin().map_err(|e| (Exit::Usage, e))?;
    let applier = FlowApplier::new(Arc::clone(target.home())).map_err(target_failed)?;
    Ok(Supervisor {
        source,
        database: Arc::clone(target.home()),
        applier: Arc::new(applier.marking(origin)),
        leases: Arc::clone(upkeep.leases()),
        feed: FeedName::whole(&args.source.loop_name),
        config: args.flow(),
        retry_delay: args.feed.retry_delay,
        status,
    })
}

/// Lets operators ask.
async fn operators(
    args: &StartArgs,
    status: &Arc<FlowStatus>,
    target: &Arc<Target>,
    (metrics, settings): (MetricsHandle, &[Setting]),
) -> Result<Operators, Failed> {
    let answers = Arc::new(observe::answers(status, target, metrics, settings));
    let address = args.feed.metrics_addr.as_deref();
    let operators = Operators::answering(address, answers, Arc::new(HttpStats::default())).await;
    operators
        .with_context(|| format!("cannot listen on {} (--metricsAddr)", address.unwrap_or_default()))
        .map_err(|e| (Exit::Usage, e))
}

/// Carries until told to stop; `None` if work in flight outlasted the grace period after that.
async fn carry(work: Work, stopping: &CancellationToken, grace: Duration) -> Option<Result<(), Failure>> {
    let patience = async {
        stopping.cancelled().await;
        tracing::info!("stopping: finishing what is in flight");
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        carried = work => Some(carried),
        () = patience => None,
    }
}

/// Connects, unless told to stop before the target answers.
async fn connect(config: TargetConfig, stop: &CancellationToken) -> Result<Target, Failed> {
    let target = Target::connect_patiently(config, stop).await.map_err(target_failed)?;
    target.ok_or_else(|| (Exit::Target, anyhow::anyhow!("told to stop before the target answered")))
}

pub(crate) fn target_failed(failure: Failure) -> Failed {
    (Exit::Target, failure.into())
}

/// Reads what is configured for tables, before the first row: applied without it, rows would become something else than
/// was asked for.
async fn configure(target: &Target) -> Result<(), Failed> {
    target.configs().load(target.home()).await.map_err(target_failed)?;
    target.home().schema().refresh(target.home()).await.map_err(target_failed)?;
    target.configs().require_usable().map_err(|failure| (Exit::Refused, failure.into()))
}

/// SIGHUP: opens the log file again, reads the configuration and the target's schema again.
async fn reload(mut reloads: Reloads, log: LogHandle, target: Arc<Target>) {
    loop {
        reloads.next().await;
        tracing::info!("reloading");
        if let Err(error) = log.reopen() {
            tracing::error!(error = %chain(&error), "the log file was not opened again");
        }
        upkeep::reload(&target).await;
    }
}
