//! Pieces of `start`: from the first connection to the last goodbye.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sink_core::failure::{Failure, chain};
use sink_core::flow::{FlowStatus, upkeep};
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::http_server::HttpStats;
use sink_service::logging::LogHandle;
use sink_service::operators::Operators;
use sink_service::settings::Setting;
use sink_service::shutdown::Reloads;
use sink_service::telemetry::{self, MetricsHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Failed, Program, observe, target_failed, usage};

/// Begins to measure.
///
/// # Errors
/// If somebody else does already.
pub fn measure(
    program: Program,
    background: &TaskTracker,
    stop: CancellationToken,
) -> Result<MetricsHandle, Failed> {
    let metrics = telemetry::install(background, stop).map_err(|e| (Exit::Failure, e.into()))?;
    telemetry::announce(program.name, program.version);
    sink_core::metrics::describe();
    sink_core::metrics::flow::describe();
    Ok(metrics)
}

/// Connects, unless told to stop before the target answers, and reads what is configured for its tables, before the first
/// row: applied without it, rows would become something else than was asked for.
///
/// # Errors
/// If the target cannot be worked with, or its configuration cannot.
pub async fn connect(config: TargetConfig, stop: &CancellationToken) -> Result<Arc<Target>, Failed> {
    let target = Target::connect_patiently(config, stop).await.map_err(target_failed)?;
    let target =
        target.ok_or_else(|| (Exit::Target, anyhow::anyhow!("told to stop before the target answered")))?;
    tracing::info!(version = target.version(), "connected to the target");
    target.configs().load(target.home()).await.map_err(target_failed)?;
    target.home().schema().refresh(target.home()).await.map_err(target_failed)?;
    target.configs().require_usable().map_err(|failure| (Exit::Refused, failure.into()))?;
    Ok(Arc::new(target))
}

/// Lets operators ask at `address`, if there is one (`--metricsAddr`).
///
/// # Errors
/// If it cannot be listened there.
pub async fn operators(
    program: Program,
    address: Option<&str>,
    status: &Arc<FlowStatus>,
    target: &Arc<Target>,
    (metrics, settings): (MetricsHandle, &[Setting]),
) -> Result<Operators, Failed> {
    let answers = Arc::new(observe::answers(program, status, target, metrics, settings));
    let operators = Operators::answering(address, answers, Arc::new(HttpStats::default())).await;
    operators
        .with_context(|| format!("cannot listen on {} (--metricsAddr)", address.unwrap_or_default()))
        .map_err(usage)
}

/// SIGHUP: opens the log file again, reads the configuration and the target's schema again.
pub async fn reload(mut reloads: Reloads, log: LogHandle, target: Arc<Target>) {
    loop {
        reloads.next().await;
        tracing::info!("reloading");
        if let Err(error) = log.reopen() {
            tracing::error!(error = %chain(&error), "the log file was not opened again");
        }
        upkeep::reload(&target).await;
    }
}

/// Carries until told to stop; `None` if work in flight outlasted the grace period after that.
pub async fn carry(
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
        carried = work => Some(carried),
        () = patience => None,
    }
}

/// How the process ends, by what [`carry`] says.
///
/// # Errors
/// If a person has to decide.
pub fn ended(carried: Option<Result<(), Failure>>) -> Result<Exit, Failed> {
    match carried {
        Some(Ok(())) => {
            tracing::info!("stopped");
            Ok(Exit::Success)
        }
        Some(Err(failure)) => Err((Exit::Refused, failure.into())),
        None => Ok(Exit::Undrained),
    }
}
