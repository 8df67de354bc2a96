//! Reads pieces of tables in an imported snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure};
use sink_core::flow::copy::{Opened, Reader, Rows};

use super::plan::{Leaf, Pages};
use crate::transport::{Config, CopySession, Session, TransportError};

/// How long the source may take for the next rows; with a filter that lets few pass it is silent for long.
const READ_LIMIT: Duration = Duration::from_secs(600);
/// How long a statement between two copies may take; it may wait for a lock.
const STATEMENT_LIMIT: Duration = Duration::from_secs(90);

/// What every session that reads tables sets, whatever the role's defaults are. Row security would leave rows out in
/// silence; off, it refuses.
const SETTINGS: &[&str] = &[
    "SET row_security = off",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET lock_timeout = '60s'",
    "SET enable_tidscan = on",
    "SET max_parallel_workers_per_gather = 0",
    "SET jit = off",
];

/// A piece of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of which table.
    pub leaf: Arc<Leaf>,
    /// Which part.
    pub pages: Pages,
}

/// A session of the source within the snapshot.
pub struct PieceReader {
    session: CopySession,
    /// Tables looked at, by number: whether the snapshot shows them. Those that it shows are locked until the end, so
    /// that this stays true.
    shown: HashMap<u32, bool>,
}

/// A failure of the source as one of a step.
pub(super) fn failed(operation: &'static str) -> impl Fn(TransportError) -> Failure {
    move |error| Failure::new(error.disposition(), operation, error)
}

/// Opens a session in a snapshot that another one exports at the moment.
///
/// # Errors
/// The connection, or if the snapshot is gone.
pub(super) async fn import(config: &Config, snapshot: &str) -> Result<Session, Failure> {
    let fail = failed("read in the exported snapshot");
    let mut session = crate::catalog::connect(config).await.map_err(&fail)?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let import = format!("SET TRANSACTION SNAPSHOT {}", crate::transport::sql::literal(snapshot));
    let statements = SETTINGS.iter().copied().chain([begin, import.as_str()]);
    for statement in statements {
        session.query(statement, STATEMENT_LIMIT).await.map_err(&fail)?;
    }
    Ok(session)
}

impl PieceReader {
    pub(super) fn new(session: Session) -> Self {
        Self { session: CopySession::new(session), shown: HashMap::new() }
    }

    /// Locks the table against changes of its form, then looks whether it still is what it was in the snapshot. A table
    /// that was rewritten or truncated since would look empty.
    async fn shows(&mut self, leaf: &Leaf) -> Result<bool, Failure> {
        const LOCK: &str = "lock a table of the source";
        let lock = format!("SAVEPOINT look; LOCK TABLE ONLY {} IN ACCESS SHARE MODE", leaf.quoted());
        match self.session.query(&lock, STATEMENT_LIMIT).await {
            Ok(_) => {}
            // No such table, or schema.
            Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => {
                let undone = self.session.query("ROLLBACK TO look", STATEMENT_LIMIT).await;
                return undone.map(|_| false).map_err(failed(LOCK));
            }
            Err(error) => {
                let reason = format!("table {}.{}: {}", leaf.schema, leaf.name, chain(&error));
                return Err(Failure::new(error.disposition(), LOCK, reason));
            }
        }
        // The name may belong to another table by now; and the file tells whether it was rewritten.
        let look = format!(
            "SELECT to_regclass({name})::oid = {oid} AND pg_relation_filenode({oid}) = {file}",
            name = crate::transport::sql::literal(&leaf.quoted()),
            oid = leaf.oid,
            file = leaf.file,
        );
        let rows = self.session.query(&look, STATEMENT_LIMIT).await.map_err(failed(LOCK))?;
        Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
    }
}

fn chain(error: &TransportError) -> String {
    sink_core::failure::chain(error)
}

impl Reader for PieceReader {
    type Piece = Piece;

    async fn open(&mut self, piece: &Piece) -> Result<Opened, Failure> {
        let leaf = &piece.leaf;
        let shown = match self.shown.get(&leaf.oid) {
            Some(shown) => *shown,
            None => {
                let shown = self.shows(leaf).await?;
                self.shown.insert(leaf.oid, shown);
                shown
            }
        };
        if !shown {
            return Ok(Opened::Lost);
        }
        let begun = self.session.begin(&leaf.statement(piece.pages), STATEMENT_LIMIT).await;
        begun.map(|()| Opened::Ready).map_err(failed("begin to read a table of the source"))
    }
}

impl Rows for PieceReader {
    async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        self.session.next(READ_LIMIT).await.map_err(|error| {
            let disposition = match error.disposition() {
                // A column that was renamed or dropped before the table was locked, and the like: read its form again.
                Disposition::Halt if error.sqlstate().is_some_and(|code| code == "42703") => {
                    Disposition::Retry
                }
                other => other,
            };
            Failure::new(disposition, "read a table of the source", error)
        })
    }

    fn rows(&self) -> u64 {
        self.session.rows()
    }
}
