//! One pass: copies the tables that are left, in one snapshot of the source, by several workers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::Board;
use super::sql::{Amount, Loader};
use super::store::{Fence, SnapshotStore};
use super::table::{SourceName, TargetTable};
use crate::failure::{Disposition, Failure};
use crate::metrics;

/// What became of the wish to read a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Its text comes.
    Ready,
    /// The table was dropped or rewritten after the snapshot was taken, so this snapshot does not show its rows. It is
    /// left to a later pass.
    Lost,
}

/// Rows of the source that are being read.
pub trait Rows: Send {
    /// The next bytes in the text format of COPY, cut anywhere; `None` at the end.
    ///
    /// # Errors
    /// The connection, or what the source refuses.
    fn next(&mut self) -> impl Future<Output = Result<Option<&[u8]>, Failure>> + Send;

    /// Rows that were begun so far.
    fn rows(&self) -> u64;
}

/// Reads pieces of tables in one snapshot of the source.
pub trait Reader: Rows {
    /// What is read at once: large enough to be worth a transaction, small enough to be waited for.
    type Piece: Send + Sync;

    /// Begins to read a piece; the piece before must have been read to its end.
    ///
    /// # Errors
    /// The connection, or what the source refuses. The pass ends.
    fn open(&mut self, piece: &Self::Piece) -> impl Future<Output = Result<Opened, Failure>> + Send;
}

/// A table to copy.
#[derive(Debug, Clone)]
pub struct TablePlan<P> {
    /// Its name at the source.
    pub source: SourceName,
    /// Where it goes.
    pub target: TargetTable,
    /// All of it; with the bytes each is guessed to take at the source.
    pub pieces: Vec<(P, u64)>,
}

/// What a pass needs beside tables and readers.
#[derive(Clone)]
pub struct Pass {
    /// Where states are kept.
    pub store: SnapshotStore,
    /// In whose name.
    pub fence: Fence,
    /// What was committed at the source before this is in the snapshot.
    pub consistent_point: String,
    /// Who is told how far it is.
    pub board: Arc<Board>,
}

struct Table<P> {
    plan: TablePlan<P>,
    /// Told once before the first piece is written.
    begun: OnceCell<()>,
    /// The snapshot does not show it.
    lost: AtomicBool,
    left: AtomicUsize,
    rows: AtomicU64,
    bytes: AtomicU64,
}

struct Shared<P> {
    pass: Pass,
    tables: Vec<Table<P>>,
    /// Table and piece, in order.
    queue: Mutex<VecDeque<(usize, usize)>>,
}

impl Pass {
    /// Copies the tables, with as many workers as there are readers. Tables that the snapshot does not show are left as
    /// they are. Each table is `copied` as soon as all of it is there; when this fails, those that are not may be partly
    /// filled.
    ///
    /// # Errors
    /// The first failure of a worker; the others then stop in the middle of what they do. Or `Retry` if told to stop.
    pub async fn run<R>(
        self,
        plans: Vec<TablePlan<R::Piece>>,
        readers: Vec<R>,
        stop: &CancellationToken,
    ) -> Result<(), Failure>
    where
        R: Reader + 'static,
        R::Piece: 'static,
    {
        const RUN: &str = "copy tables";
        let shared = Arc::new(Shared::new(self, plans));
        shared.finish_empty().await?;
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
        done
    }
}

impl<P: Send + Sync> Shared<P> {
    fn new(pass: Pass, plans: Vec<TablePlan<P>>) -> Self {
        let mut queue = VecDeque::new();
        for (table, plan) in plans.iter().enumerate() {
            queue.extend((0..plan.pieces.len()).map(|piece| (table, piece)));
        }
        let table = |plan: TablePlan<P>| Table {
            begun: OnceCell::new(),
            lost: AtomicBool::new(false),
            left: AtomicUsize::new(plan.pieces.len()),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            plan,
        };
        Self { pass, tables: plans.into_iter().map(table).collect(), queue: Mutex::new(queue) }
    }

    /// A table without pieces, such as a partitioned one without partitions, is copied when it is begun.
    async fn finish_empty(&self) -> Result<(), Failure> {
        for table in self.tables.iter().filter(|table| table.plan.pieces.is_empty()) {
            let (source, target) = (&table.plan.source, &table.plan.target.schema.id);
            self.pass.store.begin(&self.pass.fence, source, target).await?;
            self.finish(table).await?;
        }
        Ok(())
    }

    fn next(&self) -> Option<(usize, usize)> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn work<R: Reader<Piece = P>>(&self, mut reader: R) -> Result<(), Failure> {
        let database = Arc::clone(self.pass.store.database());
        let mut loader = Loader::new(database, self.pass.fence.clone());
        while let Some((at, piece)) = self.next() {
            let table = &self.tables[at];
            if !table.lost.load(Ordering::SeqCst) {
                self.piece(table, piece, &mut reader, &mut loader).await?;
            }
            if table.left.fetch_sub(1, Ordering::SeqCst) == 1 && !table.lost.load(Ordering::SeqCst) {
                self.finish(table).await?;
            }
        }
        Ok(())
    }

    /// The source is asked first: a table that the snapshot does not show is never begun.
    async fn piece<R: Reader<Piece = P>>(
        &self,
        table: &Table<P>,
        piece: usize,
        reader: &mut R,
        loader: &mut Loader,
    ) -> Result<(), Failure> {
        let plan = &table.plan;
        let (piece, weight) = &plan.pieces[piece];
        match reader.open(piece).await? {
            Opened::Ready => {}
            Opened::Lost => {
                table.lost.store(true, Ordering::SeqCst);
                return Ok(());
            }
        }
        let (store, fence) = (&self.pass.store, &self.pass.fence);
        let begin = async || {
            self.pass.board.begin(&plan.source);
            store.begin(fence, &plan.source, &plan.target.schema.id).await
        };
        table.begun.get_or_try_init(begin).await?;
        let seen = |amount: Amount| self.pass.board.seen(&plan.source, amount.rows, amount.bytes);
        let copied = loader.copy(&plan.target, reader, &seen).await?;
        table.rows.fetch_add(copied.rows, Ordering::SeqCst);
        table.bytes.fetch_add(copied.bytes, Ordering::SeqCst);
        self.pass.board.piece(&plan.source, *weight, copied.bytes);
        metrics::count_copied(&plan.target.schema.id, copied.rows, copied.bytes);
        Ok(())
    }

    /// All pieces are committed, and only then the table is said to be copied: a crash between the two copies it anew.
    async fn finish(&self, table: &Table<P>) -> Result<(), Failure> {
        let source = &table.plan.source;
        let amount = (table.rows.load(Ordering::SeqCst), table.bytes.load(Ordering::SeqCst));
        let Pass { store, fence, consistent_point, board } = &self.pass;
        store.finish(fence, source, consistent_point, amount).await?;
        board.finish(source);
        tracing::info!(
            table = %source,
            rows = amount.0,
            bytes = amount.1,
            consistent_point = %consistent_point,
            "copied a table"
        );
        Ok(())
    }
}
