//! Applies by SQL: one statement per slice on PostgreSQL, one transaction per slice on CockroachDB.

mod columns;
mod execute;
mod locate;
mod pieces;
mod quarantine;
mod rows;
mod staged;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::staged::StagedSpan;
use super::{Applied, Applier, Changes, Unit};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::TableId;
use crate::staging::sql::registry::Registry;
use crate::target::Target;

/// Longest wait for one unit. A single source timestamp may be a large table, so this only bounds the wait for an answer
/// that was lost without a trace; the frontier tells afterwards whether the work was done.
const LONGEST_ANSWER: Duration = Duration::from_secs(6 * 3600);

/// How to apply.
#[derive(Debug, Clone, Copy)]
pub struct ApplierConfig {
    /// Do not guard immediate writes against older versions (`--assumeIdempotent`).
    pub assume_idempotent: bool,
    /// A source timestamp with more rows than this is not written whole by one transaction where the target cannot
    /// take that (`--maxTransactionRows`).
    pub max_transaction_rows: u32,
    /// Write such a timestamp in several transactions, on any target (`--splitLargeTimestamps`). Without it
    /// CockroachDB does so only before the schema's first mark is applied, and refuses later.
    pub split_large_timestamps: bool,
}

impl Default for ApplierConfig {
    fn default() -> Self {
        Self { assume_idempotent: false, max_transaction_rows: 10_000, split_large_timestamps: false }
    }
}

/// Writes to tables of the target.
pub struct SqlApplier {
    target: Arc<Target>,
    registry: Arc<Registry>,
    config: ApplierConfig,
    /// Tables whose keys turned out to be equal without being the same text.
    fold_by_value: Mutex<HashSet<TableId>>,
}

impl SqlApplier {
    /// Applies to `target`; `registry` is shared with the stager.
    #[must_use]
    pub fn new(target: Arc<Target>, registry: Arc<Registry>, config: ApplierConfig) -> Self {
        Self { target, registry, config, fold_by_value: Mutex::default() }
    }

    fn folds_by_value(&self, table: &TableId) -> bool {
        self.fold_by_value.lock().unwrap_or_else(PoisonError::into_inner).contains(table)
    }

    fn fold_by_value(&self, tables: impl IntoIterator<Item = TableId>) {
        self.fold_by_value.lock().unwrap_or_else(PoisonError::into_inner).extend(tables);
    }
}

impl Applier for SqlApplier {
    async fn apply(&self, unit: &Unit<'_>) -> Result<Applied, Failure> {
        let started = Instant::now();
        let database = self.target.database(&unit.schema.database).await?;
        let work = async {
            match unit.changes {
                Changes::Rows(batches) => self.apply_rows(&database, unit.schema, batches).await,
                Changes::Staged { window, guard, indivisible } => {
                    let span = StagedSpan { window, guard, indivisible };
                    self.apply_staged(&database, unit, span).await
                }
            }
        };
        let result = tokio::time::timeout(LONGEST_ANSWER, Box::pin(work)).await.unwrap_or_else(|elapsed| {
            Err(Failure::new(Disposition::Retry, "wait for the target to apply rows", elapsed))
        });
        let result = result.map_err(|e| e.in_database(&unit.schema.database));
        match &result {
            Ok(_) => {
                let tables = match unit.changes {
                    Changes::Rows(batches) => batches,
                    Changes::Staged { .. } => &[],
                };
                let tables = tables.iter().map(|batch| &batch.table.id);
                metrics::observe_tables("apply_duration_seconds", unit.schema, tables, started.elapsed());
            }
            Err(error) => {
                metrics::count_tables("apply_errors_total", unit.schema, error.place().table.as_ref());
            }
        }
        result
    }

    async fn flush(&self) -> Result<(), Failure> {
        // Everything is durable when `apply` answers.
        std::future::ready(Ok(())).await
    }
}
