//! What matters where tables are made or copied, and nowhere else.

use std::collections::HashMap;

use mysql_async::{Params, Value};

use super::{ANSWER_LIMIT, IndexFacts, TableFacts};
use crate::assemble::TableName;
use crate::transport::{Session, TransportError};

/// What tables have besides what the log is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableDetails {
    collations: HashMap<(TableName, String), String>,
    comments: HashMap<TableName, String>,
}

type ColumnRow = (String, String, String, Option<String>);
type TableRow = (String, String, Option<String>);

impl TableDetails {
    /// Asks about all tables of these databases.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read(session: &mut Session, databases: &[String]) -> Result<Self, TransportError> {
        if databases.is_empty() {
            return Ok(Self::default());
        }
        let places = vec!["?"; databases.len()].join(", ");
        let values: Vec<Value> = databases.iter().map(|name| Value::from(name.as_str())).collect();
        let columns = format!(
            "SELECT table_schema, table_name, column_name, collation_name FROM information_schema.columns \
             WHERE collation_name IS NOT NULL AND table_schema IN ({places})"
        );
        let columns: Vec<ColumnRow> =
            session.rows(&columns, Params::Positional(values.clone()), ANSWER_LIMIT).await?;
        let tables = format!(
            "SELECT table_schema, table_name, CAST(table_comment AS CHAR) FROM information_schema.tables \
             WHERE table_comment <> '' AND table_schema IN ({places})"
        );
        let tables: Vec<TableRow> = session.rows(&tables, Params::Positional(values), ANSWER_LIMIT).await?;
        let collation = |(database, table, column, collation): ColumnRow| {
            Some(((TableName { database, table }, column), collation?))
        };
        let comment = |(database, table, comment): TableRow| Some((TableName { database, table }, comment?));
        Ok(Self {
            collations: columns.into_iter().filter_map(collation).collect(),
            comments: tables.into_iter().filter_map(comment).collect(),
        })
    }

    /// The collation of a column, if it has one.
    #[must_use]
    pub fn collation(&self, table: &TableName, column: &str) -> Option<&str> {
        self.collations.get(&(table.clone(), column.to_owned())).map(String::as_str)
    }

    /// The comment of a table.
    #[must_use]
    pub fn comment(&self, table: &TableName) -> Option<&str> {
        self.comments.get(table).map(String::as_str)
    }
}

impl TableFacts {
    /// What its rows are told apart by: the primary key, else a unique index over columns that are never NULL. None of
    /// them is over the beginnings of columns.
    #[must_use]
    pub fn key(&self) -> Option<&IndexFacts> {
        let null = |column: &str| self.columns.iter().any(|known| known.name == column && known.nullable);
        let usable = |index: &&IndexFacts| {
            index.unique
                && index.parts.iter().all(|part| {
                    part.prefix.is_none() && part.column.as_deref().is_some_and(|column| !null(column))
                })
        };
        match self.primary_key() {
            Some(key) => Some(key).filter(usable),
            None => self.indexes.iter().find(usable),
        }
    }

    /// The primary key is over the beginnings of columns, so that rows cannot be told apart by it.
    #[must_use]
    pub fn has_prefix_key(&self) -> bool {
        self.primary_key().is_some_and(|key| key.parts.iter().any(|part| part.prefix.is_some()))
    }
}
