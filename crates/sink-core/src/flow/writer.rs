//! Writes batches in order, one at a time, in the background of reading.
//!
//! What reaches the target, and when the position moves:
//!
//! ```text
//! whole transactions        one statement: rows and position commit together
//! a transaction too large   BEGIN, lock the position; a statement per part …; move the position, COMMIT
//! nothing to apply          the position alone
//! transactions apart        note that the target is torn (once); a statement per connection; move the position
//! ```
//!
//! What is written apart is written again after a crash. A row that takes values along to another key can only be moved
//! once, so from there on the transaction is written with its position, as one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::apart;
use super::batch::Taken;
use super::fold::TableNet;
use super::position::{Advance, FeedName, Position, Stored};
use super::sql::{FlowApplier, OpenTransaction, Written};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::TableId;

/// What to write.
#[derive(Debug)]
pub(super) enum Work {
    /// Whole transactions, or the last part of one, and the position behind them.
    UpTo(Taken, Position),
    /// The beginning of a transaction, or its continuation.
    Part(Taken),
    /// Up to this position there is nothing for the target.
    Nothing(Position),
    /// An open transaction is not forgotten.
    Touch,
    /// From here on transactions are kept together. The target holds nothing from beyond the position.
    Mend,
}

/// How transactions reach the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Each as a whole.
    Together,
    /// Row by row, over this many connections.
    Apart {
        /// Connections.
        shards: usize,
    },
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The position moved.
    pub(super) moved: bool,
    pub(super) transactions: u64,
    pub(super) changes: u64,
    pub(super) committed_at_micros: Option<i64>,
    /// Rows that should have been in the target and were not.
    pub(super) missing: Vec<(TableId, u64)>,
}

struct Finished {
    open: Option<OpenTransaction>,
    position: Position,
    torn: bool,
    done: Done,
}

type Running = Pin<Box<dyn Future<Output = Result<Finished, Failure>> + Send>>;

/// The one writer of a feed.
pub(super) struct Writer {
    applier: Arc<FlowApplier>,
    feed: Arc<FeedName>,
    epoch: i64,
    position: Position,
    torn: bool,
    manner: Manner,
    timeout: Duration,
    open: Option<OpenTransaction>,
    running: Option<Running>,
}

impl Writer {
    /// Goes on from what is stored. `timeout` bounds one piece of work.
    pub(super) fn new(
        applier: Arc<FlowApplier>,
        feed: Arc<FeedName>,
        stored: &Stored,
        timeout: Duration,
    ) -> Self {
        Self {
            applier,
            feed,
            epoch: stored.epoch,
            position: stored.position.clone(),
            torn: stored.torn,
            manner: Manner::Together,
            timeout,
            open: None,
            running: None,
        }
    }

    /// How transactions reach the target from now on. May only change between transactions.
    pub(super) fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// How transactions reach the target.
    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// Whether rows from beyond the position may be in the target.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// The stored position.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Whether work is under way. There is one piece of work at a time.
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a part of a transaction has been written and its end has not.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Begins a piece of work.
    ///
    /// # Panics
    /// If another is under way.
    pub(super) fn start(&mut self, work: Work) {
        assert!(self.running.is_none(), "one piece of work at a time");
        let job = Job {
            applier: Arc::clone(&self.applier),
            feed: Arc::clone(&self.feed),
            epoch: self.epoch,
            from: self.position.clone(),
            torn: self.torn,
            manner: self.manner,
            open: self.open.take(),
        };
        let limit = self.timeout;
        self.running = Some(Box::pin(async move {
            let finished = tokio::time::timeout(limit, job.run(work)).await;
            finished.unwrap_or_else(|_| {
                let reason = format!("no answer within {:.0} s (--applyTimeout)", limit.as_secs_f64());
                Err(Failure::new(Disposition::Retry, "apply changes of a log", reason))
            })
        }));
    }

    /// Waits for the work under way; for ever if there is none. Dropping the future loses nothing.
    pub(super) async fn finished(&mut self) -> Result<Done, Failure> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let finished = running.await;
        self.running = None;
        let Finished { open, position, torn, done } = finished?;
        self.open = open;
        self.torn = torn;
        self.position = position;
        Ok(done)
    }
}

/// One piece of work with what it needs.
struct Job {
    applier: Arc<FlowApplier>,
    feed: Arc<FeedName>,
    epoch: i64,
    from: Position,
    torn: bool,
    manner: Manner,
    open: Option<OpenTransaction>,
}

impl Job {
    async fn run(mut self, work: Work) -> Result<Finished, Failure> {
        match (work, self.manner) {
            (Work::UpTo(taken, to), Manner::Together) => self.up_to(taken, to).await,
            (Work::Part(taken), Manner::Together) => self.part(taken).await,
            (Work::UpTo(taken, to), Manner::Apart { .. }) if self.is_for_once(&taken) => {
                self.up_to(taken, to).await
            }
            (Work::Part(taken), Manner::Apart { .. }) if self.is_for_once(&taken) => self.part(taken).await,
            (Work::UpTo(mut taken, to), Manner::Apart { shards }) => {
                // Rows without a key are written once only, which is with the position.
                let (keyless, keyed) = taken.nets.into_iter().partition(TableNet::is_keyless);
                let (keyless, keyed): (Vec<_>, Vec<_>) = (keyless, keyed);
                let mut written = self.apart(&keyed, shards).await?;
                let advance = self.advance(&to, taken.committed_at_micros);
                let moved = self.applier.apply(&keyless, advance);
                written.missing.extend(self.timed(&keyless, moved).await?.missing);
                taken.nets = keyed.into_iter().chain(keyless).collect();
                Ok(self.finished(to, done(&taken, &written, true)))
            }
            (Work::Part(taken), Manner::Apart { shards }) => {
                let written = self.apart(&taken.nets, shards).await?;
                let from = self.from.clone();
                Ok(self.finished(from, done(&taken, &written, false)))
            }
            (Work::Nothing(to), Manner::Together | Manner::Apart { .. }) => {
                self.applier.positions().advance(self.advance(&to, None)).await?;
                Ok(self.finished(to, Done { moved: true, ..Done::default() }))
            }
            (Work::Touch, Manner::Together | Manner::Apart { .. }) => {
                if let Some(open) = &mut self.open {
                    self.applier.touch(open).await?;
                }
                let from = self.from.clone();
                Ok(self.finished(from, Done::default()))
            }
            (Work::Mend, Manner::Together | Manner::Apart { .. }) => {
                self.applier.positions().set_torn(&self.feed, self.epoch, false).await?;
                self.torn = false;
                let from = self.from.clone();
                Ok(self.finished(from, Done::default()))
            }
        }
    }

    /// Whether it must not be written without the position.
    fn is_for_once(&self, taken: &Taken) -> bool {
        self.open.is_some() || taken.nets.iter().any(TableNet::carries_values)
    }

    fn finished(self, position: Position, done: Done) -> Finished {
        Finished { open: self.open, position, torn: self.torn, done }
    }

    fn advance<'a>(&'a self, to: &'a Position, source_time_micros: Option<i64>) -> Advance<'a> {
        Advance { feed: &self.feed, from: &self.from, to, epoch: self.epoch, source_time_micros }
    }

    async fn up_to(mut self, taken: Taken, to: Position) -> Result<Finished, Failure> {
        let open = self.open.take();
        let advance = self.advance(&to, taken.committed_at_micros);
        let written = match open {
            None => self.timed(&taken.nets, self.applier.apply(&taken.nets, advance)).await?,
            Some(mut open) => {
                let last = async {
                    let written = self.applier.part(&mut open, &taken.nets).await?;
                    self.applier.commit(open, advance).await?;
                    Ok(written)
                };
                self.timed(&taken.nets, last).await?
            }
        };
        Ok(self.finished(to, done(&taken, &written, true)))
    }

    async fn part(mut self, taken: Taken) -> Result<Finished, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.applier.begin(&self.from, &self.feed, self.epoch).await?,
        };
        let written = self.timed(&taken.nets, self.applier.part(&mut open, &taken.nets)).await?;
        self.open = Some(open);
        let from = self.from.clone();
        Ok(self.finished(from, done(&taken, &written, false)))
    }

    /// A crash after the note leaves a target that is not torn and noted so, which does no harm.
    async fn apart(&mut self, nets: &[TableNet], shards: usize) -> Result<Written, Failure> {
        if !self.torn {
            self.applier.positions().set_torn(&self.feed, self.epoch, true).await?;
            self.torn = true;
        }
        self.timed(nets, apart::write(&self.applier, &self.feed, self.epoch, nets, shards)).await
    }

    /// Measures the writing of a batch.
    async fn timed(
        &self,
        nets: &[TableNet],
        work: impl Future<Output = Result<Written, Failure>>,
    ) -> Result<Written, Failure> {
        let since = Instant::now();
        let written = work.await;
        if !nets.is_empty() {
            let took = written.as_ref().map(|_| since.elapsed());
            let took = took.map_err(|refused| refused.place().table.as_ref());
            metrics::applied_batch(self.applier.database(), nets.iter().map(|net| &net.table.id), took);
        }
        written
    }
}

fn done(taken: &Taken, written: &Written, moved: bool) -> Done {
    let table = |net: &TableNet| net.table.id.clone();
    let missing = taken.nets.iter().zip(&written.missing).filter(|(_, rows)| **rows > 0);
    Done {
        moved,
        transactions: taken.transactions,
        changes: taken.changes,
        committed_at_micros: taken.committed_at_micros,
        missing: missing.map(|(net, rows)| (table(net), *rows)).collect(),
    }
}
