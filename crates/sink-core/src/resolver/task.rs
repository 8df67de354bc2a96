//! Applies one schema for as long as this process holds its lease.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catch_up::{CatchUp, Pace};
use super::manager::{Engine, ResolverConfig};
use super::retirer;
use crate::backoff::backoff;
use crate::checkpoint::sql::Stall;
use crate::checkpoint::{CheckpointStore as _, Standing};
use crate::failure::{Disposition, Failure, chain};
use crate::metrics;
use crate::model::{HlcTimestamp, SchemaId};

/// First and longest pause after a failure that may pass by itself.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// First and longest pause while the target refuses the next row.
const STALL_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Failures that should pass by themselves, one after the other, before the schema counts as stalled: about a minute,
/// which a restart of the target may take.
const PATIENCE: u32 = 20;
/// Longest wait for the answer to a short statement.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a lease held by another process is tried.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// One schema's resolver.
pub(super) struct Task {
    pub(super) engine: Arc<Engine>,
    pub(super) schema: SchemaId,
    pub(super) config: ResolverConfig,
    /// There may be a new mark.
    pub(super) wake: Arc<Notify>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Why leading a schema ended.
enum Ended {
    /// The process stops.
    Stopped,
    /// The lease is gone or somebody raised the epoch.
    Lost,
}

impl Task {
    /// Runs until `stop`.
    pub(super) async fn run(self) {
        let name = format!("resolver:{}", self.schema);
        // Also if this task panics: the lease must not be renewed for nobody, and the next mark must find a new task.
        let _farewell =
            Farewell { engine: Arc::clone(&self.engine), schema: self.schema.clone(), lease: name.clone() };
        while !self.stop.is_cancelled() {
            match bounded(self.engine.leases.acquire(&name)).await {
                Ok(Some(lost)) => match self.lead(&lost).await {
                    Ok(Ended::Stopped) => break,
                    Ok(Ended::Lost) => {}
                    Err(error) => self.complain(&error, "cannot resolve"),
                },
                Ok(None) => {}
                Err(error) => self.complain(&error, "cannot ask for the lease"),
            }
            self.pause(LEASE_PAUSE).await;
        }
    }

    /// Takes over, then applies whenever there is something to apply.
    async fn lead(&self, lost: &CancellationToken) -> Result<Ended, Failure> {
        let mut standing = bounded(self.engine.checkpoints.take_over(&self.schema)).await?;
        tracing::info!(schema = %self.schema, applied = %standing.applied, epoch = standing.epoch, "resolving");
        metrics::set_schema("resolve_leader", &self.schema, 1.0);
        // A stall that the leader before us recorded, ourselves perhaps, is ours to find out anew.
        self.forget_stall().await?;
        let (applied, retire) = watch::channel(HlcTimestamp::ZERO);
        let retiring = self.stop.child_token();
        let _stops_retiring = retiring.clone().drop_guard();
        self.tasks.spawn(retirer::run(
            Arc::clone(&self.engine.stager),
            self.schema.clone(),
            retire,
            retiring,
        ));
        let ended = self.keep_applying(&mut standing, lost, &applied).await;
        metrics::set_schema("resolve_leader", &self.schema, 0.0);
        ended
    }

    async fn keep_applying(
        &self,
        standing: &mut Standing,
        lost: &CancellationToken,
        applied: &watch::Sender<HlcTimestamp>,
    ) -> Result<Ended, Failure> {
        let mut pace = Pace::new(self.config.slice_rows);
        let mut failures = Failures::default();
        let work = self.catch_up();
        loop {
            // Dropping a running pass is safe: the server finishes or undoes its statement, and whoever leads next
            // reads the frontier first. On shutdown the pass is let to its end; the grace period bounds it.
            metrics::retry_begins();
            let mut changes = self.engine.schema_changes(&self.schema).await;
            let Some(result) = lost.run_until_cancelled(work.pass(standing, &mut pace)).await else {
                return Ok(Ended::Lost);
            };
            applied.send_if_modified(|at| std::mem::replace(at, standing.applied) != standing.applied);
            match result {
                Ok(_) => {
                    if failures.stalled {
                        self.recovered().await;
                    }
                    failures = Failures::default();
                    self.wait_for_mark(lost).await;
                }
                Err(error) => {
                    let fenced = error.disposition() == Disposition::Fenced;
                    metrics::retry_failed(&error, !fenced);
                    if fenced {
                        return Ok(Ended::Lost);
                    }
                    let pause = self.note(&mut failures, standing, &error).await;
                    self.pause_after_failure(pause, &mut changes, lost).await;
                    match bounded(work.reread(standing)).await {
                        Err(error) if error.disposition() == Disposition::Fenced => return Ok(Ended::Lost),
                        // Still unreachable: the next pass will say so.
                        Err(_) | Ok(()) => {}
                    }
                }
            }
            if self.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            if lost.is_cancelled() {
                return Ok(Ended::Lost);
            }
        }
    }

    fn catch_up(
        &self,
    ) -> CatchUp<'_, crate::staging::SqlStager, crate::apply::SqlApplier, crate::checkpoint::SqlCheckpoints>
    {
        CatchUp {
            stager: &self.engine.stager,
            applier: &self.engine.applier,
            checkpoints: &self.engine.checkpoints,
            schema: &self.schema,
            on_row_error: self.config.on_row_error,
            stop: &self.stop,
        }
    }

    async fn wait_for_mark(&self, lost: &CancellationToken) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = self.stop.cancelled() => {}
            () = lost.cancelled() => {}
        }
    }

    /// Counts, logs once, and says how long to wait.
    async fn note(&self, failures: &mut Failures, standing: &Standing, error: &Failure) -> Duration {
        failures.count += 1;
        match error.disposition() {
            Disposition::Retry | Disposition::Fenced => {
                if failures.count == 1 {
                    tracing::warn!(schema = %self.schema, error = %chain(error), "applying failed; trying again");
                }
                // What should pass and does not is a stall to whoever waits for the rows.
                if failures.count >= PATIENCE && !failures.stalled {
                    failures.stalled = true;
                    self.stalled(standing, error).await;
                }
                backoff(RETRY_PAUSE, failures.count)
            }
            Disposition::Halt | Disposition::Defer => {
                if !failures.stalled {
                    failures.stalled = true;
                    failures.count = 1;
                    self.stalled(standing, error).await;
                }
                // Perhaps the schema has changed since we read it.
                self.engine.refresh_schema(&self.schema).await;
                backoff(STALL_PAUSE, failures.count)
            }
        }
    }

    async fn stalled(&self, standing: &Standing, error: &Failure) {
        metrics::set_schema("resolve_stalled", &self.schema, 1.0);
        tracing::error!(
            schema = %self.schema, applied = %standing.applied, error = %chain(error),
            "the rows that follow cannot be applied; the schema stands still, rows are still staged"
        );
        let stall = Stall { at: standing.applied, reason: chain(error) };
        let recorded = self.engine.checkpoints.record_stall(&self.schema, &stall, standing.epoch);
        if let Err(error) = bounded(recorded).await {
            self.complain(&error, "cannot record the stall");
        }
    }

    async fn recovered(&self) {
        tracing::info!(schema = %self.schema, "the schema moves again");
        if let Err(error) = self.forget_stall().await {
            self.complain(&error, "cannot clear the stall");
        }
    }

    async fn forget_stall(&self) -> Result<(), Failure> {
        metrics::set_schema("resolve_stalled", &self.schema, 0.0);
        bounded(self.engine.checkpoints.clear_stall(&self.schema)).await
    }

    /// A schema of the target that has changed since the failed pass began ends the pause early.
    async fn pause_after_failure(
        &self,
        pause: Duration,
        changes: &mut Option<watch::Receiver<u64>>,
        lost: &CancellationToken,
    ) {
        let changed = async {
            match changes {
                Some(changes) => drop(changes.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed => {}
            () = self.stop.cancelled() => {}
            () = lost.cancelled() => {}
        }
    }

    async fn pause(&self, pause: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }

    fn complain(&self, error: &Failure, what: &'static str) {
        tracing::warn!(schema = %self.schema, error = %chain(error), "{what}");
    }
}

/// Gives up a looks-like-hanging answer; the connection it waited on is closed with it.
async fn bounded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::new(Disposition::Retry, "wait for the target", "no answer in time");
    tokio::time::timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// Cleans up after a resolver, however it ended.
struct Farewell {
    engine: Arc<Engine>,
    schema: SchemaId,
    lease: String,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // Otherwise the lease is released when the process has stopped everything else.
        if std::thread::panicking() {
            self.engine.leases.stop_renewing(&self.lease);
        }
        self.engine.wakes().remove(&self.schema);
        metrics::set_schema("resolve_leader", &self.schema, 0.0);
        metrics::set_schema("resolve_stalled", &self.schema, 0.0);
    }
}

/// Failures since the last success.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    stalled: bool,
}
