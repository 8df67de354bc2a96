//! Which changes of the stream are in a copy already. Pure.

use sink_core::failure::{Disposition, Failure};
use sink_core::flow::copy::TableRecord;

use crate::Lsn;
use crate::feed::SkipBefore;

/// For each copied table, the point before which its changes are in the copy. Tables that were not copied by us have none.
///
/// A transaction is in a snapshot if its commit record lies before the snapshot's point, so the point is to be compared
/// with `Begin.final_lsn`, not with the end of the commit.
///
/// # Errors
/// If a table is not copied yet: then nothing may be streamed. Or if a point is not one of PostgreSQL.
pub fn skip_before(records: &[TableRecord]) -> Result<SkipBefore, Failure> {
    const READ: &str = "read where the copies of tables end";
    let mut skip = SkipBefore::new();
    for record in records {
        let Some(point) = record.state.consistent_point() else {
            let reason = format!(
                "table {} is not copied yet; start with --snapshotMode initial, which goes on with the snapshot",
                record.table
            );
            return Err(Failure::new(Disposition::Halt, READ, reason));
        };
        let point: Lsn = point.parse().map_err(|_| Failure::new(Disposition::Halt, READ, "it is no LSN"))?;
        skip.insert((record.table.schema.clone(), record.table.name.clone()), point);
    }
    Ok(skip)
}

#[cfg(test)]
mod tests {
    use sink_core::flow::copy::{SourceName, TableState};

    use super::*;

    fn record(name: &str, state: TableState) -> TableRecord {
        let table = SourceName { schema: "s".into(), name: name.into() };
        TableRecord { table, state, rows: 0, bytes: 0 }
    }

    #[test]
    fn each_table_has_its_own_point() {
        let records = [
            record("a", TableState::Copied { consistent_point: "0/10".into() }),
            record("b", TableState::Gone { consistent_point: "1/0".into() }),
        ];
        let skip = skip_before(&records).unwrap();
        let point = |name: &str| skip.get(&("s".to_owned(), name.to_owned())).copied();
        assert_eq!(
            [point("a"), point("b"), point("c")],
            [Some(Lsn::new(0x10)), Some(Lsn::new(1 << 32)), None]
        );
    }

    #[test]
    fn nothing_is_streamed_while_a_table_is_not_copied() {
        for state in [TableState::Pending, TableState::Copying] {
            let records = [record("a", state)];
            assert_eq!(skip_before(&records).unwrap_err().disposition(), Disposition::Halt);
        }
        assert!(skip_before(&[]).unwrap().is_empty());
    }
}
