//! Has a resolver for every schema with something to apply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::observer::{self, Observer};
use super::task::Task;
use crate::apply::{OnRowError, SqlApplier};
use crate::checkpoint::{Leases, SqlCheckpoints};
use crate::failure::chain;
use crate::metrics;
use crate::model::{HlcTimestamp, SchemaId};
use crate::staging::SqlStager;
use crate::staging::sql::guard::purge_guards;
use crate::target::Target;

/// How often marks that other processes received are looked for. Half of it is the least that a mark waits for on
/// average when it arrives elsewhere.
pub const POLL_INTERVAL: Duration = Duration::from_millis(150);
/// How often the target's schema is read again.
pub const SCHEMA_INTERVAL: Duration = Duration::from_secs(60);

/// How often the guard of immediate writes is purged.
pub const PURGE_INTERVAL: Duration = Duration::from_secs(600);

/// How to resolve.
#[derive(Debug, Clone, Copy)]
pub struct ResolverConfig {
    /// How long the guard remembers a key's last immediate write if no mark makes it superfluous.
    pub guard_retention: Duration,
    /// Most rows of a slice, unless one timestamp has more.
    pub slice_rows: u32,
    /// What to do with rows that the target refuses.
    pub on_row_error: OnRowError,
}

/// What resolvers share.
pub(super) struct Engine {
    pub(super) target: Arc<Target>,
    pub(super) stager: Arc<SqlStager>,
    pub(super) applier: Arc<SqlApplier>,
    pub(super) checkpoints: SqlCheckpoints,
    pub(super) leases: Arc<Leases>,
    wakes: Mutex<HashMap<SchemaId, Arc<Notify>>>,
}

impl Engine {
    /// How to wake the resolver of each schema that has one.
    pub(super) fn wakes(&self) -> std::sync::MutexGuard<'_, HashMap<SchemaId, Arc<Notify>>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn refresh_schema(&self, schema: &SchemaId) {
        let refreshed = async {
            let database = self.target.database(&schema.database).await?;
            database.schema().refresh(&database).await.map(drop)
        };
        if let Err(error) = refreshed.await {
            tracing::debug!(%schema, error = %chain(&error), "the target's schema was not read");
        }
    }

    pub(super) async fn schema_changes(&self, schema: &SchemaId) -> Option<watch::Receiver<u64>> {
        let database = self.target.database(&schema.database).await.ok()?;
        let mut changes = database.schema().changes();
        changes.mark_unchanged();
        Some(changes)
    }
}

/// The resolvers of this process.
pub struct Resolvers {
    engine: Arc<Engine>,
    config: ResolverConfig,
    stop: CancellationToken,
    tasks: TaskTracker,
    observer: Observer,
}

impl Resolvers {
    /// Prepares resolvers; [`Self::watch`] starts them.
    #[must_use]
    pub fn new(
        target: Arc<Target>,
        stager: Arc<SqlStager>,
        applier: Arc<SqlApplier>,
        leases: Arc<Leases>,
        config: ResolverConfig,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let checkpoints = SqlCheckpoints::new(Arc::clone(&target));
        let wakes = Mutex::default();
        let engine = Arc::new(Engine { target, stager, applier, checkpoints, leases, wakes });
        Self { engine, config, stop, tasks, observer: Observer::default() }
    }

    /// A row or mark of this time has arrived for a schema that exists.
    pub fn note_received(&self, schema: &SchemaId, at: HlcTimestamp) {
        self.observer.note_received(schema, at);
    }

    /// Schemas that have a resolver at the moment.
    #[must_use]
    pub fn count(&self) -> usize {
        self.engine.wakes().len()
    }

    /// There may be a new mark for this schema.
    pub fn wake(&self, schema: &SchemaId) {
        let mut wakes = self.engine.wakes();
        if let Some(wake) = wakes.get(schema) {
            wake.notify_one();
            return;
        }
        let wake = Arc::new(Notify::new());
        wake.notify_one();
        wakes.insert(schema.clone(), Arc::clone(&wake));
        let task = Task {
            engine: Arc::clone(&self.engine),
            schema: schema.clone(),
            config: self.config,
            wake,
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(task.run());
    }

    /// Looks for marks that other processes received and for changes of the target's schema, and keeps the guard
    /// small, until stopped.
    pub async fn watch(&self) {
        let stop = self.stop.clone();
        let marks = async {
            loop {
                self.wake_pending().await;
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let schemas = async {
            loop {
                tokio::time::sleep(SCHEMA_INTERVAL).await;
                self.reload().await;
            }
        };
        let guards = async {
            loop {
                tokio::time::sleep(PURGE_INTERVAL).await;
                self.purge_guards().await;
            }
        };
        let figures = async {
            loop {
                self.observer.observe(&self.engine.target, &self.engine.checkpoints).await;
                tokio::time::sleep(observer::INTERVAL).await;
            }
        };
        let all = async { tokio::join!(marks, schemas, guards, figures) };
        stop.run_until_cancelled(Box::pin(all)).await;
    }

    /// Reads the configuration and the target's schema again, everywhere; wakes resolvers that stand still.
    pub async fn reload(&self) {
        let target = &self.engine.target;
        if let Err(error) = target.configs().load(target.home()).await {
            tracing::error!(error = %chain(&error), "apply_config was not read; what is in use stays");
        }
        for database in self.engine.target.databases().await {
            if let Err(error) = database.schema().refresh(&database).await {
                tracing::warn!(database = %database.name(), error = %chain(&error), "the target's schema was not read");
            }
        }
        metrics::count_reload();
    }

    async fn purge_guards(&self) {
        for database in self.engine.target.databases().await {
            match purge_guards(&database, self.config.guard_retention).await {
                Ok(entries) => tracing::debug!(database = %database.name(), entries, "purged the guard"),
                Err(error) => tracing::warn!(error = %chain(&error), "the guard was not purged"),
            }
        }
    }

    async fn wake_pending(&self) {
        for database in self.engine.target.databases().await {
            match self.engine.checkpoints.with_pending_marks(&database).await {
                Ok(pending) => pending.iter().for_each(|(schema, _)| self.wake(schema)),
                Err(error) => {
                    tracing::debug!(database = %database.name(), error = %chain(&error), "cannot look for marks");
                }
            }
        }
    }
}
