//! What many transactions amount to: per row, what it becomes, given the target as it was before all of them. Pure.
//!
//! Nothing here depends on the order in which rows are written afterwards. A row that changes its key says where its
//! other values come from, so swaps and chains of keys need no order either, and any number of transactions is one
//! statement that sees one snapshot. What cannot be said so (see `ordered`) begins another stage: another statement of
//! the same target transaction, with all that comes after it, of all tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::change::{Binding, Change, Row, Value, keeps_extras};
use super::keyless::Tally;
use super::ordered::{Ordered, RowStep, is_ordered};
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
    /// Stages come one after the other, each seeing what the last one left.
    pub stage: usize,
    /// Rows that are not listed are gone, too.
    pub emptied: bool,
    /// By key, in an order that only depends on the keys.
    pub rows: Vec<(Row, Outcome)>,
    /// In place of `rows`, for a table whose rows depend on more than their newest version: what happened, in order;
    /// none of it before the table was emptied.
    pub steps: Vec<RowStep>,
    /// In place of `rows`, for a table without a key: whole rows, and how many more (or, below zero, fewer) of them there
    /// are.
    pub tally: Vec<(Row, i64)>,
}

impl TableNet {
    /// Whether rows are only told apart by all of their values.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.table.primary_key.is_empty()
    }

    /// Whether a row takes values along to another key. That cannot be done twice: the second time there is nothing left
    /// to take along, and what was moved may have been removed in the name of the row that was there before.
    #[must_use]
    pub(super) fn carries_values(&self) -> bool {
        let kept =
            |at: usize, row: &Row| !self.table.primary_key.contains(&at) && row.value(at) == Value::Absent;
        let partial = |row: &Row| self.table.writable().any(|(at, _)| kept(at, row));
        let moves =
            |outcome: &Outcome| matches!(outcome, Outcome::Live(Origin::Moved(_), row) if partial(row));
        self.rows.iter().any(|(_, outcome)| moves(outcome))
            || self.steps.iter().any(|step| matches!(step, RowStep::Move { .. }))
    }

    /// The same, one step after the other.
    #[must_use]
    pub fn one_by_one(&self) -> Vec<Self> {
        // A row that moves is gone from where it was at the same moment, not before.
        let together = |one: &RowStep, next: &RowStep| match (one, next) {
            (RowStep::Delete { key }, RowStep::Move { from, .. }) => key == from,
            _ => false,
        };
        let steps = self.steps.chunk_by(together).enumerate();
        steps
            .map(|(at, steps)| Self {
                table: Arc::clone(&self.table),
                stage: self.stage,
                emptied: self.emptied && at == 0,
                rows: Vec::new(),
                steps: steps.to_vec(),
                tally: Vec::new(),
            })
            .collect()
    }
}

/// When a batch is large enough to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Changes.
    pub changes: usize,
    /// Memory for them, in bytes.
    pub bytes: usize,
    /// Columns of the statement that writes them: rows of one table that are given the same columns share theirs.
    pub columns: usize,
}

impl Limits {
    /// Bytes of a part that may be large. It stands in memory some times over: collected, being written, as a statement.
    const LARGE: usize = 12 << 20;

    /// For a transaction whose parts the target refuses one by one: as much as is safe, whatever the number of changes.
    #[must_use]
    pub(super) fn large(self) -> Self {
        Self { changes: usize::MAX, bytes: self.bytes.max(Self::LARGE), ..self }
    }
}

impl Default for Limits {
    /// Larger statements are hardly faster; these sizes keep their memory small at the target, too.
    fn default() -> Self {
        Self { changes: 5_000, bytes: 8 << 20, columns: 8_192 }
    }
}

#[derive(Debug)]
struct Table {
    table: Arc<TableSchema>,
    emptied: bool,
    /// In the order in which they were touched first, which is mostly that of the keys.
    rows: IndexMap<Row, Outcome, foldhash::fast::RandomState>,
    /// If that is how its changes are kept.
    ordered: Option<Ordered>,
    tally: Tally,
    shapes: Shapes,
}

/// The sets of columns that rows are given, by how they are written.
#[derive(Debug, Default)]
struct Shapes {
    seen: HashSet<(u8, u64)>,
    last: Option<(u8, u64)>,
    columns: usize,
}

impl Shapes {
    fn add(&mut self, origin: &Origin, row: &Row) {
        let way = match origin {
            Origin::Fresh => 0,
            Origin::Kept => 1,
            Origin::Moved(_) => 2,
        };
        let (digest, given) = row.shape();
        if self.last.replace((way, digest)) != Some((way, digest)) && self.seen.insert((way, digest)) {
            self.columns += given;
        }
    }
}

/// Collects changes in the order of the source.
#[derive(Debug, Default)]
pub struct Folder {
    limits: Limits,
    /// Of the stages before this one.
    done: Vec<TableNet>,
    stage: usize,
    tables: Vec<Table>,
    places: HashMap<TableId, usize>,
    /// Place of the table of the newest change.
    latest: usize,
    changes: usize,
    bytes: usize,
    columns: usize,
    skipped: u64,
}

impl Folder {
    /// An empty batch.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Batches grow as large as this from now on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Nothing was collected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.done.is_empty()
    }

    /// It is time to write. Tables of a thousand columns in many combinations are full early: each combination takes part
    /// in the statement with all of its columns.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Limits { changes, bytes, columns } = self.limits;
        self.changes >= changes || self.bytes >= bytes || self.columns >= columns
    }

    /// Even a transaction that has not ended is to be written: it is too large to wait for its end.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        let Limits { changes, bytes, columns } = self.limits;
        self.changes >= changes.saturating_mul(2)
            || self.bytes >= bytes.saturating_mul(2)
            || self.columns >= columns.saturating_mul(2)
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
        let skipped = match &table.ordered {
            Some(ordered) if change != Change::Truncate => {
                let steps = Ordered::steps(binding, change);
                let can_take = ordered.can_take(&table.table, &steps);
                let table = if can_take { table } else { self.next_stage(binding.table()) };
                table.ordered.get_or_insert_default().push(steps);
                false
            }
            Some(_) | None => {
                let can_take = table.can_take(&change);
                let table = if can_take { table } else { self.next_stage(binding.table()) };
                let columns = table.shapes.columns;
                let skipped = !table.push(change);
                let added = table.shapes.columns - columns;
                self.columns += added;
                skipped
            }
        };
        self.skipped += u64::from(skipped);
    }

    /// Whether changes of a table can be added: a batch holds one version of its schema.
    pub(super) fn fits(&self, schema: &Arc<TableSchema>) -> bool {
        let held = self.places.get(&schema.id).map(|place| &self.tables[*place].table);
        held.is_none_or(|held| Arc::ptr_eq(held, schema) || held == schema)
    }

    /// Everything collected, and an empty batch in its place.
    #[must_use]
    pub fn take(&mut self) -> Vec<TableNet> {
        let mut taken = std::mem::replace(self, Self::new(self.limits));
        taken.end_stage();
        taken.done
    }

    /// What comes from now on sees what came until now.
    fn end_stage(&mut self) {
        let stage = self.stage;
        self.done.extend(self.tables.drain(..).map(|table| table.finish(stage)));
        self.places.clear();
        self.stage += 1;
    }

    fn next_stage(&mut self, schema: &Arc<TableSchema>) -> &mut Table {
        self.end_stage();
        self.table(schema)
    }

    fn table(&mut self, schema: &Arc<TableSchema>) -> &mut Table {
        // Changes of one table mostly follow one another; its name is not looked up for each.
        let same = self.tables.get(self.latest).is_some_and(|table| Arc::ptr_eq(&table.table, schema));
        if !same {
            self.latest = self.place(schema);
        }
        &mut self.tables[self.latest]
    }

    fn place(&mut self, schema: &Arc<TableSchema>) -> usize {
        if let Some(place) = self.places.get(&schema.id) {
            assert!(self.tables[*place].table == *schema, "{} has two schemas", schema.id);
            return *place;
        }
        self.places.insert(schema.id.clone(), self.tables.len());
        self.tables.push(Table::new(schema));
        self.tables.len() - 1
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
    fn new(schema: &Arc<TableSchema>) -> Self {
        Self {
            table: Arc::clone(schema),
            emptied: false,
            rows: IndexMap::default(),
            ordered: is_ordered(schema).then(Ordered::default),
            tally: Tally::default(),
            shapes: Shapes::default(),
        }
    }

    /// Whether what the change leaves out can be told from the target as it is before the stage, and from nothing else.
    fn can_take(&self, change: &Change) -> bool {
        let (key, row) = match change {
            Change::Update { key, row } | Change::Rekey { from: key, row, .. } => (key, row),
            Change::Insert { .. } | Change::Delete { .. } | Change::Truncate => return true,
        };
        !keeps_extras(&self.table, row) || !self.rows.contains_key(key)
    }

    /// Whether there was a row to change.
    fn push(&mut self, change: Change) -> bool {
        if self.table.primary_key.is_empty() {
            self.emptied |= change == Change::Truncate;
            match &change {
                Change::Insert { row, .. } => self.shapes.add(&Origin::Fresh, row),
                Change::Delete { key } => self.shapes.add(&Origin::Kept, key),
                Change::Rekey { from, to, .. } => {
                    self.shapes.add(&Origin::Kept, from);
                    self.shapes.add(&Origin::Fresh, to);
                }
                Change::Update { .. } | Change::Truncate => {}
            }
            self.tally.push(change);
            return true;
        }
        match change {
            Change::Insert { key, row } => {
                self.shapes.add(&Origin::Fresh, &row);
                self.rows.insert(key, Outcome::Live(Origin::Fresh, row));
            }
            Change::Delete { key } => {
                self.rows.insert(key, Outcome::Gone);
            }
            Change::Truncate => {
                self.emptied = true;
                self.rows.clear();
                self.ordered = self.ordered.take().map(|_| Ordered::default());
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
        self.shapes.add(&origin, &row);
        self.rows.insert(key, Outcome::Live(origin, row));
    }

    fn finish(self, stage: usize) -> TableNet {
        let mut rows: Vec<(Row, Outcome)> = self.rows.into_iter().collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.order(b));
        let steps = self.ordered.map(Ordered::into_steps).unwrap_or_default();
        let tally = self.tally.finish(self.emptied);
        TableNet { table: self.table, stage, emptied: self.emptied, rows, steps, tally }
    }
}

#[cfg(test)]
mod tests;
