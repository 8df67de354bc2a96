//! Changes as a log hands them over: matched with the target's columns, values as the source's text.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::apply::matching::Matching;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Behaviours, TableSchema};

/// A value of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not given: the row keeps what it has, a new row takes the default.
    Absent,
    /// SQL NULL.
    Null,
    /// What the type's output function of the source wrote.
    Text(&'a str),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Null => f.write_str("Null"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Where a value ends in the text of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Absent,
    Null,
    Text { begin: usize, end: usize },
}

/// Some values in a row, owned, in two allocations. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Row {
    text: String,
    fields: Vec<Field>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl<'a> FromIterator<Value<'a>> for Row {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(values: I) -> Self {
        let mut row = Self::default();
        for value in values {
            let field = match value {
                Value::Absent => Field::Absent,
                Value::Null => Field::Null,
                Value::Text(text) => {
                    let begin = row.text.len();
                    row.text.push_str(text);
                    Field::Text { begin, end: row.text.len() }
                }
            };
            row.fields.push(field);
        }
        row
    }
}

impl Row {
    /// One value.
    ///
    /// # Panics
    /// If the row has no such position.
    #[must_use]
    pub fn value(&self, at: usize) -> Value<'_> {
        match self.fields[at] {
            Field::Absent => Value::Absent,
            Field::Null => Value::Null,
            Field::Text { begin, end } => Value::Text(&self.text[begin..end]),
        }
    }

    /// All values in order.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        (0..self.fields.len()).map(|at| self.value(at))
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.text.len() + self.fields.len() * size_of::<Field>() + size_of::<Self>()
    }

    /// An order in which small numbers come before large ones.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.values().map(rank).cmp(other.values().map(rank))
    }

    /// These values, and those of `older` where they are absent.
    #[must_use]
    pub fn over(&self, older: &Self) -> Self {
        if self.fields.iter().all(|field| *field != Field::Absent) {
            return self.clone();
        }
        let each = self.values().zip(older.values());
        each.map(|(new, old)| if new == Value::Absent { old } else { new }).collect()
    }
}

/// Length before content.
fn rank(value: Value<'_>) -> (usize, &str) {
    match value {
        Value::Absent | Value::Null => (0, ""),
        Value::Text(text) => (text.len(), text),
    }
}

/// A target table and the columns of a source table that feed it. Made anew when either changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Binding {
    table: Arc<TableSchema>,
    /// By target column: the position in the source's rows.
    sources: Vec<Option<usize>>,
}

impl Binding {
    /// Matches by name, as for every source.
    ///
    /// # Errors
    /// If a column has no place, or the table has no key that rows can be found by.
    pub fn new(table: Arc<TableSchema>, columns: &[&str]) -> Result<Self, Failure> {
        const MATCH: &str = "match a table of the source with the target table";
        let place = Place { table: Some(table.id.clone()), ..Place::default() };
        let refuse = |why: &str| Failure::new(Disposition::Halt, MATCH, why).at(place.clone());
        if table.primary_key.is_empty() {
            return Err(refuse(
                "the target table has no primary key; rows could not be found again. Add one",
            ));
        }
        if table.key_deferrable {
            return Err(refuse("the primary key is deferrable; make it NOT DEFERRABLE"));
        }
        match &table.behaviours {
            Behaviours::Plain => {}
            Behaviours::Rejected(why) => return Err(refuse(why)),
            Behaviours::Configured(_) => {
                return Err(refuse(
                    "apply_config has rules for the table, which logs do not follow; remove them",
                ));
            }
        }
        let matching = Matching::new(&table, columns).map_err(|error| {
            let place = Place { column: error.column().map(str::to_owned), ..place.clone() };
            Failure::new(Disposition::Halt, MATCH, error).at(place)
        })?;
        let sources = (0..table.columns.len()).map(|at| matching.member_of(at)).collect();
        Ok(Self { table, sources })
    }

    /// The target table.
    #[must_use]
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// Where the source's rows hold the key, in the order of the target's key.
    pub fn key_sources(&self) -> impl Iterator<Item = usize> {
        self.table.primary_key.iter().filter_map(|at| self.sources[*at])
    }

    /// A row of the source as a row of the target: one value for each of its columns. Computed ones are never given.
    pub fn row<'a>(&self, values: &[Value<'a>]) -> Row {
        let columns = self.table.columns.iter().zip(&self.sources);
        columns
            .map(|(column, source)| match source {
                Some(at) if !column.generated => values.get(*at).copied().unwrap_or(Value::Absent),
                Some(_) | None => Value::Absent,
            })
            .collect()
    }

    /// The key of a row of the source, in the order of the target's key. `None` if part of it is NULL or not given.
    pub fn key(&self, values: &[Value<'_>]) -> Option<Row> {
        let parts = self.table.primary_key.iter().map(|at| {
            let value = self.sources[*at].and_then(|source| values.get(source).copied());
            value.filter(|value| matches!(value, Value::Text(_)))
        });
        parts.collect()
    }
}

/// What happens to one row. Rows have a value for each column of the target, keys for each column of its key.
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
