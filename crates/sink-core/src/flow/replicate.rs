//! The loop that carries a log to the target.
//!
//! ```text
//! source ─► try_next ─► batch (folds) ─► writer ─► target: rows and position together
//!    ▲                                      │
//!    └── acknowledge ◄── position stored ◄──┘
//! ```
//!
//! One batch is written while the next is collected; a full one stops the reading, so memory is bounded by two batches
//! and the socket. Nothing is acknowledged that is not stored in the target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::change::{Binding, Change};
use super::fold::Limits;
use super::position::Stored;
use super::status::FlowStatus;
use super::stream::{ChangeStream, SourceTable, Step, TableNumber};
use super::tables::Tables;
use super::writer::{Done, Manner, Work, Writer};
use crate::clock::{Clock as _, SystemClock};
use crate::failure::{Disposition, Failure, Place};

/// Most steps taken in before others have their turn.
const STEPS_AT_ONCE: usize = 50_000;
/// An open transaction is touched this often. The target ends sessions that are idle inside of one for ten seconds.
const TOUCH_INTERVAL: Duration = Duration::from_secs(3);

/// What becomes of a TRUNCATE at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTruncate {
    /// The feed stops before it.
    Stop,
    /// The target keeps its rows.
    Ignore,
    /// The target's rows are deleted.
    Apply,
}

/// Whether transactions are kept together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Always.
    Transactional,
    /// Never.
    Immediate,
    /// Not while the target is further behind than this when the stream is opened, and until it is not any more.
    Backfill {
        /// How far.
        window: Duration,
    },
}

/// How a feed is carried.
#[derive(Debug, Clone, Copy)]
pub struct FlowConfig {
    /// Whether transactions are kept together.
    pub mode: Mode,
    /// Connections that write at the same time while they are not; at least 1.
    pub shards: usize,
    /// How large batches grow.
    pub limits: Limits,
    /// Longest time for one piece of work at the target.
    pub apply_timeout: Duration,
    /// How often the position is stored while there is nothing to apply.
    pub standby_timeout: Duration,
    /// What becomes of a TRUNCATE.
    pub on_truncate: OnTruncate,
}

/// Whose failure it is; the source's lasting ones end the process, the target's are waited for.
#[derive(Debug)]
pub enum Broken {
    /// The source's.
    Source(Failure),
    /// The target's, or that of a change that does not fit it.
    Target(Failure),
}

/// A feed while one connection to its source lasts.
pub(super) struct Replication<S> {
    stream: S,
    batch: Batch,
    writer: Writer,
    tables: Tables,
    config: FlowConfig,
    status: Arc<FlowStatus>,
    /// A table that cannot be bound by what is known of the target.
    unbound: Option<(TableNumber, SourceTable)>,
    stored_at: Instant,
    /// The source has asked where we are, and has not been told a new position since.
    asked: bool,
    /// It waits for the answer.
    answer: bool,
    /// What is written last ends with a transaction, and where.
    boundary: Option<Boundary>,
    care: Care,
}

/// The end of a transaction to which the target has been written.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    /// Everything that the source had when the stream was opened is before it.
    past_opening: bool,
}

/// How long ago something was committed; for ever ago if nothing was.
fn age(micros: Option<i64>) -> Duration {
    let Some(micros) = micros.and_then(|micros| u64::try_from(micros).ok()) else { return Duration::MAX };
    SystemClock.wall().saturating_sub(Duration::from_micros(micros))
}

/// What is known of a transaction that the target has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// There is none.
    None,
    /// It was one of a batch. Those before it need not wait for it.
    Narrowing,
    /// It is the next one.
    Narrowed,
}

/// A failure of reading: of the source, unless it names the table of the target that a change does not fit.
fn misfit(failure: Failure) -> Broken {
    if failure.place().table.is_some() { Broken::Target(failure) } else { Broken::Source(failure) }
}

/// Why reading stopped for the moment.
#[derive(PartialEq, Eq)]
enum Paused {
    /// Nothing more has been received.
    Drained,
    /// The batch, or the writer, has to make room first.
    Held,
    /// It was a lot; there may be more.
    Yielded,
}

impl<S: ChangeStream> Replication<S> {
    pub(super) fn new(
        stream: S,
        (mut writer, stored): (Writer, &Stored),
        tables: Tables,
        config: FlowConfig,
        status: Arc<FlowStatus>,
    ) -> Self {
        let apart = match config.mode {
            // What was written before the process ended must not be taken back in the sight of readers.
            Mode::Transactional => stored.torn,
            Mode::Immediate => true,
            Mode::Backfill { window } => stored.torn || age(stored.source_time_micros) > window,
        };
        if apart {
            writer.set_manner(Manner::Apart { shards: config.shards });
        }
        status.set_apart(apart);
        Self {
            stream,
            batch: Batch::new(config.limits),
            writer,
            tables,
            config,
            status,
            unbound: None,
            stored_at: Instant::now(),
            asked: false,
            answer: false,
            boundary: Some(Boundary { past_opening: false }),
            care: Care::None,
        }
    }

    /// After a refusal, writes transactions one by one: as many as a batch may hold.
    pub(super) fn with_care(mut self, care: Care) -> Self {
        if care != Care::None {
            self.batch.set_alone(self.config.limits.changes.saturating_mul(2));
        }
        self.care = care;
        self
    }

    /// Writes the next transaction in parts that are as large as is safe.
    pub(super) fn with_large_parts(mut self, large: bool) -> Self {
        if large {
            self.batch.set_limits(self.config.limits.large());
        }
        self
    }

    /// Carries changes until told to stop, or something breaks. Whatever was not stored in the target by then comes
    /// again on the next connection.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), Broken> {
        let carried = self.carry(stop).await;
        match &carried {
            Ok(()) => {}
            Err(Broken::Source(_)) => self.status.breathe(self.is_outstanding()),
            // What the target did not take.
            Err(Broken::Target(_)) => self.status.breathe(true),
        }
        carried?;
        self.leave().await
    }

    async fn carry(&mut self, stop: &CancellationToken) -> Result<(), Broken> {
        let mut alive = interval(self.stream.patience().min(TOUCH_INTERVAL));
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut paused = self.take_in()?;
            self.mend();
            self.write();
            if paused == Paused::Held && self.unbound.is_none() && !self.batch.is_full() {
                // There is room again: what comes next is taken in while this is written.
                paused = Paused::Yielded;
            }
            if std::mem::take(&mut self.answer) {
                // With what is stored by now; what is about to be stored follows.
                self.stream.keep_alive().await.map_err(Broken::Source)?;
            }
            if self.unbound.is_some() && self.batch.is_empty() && !self.writer.is_busy() {
                if stop.run_until_cancelled(self.bind()).await.transpose()?.is_none() {
                    break;
                }
                continue;
            }
            let due = self.batch.due_at().filter(|_| !self.writer.is_busy());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                done = self.writer.finished(), if self.writer.is_busy() => {
                    self.written(done.map_err(Broken::Target)?).await?;
                }
                _ = alive.tick() => self.keep_alive().await?,
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
                ready = self.stream.ready(), if paused == Paused::Drained => ready.map_err(Broken::Source)?,
                () = tokio::task::yield_now(), if paused == Paused::Yielded => {}
            }
        }
        Ok(())
    }

    /// Whether anything was received that the target does not have.
    fn is_outstanding(&self) -> bool {
        self.writer.is_busy() || self.batch.is_inside() || !self.batch.is_empty()
    }

    /// Takes what was received into the batch.
    fn take_in(&mut self) -> Result<Paused, Broken> {
        // A transaction of the target is written by one version of its schema and of what is configured for it.
        if self.batch.is_empty() && self.boundary.is_some() && self.tables.have_changed() {
            self.stream.forget_bindings();
        }
        for _ in 0..STEPS_AT_ONCE {
            if self.batch.is_full() || self.unbound.is_some() {
                return Ok(Paused::Held);
            }
            match self.stream.try_next().map_err(misfit)? {
                None => return Ok(Paused::Drained),
                Some(Step::Begin) => self.batch.begin(),
                Some(Step::Change(binding, Change::Truncate)) => self.truncate(&binding)?,
                Some(Step::Change(binding, change)) => self.batch.push(&binding, change),
                Some(Step::Commit { at_micros }) => self.batch.commit(at_micros, Instant::now()),
                Some(Step::Table(number, table)) => self.table(number, table)?,
                Some(Step::Idle { asked }) => {
                    self.asked |= asked;
                    self.answer |= asked;
                }
            }
        }
        Ok(Paused::Yielded)
    }

    /// Starts writing what is due, if nothing is being written.
    fn write(&mut self) {
        if self.writer.is_busy() {
            return;
        }
        let wanted = self.unbound.is_some() && !self.batch.is_empty();
        if self.batch.is_inside() {
            if self.batch.is_full() || wanted {
                self.boundary = None;
                self.writer.start(Work::Part(self.batch.take()));
            }
        } else if self.writer.is_open()
            || wanted
            || self.batch.is_due(self.stream.is_behind(), Instant::now())
        {
            let position = self.stream.position();
            self.boundary = Some(Boundary { past_opening: self.stream.is_past_opening() });
            self.writer.start(Work::UpTo(self.batch.take(), position));
        } else if self.batch.is_empty() {
            self.store_idle();
        }
    }

    /// Everything received is in the target, so the source's newest word counts: it may forget what is before. Not at
    /// each word, unless it waits for it: it may be shutting down.
    fn store_idle(&mut self) {
        let position = self.stream.position();
        let due = self.asked || self.stored_at.elapsed() >= self.config.standby_timeout;
        if due && position != *self.writer.position() {
            self.batch.take();
            self.boundary = Some(Boundary { past_opening: self.stream.is_past_opening() });
            self.writer.start(Work::Nothing(position));
        }
    }

    /// Keeps transactions together again, as soon as the target holds whole ones and nothing beyond its position.
    fn mend(&mut self) {
        let apart = matches!(self.writer.manner(), Manner::Apart { .. });
        let Some(boundary) = self.boundary.filter(|_| apart && !self.writer.is_busy()) else { return };
        let current = !self.is_outstanding() && self.stream.is_past_opening();
        let near = match self.config.mode {
            Mode::Immediate => false,
            Mode::Transactional => true,
            Mode::Backfill { window } => current || age(self.status.state().committed_at_micros) <= window,
        };
        if near && (current || boundary.past_opening || !self.writer.is_torn()) {
            tracing::info!(feed = self.status.feed(), position = %self.writer.position(), "keeping transactions together");
            self.writer.set_manner(Manner::Together);
            self.status.set_apart(false);
            if self.writer.is_torn() {
                self.writer.start(Work::Mend);
            }
        }
    }

    /// After this line the position is durable in the target with everything before it; only then is the source told.
    async fn written(&mut self, done: Done) -> Result<(), Broken> {
        self.status.written(&done);
        if done.transactions > 0 {
            self.batch.set_limits(self.config.limits);
        }
        if done.moved {
            let narrowing = self.care == Care::Narrowing && self.batch.is_alone() && done.transactions > 0;
            if !narrowing {
                self.status.recovered();
            }
            self.stored_at = Instant::now();
            self.asked = false;
            self.status.stored(self.writer.position());
            let position = self.writer.position().clone();
            self.stream.acknowledge(&position).await.map_err(Broken::Source)?;
        }
        Ok(())
    }

    async fn keep_alive(&mut self) -> Result<(), Broken> {
        if self.writer.is_open() && !self.writer.is_busy() {
            self.writer.start(Work::Touch);
        }
        self.status.breathe(self.is_outstanding());
        self.stream.keep_alive().await.map_err(Broken::Source)
    }

    fn truncate(&mut self, binding: &Arc<Binding>) -> Result<(), Broken> {
        let table = binding.table().id.clone();
        match self.config.on_truncate {
            OnTruncate::Apply => self.batch.push(binding, Change::Truncate),
            OnTruncate::Ignore => {
                tracing::warn!(%table, "the source truncated the table; the target keeps its rows (--onTruncate)");
            }
            OnTruncate::Stop => {
                let reason = "the source truncated the table; choose --onTruncate=apply to delete the target's rows, \
                              or --onTruncate=ignore to keep them";
                let place = Place { table: Some(table), ..Place::default() };
                let failure = Failure::new(Disposition::Halt, "carry a TRUNCATE", reason).at(place);
                return Err(Broken::Target(failure));
            }
        }
        Ok(())
    }

    fn table(&mut self, number: TableNumber, table: SourceTable) -> Result<(), Broken> {
        // A batch holds one version of the target.
        let known = !self.tables.are_outdated() || self.batch.is_empty();
        match self.tables.bind_known(&table).filter(|_| known) {
            Some(Ok(binding)) if self.batch.fits(&binding) => {
                self.stream.bind(number, binding).map_err(Broken::Target)
            }
            // The target may have changed; what is bound to its former state is written first.
            Some(Ok(_) | Err(_)) | None => {
                self.unbound = Some((number, table));
                Ok(())
            }
        }
    }

    async fn bind(&mut self) -> Result<(), Broken> {
        let Some((number, table)) = self.unbound.take() else { return Ok(()) };
        match self.tables.bind(&table).await {
            Ok(binding) => self.stream.bind(number, binding).map_err(Broken::Target),
            Err(refused) if refused.disposition() == Disposition::Halt => {
                let definition = self.stream.define(number).await.unwrap_or_default();
                Err(Broken::Target(self.tables.advise(&table, &definition, refused)))
            }
            Err(failed) => Err(Broken::Target(failed)),
        }
    }

    /// Waits for what is being written, tells the source, and says goodbye. An open transaction is undone.
    async fn leave(mut self) -> Result<(), Broken> {
        if self.writer.is_busy() {
            let done = self.writer.finished().await.map_err(Broken::Target)?;
            self.written(done).await?;
        }
        if !self.batch.is_inside() && self.batch.is_empty() && !self.writer.is_open() {
            let position = self.stream.position();
            if position != *self.writer.position() {
                self.writer.start(Work::Nothing(position));
                let done = self.writer.finished().await.map_err(Broken::Target)?;
                self.written(done).await?;
            }
        }
        self.stream.finish().await;
        Ok(())
    }
}
