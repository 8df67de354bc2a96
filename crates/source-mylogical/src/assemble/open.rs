//! A transaction under way.

use super::held::Held;
use crate::binlog::Xid;
use crate::gtid::{Gtid, Seen};

/// A place in a transaction to which it may go back.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) name: String,
    /// Of what is held.
    pub(super) held: u64,
    /// Rows handed on before it.
    pub(super) told: u64,
}

/// Why rows are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A savepoint may be gone back to.
    Savepoint,
    /// The end decides: it is prepared, or was rolled back the last time.
    End,
}

/// What is known of it so far.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) gtid: Gtid,
    pub(super) at_micros: i64,
    pub(super) seen: Seen,
    /// Whether a statement is all of it; MariaDB says so, on MySQL it depends on what came before.
    pub(super) stand_alone: Option<bool>,
    /// It will have an end of its own.
    pub(super) began: bool,
    /// Begin was handed on.
    pub(super) is_told: bool,
    /// Events with rows handed on that a rollback undoes.
    pub(super) told: u64,
    pub(super) holding: Option<(Held, Why)>,
    pub(super) marks: Vec<Mark>,
}

impl Open {
    pub(super) fn new(gtid: Gtid, at_micros: i64, seen: Seen, stand_alone: Option<bool>) -> Self {
        Self {
            gtid,
            at_micros,
            seen,
            stand_alone,
            began: stand_alone == Some(false),
            is_told: false,
            told: 0,
            holding: None,
            marks: Vec::new(),
        }
    }

    /// Whether a statement that is neither its beginning nor its end is all of it.
    pub(super) fn ends_with_statement(&self) -> bool {
        self.stand_alone.unwrap_or(!self.began)
    }

    /// Nothing of it is for us.
    pub(super) fn is_applied(&self) -> bool {
        self.seen == Seen::Applied
    }

    /// The place of the last mark of this name.
    pub(super) fn mark(&self, name: &str) -> Option<usize> {
        self.marks.iter().rposition(|mark| mark.name == name)
    }
}

/// A transaction whose rows wait for a decision.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) gtid: Gtid,
    pub(super) held: Held,
}

/// Prepared transactions by their names.
pub(super) type ByXid = std::collections::BTreeMap<Xid, Prepared>;
