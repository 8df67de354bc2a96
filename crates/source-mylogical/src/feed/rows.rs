//! Rows of the log as changes of the target. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use sink_core::failure::{Disposition, Failure, Place};
use sink_core::flow::{Binding, Change, Row, Step, Value};

use crate::assemble::SentRows;
use crate::binlog::{RowsEvent, RowsKind};
use crate::row::{Image, Images, RowError, RowProblem, Rows};
use crate::table::Plan;

const READ: &str = "read a change of the source";

/// Reads all rows of an event. An event is small, unless a single row is not.
///
/// # Errors
/// If a row cannot be read, or cannot be found again in the target by what it holds.
pub(super) fn steps(
    plan: &Plan,
    binding: &Arc<Binding>,
    event: &SentRows,
    images: &mut Images,
    steps: &mut VecDeque<Step>,
) -> Result<(), Failure> {
    let unreadable = |error| Failure::new(Disposition::Retry, READ, error);
    let event = RowsEvent::parse(event.kind, &event.body).map_err(unreadable)?;
    let kind = event.kind();
    let mut rows = Rows::new(plan, event).map_err(|error| refused(binding, error))?;
    while rows.next(images).map_err(|error| refused(binding, error))? {
        let change = change(binding, kind, images)?;
        steps.push_back(Step::Change(Arc::clone(binding), change));
    }
    Ok(())
}

fn change(binding: &Binding, kind: RowsKind, images: &Images) -> Result<Change, Failure> {
    match kind {
        RowsKind::Insert => {
            let new = values(&images.after);
            let key = if binding.is_keyless() { Row::default() } else { key(binding, &new)? };
            Ok(Change::Insert { key, row: binding.row(&new) })
        }
        RowsKind::Delete => Ok(Change::Delete { key: key(binding, &values(&images.before))? }),
        RowsKind::Update | RowsKind::PartialUpdate => {
            let (old, new) = (values(&images.before), values(&images.after));
            let (from, to) = (key(binding, &old)?, key(binding, &new)?);
            let row = if binding.is_keyless() { Row::default() } else { binding.row(&new) };
            Ok(if from == to { Change::Update { key: to, row } } else { Change::Rekey { from, to, row } })
        }
    }
}

fn values(image: &Image) -> Vec<Value<'_>> {
    image.values().collect()
}

fn key(binding: &Binding, values: &[Value<'_>]) -> Result<Row, Failure> {
    binding.key(values).ok_or_else(|| {
        let reason =
            "a column of the target's key is NULL at the source; make the primary keys of both sides the same";
        Failure::new(Disposition::Halt, READ, reason).at(place(binding))
    })
}

/// What a value holds may be mended at the target, so the feed waits there; what the log lacks may not.
fn refused(binding: &Binding, error: RowError) -> Failure {
    let about_values = match error.problem {
        RowProblem::NotText | RowProblem::Nul | RowProblem::ZeroDate { .. } | RowProblem::LongTime { .. } => {
            true
        }
        RowProblem::Malformed(_)
        | RowProblem::Impossible { .. }
        | RowProblem::OtherColumns { .. }
        | RowProblem::OtherTable
        | RowProblem::NotWhole
        | RowProblem::TooDeep
        | RowProblem::BadEdit => false,
    };
    let column = error.column.clone();
    let failure = Failure::new(Disposition::Halt, READ, error);
    if about_values { failure.at(Place { column, ..place(binding) }) } else { failure }
}

fn place(binding: &Binding) -> Place {
    Place { table: Some(binding.table().id.clone()), ..Place::default() }
}
