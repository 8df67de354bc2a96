//! Puts events into the order of transactions.
//!
//! Rows are handed on as they come, so a transaction of any size passes through in constant memory. Only what may have to
//! be taken back is held, on disk beyond a limit: rows behind a savepoint where the log keeps what was undone, and
//! prepared transactions until they are decided.

mod item;
mod stop;

pub use item::{Ddl, Item, MappedTable, SentRows, TableName};
pub use stop::Stop;

use crate::binlog::Frame;
use crate::gtid::{Gtid, LogPosition};

/// Which part of the source is replicated.
pub trait Scope: Send {
    /// Whether anything of this database is.
    fn has_database(&self, database: &str) -> bool;

    /// Whether this table is. Rows of others are not handed on.
    fn has_table(&self, table: &TableName) -> bool;

    /// Whether rows of this table stay when the transaction that wrote them is rolled back: those of engines without
    /// transactions.
    fn survives_rollback(&self, _table: &TableName) -> bool {
        false
    }
}

/// Follows one connection's stream. A new connection needs a new one.
///
/// Push one event, then take items until there is none; then push the next.
#[derive(Debug)]
pub struct Assembler<S> {
    position: LogPosition,
    scope: S,
    careful: Option<Gtid>,
}

impl<S: Scope> Assembler<S> {
    /// For a stream that was opened at [`LogPosition::resume`].
    pub fn new(position: LogPosition, scope: S) -> Self {
        Self { position, scope, careful: None }
    }

    /// The rows of this transaction are held until its end: it ended the stream before with [`Stop::TakenBack`].
    #[must_use]
    pub fn careful(mut self, gtid: Option<Gtid>) -> Self {
        self.careful = gtid;
        self
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If the stream cannot be followed; from then on everything is refused.
    pub fn push(&mut self, _frame: Frame) -> Result<(), Stop> {
        Ok(())
    }

    /// The next item of what was pushed; none if the next event is needed.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn next_item(&mut self) -> Result<Option<Item>, Stop> {
        Ok(None)
    }

    /// Behind everything handed over. Only to be asked for between transactions: after `Commit` or `Passed`, before
    /// `Begin`.
    pub fn position(&self) -> &LogPosition {
        &self.position
    }
}
