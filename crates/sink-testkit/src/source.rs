//! The source of a run: tables with every version of every row. It records what happened and answers what
//! was true at a time; it neither invents transactions nor sends anything.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sink_core::model::HlcTimestamp;

use crate::value::{Value, quote_json};

/// A column of a source table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unquoted.
    pub name: &'static str,
    /// Its type, in SQL that both products accept.
    pub sql_type: &'static str,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A foreign key of one column to the only key column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Position of the referring column.
    pub column: usize,
    /// Position of the table referred to; a table may refer to itself.
    pub table: usize,
}

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, unquoted; also the topic of its rows.
    pub name: &'static str,
    /// Its columns in declaration order.
    pub columns: Vec<Column>,
    /// Positions of the key columns, in the order of the primary index.
    pub key: Vec<usize>,
    /// Its foreign key, if any.
    pub references: Option<Reference>,
    /// A column with a unique constraint besides the key, if any.
    pub unique: Option<usize>,
}

impl Table {
    /// The key of a row of this table.
    ///
    /// # Panics
    /// If the row has another number of columns than the table.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> Key {
        assert_eq!(row.values().len(), self.columns.len(), "row of another shape than {}", self.name);
        Key::new(self.key.iter().map(|&column| &row.values()[column]))
    }
}

/// A primary key, as the text of the JSON array that a changefeed sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// A key from its values, in the order of the primary index.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let parts: Vec<&str> = values.into_iter().map(Value::json).collect();
        Self(format!("[{}]", parts.join(", ")).into())
    }

    /// The JSON array.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A row: one value per column, in declaration order. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Arc<[Value]>);

impl Row {
    /// A row of these values.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values.into())
    }

    /// The values, in declaration order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The row as a JSON object: columns in bytewise order of their names.
    #[must_use]
    pub fn json(&self, table: &Table) -> String {
        let mut columns: Vec<_> = table.columns.iter().map(|column| column.name).zip(self.values()).collect();
        columns.sort_by_key(|(name, _)| *name);
        let parts: Vec<String> =
            columns.iter().map(|(name, value)| format!("{}: {}", quote_json(name), value.json())).collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// What a transaction leaves behind for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Position of the table.
    pub table: usize,
    /// The key.
    pub key: Key,
    /// The new row, or `None` for a delete.
    pub row: Option<Row>,
}

/// One version of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When it was committed.
    pub at: HlcTimestamp,
    /// The row, or `None` for a delete.
    pub row: Option<Row>,
}

/// Tables with their whole history. Invariant: the versions of a key rise in time.
#[derive(Debug, Clone)]
pub struct Source {
    tables: Vec<Table>,
    history: Vec<BTreeMap<Key, Vec<Version>>>,
    commits: Vec<HlcTimestamp>,
}

impl Source {
    /// Empty tables.
    #[must_use]
    pub fn new(tables: Vec<Table>) -> Self {
        let history = tables.iter().map(|_| BTreeMap::new()).collect();
        Self { tables, history, commits: Vec::new() }
    }

    /// Commits a transaction. Of several writes to one key the last one counts, as only it is ever visible.
    ///
    /// # Panics
    /// If the time is not above that of the commit before: commits are given in order.
    pub fn commit(&mut self, at: HlcTimestamp, writes: impl IntoIterator<Item = Write>) {
        let last = self.last_commit();
        assert!(at > last, "commit at {at} after one at {last}");
        for write in writes {
            let versions = self.history[write.table].entry(write.key).or_default();
            if versions.last().is_some_and(|version| version.at == at) {
                versions.pop();
            }
            versions.push(Version { at, row: write.row });
        }
        self.commits.push(at);
    }

    /// The tables; elsewhere they are named by their position here.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The times of all commits, rising.
    #[must_use]
    pub fn commits(&self) -> &[HlcTimestamp] {
        &self.commits
    }

    /// The time of the newest commit; [`HlcTimestamp::ZERO`] before the first.
    #[must_use]
    pub fn last_commit(&self) -> HlcTimestamp {
        self.commits.last().copied().unwrap_or_default()
    }

    /// Every key of a table with its versions, rising in time.
    #[must_use]
    pub fn history(&self, table: usize) -> &BTreeMap<Key, Vec<Version>> {
        &self.history[table]
    }

    /// The rows that were there at a time, per table: what `AS OF SYSTEM TIME` would read.
    #[must_use]
    pub fn snapshot_at(&self, at: HlcTimestamp) -> Vec<BTreeMap<Key, Row>> {
        self.history
            .iter()
            .map(|keys| {
                keys.iter()
                    .filter_map(|(key, versions)| {
                        let newest = versions.partition_point(|version| version.at <= at).checked_sub(1)?;
                        Some((key.clone(), versions[newest].row.clone()?))
                    })
                    .collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> HlcTimestamp {
        HlcTimestamp::new(nanos, 0).unwrap()
    }

    fn table() -> Table {
        let column = |name, sql_type| Column { name, sql_type, nullable: false };
        Table {
            name: "t",
            columns: vec![column("id", "int8"), column("B", "text"), column("a", "text")],
            key: vec![1, 0],
            references: None,
            unique: None,
        }
    }

    fn row(id: i64, b: &str) -> Row {
        Row::new(vec![Value::int8(id), Value::text_value(b), Value::text_value("x")])
    }

    fn write(row: &Row, delete: bool) -> Write {
        Write { table: 0, key: table().key_of(row), row: (!delete).then(|| row.clone()) }
    }

    #[test]
    fn keys_follow_the_index_and_columns_the_bytes_of_their_names() {
        let row = row(5, "eu");
        assert_eq!(table().key_of(&row).json(), r#"["eu", 5]"#);
        assert_eq!(row.json(&table()), r#"{"B": "eu", "a": "x", "id": 5}"#);
    }

    #[test]
    fn a_snapshot_shows_the_newest_version_at_or_below_its_time() {
        let mut source = Source::new(vec![table()]);
        let one = row(1, "a");
        source.commit(at(10), [write(&one, true), write(&one, false)]);
        source.commit(at(20), [write(&one, true)]);
        assert!(source.snapshot_at(at(9))[0].is_empty());
        assert_eq!(source.snapshot_at(at(10))[0].values().collect::<Vec<_>>(), [&one]);
        assert_eq!(source.snapshot_at(at(19))[0].len(), 1);
        assert!(source.snapshot_at(at(20))[0].is_empty());
        assert_eq!(source.history(0).values().map(Vec::len).sum::<usize>(), 2);
    }

    #[test]
    #[should_panic(expected = "commit at")]
    fn commits_rise_in_time() {
        let mut source = Source::new(vec![table()]);
        source.commit(at(10), []);
        source.commit(at(10), []);
    }
}
