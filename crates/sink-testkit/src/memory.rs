//! A target in memory: stages, applies and keeps frontiers as the SQL one promises to, and shows every state it was
//! ever in to a judge. Faults are scripts, not dice: the caller says what the next operations suffer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sink_core::apply::{Applied, Applier, Changes, Durability, Unit};
use sink_core::checkpoint::{Advance, CheckpointStore, Mode, Standing};
use sink_core::failure::{Disposition, Failure};
use sink_core::model::{Batch, HlcTimestamp, SchemaId};
use sink_core::staging::{Retired, Slice, StageCounts, Stager, Window};

/// A row by table name and canonical key.
pub type RowId = (String, String);
/// Rows as their JSON text.
pub type Rows = BTreeMap<RowId, String>;

/// What the next applied unit suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyFault {
    /// The work is done and the answer is lost.
    LoseAnswer,
    /// The work is not done.
    FailBefore,
    /// The rows are refused, as by a constraint.
    Refuse,
}

/// Judges a state of the target: the applied time and all rows.
pub type Judge = Box<dyn Fn(HlcTimestamp, &Rows) + Send + Sync>;

/// The whole target of one schema.
pub struct MemoryTarget {
    state: Mutex<State>,
    judge: Judge,
}

#[derive(Default)]
struct State {
    staged: BTreeMap<(HlcTimestamp, RowId), Option<String>>,
    marks: BTreeSet<HlcTimestamp>,
    applied: HlcTimestamp,
    epoch: i64,
    rows: Rows,
    faults: VecDeque<ApplyFault>,
    applies: u64,
}

impl MemoryTarget {
    /// An empty target; `judge` sees every state that a reader could see.
    #[must_use]
    pub fn new(judge: Judge) -> Self {
        Self { state: Mutex::default(), judge }
    }

    /// Lets the following units suffer, in order.
    pub fn suffer(&self, faults: impl IntoIterator<Item = ApplyFault>) {
        self.lock().faults.extend(faults);
    }

    /// How far the target is.
    #[must_use]
    pub fn applied(&self) -> HlcTimestamp {
        self.lock().applied
    }

    /// How many units changed the target.
    #[must_use]
    pub fn applies(&self) -> u64 {
        self.lock().applies
    }

    /// How many rows wait above the applied time.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.lock();
        state.staged.keys().filter(|(at, _)| *at > state.applied).count()
    }

    /// How many rows are stored in staging, dead ones included.
    #[must_use]
    pub fn staged(&self) -> usize {
        self.lock().staged.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn standing(&self) -> Standing {
        let guard_upto = HlcTimestamp::ZERO;
        Standing { applied: self.applied, epoch: self.epoch, mode: Mode::Consistent, guard_upto }
    }

    fn step(&mut self, advance: Advance) -> Result<(), Failure> {
        if (self.applied, self.epoch) != (advance.from, advance.epoch) {
            return Err(Failure::fenced("apply in memory"));
        }
        self.applied = advance.to;
        Ok(())
    }

    fn rows_in(&self, window: Window) -> impl Iterator<Item = (&(HlcTimestamp, RowId), &Option<String>)> {
        self.staged.iter().filter(move |((at, _), _)| *at > window.after && *at <= window.upto)
    }
}

impl MemoryTarget {
    fn stage_now(&self, _: &SchemaId, batches: &[Batch<'_>]) -> Result<StageCounts, Failure> {
        let mut counts = StageCounts::default();
        let mut state = self.lock();
        for batch in batches {
            for row in &batch.rows {
                let text = (row.row_text() != "null").then(|| row.row_text().to_owned());
                let id = (batch.table.id.table.to_string(), row.key.as_json().to_owned());
                match state.staged.insert((row.time, id), text.clone()) {
                    None => counts.inserted += 1,
                    Some(old) if old == text => counts.duplicates += 1,
                    Some(_) => counts.replaced += 1,
                }
            }
        }
        Ok(counts)
    }

    fn mark_now(&self, _: &SchemaId, at: HlcTimestamp) -> Result<(), Failure> {
        self.lock().marks.insert(at);
        Ok(())
    }

    fn newest_mark_now(&self, _: &SchemaId, after: HlcTimestamp) -> Result<Option<HlcTimestamp>, Failure> {
        let newest = self.lock().marks.last().copied().filter(|mark| *mark > after);
        Ok(newest)
    }

    fn cut_now(&self, _: &SchemaId, window: Window, max_rows: u32) -> Result<Slice, Failure> {
        let times: Vec<HlcTimestamp> = self.lock().rows_in(window).map(|((at, _), _)| *at).collect();
        let over = usize::try_from(max_rows).ok().and_then(|rows| times.get(rows));
        let slice = match (times.first(), over) {
            (Some(first), Some(over)) if first == over => Slice { upto: *first, indivisible: true },
            (Some(first), Some(over)) => {
                Slice { upto: over.predecessor(), indivisible: max_rows == 1 || first == over }
            }
            (first, _) => Slice { upto: window.upto, indivisible: first.is_none() || max_rows == 1 },
        };
        Ok(slice)
    }

    fn retire_now(&self, _: &SchemaId, upto: HlcTimestamp) -> Result<Retired, Failure> {
        let mut state = self.lock();
        assert!(
            upto <= state.applied,
            "rows above the applied time {} must stay, asked to forget {upto}",
            state.applied
        );
        state.staged.retain(|(at, _), _| *at > upto);
        state.marks.retain(|mark| *mark >= upto);
        Ok(Retired::All)
    }

    fn apply_now(&self, unit: &Unit<'_>) -> Result<Applied, Failure> {
        let mut state = self.lock();
        let fault = state.faults.pop_front();
        let failure = |disposition| Failure::new(disposition, "apply in memory", "a scripted fault");
        match fault {
            Some(ApplyFault::FailBefore) => return Err(failure(Disposition::Retry)),
            Some(ApplyFault::Refuse) => return Err(failure(Disposition::Halt)),
            Some(ApplyFault::LoseAnswer) | None => {}
        }
        let (Changes::Staged { window, .. }, Some(advance)) = (unit.changes, unit.advance) else {
            return Err(failure(Disposition::Halt));
        };
        state.step(advance)?;
        let newest: BTreeMap<RowId, Option<String>> =
            state.rows_in(window).map(|((_, id), row)| (id.clone(), row.clone())).collect();
        let (mut upserts, mut deletes) = (0, 0);
        for (id, row) in newest {
            match row {
                Some(row) => {
                    state.rows.insert(id, row);
                    upserts += 1;
                }
                None => {
                    state.rows.remove(&id);
                    deletes += 1;
                }
            }
        }
        state.applies += 1;
        (self.judge)(state.applied, &state.rows);
        let applied = Applied { durability: Durability::Durable, upserts, deletes, quarantined: 0 };
        let lost = fault == Some(ApplyFault::LoseAnswer);
        if lost { Err(failure(Disposition::Retry)) } else { Ok(applied) }
    }

    fn flush_now(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn take_over_now(&self, _: &SchemaId) -> Result<Standing, Failure> {
        let mut state = self.lock();
        state.epoch += 1;
        let standing = state.standing();
        Ok(standing)
    }

    fn standing_now(&self, _: &SchemaId) -> Result<Option<Standing>, Failure> {
        let standing = self.lock().standing();
        Ok(Some(standing))
    }

    fn advance_now(&self, _: &SchemaId, advance: Advance) -> Result<(), Failure> {
        self.lock().step(advance)
    }
}

impl Stager for MemoryTarget {
    fn stage(
        &self,
        schema: &SchemaId,
        batches: &[Batch<'_>],
    ) -> impl Future<Output = Result<StageCounts, Failure>> + Send {
        std::future::ready(self.stage_now(schema, batches))
    }

    fn mark(&self, schema: &SchemaId, at: HlcTimestamp) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(self.mark_now(schema, at))
    }

    fn newest_mark(
        &self,
        schema: &SchemaId,
        after: HlcTimestamp,
    ) -> impl Future<Output = Result<Option<HlcTimestamp>, Failure>> + Send {
        std::future::ready(self.newest_mark_now(schema, after))
    }

    fn cut(
        &self,
        schema: &SchemaId,
        window: Window,
        max_rows: u32,
    ) -> impl Future<Output = Result<Slice, Failure>> + Send {
        std::future::ready(self.cut_now(schema, window, max_rows))
    }

    fn retire(
        &self,
        schema: &SchemaId,
        upto: HlcTimestamp,
    ) -> impl Future<Output = Result<Retired, Failure>> + Send {
        std::future::ready(self.retire_now(schema, upto))
    }
}

impl Applier for MemoryTarget {
    fn apply(&self, unit: &Unit<'_>) -> impl Future<Output = Result<Applied, Failure>> + Send {
        std::future::ready(self.apply_now(unit))
    }

    fn flush(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(self.flush_now())
    }
}

impl CheckpointStore for MemoryTarget {
    fn take_over(&self, schema: &SchemaId) -> impl Future<Output = Result<Standing, Failure>> + Send {
        std::future::ready(self.take_over_now(schema))
    }

    fn standing(&self, schema: &SchemaId) -> impl Future<Output = Result<Option<Standing>, Failure>> + Send {
        std::future::ready(self.standing_now(schema))
    }

    fn advance(
        &self,
        schema: &SchemaId,
        advance: Advance,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(self.advance_now(schema, advance))
    }
}
