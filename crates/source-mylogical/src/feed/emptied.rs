//! Tables that lost their rows by a statement of which the log has no rows.

use std::sync::Arc;

use sink_core::failure::{Disposition, Failure, Place};
use sink_core::flow::{Change, OnTruncate, Step};

use super::{Facts, Feed, Known, Shape};
use crate::assemble::{Item, TableName};
use crate::binlog::Loss;

const EMPTY: &str = "carry what emptied a table";

impl Feed {
    /// A table was truncated or dropped.
    pub(super) fn emptied(&mut self, table: TableName, how: Loss) -> Result<Option<Step>, Failure> {
        // What the target never had cannot differ there.
        let Some(target) = self.target_of(&table) else { return Ok(None) };
        let what = match how {
            Loss::Truncate => "truncated",
            Loss::Drop => "dropped",
            Loss::Replace => "replaced by a new one",
            Loss::Alter => "emptied in part by ALTER TABLE (partitions, tablespace, IGNORE)",
        };
        let name = format!("{}.{}", table.database, table.table);
        match (self.carry.on_truncate, how) {
            (OnTruncate::Ignore, _) => {
                tracing::warn!(
                    table = name,
                    "the table was {what} at the source; the target keeps its rows (--onTruncate)"
                );
                Ok(None)
            }
            (OnTruncate::Apply, Loss::Truncate | Loss::Drop | Loss::Replace) => self.empty(table, how, what),
            (OnTruncate::Apply, Loss::Alter) | (OnTruncate::Stop, _) => {
                let reason = format!(
                    "table {name} was {what} at the source; do the same to the target's rows and start with \
                     --onTruncate=ignore until the feed has passed, or choose --onTruncate=apply, which deletes all rows of \
                     tables that were truncated or dropped"
                );
                let place = Place { table: Some(target), ..Place::default() };
                Err(Failure::new(Disposition::Halt, EMPTY, reason).at(place))
            }
        }
    }

    /// Deletes the target's rows, once it is known which table that is.
    fn empty(&mut self, table: TableName, how: Loss, what: &str) -> Result<Option<Step>, Failure> {
        let number = self.newest.get(&table).copied();
        let bound = number.and_then(|number| self.known.get(&number)).map(|known| known.bound.as_ref());
        let name = format!("{}.{}", table.database, table.table);
        match (number, bound) {
            (Some(_), Some(Some(bound))) => {
                tracing::warn!(
                    table = name,
                    "the table was {what} at the source; deleting the target's rows (--onTruncate)"
                );
                Ok(Some(Step::Change(Arc::clone(&bound.binding), Change::Truncate)))
            }
            (Some(number), Some(None)) => {
                let step = self.unbound(number);
                self.waiting = Some(Item::Emptied { table, how });
                step.map(Some)
            }
            (Some(_), None) | (None, _) => {
                if self.has_facts(&table) {
                    self.name_columns(&table)?;
                }
                self.waiting = Some(Item::Emptied { table, how });
                Ok(None)
            }
        }
    }

    /// No row of the table has come since the stream was opened, so the catalogue tells its columns.
    fn name_columns(&mut self, table: &TableName) -> Result<(), Failure> {
        let Some(Facts::Known(facts)) = self.facts.get(table) else {
            let reason = format!(
                "table {}.{} was emptied at the source, and is gone there by now; delete its rows in the target and start \
                 with --onTruncate=ignore until the feed has passed",
                table.database, table.table
            );
            return Err(Failure::new(Disposition::Halt, EMPTY, reason));
        };
        let columns = facts.columns.iter().map(|column| column.name.clone()).collect();
        let number = self.next_named;
        self.next_named += 1;
        self.known.insert(number, Known { name: table.clone(), shape: Shape::Named(columns), bound: None });
        self.newest.insert(table.clone(), number);
        Ok(())
    }

    /// A whole database is gone.
    pub(super) fn database_dropped(&self, database: &str) -> Result<(), Failure> {
        match self.carry.on_truncate {
            OnTruncate::Ignore => {
                tracing::warn!(
                    database,
                    "the database was dropped at the source; the target keeps its rows (--onTruncate)"
                );
                Ok(())
            }
            OnTruncate::Apply | OnTruncate::Stop => {
                let reason = format!(
                    "database {database} was dropped at the source; delete what the target has of it if that is meant, and \
                     start with --onTruncate=ignore until the feed has passed"
                );
                Err(Failure::new(Disposition::Halt, EMPTY, reason))
            }
        }
    }
}
