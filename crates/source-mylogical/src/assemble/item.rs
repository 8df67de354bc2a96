//! What comes out: the steps of transactions, in the order in which the source committed them.

use std::sync::Arc;

use bytes::Bytes;

use crate::binlog::Loss;
use crate::gtid::Gtid;

/// A table by the source's names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The database that holds it.
    pub database: String,
    /// Its name there.
    pub table: String,
}

/// A table as one table map describes it. The same description, sent again, is the same `Arc`; another one of the same
/// table is another, so what is made from it can be kept by [`number`](Self::number).
#[derive(Debug, PartialEq, Eq)]
pub struct MappedTable {
    /// Ours: never used twice by one assembler, whatever the server's numbers do.
    pub number: u64,
    /// Its name.
    pub name: TableName,
    /// The body of the table map event (kind 19), without header and checksum.
    pub map: Bytes,
}

/// Rows of one table, not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRows {
    /// The description in force.
    pub table: Arc<MappedTable>,
    /// The event's kind: 23 to 25, 30 to 32 or 39. Compressed ones come unpacked, as the kind that they would be.
    pub kind: u8,
    /// The event's body, without header and checksum.
    pub body: Bytes,
}

/// What a statement did to definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddl {
    /// Its first words, such as `ALTER TABLE`.
    pub verb: &'static str,
    /// The tables that it names, as far as they are replicated. What is known of them may be out of date.
    pub tables: Vec<TableName>,
    /// A database that it concerns as a whole.
    pub database: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A transaction begins. Only said of those that have something for us, right before the first of it.
    Begin {
        /// The transaction; of a prepared one, the one that committed it.
        gtid: Gtid,
    },
    /// Rows, inside of a transaction.
    Rows(SentRows),
    /// A replicated table lost rows that are not logged, inside of a transaction.
    Emptied {
        /// The table.
        table: TableName,
        /// How.
        how: Loss,
    },
    /// A whole database is gone, inside of a transaction.
    DatabaseDropped {
        /// Its name.
        database: String,
    },
    /// The transaction that began is at its end, and the position behind it.
    Commit {
        /// When it was committed, in microseconds since 1970 by the source's clock.
        at_micros: i64,
    },
    /// A transaction without anything for us went by, and the position is behind it. Never between Begin and Commit.
    Passed {
        /// When it was committed, in microseconds since 1970 by the source's clock.
        at_micros: i64,
    },
    /// Definitions changed. May stand anywhere.
    Ddl(Ddl),
}
