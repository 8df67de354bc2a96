//! Writes a batch and its position to PostgreSQL: one statement, in its own implicit transaction; several in one
//! transaction only where the batch has stages, or unique values move between rows.

mod apart;
mod open;
mod statement;

pub(super) use open::lacks_later_parts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::store::PositionStore;
use super::{Advance, TableNet};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::model::Ident;
use crate::target::pool::Connection;
use crate::target::replication_origin::mark;
use crate::target::{Database, Product};

/// Most parameters of a statement, by the protocol.
const MAX_PARAMS: usize = 65_535;
/// SQLSTATE: a unique value exists already.
const UNIQUE_VIOLATION: &str = "23505";
const APPLY: &str = "apply changes of a log";
/// Most connections that wait for the next batch instead of going back to the pool, which asks the server before it hands
/// one out.
const MAX_HELD: usize = 16;
/// How long new rows are written with care after one of them was there already: some work was done before its position
/// was stored, or a row was removed and inserted again.
const CARE: Duration = Duration::from_secs(30);
/// They go back after this time, so that a failover or a changed role setting takes effect.
const HELD_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// What a batch did, as far as the answer was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// By table of the batch: rows that should have been in the target and were not, so that an update had nothing to
    /// change. Empty if the answer was lost.
    pub missing: Vec<u64>,
    /// By table of the batch: versions that compare-and-set kept out.
    pub beaten: Vec<u64>,
    /// By table of the batch: versions that missed a deadline, and those that only change what such a version would have
    /// made.
    pub late: Vec<u64>,
}

/// Applies batches to one database.
pub struct FlowApplier {
    database: Arc<Database>,
    positions: PositionStore,
    held: Mutex<Vec<Held>>,
    /// Until then rows that the source calls new may be there.
    upserts_until: Mutex<Option<Instant>>,
    origin: Option<String>,
}

/// A connection between two batches, in no transaction.
struct Held {
    connection: Connection,
    since: Instant,
}

/// A transaction that takes changes in parts and moves the position at its end. Dropped before that, all is undone.
pub struct OpenTransaction {
    held: Held,
}

impl FlowApplier {
    /// Writes tables of `database`, and positions next to them.
    ///
    /// # Errors
    /// If the product cannot take a batch in one statement.
    pub fn new(database: Arc<Database>) -> Result<Self, Failure> {
        if database.dialect().product() != Product::PostgreSql {
            let reason = "changes of a log are only written to PostgreSQL";
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
        let positions = PositionStore::new(Arc::clone(&database));
        Ok(Self {
            positions,
            database,
            held: Mutex::default(),
            upserts_until: Mutex::default(),
            origin: None,
        })
    }

    /// Marks rows that it writes as coming from this replication origin. Only one connection can write then.
    #[must_use]
    pub fn marking(mut self, origin: Option<String>) -> Self {
        self.origin = origin;
        self
    }

    /// The positions that this moves.
    #[must_use]
    pub fn positions(&self) -> &PositionStore {
        &self.positions
    }

    /// The database that is written.
    #[must_use]
    pub fn database(&self) -> &Ident {
        self.database.name()
    }

    async fn connection(&self) -> Result<Held, Failure> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(held) = held.filter(|held| self.origin.is_some() || held.since.elapsed() < HELD_LIFETIME)
        {
            return Ok(held);
        }
        let mut connection = self.database.connection().await?;
        if let Some(origin) = &self.origin {
            // The mark lasts as long as the session, and no other can have it.
            connection.close_on_drop();
            mark(&mut connection, origin).await?;
        }
        Ok(Held { connection, since: Instant::now() })
    }

    /// Only after an answer that leaves the connection in step and in no transaction.
    fn hold(&self, connection: Held) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() < MAX_HELD {
            held.push(connection);
        }
    }

    /// Writes the rows and the step together, or neither: they commit together, so no crash comes between them. When
    /// the answer is an error or lost, the stored position tells what happened, before anything is tried again.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; `Retry` if nothing was written and the same may be tried again; otherwise
    /// the target refuses the rows, and nothing was written.
    pub async fn apply(&self, nets: &[TableNet], advance: Advance<'_>) -> Result<Written, Failure> {
        let mut held = self.connection().await?;
        let mut result = self.write_whole(&mut held.connection, nets, advance).await;
        if self.was_there_already(&result) {
            result = self.write_whole(&mut held.connection, nets, advance).await;
        }
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            match self.write_stages(&mut held.connection, nets, advance, true).await {
                // That the target refuses this as well says no more than its first answer.
                Err(error) if matches!(error.disposition(), Disposition::Halt | Disposition::Defer) => {}
                other => result = other,
            }
        }
        let error = match result {
            Ok(Some(written)) => {
                self.hold(held);
                written.publish(nets);
                return Ok(written);
            }
            // An earlier try, whose answer was lost, may have been done after all.
            Ok(None) => None,
            Err(error) => Some(error.in_database(self.database.name())),
        };
        drop(held);
        self.positions.after(advance, error, APPLY).await?;
        Ok(Written::default())
    }

    fn is_plain(&self) -> bool {
        let until = self.upserts_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| Instant::now() >= until)
    }

    /// Whether it may have failed only because a new row was there already. From here on such rows take the place of what
    /// is there, for a while.
    fn was_there_already<T>(&self, result: &Result<T, Failure>) -> bool {
        let refused =
            result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) && self.is_plain();
        if refused {
            let mut until = self.upserts_until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = Some(Instant::now() + CARE);
        }
        refused
    }
}

/// Whether one statement cannot write it all.
pub(super) fn has_stages(nets: &[TableNet]) -> bool {
    nets.last().is_some_and(|last| last.stage != nets[0].stage)
}

impl Written {
    fn extend(&mut self, stage: Self) {
        self.missing.extend(stage.missing);
        self.beaten.extend(stage.beaten);
        self.late.extend(stage.late);
    }

    fn publish(&self, nets: &[TableNet]) {
        for ((net, beaten), late) in nets.iter().zip(&self.beaten).zip(&self.late) {
            if !net.steps.is_empty() {
                metrics::count_discarded(&net.table.id, "cas", *beaten);
                metrics::count_discarded(&net.table.id, "deadline", *late);
            }
        }
    }
}
