//! Why a stream cannot be followed any further.

use sink_core::failure::{Disposition, Failure};

use crate::binlog::{FrameError, UnpackError};
use crate::gtid::Gtid;

/// Names the transaction in a message, where there is one.
fn within(gtid: Option<&Gtid>) -> String {
    gtid.map_or_else(|| "outside of any transaction".to_owned(), |gtid| format!("in transaction {gtid}"))
}

/// What ends a stream. The position stands before the transaction that it is about.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Bytes that are no event.
    #[error("read the binary log")]
    Frame(#[from] FrameError),
    /// A compressed event or transaction that cannot be unpacked.
    #[error("unpack what the source compressed, {}", within(gtid.as_ref()))]
    Unpack {
        /// The transaction.
        gtid: Option<Gtid>,
        /// What is wrong.
        #[source]
        source: UnpackError,
    },
    /// A body that does not follow its own description.
    #[error("an event of kind {kind} does not have the layout of its kind, {}", within(gtid.as_ref()))]
    Malformed {
        /// The kind.
        kind: u8,
        /// The transaction.
        gtid: Option<Gtid>,
    },
    /// An event that cannot stand where it stands.
    #[error("the binary log has {what} {}", within(gtid.as_ref()))]
    OutOfOrder {
        /// What came.
        what: &'static str,
        /// The transaction.
        gtid: Option<Gtid>,
    },
    /// A kind that may carry changes, for all that is known.
    #[error(
        "the binary log has an event of the unknown kind {kind}, {}; this version of the program cannot follow a server \
         that writes such events",
        within(gtid.as_ref())
    )]
    UnknownKind {
        /// The kind.
        kind: u8,
        /// The transaction.
        gtid: Option<Gtid>,
    },
    /// Changes as the text of a statement.
    #[error(
        "{verb} on {} was logged as a statement, not as rows, in transaction {gtid}: what it changed cannot be known; \
         set binlog_format=ROW for all sessions of the source, then start over with a new snapshot, or set the position \
         behind this transaction after repairing the table",
        place(database, table.as_deref())
    )]
    Statement {
        /// Its first word.
        verb: &'static str,
        /// The database.
        database: String,
        /// The table, as far as it can be told.
        table: Option<String>,
        /// The transaction.
        gtid: Gtid,
    },
    /// The source has lost events.
    #[error(
        "the source reports that its binary log lacks changes (an incident event, {}); start over with a new snapshot",
        within(gtid.as_ref())
    )]
    Incident {
        /// The transaction.
        gtid: Option<Gtid>,
    },
    /// A transaction without a name.
    #[error(
        "the binary log has a transaction without a GTID, so there is no position to keep; on MySQL set gtid_mode=ON and \
         enforce_gtid_consistency=ON, and start over from a position behind the last anonymous transaction"
    )]
    Anonymous,
    /// A prepared transaction was committed whose rows were never sent to us.
    #[error(
        "transaction {gtid} commits the prepared transaction {xid}, which was prepared before the position where this \
         feed started; its rows are not in the stream: start over with a new snapshot"
    )]
    UnknownPrepared {
        /// What commits.
        gtid: Gtid,
        /// Its name among XA transactions.
        xid: String,
    },
    /// Rows that were handed over already have to be taken back. Follow again with [`careful`](super::Assembler::careful).
    #[error(
        "transaction {gtid} was rolled back in the binary log after its rows were read; it is read again"
    )]
    TakenBack {
        /// The transaction.
        gtid: Gtid,
    },
    /// The log goes on differently from how it did before.
    #[error(
        "the binary log went from before the stored position to {found} without passing {expected}; the source is \
         another server, or was restored: start over with a new snapshot"
    )]
    Diverged {
        /// The stored transaction that did not come.
        expected: Gtid,
        /// What came.
        found: Gtid,
    },
    /// Rows that have to wait could not be kept.
    #[error("hold rows that cannot be applied yet, on disk")]
    Hold {
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Something was pushed after an error.
    #[error("the stream had already ended with an error")]
    Ended,
}

fn place(database: &str, table: Option<&str>) -> String {
    match table {
        Some(table) => format!("table `{database}`.`{table}`"),
        None => format!("database `{database}`"),
    }
}

impl Stop {
    /// Whether another attempt can end differently.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Frame(_)
            | Self::Malformed { .. }
            | Self::OutOfOrder { .. }
            | Self::Unpack { .. }
            | Self::TakenBack { .. }
            | Self::Hold { .. }
            | Self::Ended => Disposition::Retry,
            Self::UnknownKind { .. }
            | Self::Statement { .. }
            | Self::Incident { .. }
            | Self::Anonymous
            | Self::UnknownPrepared { .. }
            | Self::Diverged { .. } => Disposition::Halt,
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::new(stop.disposition(), "follow the source's binary log", stop)
    }
}
