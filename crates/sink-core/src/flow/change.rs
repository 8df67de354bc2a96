//! Changes as a log hands them over: matched with the target's columns, values as the source's text.

use std::sync::Arc;

use super::extras::{Extras, Form};
pub use super::row::{Row, Value};
use crate::apply::matching::Matching;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Behaviours, TableSchema};

/// A column of a source table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceColumn<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its values are as JSON.
    pub form: Form,
}

/// A target table and the columns of a source table that feed it. Made anew when either changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    table: Arc<TableSchema>,
    /// By target column: the position in the source's rows.
    sources: Vec<Option<usize>>,
    extras: Option<Extras>,
}

impl Binding {
    /// Matches by name, as for every source. Values that no column takes are strings in the extras column.
    ///
    /// # Errors
    /// As [`Self::typed`].
    pub fn new(table: Arc<TableSchema>, columns: &[&str]) -> Result<Self, Failure> {
        let columns = columns.iter().map(|name| SourceColumn { name, form: Form::Text });
        Self::typed(table, &columns.collect::<Vec<_>>())
    }

    /// Matches by name, as for every source.
    ///
    /// # Errors
    /// If a column has no place, the key of the table is none that rows can be found by, or what `apply_config` says of it
    /// cannot be used. A table without any key is taken: its rows are found by all of their values.
    pub fn typed(table: Arc<TableSchema>, columns: &[SourceColumn<'_>]) -> Result<Self, Failure> {
        const MATCH: &str = "match a table of the source with the target table";
        let place = Place { table: Some(table.id.clone()), ..Place::default() };
        let refuse = |why: &str| Failure::new(Disposition::Halt, MATCH, why).at(place.clone());
        if table.key_deferrable {
            return Err(refuse("the primary key is deferrable; make it NOT DEFERRABLE"));
        }
        match &table.behaviours {
            Behaviours::Plain | Behaviours::Configured(_) => {}
            Behaviours::Rejected(why) => {
                return Err(refuse(&format!("apply_config cannot be used for the table: {why}")));
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let matching = Matching::new(&table, &names).map_err(|error| {
            let place = Place { column: error.column().map(str::to_owned), ..place.clone() };
            Failure::new(Disposition::Halt, MATCH, error).at(place)
        })?;
        let sources = (0..table.columns.len()).map(|at| matching.member_of(at)).collect();
        let extras = table.rules().and_then(|rules| rules.extras);
        let extras = extras.map(|column| Extras::new(column, matching.extra(), columns));
        Ok(Self { table, sources, extras })
    }

    /// The target table.
    #[must_use]
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Whether rows of the target can only be found by all of their values.
    #[must_use]
    pub fn is_keyless(&self) -> bool {
        self.table.primary_key.is_empty()
    }

    /// Where the source's rows hold what goes to a column of the target; `None` if nothing does.
    #[must_use]
    pub fn source_of(&self, column: usize) -> Option<usize> {
        self.sources.get(column).copied().flatten()
    }

    /// Where the source's rows hold the key, in the order of the target's key.
    pub fn key_sources(&self) -> impl Iterator<Item = usize> {
        self.table.primary_key.iter().filter_map(|at| self.sources[*at])
    }

    /// A row of the source as a row of the target: one value for each of its columns, then, if it has an extras column,
    /// the names of what that keeps. Columns that the target computes are never given, nor those of expressions without
    /// input.
    pub fn row(&self, values: &[Value<'_>]) -> Row {
        let value = |at: &usize| values.get(*at).copied().unwrap_or(Value::Absent);
        let columns = self.sources.iter().map(|source| source.as_ref().map_or(Value::Absent, value));
        let Some(extras) = &self.extras else { return columns.collect() };
        let left_over = extras.collect(values);
        let object = |at: usize| (at == extras.column()).then(|| Value::Text(&left_over.object));
        let kept = left_over.kept.as_deref().map_or(Value::Null, Value::Text);
        let columns = columns.enumerate().map(|(at, value)| object(at).unwrap_or(value));
        columns.chain(std::iter::once(kept)).collect()
    }

    /// The key of a row of the source, in the order of the target's key. `None` if part of it is NULL or not given. What
    /// expressions make of it is the target's to say. Of a table without a key, the whole row; `None` if a value is not
    /// given.
    pub fn key(&self, values: &[Value<'_>]) -> Option<Row> {
        if self.is_keyless() {
            let given = |at: usize| values.get(at).is_some_and(|value| *value != Value::Absent);
            return self.sources.iter().flatten().all(|at| given(*at)).then(|| self.row(values));
        }
        let parts = self.table.primary_key.iter().map(|at| {
            if self.table.writes_always(*at) {
                return Some(Value::Null);
            }
            let value = self.sources[*at].and_then(|source| values.get(source).copied());
            value.filter(|value| matches!(value, Value::Text(_)))
        });
        parts.collect()
    }

    /// Whether rows of the source decide every column that can be written.
    pub(super) fn feeds_all(&self) -> bool {
        let written = |at: usize| self.sources[at].is_some() || self.table.writes_always(at);
        self.table.writable().all(|(at, _)| written(at))
    }

    /// Whether a row has a value for everything that the source has.
    pub(super) fn is_whole(&self, row: &Row) -> bool {
        let fed = self.sources.iter().enumerate().filter(|(_, source)| source.is_some());
        !keeps_extras(&self.table, row)
            && fed.map(|(at, _)| row.value(at)).all(|value| value != Value::Absent)
    }
}

/// Whether the extras of a row are in part those that its table has already.
pub(crate) fn keeps_extras(table: &TableSchema, row: &Row) -> bool {
    kept_extras(table, row).is_some()
}

/// The names, as a JSON array, of the extras that a row leaves as they are.
pub(crate) fn kept_extras<'a>(table: &TableSchema, row: &'a Row) -> Option<&'a str> {
    table.rules().and_then(|rules| rules.extras)?;
    match row.value(table.columns.len()) {
        Value::Text(names) => Some(names),
        Value::Absent | Value::Null => None,
    }
}

/// What happens to one row. Rows have a value for each column of the target, keys for each column of its key. In a table
/// without a key the whole row is the key of what is changed or gone; new rows have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new row.
    Insert {
        /// Its key.
        key: Row,
        /// Its values.
        row: Row,
    },
    /// Values that take the place of others.
    Update {
        /// The key, which stays.
        key: Row,
        /// The values; those absent stay.
        row: Row,
    },
    /// As an update, of the key as well.
    Rekey {
        /// The key until now.
        from: Row,
        /// The key from now on.
        to: Row,
        /// The values; those absent stay.
        row: Row,
    },
    /// A row that is gone.
    Delete {
        /// Its key.
        key: Row,
    },
    /// All rows are gone.
    Truncate,
}
