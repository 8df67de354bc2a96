//! What many transactions amount to: per row, what it becomes, given the target as it was before all of them. Pure.
//!
//! Nothing here depends on the order in which rows are written afterwards. A row that changes its key says where its
//! other values come from, so swaps and chains of keys need no order either, and any number of transactions is one
//! statement that sees one snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{Binding, Change, Row};
use crate::model::{TableId, TableSchema};

/// Which row of the target, as it was before, a row goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// None: values that are not given take their defaults.
    Fresh,
    /// The row with the same key.
    Kept,
    /// The row with this key.
    Moved(Row),
}

/// What the row of one key becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is none.
    Gone,
    /// These values, and those of its origin where absent. Values of key columns are those of the key.
    Live(Origin, Row),
}

/// What becomes of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNet {
    /// The table, whose columns are those of the rows.
    pub table: Arc<TableSchema>,
    /// Rows that are not listed are gone, too.
    pub emptied: bool,
    /// By key, in an order that only depends on the keys.
    pub rows: Vec<(Row, Outcome)>,
}

/// When a batch is large enough to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Changes.
    pub changes: usize,
    /// Memory for them, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    /// Larger statements are hardly faster; these sizes keep their memory small at the target, too.
    fn default() -> Self {
        Self { changes: 5_000, bytes: 8 << 20 }
    }
}

#[derive(Debug)]
struct Table {
    table: Arc<TableSchema>,
    emptied: bool,
    rows: HashMap<Row, Outcome>,
}

/// Collects changes in the order of the source.
#[derive(Debug, Default)]
pub struct Folder {
    limits: Limits,
    tables: Vec<Table>,
    places: HashMap<TableId, usize>,
    changes: usize,
    bytes: usize,
    skipped: u64,
}

impl Folder {
    /// An empty batch.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Nothing was collected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// It is time to write, at the next commit: a batch never ends inside a transaction.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes >= self.limits.changes || self.bytes >= self.limits.bytes
    }

    /// Memory for what was collected, in bytes, and at most twice that.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes of rows that an earlier change of the batch removed. There are none unless the source is inconsistent.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Adds the next change.
    ///
    /// # Panics
    /// If the table was bound to another version of its schema earlier in the batch: a batch is written by one.
    pub fn push(&mut self, binding: &Binding, change: Change) {
        self.changes += 1;
        self.bytes += size_bytes(&change);
        let table = self.table(binding.table());
        self.skipped += u64::from(!table.push(change));
    }

    /// Everything collected, and an empty batch in its place.
    #[must_use]
    pub fn take(&mut self) -> Vec<TableNet> {
        let taken = std::mem::replace(self, Self::new(self.limits));
        taken.tables.into_iter().map(Table::finish).collect()
    }

    fn table(&mut self, schema: &Arc<TableSchema>) -> &mut Table {
        let place = *self.places.entry(schema.id.clone()).or_insert_with(|| {
            self.tables.push(Table { table: Arc::clone(schema), emptied: false, rows: HashMap::new() });
            self.tables.len() - 1
        });
        let table = &mut self.tables[place];
        assert!(Arc::ptr_eq(&table.table, schema) || table.table == *schema, "{} has two schemas", schema.id);
        table
    }
}

fn size_bytes(change: &Change) -> usize {
    match change {
        Change::Insert { key, row } | Change::Update { key, row } => key.size_bytes() + row.size_bytes(),
        Change::Rekey { from, to, row } => 2 * from.size_bytes() + to.size_bytes() + row.size_bytes(),
        Change::Delete { key } => key.size_bytes(),
        Change::Truncate => 0,
    }
}

impl Table {
    /// Whether there was a row to change.
    fn push(&mut self, change: Change) -> bool {
        match change {
            Change::Insert { key, row } => {
                self.rows.insert(key, Outcome::Live(Origin::Fresh, row));
            }
            Change::Delete { key } => {
                self.rows.insert(key, Outcome::Gone);
            }
            Change::Truncate => {
                self.emptied = true;
                self.rows.clear();
            }
            Change::Update { key, row } => {
                let Some((origin, older)) = self.leave(&key) else { return false };
                self.arrive(key, origin, row, older);
            }
            Change::Rekey { from, to, row } => {
                let Some((origin, older)) = self.leave(&from) else { return false };
                self.arrive(to, origin, row, older);
            }
        }
        true
    }

    /// Takes the row out of its key: where it comes from, and what it was given so far.
    fn leave(&mut self, key: &Row) -> Option<(Origin, Option<Row>)> {
        match self.rows.insert(key.clone(), Outcome::Gone) {
            None if !self.emptied => Some((Origin::Moved(key.clone()), None)),
            None | Some(Outcome::Gone) => None,
            Some(Outcome::Live(Origin::Kept, older)) => Some((Origin::Moved(key.clone()), Some(older))),
            Some(Outcome::Live(origin @ (Origin::Fresh | Origin::Moved(_)), older)) => {
                Some((origin, Some(older)))
            }
        }
    }

    /// Puts a row at its key.
    fn arrive(&mut self, key: Row, origin: Origin, row: Row, older: Option<Row>) {
        let row = older.map_or_else(|| row.clone(), |older| row.over(&older));
        let origin = match origin {
            Origin::Moved(from) if from == key => Origin::Kept,
            origin @ (Origin::Fresh | Origin::Kept | Origin::Moved(_)) => origin,
        };
        self.rows.insert(key, Outcome::Live(origin, row));
    }

    fn finish(self) -> TableNet {
        let mut rows: Vec<(Row, Outcome)> = self.rows.into_iter().collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.order(b));
        TableNet { table: self.table, emptied: self.emptied, rows }
    }
}

#[cfg(test)]
mod tests;
