//! One pass: copies the ranges that are left, by several workers, chunk after chunk.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::pass::{Opened, Rows};
use super::super::progress::Board;
use super::super::sql::{Amount, Loader};
use super::super::store::{Fence, SnapshotStore};
use super::super::table::{SourceName, TargetTable};
use super::{RangeStep, Reached};
use crate::failure::{Disposition, Failure, Place};
use crate::metrics;

const RUN: &str = "copy tables";
/// SQLSTATE: a unique value exists already.
const UNIQUE_VIOLATION: &str = "23505";

/// Reads chunks of ranges.
pub trait Chunks: Rows {
    /// A part of a table.
    type Range: Send + Sync;

    /// Begins to read the chunk behind a key, or the first of the range; the chunk before must have been read to its end.
    ///
    /// # Errors
    /// The connection, or what the source refuses. The pass ends.
    fn open(
        &mut self,
        range: &Self::Range,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Opened, Failure>> + Send;

    /// Where the chunk ended. Asked for at its end only.
    fn reached(&self) -> Reached;
}

/// A table to copy.
#[derive(Debug, Clone)]
pub struct RangePlan<R> {
    /// Its name at the source.
    pub source: SourceName,
    /// Where it goes.
    pub target: TargetTable,
    /// The ranges that are left, by number, with the key up to which each is copied.
    pub ranges: Vec<(i32, R, Option<String>)>,
    /// How many bytes of the source a row is guessed to take.
    pub row_weight: u64,
}

/// What a pass needs beside tables and readers.
#[derive(Clone)]
pub struct RangesPass {
    /// Where it is noted how far ranges are.
    pub store: SnapshotStore,
    /// In whose name.
    pub fence: Fence,
    /// Who is told how far it is.
    pub board: Arc<Board>,
}

struct Table<R> {
    plan: RangePlan<R>,
    begun: AtomicBool,
    /// The source has it no more.
    lost: AtomicBool,
    left: AtomicUsize,
    rows: AtomicU64,
}

struct Shared<R> {
    pass: RangesPass,
    tables: Vec<Table<R>>,
    /// Table and range, in order.
    queue: Mutex<VecDeque<(usize, usize)>>,
}

impl RangesPass {
    /// Copies what is left, with as many workers as there are readers. Answers which tables the source has no more; the
    /// others are there to their end.
    ///
    /// # Errors
    /// The first failure of a worker; the others then stop in the middle of what they do. Or `Retry` if told to stop.
    pub async fn run<C>(
        self,
        plans: Vec<RangePlan<C::Range>>,
        readers: Vec<C>,
        stop: &CancellationToken,
    ) -> Result<BTreeSet<SourceName>, Failure>
    where
        C: Chunks + 'static,
        C::Range: 'static,
    {
        let shared = Arc::new(Shared::new(self, plans));
        shared.finish_empty();
        let mut workers = JoinSet::new();
        for reader in readers {
            let shared = Arc::clone(&shared);
            workers.spawn(async move { shared.work(reader).await });
        }
        let all = async {
            while let Some(worker) = workers.join_next().await {
                worker.map_err(|e| Failure::new(Disposition::Halt, RUN, e))??;
            }
            Ok(())
        };
        let stopped = || Failure::new(Disposition::Retry, RUN, "told to stop");
        let done = stop.run_until_cancelled(all).await.unwrap_or_else(|| Err(stopped()));
        // Those that are left are dropped where they stand, and with them their connections.
        workers.shutdown().await;
        done?;
        let lost = shared.tables.iter().filter(|table| table.lost.load(Ordering::SeqCst));
        Ok(lost.map(|table| table.plan.source.clone()).collect())
    }
}

impl<R: Send + Sync> Shared<R> {
    fn new(pass: RangesPass, plans: Vec<RangePlan<R>>) -> Self {
        let mut queue = VecDeque::new();
        for (table, plan) in plans.iter().enumerate() {
            queue.extend((0..plan.ranges.len()).map(|range| (table, range)));
        }
        let table = |plan: RangePlan<R>| Table {
            begun: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            left: AtomicUsize::new(plan.ranges.len()),
            rows: AtomicU64::new(0),
            plan,
        };
        Self { pass, tables: plans.into_iter().map(table).collect(), queue: Mutex::new(queue) }
    }

    fn finish_empty(&self) {
        for table in self.tables.iter().filter(|table| table.plan.ranges.is_empty()) {
            self.pass.board.finish(&table.plan.source);
        }
    }

    fn next(&self) -> Option<(usize, usize)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn work<C: Chunks<Range = R>>(&self, mut reader: C) -> Result<(), Failure> {
        let database = Arc::clone(self.pass.store.database());
        let mut loader = Loader::new(database, self.pass.fence.clone());
        while let Some((at, range)) = self.next() {
            let table = &self.tables[at];
            self.range(table, range, &mut reader, &mut loader).await?;
            if table.left.fetch_sub(1, Ordering::SeqCst) == 1 && !table.lost.load(Ordering::SeqCst) {
                let (source, rows) = (&table.plan.source, table.rows.load(Ordering::SeqCst));
                self.pass.board.finish(source);
                tracing::info!(table = %source, rows, "copied a table");
            }
        }
        Ok(())
    }

    /// Chunk after chunk, each committed with the key it ends at.
    async fn range<C: Chunks<Range = R>>(
        &self,
        table: &Table<R>,
        range: usize,
        reader: &mut C,
        loader: &mut Loader,
    ) -> Result<(), Failure> {
        let plan = &table.plan;
        let (number, range, after) = &plan.ranges[range];
        let mut step = RangeStep { table: plan.source.clone(), number: *number, from: after.clone() };
        while !table.lost.load(Ordering::SeqCst) {
            match reader.open(range, step.from.as_deref()).await? {
                Opened::Ready => {}
                Opened::Lost => {
                    table.lost.store(true, Ordering::SeqCst);
                    return Ok(());
                }
            }
            if !table.begun.swap(true, Ordering::SeqCst) {
                self.pass.board.begin(&plan.source);
            }
            let seen = |amount: Amount| self.pass.board.seen(&plan.source, amount.rows, amount.bytes);
            let copied = loader.copy_chunk(&plan.target, reader, &seen, &step).await;
            let copied = match copied {
                Err(error) if error.sqlstate() == Some(UNIQUE_VIOLATION) => {
                    return Err(self.advise(plan, error).await);
                }
                other => other?,
            };
            table.rows.fetch_add(copied.rows, Ordering::SeqCst);
            let weight = copied.rows.saturating_mul(plan.row_weight);
            self.pass.board.piece(&plan.source, weight, copied.bytes);
            metrics::count_copied(&plan.target.schema.id, copied.rows, copied.bytes);
            let Reached { key, last } = reader.reached();
            if last {
                return Ok(());
            }
            step.from = key;
        }
        Ok(())
    }

    /// Rows of two moments have the same unique value, which they never had at one.
    async fn advise(&self, plan: &RangePlan<R>, error: Failure) -> Failure {
        let table = &plan.target.schema.id;
        let Ok(indexes) = self.pass.store.unique_indexes(table).await else { return error };
        if indexes.is_empty() {
            return error;
        }
        let list = |of: &dyn Fn(&super::store::UniqueIndex) -> &str| {
            indexes.iter().map(|index| format!("{};", of(index))).collect::<Vec<_>>().join(" ")
        };
        let place = Place { table: Some(table.clone()), ..error.place().clone() };
        let reason = format!(
            "rows that were copied at different moments have the same value in a unique index of the target; drop the \
             unique indexes until the feed says that the target is consistent: {} and make them again afterwards: {}",
            list(&|index| &index.drop),
            list(&|index| &index.add),
        );
        Failure::new(Disposition::Halt, RUN, reason).at(place)
    }
}
