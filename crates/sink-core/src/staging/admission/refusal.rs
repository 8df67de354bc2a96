//! Why a row is refused.

use std::sync::Arc;

use crate::apply::matching::ShapeError;
use crate::staging::json_text::JsonTextError;

/// Why a row is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Members and columns do not match.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The table cannot take upserts at all.
    #[error("table {0} has no primary key at the target; add one (such as the source's hidden rowid column)")]
    NoPrimaryKey(String),
    /// The configuration of the table cannot be used.
    #[error("the configuration of table {table} in apply_config cannot be used: {why}")]
    Rejected {
        /// The table.
        table: String,
        /// Why.
        why: Arc<str>,
    },
    /// The key of a deletion does not fit.
    #[error(
        "table {table}: the key has {received} elements, the target's primary key has {expected}, and nothing tells \
         which belong together; create the changefeed with the option diff"
    )]
    KeyLength {
        /// The table.
        table: String,
        /// Elements in the key.
        received: usize,
        /// Columns of the target's key.
        expected: usize,
    },
    /// The key's order is not the target's.
    #[error(
        "table {0}: the key of the source is not ordered like the primary key of the target, so a deletion cannot be \
         matched; create the changefeed with the option diff"
    )]
    KeyOrder(String),
    /// A deletion by name lacks a column of the key.
    #[error(
        "table {table}: a deletion has no value for column {column:?} of the primary key, neither in `before` nor in \
         `key`; select that column in the changefeed and create it with the option diff"
    )]
    KeyMember {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value is of the wrong kind.
    #[error("table {table}: column {column:?} is of type {sql_type} and cannot take {found}")]
    Kind {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column's type.
        sql_type: String,
        /// What came instead, never the value itself.
        found: &'static str,
    },
    /// A key column of a type whose values we cannot compare.
    #[error("table {table}: primary keys of type {sql_type} (column {column:?}) are not supported")]
    KeyType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        sql_type: String,
    },
    /// A text the target cannot store.
    #[error("table {table}: {error}")]
    Text {
        /// The table.
        table: String,
        /// What is wrong.
        error: JsonTextError,
    },
    /// `after`, `before` or `key` is no object or array, or has a member twice.
    #[error("table {table}: {what}")]
    Malformed {
        /// The table.
        table: String,
        /// What is wrong.
        what: String,
    },
}

impl RowError {
    /// Whether a newer schema of the target might accept the row.
    #[must_use]
    pub fn may_be_stale_schema(&self) -> bool {
        match self {
            Self::Shape(_)
            | Self::Rejected { .. }
            | Self::NoPrimaryKey(_)
            | Self::KeyLength { .. }
            | Self::KeyMember { .. }
            | Self::Kind { .. }
            | Self::KeyType { .. } => true,
            Self::KeyOrder(_) | Self::Text { .. } | Self::Malformed { .. } => false,
        }
    }
}
