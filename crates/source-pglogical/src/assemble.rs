//! Puts messages into the order of transactions.
//!
//! Nothing is collected: each message becomes one event, so a transaction of any size passes through in constant
//! memory, and whoever applies it decides how much to hold.

use std::sync::Arc;

use crate::Lsn;
use crate::pgoutput::{
    Begin, Commit, LogicalMessage, Message, OldRow, Origin, RelationOid, Truncate, Tuple, TypeOid, Value,
};
use crate::relations::{Described, Relation, Relations};

/// What a message means at its place in the stream.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// Its changes come from another origin. May be said more than once.
    Origin(Origin<'a>),
    /// A table was described; changes from here on follow it. May stand between two changes of one transaction.
    Relation(Described),
    /// A type was named.
    Type(TypeOid),
    /// A row changed.
    Change(Arc<Relation>, RowChange<'a>),
    /// Tables were emptied.
    Truncate(Truncated),
    /// An application's message. A transactional one is part of the transaction around it.
    Message(LogicalMessage<'a>),
    /// The transaction ends.
    Commit(Commit),
}

/// One row's change. Every row has as many values as its relation has columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange<'a> {
    /// A new row.
    Insert(Vec<Value<'a>>),
    /// The row before, where sent, and after.
    Update(Option<OldValues<'a>>, Vec<Value<'a>>),
    /// The row that is gone.
    Delete(OldValues<'a>),
}

/// Values before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldValues<'a> {
    /// Those of the replica identity; the others read as NULL and mean nothing.
    Identity(Vec<Value<'a>>),
    /// All of them.
    Row(Vec<Value<'a>>),
}

/// Emptied tables.
#[derive(Debug, Clone)]
pub struct Truncated {
    /// The tables.
    pub relations: Vec<Arc<Relation>>,
    /// CASCADE was said.
    pub cascade: bool,
    /// RESTART IDENTITY was said.
    pub restart_identity: bool,
}

/// A message that cannot stand where it stands. The stream is of no use any more; a new connection starts over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfOrder {
    /// Not allowed in this state.
    #[error("{message} {state}")]
    Unexpected {
        /// The message.
        message: &'static str,
        /// Where we stand.
        state: &'static str,
    },
    /// A commit that is not the announced one.
    #[error("the transaction was to be committed at {announced} and was committed at {found}")]
    OtherCommit {
        /// By Begin.
        announced: Lsn,
        /// By Commit.
        found: Lsn,
    },
    /// A commit before an earlier one.
    #[error("a transaction that ends at {found} came after one that ends at {last}")]
    WentBack {
        /// End of the transaction before.
        last: Lsn,
        /// End of this one.
        found: Lsn,
    },
    /// A change of a table that was not described on this connection.
    #[error("a change of the table with number {} which was not described", oid.0)]
    UnknownRelation {
        /// The table's number.
        oid: RelationOid,
    },
    /// A row with more or fewer values than its table has columns.
    #[error(
        "a row of {schema:?}.{table:?} has {found} values, the table was described with {expected} columns"
    )]
    ColumnCount {
        /// The table's schema.
        schema: String,
        /// The table's name.
        table: String,
        /// Columns described.
        expected: usize,
        /// Values sent.
        found: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Inside(Begin),
    /// After an error. What follows cannot be trusted.
    Failed,
}

/// Follows one connection's stream. A new connection needs a new one.
#[derive(Debug)]
pub struct Assembler {
    state: State,
    relations: Relations,
    /// End of the last transaction on this connection.
    last_end: Lsn,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { state: State::Between, relations: Relations::default(), last_end: Lsn::ZERO }
    }
}

impl Assembler {
    /// Whether a transaction has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::Inside(_))
    }

    /// What is known about tables and types.
    #[must_use]
    pub fn relations(&self) -> &Relations {
        &self.relations
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// If it cannot stand here; from then on every message is refused.
    pub fn push<'a>(&mut self, message: Message<'a>) -> Result<Event<'a>, OutOfOrder> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        let (state, event) = self.step(state, message)?;
        self.state = state;
        Ok(event)
    }

    fn step<'a>(&mut self, state: State, message: Message<'a>) -> Result<(State, Event<'a>), OutOfOrder> {
        let event = match (state, message) {
            (State::Between, Message::Begin(begin)) => {
                return Ok((State::Inside(begin), Event::Begin(begin)));
            }
            (State::Inside(begin), Message::Commit(commit)) => {
                self.check_commit(begin, commit)?;
                return Ok((State::Between, Event::Commit(commit)));
            }
            // Descriptions are facts, not changes: PostgreSQL's own reader takes them anywhere.
            (State::Between | State::Inside(_), Message::Relation(described)) => {
                Event::Relation(self.relations.describe(&described))
            }
            (State::Between | State::Inside(_), Message::Type(described)) => {
                self.relations.name_type(&described);
                Event::Type(described.oid)
            }
            (State::Inside(_), Message::Origin(origin)) => Event::Origin(origin),
            (State::Inside(_), Message::Insert(insert)) => {
                let relation = self.relation(insert.relation)?;
                let new = values(&relation, insert.new)?;
                Event::Change(relation, RowChange::Insert(new))
            }
            (State::Inside(_), Message::Update(update)) => {
                let relation = self.relation(update.relation)?;
                let old = update.old.map(|old| old_values(&relation, old)).transpose()?;
                let new = values(&relation, update.new)?;
                Event::Change(relation, RowChange::Update(old, new))
            }
            (State::Inside(_), Message::Delete(delete)) => {
                let relation = self.relation(delete.relation)?;
                let old = old_values(&relation, delete.old)?;
                Event::Change(relation, RowChange::Delete(old))
            }
            (State::Inside(_), Message::Truncate(truncate)) => Event::Truncate(self.truncated(&truncate)?),
            (State::Inside(_), Message::Logical(message)) => Event::Message(message),
            (State::Between, Message::Logical(message)) if !message.transactional => Event::Message(message),
            (
                State::Between,
                message @ (Message::Commit(_)
                | Message::Origin(_)
                | Message::Insert(_)
                | Message::Update(_)
                | Message::Delete(_)
                | Message::Truncate(_)
                | Message::Logical(_)),
            ) => return Err(unexpected(&message, "outside of a transaction")),
            (State::Inside(_), message @ Message::Begin(_)) => {
                return Err(unexpected(&message, "inside of a transaction"));
            }
            (State::Failed, message) => return Err(unexpected(&message, "after a message out of order")),
        };
        Ok((state, event))
    }

    fn check_commit(&mut self, begin: Begin, commit: Commit) -> Result<(), OutOfOrder> {
        if commit.lsn != begin.final_lsn {
            return Err(OutOfOrder::OtherCommit { announced: begin.final_lsn, found: commit.lsn });
        }
        // Commits are sent in the order of the log; what relies on a single stored position relies on that.
        if commit.end_lsn <= self.last_end {
            return Err(OutOfOrder::WentBack { last: self.last_end, found: commit.end_lsn });
        }
        self.last_end = commit.end_lsn;
        Ok(())
    }

    fn relation(&self, oid: RelationOid) -> Result<Arc<Relation>, OutOfOrder> {
        self.relations.table(oid).cloned().ok_or(OutOfOrder::UnknownRelation { oid })
    }

    fn truncated(&self, truncate: &Truncate) -> Result<Truncated, OutOfOrder> {
        let relations = truncate.relations.iter().map(|oid| self.relation(*oid));
        let relations = relations.collect::<Result<_, _>>()?;
        let (cascade, restart_identity) = (truncate.cascade, truncate.restart_identity);
        Ok(Truncated { relations, cascade, restart_identity })
    }
}

fn values<'a>(relation: &Relation, tuple: Tuple<'a>) -> Result<Vec<Value<'a>>, OutOfOrder> {
    let values = tuple.into_values();
    if values.len() == relation.columns.len() {
        return Ok(values);
    }
    Err(OutOfOrder::ColumnCount {
        schema: relation.schema.clone(),
        table: relation.name.clone(),
        expected: relation.columns.len(),
        found: values.len(),
    })
}

fn old_values<'a>(relation: &Relation, old: OldRow<'a>) -> Result<OldValues<'a>, OutOfOrder> {
    match old {
        OldRow::Key(tuple) => values(relation, tuple).map(OldValues::Identity),
        OldRow::Full(tuple) => values(relation, tuple).map(OldValues::Row),
    }
}

fn unexpected(message: &Message<'_>, state: &'static str) -> OutOfOrder {
    let message = match message {
        Message::Begin(_) => "Begin",
        Message::Commit(_) => "Commit",
        Message::Origin(_) => "Origin",
        Message::Relation(_) => "Relation",
        Message::Type(_) => "Type",
        Message::Insert(_) => "Insert",
        Message::Update(_) => "Update",
        Message::Delete(_) => "Delete",
        Message::Truncate(_) => "Truncate",
        Message::Logical(_) => "Message",
    };
    OutOfOrder::Unexpected { message, state }
}

#[cfg(test)]
mod tests;
