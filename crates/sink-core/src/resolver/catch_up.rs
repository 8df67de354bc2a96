//! Applies what is promised, slice by slice.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::frontier::{Frontier, Step};
use crate::apply::{Applier, Changes, Durability, OnRowError, Unit};
use crate::checkpoint::{Advance, CheckpointStore, Standing};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::SchemaId;
use crate::staging::{Slice, Stager, Window};

/// How many rows a slice may have: as many as allowed, fewer after a refusal, so that everything before the
/// offending row is applied and the offending row is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    rows: u32,
    most: u32,
}

impl Pace {
    /// Starts at the most.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { rows: most.max(1), most: most.max(1) }
    }

    /// Rows of the next slice.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// After a refusal.
    pub fn narrow(&mut self) {
        self.rows = (self.rows / 2).max(1);
    }

    /// After a success.
    pub fn widen(&mut self) {
        self.rows = self.rows.saturating_mul(2).min(self.most);
    }
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Slices applied.
    pub slices: u64,
    /// Rows written or removed.
    pub rows: u64,
    /// Rows moved aside.
    pub quarantined: u64,
}

/// Applies one schema, as its only one.
pub struct CatchUp<'a, S, A, C> {
    /// Where the rows wait.
    pub stager: &'a S,
    /// Where they go.
    pub applier: &'a A,
    /// Where the frontier is kept.
    pub checkpoints: &'a C,
    /// Which schema.
    pub schema: &'a SchemaId,
    /// What to do with rows that the target refuses.
    pub on_row_error: OnRowError,
    /// Ends a pass after the slice at hand.
    pub stop: &'a CancellationToken,
}

impl<S: Stager, A: Applier, C: CheckpointStore> CatchUp<'_, S, A, C> {
    /// Applies up to the newest mark. `standing` is what taking over answered; it is kept current.
    ///
    /// # Errors
    /// The disposition says what to do; everything applied before is kept. `Halt` and `Defer` mean that the first
    /// timestamp after `standing.applied` is refused.
    pub async fn pass(&self, standing: &mut Standing, pace: &mut Pace) -> Result<Progress, Failure> {
        let mut progress = Progress::default();
        let mut frontier = Frontier::at(standing.applied);
        metrics::set_now("resolve_last_check_secondns", self.schema);
        let Some(mark) = self.stager.newest_mark(self.schema, frontier.applied()).await? else {
            // Woken for a mark that we do not see: an operator may have moved the frontier back.
            self.reread(standing).await?;
            return Ok(progress);
        };
        metrics::set_time("resolve_resolved_hlc_seconds", self.schema, mark);
        let started = Instant::now();
        frontier.resolve(mark);
        while let Step::Apply(window) = frontier.next() {
            if self.stop.is_cancelled() {
                return Ok(progress);
            }
            let slice = self.stager.cut(self.schema, window, pace.rows()).await?;
            if slice.upto <= frontier.applied() {
                let reason = format!("a slice after {} ends at {}", frontier.applied(), slice.upto);
                return Err(Failure::new(Disposition::Halt, "cut a slice", reason));
            }
            match self.apply_slice(standing, slice).await {
                Ok(applied) => {
                    frontier.apply(slice.upto);
                    pace.widen();
                    progress.slices += 1;
                    progress.rows += applied.rows;
                    progress.quarantined += applied.quarantined;
                    metrics::count_schema("resolve_flush_success_total", self.schema, 1);
                    metrics::set_now("resolve_flush_success_seconds", self.schema);
                    metrics::set_time("resolve_applied_hlc_seconds", self.schema, slice.upto);
                }
                Err(failure) => {
                    metrics::count_schema("resolve_flush_errors_total", self.schema, 1);
                    let refused = matches!(failure.disposition(), Disposition::Halt | Disposition::Defer);
                    if !refused || slice.indivisible {
                        return Err(failure);
                    }
                    pace.narrow();
                }
            }
        }
        metrics::observe_schema("resolve_mark_to_visible_seconds", self.schema, started.elapsed());
        Ok(progress)
    }

    /// The guarantee, in order: the rows and the step of the frontier commit together, or the frontier follows once
    /// the rows are durable; only then does our own idea of the frontier move; forgetting comes later, elsewhere.
    ///
    /// A crash before the commit repeats the slice. A crash after it leaves dead rows in staging, which the next
    /// pass of the retirer removes. A lost answer leaves us not knowing, so whoever sees an error reads the frontier
    /// again before the next step ([`Self::reread`]).
    async fn apply_slice(&self, standing: &mut Standing, slice: Slice) -> Result<Progress, Failure> {
        let advance = Advance { from: standing.applied, to: slice.upto, epoch: standing.epoch };
        let window = Window { after: advance.from, upto: advance.to };
        let changes =
            Changes::Staged { window, guard: standing.needs_guard(), indivisible: slice.indivisible };
        let on_row_error = if slice.indivisible { self.on_row_error } else { OnRowError::Stop };
        let unit = Unit { schema: self.schema, changes, advance: Some(advance), on_row_error };
        let applied = self.applier.apply(&unit).await?;
        if applied.durability == Durability::Accepted {
            self.applier.flush().await?;
            self.checkpoints.advance(self.schema, advance).await?;
        }
        standing.applied = slice.upto;
        Ok(Progress { slices: 1, rows: applied.upserts + applied.deletes, quarantined: applied.quarantined })
    }

    /// After an error: where does the schema really stand?
    ///
    /// # Errors
    /// `Fenced` if somebody else has taken over, or what reading answers.
    pub async fn reread(&self, standing: &mut Standing) -> Result<(), Failure> {
        match self.checkpoints.standing(self.schema).await? {
            Some(now) if now.epoch == standing.epoch => {
                *standing = now;
                Ok(())
            }
            _ => Err(Failure::fenced("read the frontier again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_halves_and_doubles_within_its_bounds() {
        let mut pace = Pace::new(3);
        pace.narrow();
        pace.narrow();
        assert_eq!(pace.rows(), 1);
        pace.widen();
        pace.widen();
        assert_eq!(pace.rows(), 3);
        assert_eq!(Pace::new(0).rows(), 1);
    }
}
