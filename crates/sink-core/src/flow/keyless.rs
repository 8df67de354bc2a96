//! Rows of tables without a key: equal rows cannot be told apart, so what many changes amount to is how many more or fewer
//! there are of each. Pure.
//!
//! Counting is exact only if each change is counted once, so these rows are only written together with the position.

use std::collections::HashMap;

use super::change::{Change, Row};

/// How many rows were added, less those that went, by all of their values.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: HashMap<Row, i64>,
}

impl Tally {
    /// Counts a change.
    pub(super) fn push(&mut self, change: Change) {
        match change {
            Change::Insert { key: _, row } => self.add(row, 1),
            Change::Delete { key } => self.add(key, -1),
            Change::Rekey { from, to, row: _ } => {
                self.add(from, -1);
                self.add(to, 1);
            }
            // No value is another.
            Change::Update { .. } => {}
            Change::Truncate => self.rows.clear(),
        }
    }

    fn add(&mut self, row: Row, count: i64) {
        *self.rows.entry(row).or_default() += count;
    }

    /// What is left, in an order that only depends on the rows. Nothing can be fewer of where there is nothing.
    pub(super) fn finish(self, emptied: bool) -> Vec<(Row, i64)> {
        let counts = |count: i64| count > 0 || (count < 0 && !emptied);
        let mut rows: Vec<(Row, i64)> = self.rows.into_iter().filter(|(_, count)| counts(*count)).collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.order(b));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Value;

    fn row(text: &str) -> Row {
        [Value::Text(text), Value::Null].into_iter().collect()
    }

    fn counted(changes: Vec<Change>, emptied: bool) -> Vec<(Row, i64)> {
        let mut tally = Tally::default();
        changes.into_iter().for_each(|change| tally.push(change));
        tally.finish(emptied)
    }

    fn insert(text: &str) -> Change {
        Change::Insert { key: Row::default(), row: row(text) }
    }

    fn change(from: &str, to: &str) -> Change {
        Change::Rekey { from: row(from), to: row(to), row: Row::default() }
    }

    #[test]
    fn equal_rows_are_counted() {
        let changes = vec![insert("b"), insert("a"), insert("b"), Change::Delete { key: row("c") }];
        assert_eq!(counted(changes, false), [(row("a"), 1), (row("b"), 2), (row("c"), -1)]);
    }

    #[test]
    fn what_comes_and_goes_is_nothing() {
        let changes = vec![insert("a"), change("a", "b"), change("b", "c"), Change::Delete { key: row("c") }];
        assert_eq!(counted(changes, false), []);
    }

    #[test]
    fn what_was_before_the_table_was_emptied_is_forgotten() {
        let changes = vec![insert("a"), Change::Delete { key: row("b") }, Change::Truncate, insert("c")];
        assert_eq!(counted(changes, true), [(row("c"), 1)]);
        assert_eq!(counted(vec![Change::Truncate, Change::Delete { key: row("b") }], true), []);
    }
}
