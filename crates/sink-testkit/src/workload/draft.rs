//! A transaction being written, and pools of live rows to choose from.

use std::collections::{BTreeMap, HashMap};

use rand::Rng;
use rand::rngs::StdRng;

use crate::source::{Key, Row, Table, Write};
use crate::value::Value;

/// The writes of one transaction so far; a later write to a key replaces an earlier one.
pub(super) struct Draft {
    tables: Vec<Table>,
    writes: BTreeMap<(usize, Key), Option<Row>>,
    limit: usize,
}

impl Draft {
    pub(super) fn new(tables: &[Table], limit: usize) -> Self {
        Self { tables: tables.to_vec(), writes: BTreeMap::new(), limit }
    }

    /// How many more keys may be written.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.writes.len())
    }

    pub(super) fn put(&mut self, table: usize, row: Row) {
        let key = self.tables[table].key_of(&row);
        self.writes.insert((table, key), Some(row));
    }

    /// Deletes a row by its key values, in the order of the primary index.
    pub(super) fn delete(&mut self, table: usize, key: &[Value]) {
        self.writes.insert((table, Key::new(key)), None);
    }

    pub(super) fn into_writes(self) -> Vec<Write> {
        self.writes.into_iter().map(|((table, key), row)| Write { table, key, row }).collect()
    }
}

/// The live rows of a table by a numeric id. Ids of deleted rows come back.
pub(super) struct Pool<T> {
    next: i64,
    freed: Vec<i64>,
    ids: Vec<i64>,
    items: HashMap<i64, (usize, T)>,
}

impl<T> Pool<T> {
    /// An empty pool whose first id is `first`.
    pub(super) fn new(first: i64) -> Self {
        Self { next: first, freed: Vec::new(), ids: Vec::new(), items: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// An id that is not live: one used before, half of the time.
    pub(super) fn free_id(&mut self, rng: &mut StdRng) -> i64 {
        if !self.freed.is_empty() && rng.random_bool(0.5) {
            return self.freed.swap_remove(rng.random_range(0..self.freed.len()));
        }
        self.next += 1;
        self.next - 1
    }

    pub(super) fn insert(&mut self, id: i64, item: T) {
        let before = self.items.insert(id, (self.ids.len(), item));
        assert!(before.is_none(), "id {id} is already live");
        self.ids.push(id);
    }

    pub(super) fn remove(&mut self, id: i64) -> T {
        let (position, item) = self.items.remove(&id).expect("the id is live");
        self.ids.swap_remove(position);
        if let Some(moved) = self.ids.get(position) {
            self.items.get_mut(moved).expect("every listed id is live").0 = position;
        }
        self.freed.push(id);
        item
    }

    pub(super) fn get(&self, id: i64) -> &T {
        &self.items.get(&id).expect("the id is live").1
    }

    pub(super) fn get_mut(&mut self, id: i64) -> &mut T {
        &mut self.items.get_mut(&id).expect("the id is live").1
    }

    /// A random live id.
    pub(super) fn pick(&self, rng: &mut StdRng) -> Option<i64> {
        (!self.ids.is_empty()).then(|| self.ids[rng.random_range(0..self.ids.len())])
    }

    /// Two different live ids.
    pub(super) fn pick_two(&self, rng: &mut StdRng) -> Option<(i64, i64)> {
        if self.ids.len() < 2 {
            return None;
        }
        let first = rng.random_range(0..self.ids.len());
        let step = rng.random_range(1..self.ids.len());
        Some((self.ids[first], self.ids[(first + step) % self.ids.len()]))
    }
}
