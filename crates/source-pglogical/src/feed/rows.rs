//! Rows of the stream as changes of the target. Pure.

use sink_core::failure::{Disposition, Failure, Place};
use sink_core::flow::{Binding, Change, Row, Value};

use crate::assemble::{OldValues, RowChange};
use crate::pgoutput::Value as Sent;

const READ: &str = "read a change of the source";
const WITHOUT_KEY: &str = "the target table has no key, so its rows can only be found by all of their values; set \
                           REPLICA IDENTITY FULL on the source table, or add a primary key on the target";

/// A change of one row.
///
/// # Errors
/// If the row cannot be found again in the target by what was sent.
pub(super) fn change(binding: &Binding, change: RowChange<'_>) -> Result<Change, Failure> {
    match change {
        RowChange::Insert(new) => {
            let new = values(binding, new, false)?;
            let key = if binding.is_keyless() { Row::default() } else { key(binding, &new)? };
            Ok(Change::Insert { key, row: binding.row(&new) })
        }
        RowChange::Update(None, _) if binding.is_keyless() => Err(refuse(binding, WITHOUT_KEY)),
        RowChange::Delete(OldValues::Identity(_)) if binding.is_keyless() => {
            Err(refuse(binding, WITHOUT_KEY))
        }
        RowChange::Update(None, new) => {
            let new = values(binding, new, false)?;
            Ok(Change::Update { key: key(binding, &new)?, row: binding.row(&new) })
        }
        RowChange::Update(Some(old), new) => update(binding, old, new),
        RowChange::Delete(OldValues::Identity(old) | OldValues::Row(old)) => {
            let old = values(binding, old, false)?;
            Ok(Change::Delete { key: key(binding, &old)? })
        }
    }
}

fn update(binding: &Binding, old: OldValues<'_>, new: Vec<Sent<'_>>) -> Result<Change, Failure> {
    let (before, whole) = match old {
        OldValues::Identity(row) => (row, false),
        OldValues::Row(row) => (row, true),
    };
    if binding.is_keyless() && !whole {
        return Err(refuse(binding, WITHOUT_KEY));
    }
    // A value that is stored out of line and was not touched is sent with the whole old row, if that is sent at all.
    let mut filled = new;
    if whole {
        let columns = filled.len();
        fill(&mut filled, &before, 0..columns);
    } else {
        fill(&mut filled, &before, binding.key_sources());
    }
    let from = key(binding, &values(binding, before, false)?)?;
    let new = values(binding, filled, whole)?;
    let to = key(binding, &new)?;
    let row = if binding.is_keyless() { Row::default() } else { binding.row(&new) };
    Ok(if from == to { Change::Update { key: to, row } } else { Change::Rekey { from, to, row } })
}

fn fill<'a>(row: &mut [Sent<'a>], from: &[Sent<'a>], at: impl Iterator<Item = usize>) {
    for at in at {
        if let (Some(value @ Sent::Unchanged), Some(old)) = (row.get_mut(at), from.get(at)) {
            *value = *old;
        }
    }
}

/// `whole` says that nothing may be left out: the whole old row was there to be filled in from.
fn values<'a>(binding: &Binding, sent: Vec<Sent<'a>>, whole: bool) -> Result<Vec<Value<'a>>, Failure> {
    let value = |sent: Sent<'a>| match sent {
        Sent::Null => Ok(Value::Null),
        Sent::Unchanged if whole => {
            Err(refuse(binding, "a whole old row lacks a value that is stored out of line"))
        }
        Sent::Unchanged => Ok(Value::Absent),
        Sent::Text(text) => Ok(Value::Text(text)),
        Sent::Binary(_) => Err(refuse(binding, "a value came in binary form, which was not asked for")),
    };
    // In place: there is one of these for each row.
    sent.into_iter().map(value).collect()
}

fn key(binding: &Binding, values: &[Value<'_>]) -> Result<Row, Failure> {
    binding.key(values).ok_or_else(|| {
        refuse(
            binding,
            "a column of the target's key is NULL or was not sent; make the primary keys of both sides the same, or \
             set REPLICA IDENTITY FULL on the source table",
        )
    })
}

fn refuse(binding: &Binding, reason: &str) -> Failure {
    let place = Place { table: Some(binding.table().id.clone()), ..Place::default() };
    Failure::new(Disposition::Halt, READ, reason).at(place)
}
