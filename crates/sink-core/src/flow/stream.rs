//! What the log sources hand over, and what they are told.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Binding, Change};
use super::extras::Form;
use super::position::{Position, Stored};
use crate::failure::Failure;

/// The number under which a stream knows a table. Means nothing on another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableNumber(pub u64);

/// A table of the source, as far as names go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// What holds the table at the source: a schema, or a database where there are no schemas.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The columns, in the order in which rows hold them.
    pub columns: Vec<String>,
    /// What their values are as JSON, in the same order; those that are not listed are text.
    pub forms: Vec<Form>,
    /// What is sent of old rows.
    pub old_rows: OldRows,
}

/// What a source sends of a row that is changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldRows {
    /// Nothing: there are only new rows.
    None,
    /// The values of these columns, by their place in [`SourceTable::columns`]; with changes, if one of them changes.
    Key(Vec<usize>),
    /// All values.
    Whole,
}

/// How a table is defined at the source, for those who have to make its like in the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Columns and their types, as SQL of the source.
    pub columns: Vec<(String, String)>,
    /// Columns of the primary key.
    pub key: Vec<String>,
    /// The statement by which the source sends nothing more of it.
    pub leave_out: Option<String>,
}

/// What comes next in a log.
#[derive(Debug)]
pub enum Step {
    /// A transaction begins.
    Begin,
    /// A table was named whose target is not known, or not any more. The stream stands still until
    /// [`ChangeStream::bind`] says where its rows go.
    Table(TableNumber, SourceTable),
    /// A row changed, inside of a transaction.
    Change(Arc<Binding>, Change),
    /// The transaction ends. [`ChangeStream::position`] is behind it now.
    Commit {
        /// When it was committed, in microseconds since 1970 by the source's clock.
        at_micros: i64,
    },
    /// The source has nothing more at the moment, or gives a sign of life in the middle of something long.
    Idle {
        /// It waits for an answer.
        asked: bool,
    },
}

/// A log that is being read, one connection long.
pub trait ChangeStream: Send {
    /// The next step, if it has been received: no wait.
    ///
    /// # Errors
    /// The source's. None can be gone on after; what passes by itself is `Retry`.
    fn try_next(&mut self) -> Result<Option<Step>, Failure>;

    /// Waits until more has been received. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    fn ready(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// From here on, rows of this table go there.
    ///
    /// # Errors
    /// If the rows that the source sends do not tell enough to find them there again.
    fn bind(&mut self, table: TableNumber, binding: Arc<Binding>) -> Result<(), Failure>;

    /// How the source defines a table that was to be bound. `None` if it does not tell.
    fn define(&mut self, table: TableNumber) -> impl Future<Output = Option<Definition>> + Send;

    /// Every table is to be bound again: the target has changed.
    fn forget_bindings(&mut self);

    /// Where the source can go on once everything handed over so far is in the target. Only asked for between
    /// transactions.
    fn position(&self) -> Position;

    /// Whether everything has been handed over that the source had when the stream was opened.
    fn is_past_opening(&self) -> bool;

    /// Whether more is surely coming: what is handed over happened some time ago.
    fn is_behind(&self) -> bool;

    /// Everything up to here is durable in the target; the source may forget it.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    fn acknowledge(&mut self, position: &Position) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Longest pause between two signs of life that the source puts up with.
    fn patience(&self) -> Duration;

    /// Gives a sign of life, and fails if the source has given none for too long.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    fn keep_alive(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the stream in good order, so that the next reader need not wait.
    fn finish(self) -> impl Future<Output = ()> + Send;
}

/// Who a source is, and where a feed begins that has no position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// What must stay the same for positions to keep their meaning, as JSON text.
    pub identity: String,
    /// Where to begin.
    pub first: Position,
}

/// A source that can be connected to again and again.
pub trait LogSource: Send {
    /// Its stream.
    type Stream: ChangeStream;

    /// Connects and asks who answers.
    ///
    /// # Errors
    /// `Retry` for what passes by itself; `Halt` if a person has to decide.
    fn identify(&mut self) -> impl Future<Output = Result<Identified, Failure>> + Send;

    /// Whether a stored position belongs to the source that answered last.
    ///
    /// # Errors
    /// `Halt` if it is about another one; says what differs.
    fn recognise(&self, stored: &Stored) -> Result<(), Failure>;

    /// Opens the stream at a stored position, after making sure that nothing between the two is lost. The position
    /// cannot move meanwhile: the caller holds its epoch.
    ///
    /// # Errors
    /// `Retry` for what passes by itself; `Halt` if going on would lose or invent changes.
    fn open(&mut self, stored: &Stored) -> impl Future<Output = Result<Self::Stream, Failure>> + Send;
}
