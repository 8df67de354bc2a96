//! Why a row could not be read, and what to do. Never holds a value.

use std::fmt;

use crate::binlog::DecodeError;

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Database and table, with a point between.
    pub table: String,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// Why.
    pub problem: RowProblem,
}

/// Why a row could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowProblem {
    /// The bytes are not what the log's format says.
    Malformed(DecodeError),
    /// A value that its type cannot have.
    Impossible {
        /// Of which type.
        kind: &'static str,
    },
    /// The rows have another number of columns than their table map.
    OtherColumns {
        /// Of the rows.
        rows: usize,
        /// Of the table map.
        map: usize,
    },
    /// The rows are of another table.
    OtherTable,
    /// A column is not in the row.
    NotWhole,
    /// A text that is none in its character set.
    NotText,
    /// A zero character in a text.
    Nul,
    /// A date that does not exist.
    ZeroDate {
        /// NULL was asked for, but the target's column cannot be NULL.
        not_null: bool,
    },
    /// A time that is none of a day.
    LongTime {
        /// NULL was asked for, but the target's column cannot be NULL.
        not_null: bool,
    },
    /// A document nested deeper than the server allows.
    TooDeep,
    /// An edit of a document does not fit the document before.
    BadEdit,
}

impl From<DecodeError> for RowProblem {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.table)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for RowError {}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Impossible { kind } => write!(f, "the log holds a {kind} that cannot be"),
            Self::OtherColumns { rows, map } => {
                write!(f, "rows of {rows} columns follow a table map of {map}")
            }
            Self::OtherTable => f.write_str("rows follow the table map of another table"),
            Self::NotWhole => f.write_str(
                "the log does not hold whole rows; SET GLOBAL binlog_row_image = FULL on the source, and see that no \
                 session sets another, then copy the table anew",
            ),
            Self::NotText => f.write_str("a value is not text in its character set; correct it at the source"),
            Self::Nul => f.write_str(
                "a text has a zero character, which the target cannot hold; correct it at the source or use --nulBytes=strip",
            ),
            Self::ZeroDate { not_null: false } => f.write_str(
                "a date does not exist (a zero, or a day that its month does not have); correct it at the source or use \
                 --zeroDates=null, epoch or text",
            ),
            Self::ZeroDate { not_null: true } => f.write_str(
                "a date does not exist (a zero, or a day that its month does not have) and the target's column is NOT \
                 NULL; correct it at the source, or use --zeroDates=epoch, or drop NOT NULL",
            ),
            Self::LongTime { not_null: false } => f.write_str(
                "a time is below zero or a day and more, which the target's type time cannot hold; make the target's \
                 column an interval",
            ),
            Self::LongTime { not_null: true } => f.write_str(
                "a time is below zero or a day and more, which the target's type time cannot hold, and the column is NOT \
                 NULL; make the target's column an interval",
            ),
            Self::TooDeep => f.write_str("a document is nested deeper than MySQL allows"),
            Self::BadEdit => f.write_str(
                "an edit of a document does not fit the document before; SET GLOBAL binlog_row_value_options = '' on \
                 the source",
            ),
        }
    }
}
