//! A stream on its way to where the target is consistent. Pure but for what is done when it is there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Failure, chain};
use sink_core::flow::{Binding, Change, ChangeStream, Definition, FlowStatus, Position, Step, TableNumber};

use super::Snapshot;
use crate::Flavor;
use crate::gtid::{GtidSet, LogPosition};

/// Where the copy of the tables ended: a stream that is past all of these has made them consistent.
#[derive(Debug, Clone)]
pub(super) struct Points {
    flavor: Flavor,
    points: Vec<GtidSet>,
}

impl Points {
    /// Reads what was noted of each table.
    pub(super) fn parse<'a>(flavor: Flavor, points: impl Iterator<Item = &'a str>) -> Result<Self, Failure> {
        let mut texts: Vec<&str> = points.collect();
        texts.sort_unstable();
        texts.dedup();
        let points: Result<Vec<_>, _> =
            texts.iter().map(|text| super::position::parse(flavor, text)).collect();
        Ok(Self { flavor, points: points? })
    }

    /// Whether a stream that stands here is past all of them.
    pub(super) fn are_passed(&self, position: &Position) -> bool {
        let Ok(position) = LogPosition::parse(self.flavor, position.as_str()) else { return false };
        let applied = position.applied();
        self.points.iter().all(|point| applied.has_passed(point))
    }
}

/// A stream that starts before its tables are consistent, and knows when they are.
///
/// Until then a row that the source changed may be missing and one that it added may be there: rows of the log are whole, so
/// every one of them is written as a new one, which takes the place of what is there.
pub struct Consistent<S> {
    stream: S,
    status: Arc<FlowStatus>,
    /// None once it is past them.
    waiting: Option<Waiting>,
    /// The second half of a change that was taken apart.
    rest: VecDeque<Step>,
}

pub(super) struct Waiting {
    pub(super) points: Points,
    pub(super) snapshot: Option<Arc<Snapshot>>,
}

impl<S> Consistent<S> {
    pub(super) fn new(stream: S, status: Arc<FlowStatus>, waiting: Option<Waiting>) -> Self {
        Self { stream, status, waiting, rest: VecDeque::new() }
    }
}

/// What is done once: says so, and completes the tables.
pub(super) async fn reached(status: &FlowStatus, position: &Position, snapshot: Option<&Snapshot>) {
    status.set_consistent(true);
    tracing::info!(%position, "the target is consistent from here on");
    let Some(snapshot) = snapshot else { return };
    let completed = snapshot.stop.run_until_cancelled(Box::pin(snapshot.complete_tables())).await;
    if let Some(Err(error)) = completed {
        tracing::error!(
            error = %chain(&error),
            "the tables that we made lack indexes or constraints; the next start makes them"
        );
    }
}

/// Both halves of a change of a row that may be there or not.
fn tolerant(binding: &Arc<Binding>, change: Change) -> (Step, Option<Step>) {
    let step = |change| Step::Change(Arc::clone(binding), change);
    match change {
        // Without a key there is nothing to take the place of; such tables are not copied.
        change if binding.is_keyless() => (step(change), None),
        Change::Update { key, row } => (step(Change::Insert { key, row }), None),
        Change::Rekey { from, to, row } => {
            (step(Change::Delete { key: from }), Some(step(Change::Insert { key: to, row })))
        }
        change @ (Change::Insert { .. } | Change::Delete { .. } | Change::Truncate) => (step(change), None),
    }
}

impl<S: ChangeStream> ChangeStream for Consistent<S> {
    fn try_next(&mut self) -> Result<Option<Step>, Failure> {
        if let Some(step) = self.rest.pop_front() {
            return Ok(Some(step));
        }
        let step = self.stream.try_next()?;
        match step {
            Some(Step::Change(binding, change)) if self.waiting.is_some() => {
                let (first, second) = tolerant(&binding, change);
                self.rest.extend(second);
                Ok(Some(first))
            }
            step => Ok(step),
        }
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        if self.rest.is_empty() { self.stream.ready().await } else { Ok(()) }
    }

    fn bind(&mut self, table: TableNumber, binding: Arc<Binding>) -> Result<(), Failure> {
        self.stream.bind(table, binding)
    }

    async fn define(&mut self, table: TableNumber) -> Option<Definition> {
        self.stream.define(table).await
    }

    fn forget_bindings(&mut self) {
        self.stream.forget_bindings();
    }

    fn position(&self) -> Position {
        self.stream.position()
    }

    fn is_past_opening(&self) -> bool {
        self.stream.is_past_opening()
    }

    fn is_behind(&self) -> bool {
        self.stream.is_behind()
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), Failure> {
        self.stream.acknowledge(position).await?;
        if let Some(waiting) = self.waiting.take_if(|waiting| waiting.points.are_passed(position)) {
            reached(&self.status, position, waiting.snapshot.as_deref()).await;
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.stream.patience()
    }

    async fn keep_alive(&mut self) -> Result<(), Failure> {
        self.stream.keep_alive().await
    }

    async fn finish(self) {
        self.stream.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_points_must_be_behind() {
        let points = Points::parse(Flavor::MariaDb, ["0-1-5", "0-1-9,3-1-2", "0-1-5"].into_iter()).unwrap();
        assert_eq!(points.points.len(), 2);
        for (position, passed) in
            [("0-1-9,3-1-2", true), ("0-2-12,3-1-2", true), ("0-1-9", false), ("?", false)]
        {
            assert_eq!(points.are_passed(&Position::new(position)), passed, "{position}");
        }
        let none = Points::parse(Flavor::MySql, std::iter::empty()).unwrap();
        assert!(none.are_passed(&Position::new("")));
    }
}
