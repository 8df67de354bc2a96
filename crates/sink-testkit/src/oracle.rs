//! What a target must show once a time is applied, and how to read the same from it.

use std::fmt;
use std::sync::Arc;

use sink_core::model::HlcTimestamp;

use crate::source::{Source, Table};
use crate::workload::{Workload, qualified, quote_ident};

/// Settings of the PostgreSQL session that reads the target: without them it prints times and bytes otherwise.
pub const SESSION_SETTINGS: [&str; 4] = [
    "SET TIME ZONE 'UTC'",
    "SET datestyle = 'ISO'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
];

/// A row as text, column by column; `None` is SQL NULL.
pub type TextRow = Vec<Option<String>>;

/// Knows the truth of one workload.
#[derive(Debug, Clone)]
pub struct Oracle {
    source: Arc<Source>,
    scan_at: HlcTimestamp,
}

/// What one table must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTable {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in the order of the rows' values.
    pub columns: Vec<&'static str>,
    /// Positions of the key columns.
    pub key: Vec<usize>,
    /// Its rows, ordered by the texts of the key columns in bytewise order.
    pub rows: Vec<TextRow>,
}

/// Where a target first differs from the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The texts of the key.
    pub key: TextRow,
    /// What differs.
    pub kind: DifferenceKind,
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// The target lacks the row.
    Missing,
    /// The target has a row too many.
    Unexpected,
    /// A column has another value.
    Column {
        /// The column.
        column: &'static str,
        /// The value at the source.
        expected: Option<String>,
        /// The value at the target.
        actual: Option<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}, key {:?}: ", self.table, self.key)?;
        match &self.kind {
            DifferenceKind::Missing => f.write_str("the row is missing"),
            DifferenceKind::Unexpected => f.write_str("the row should not be there"),
            DifferenceKind::Column { column, expected, actual } => {
                write!(f, "column {column:?} is {actual:?} instead of {expected:?}")
            }
        }
    }
}

impl Oracle {
    /// The oracle of a workload.
    #[must_use]
    pub fn new(workload: &Workload) -> Self {
        Self::of_source(workload.source().clone(), workload.scan_at())
    }

    /// The oracle of any source whose feed begins with a scan at this time.
    #[must_use]
    pub fn of_source(source: Arc<Source>, scan_at: HlcTimestamp) -> Self {
        Self { source, scan_at }
    }

    /// What every table must show when exactly the versions at or below a time are applied. Below the time of
    /// the scan that is nothing, because a feed says nothing about it.
    #[must_use]
    pub fn expected_at(&self, at: HlcTimestamp) -> Vec<ExpectedTable> {
        let tables = self.source.tables().iter();
        if at < self.scan_at {
            return tables.map(|table| expected(table, Vec::new())).collect();
        }
        let snapshot = self.source.snapshot_at(at);
        let texts = snapshot.iter().map(|rows| {
            let rows = rows.values();
            rows.map(|row| row.values().iter().map(|value| value.text().map(str::to_owned)).collect())
                .collect()
        });
        tables.zip(texts).map(|(table, rows)| expected(table, rows)).collect()
    }

    /// The times at which the target may stand in consistent mode: nothing yet, the scan, or after a commit.
    #[must_use]
    pub fn boundaries(&self) -> Vec<HlcTimestamp> {
        let live = self.source.commits().iter().copied().filter(|commit| *commit > self.scan_at);
        [HlcTimestamp::ZERO, self.scan_at].into_iter().chain(live).collect()
    }

    /// Per table, its name and the query that reads it in the order and the form of
    /// [`Oracle::expected_at`].
    #[must_use]
    pub fn queries(&self, schema: &str) -> Vec<(&'static str, String)> {
        self.source.tables().iter().map(|table| (table.name, select(schema, table))).collect()
    }
}

fn expected(table: &Table, mut rows: Vec<TextRow>) -> ExpectedTable {
    let columns = table.columns.iter().map(|column| column.name).collect();
    rows.sort_by_cached_key(|row| table.key.iter().map(|&column| row[column].clone()).collect::<TextRow>());
    ExpectedTable { name: table.name, columns, key: table.key.clone(), rows }
}

/// Every key column is ordered as text, byte by byte, so that no collation or type has a say.
fn select(schema: &str, table: &Table) -> String {
    let text = |position: usize| format!("{}::text", quote_ident(table.columns[position].name));
    let columns: Vec<String> = (0..table.columns.len()).map(text).collect();
    let order: Vec<String> =
        table.key.iter().map(|&position| format!("{} COLLATE \"C\"", text(position))).collect();
    let from = qualified(schema, table.name);
    format!("SELECT {} FROM {from} ORDER BY {}", columns.join(", "), order.join(", "))
}

impl ExpectedTable {
    /// The first difference of the rows a target gave, in the order of the query; `None` if there is none.
    #[must_use]
    pub fn first_difference(&self, actual: &[TextRow]) -> Option<Difference> {
        let key = |row: &TextRow| self.key.iter().map(|&column| row[column].clone()).collect::<TextRow>();
        let differs = |key, kind| Some(Difference { table: self.name, key, kind });
        let mut actual = actual.iter().peekable();
        for expected in &self.rows {
            let wanted = key(expected);
            match actual.peek().map(|row| key(row)) {
                Some(found) if found < wanted => return differs(found, DifferenceKind::Unexpected),
                Some(found) if found == wanted => {}
                Some(_) | None => return differs(wanted, DifferenceKind::Missing),
            }
            let found = actual.next().expect("it was peeked at");
            for (column, (expected, actual)) in self.columns.iter().zip(expected.iter().zip(found)) {
                if expected != actual {
                    let (expected, actual) = (expected.clone(), actual.clone());
                    return differs(wanted, DifferenceKind::Column { column, expected, actual });
                }
            }
        }
        actual.next().and_then(|row| differs(key(row), DifferenceKind::Unexpected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::WorkloadConfig;

    #[test]
    fn a_difference_is_named_by_table_key_and_column() {
        let workload = Workload::generate(3, &WorkloadConfig::default());
        let tables = Oracle::new(&workload).expected_at(workload.scan_at());
        let table = tables.iter().find(|table| table.name == "accounts").unwrap();
        assert_eq!(table.first_difference(&table.rows), None);

        let mut actual = table.rows.clone();
        let lost = actual.remove(1);
        assert_eq!(table.first_difference(&actual).unwrap().kind, DifferenceKind::Missing);
        actual.push(vec![Some("a".to_owned()); 3]);
        actual.insert(1, lost);
        assert_eq!(table.first_difference(&actual).unwrap().kind, DifferenceKind::Unexpected);
        actual[0][2] = None;
        let text = table.first_difference(&actual).unwrap().to_string();
        assert!(text.contains("accounts") && text.contains("\"balance\" is None instead of Some"), "{text}");
    }

    #[test]
    fn before_the_scan_the_target_is_empty() {
        let workload = Workload::generate(3, &WorkloadConfig::default());
        let tables = Oracle::new(&workload).expected_at(workload.scan_at().predecessor());
        assert!(tables.iter().all(|table| table.rows.is_empty()));
    }

    #[test]
    fn queries_quote_and_order_by_bytes() {
        let workload =
            Workload::generate(3, &WorkloadConfig { transactions: 0, ..WorkloadConfig::default() });
        let (name, sql) = Oracle::new(&workload).queries("my schema").pop().unwrap();
        assert_eq!(name, "wide");
        assert!(sql.starts_with("SELECT \"id\"::text, "), "{sql}");
        assert!(sql.contains("\"C \"\"Float\"\"\"::text FROM \"my schema\".\"wide\" ORDER BY"), "{sql}");
        assert!(sql.ends_with("\"region\"::text COLLATE \"C\", \"id\"::text COLLATE \"C\""), "{sql}");
    }
}
