//! Why the rows of a table cannot be read, and what to do.

use std::fmt;

/// A table whose rows cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The column: its name, or its place from 1 where the log has no names.
    pub column: Option<String>,
    /// Why.
    pub problem: PlanProblem,
}

/// Why the rows of a table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanProblem {
    /// The log does not tell something that only `binlog_row_metadata=FULL` tells.
    NoMetadata {
        /// What.
        missing: &'static str,
    },
    /// DATETIME, TIMESTAMP or TIME as written before MySQL 5.6, or by MariaDB with `mysql56_temporal_format=OFF`.
    OldTemporal,
    /// DECIMAL as written before MySQL 5.0.
    OldDecimal,
    /// MariaDB's COMPRESSED.
    Compressed,
    /// A type of the log that we do not know.
    UnknownType(u8),
    /// A length or scale that the type cannot have.
    BadMeta(u16),
    /// A collation that neither the server nor we can name.
    UnknownCollation(u32),
    /// A character set that we cannot convert.
    UnknownCharset(u32),
    /// A label that its character set does not have.
    BadLabel,
    /// The primary key holds only the beginning of a column.
    KeyPrefix,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}.{}", self.database, self.table)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for PlanError {}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMetadata { missing } => write!(
                f,
                "the binary log does not tell {missing}; SET GLOBAL binlog_row_metadata = FULL on the source, and copy \
                 the table anew, for what is already in the log stays as it is"
            ),
            Self::OldTemporal => f.write_str(
                "its dates are in the format of MySQL 5.5; on MariaDB SET GLOBAL mysql56_temporal_format = ON, then on \
                 either ALTER TABLE … FORCE",
            ),
            Self::OldDecimal => f.write_str("its decimals are in the format of MySQL 4; ALTER TABLE … FORCE"),
            Self::Compressed => {
                f.write_str("COMPRESSED columns cannot be read from the log; ALTER TABLE … MODIFY it without COMPRESSED")
            }
            Self::UnknownType(number) => {
                write!(f, "its type ({number} in the log) is not known to this version; leave the table out")
            }
            Self::BadMeta(meta) => write!(f, "the log gives its type a length or scale of {meta}, which it cannot have"),
            Self::UnknownCollation(id) => {
                write!(f, "its collation has the number {id}, which neither the server nor we can name")
            }
            Self::UnknownCharset(id) => write!(
                f,
                "the character set of collation {id} cannot be converted; ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4"
            ),
            Self::BadLabel => f.write_str("a label is not text in the column's character set"),
            Self::KeyPrefix => f.write_str(
                "only the beginning of this column is in the primary key, so rows cannot be told apart by it; define \
                 the key over whole columns",
            ),
        }
    }
}
