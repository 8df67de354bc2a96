//! Writes a batch and its position to PostgreSQL: one statement, in its own implicit transaction; several in one
//! transaction only where the batch has stages, or unique values move between rows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};

use super::position::{FeedName, Position};
use super::store::{PositionStore, bind_advance};
use super::{Advance, TableNet};
use crate::failure::{Disposition, Failure};
use crate::metrics;
use crate::target::dialect::positions::{self, ADVANCE_PARAMS};
use crate::target::dialect::postgres::changes::{self, Array, Form};
use crate::target::pool::Connection;
use crate::target::pool::failure;
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

    /// Begins a transaction for changes that are too many for one statement. It holds the position's row, so that nobody
    /// takes over while it is open.
    ///
    /// # Errors
    /// `Fenced` if the position does not stand at `from` in this epoch; otherwise as [`Self::apply`].
    pub async fn begin(
        &self,
        from: &Position,
        feed: &FeedName,
        epoch: i64,
    ) -> Result<OpenTransaction, Failure> {
        let fail = |e| failure(APPLY, e);
        let mut held = self.connection().await?;
        // From here on, whatever happens to us ends the transaction: the connection is closed, not kept.
        held.connection.close_on_drop();
        let connection = &mut held.connection;
        sqlx::raw_sql("BEGIN; SET CONSTRAINTS ALL DEFERRED")
            .execute(&mut **connection)
            .await
            .map_err(fail)?;
        let lock = sqlx::query(AssertSqlSafe(positions::lock(self.database.area())));
        let lock = lock.bind(&feed.feed).bind(&feed.scope).bind(from.as_str()).bind(epoch);
        let locked = lock.fetch_optional(&mut **connection).await.map_err(fail)?;
        if locked.is_none() {
            return Err(Failure::fenced(APPLY));
        }
        Ok(OpenTransaction { held })
    }

    /// Writes some of the changes of an open transaction.
    ///
    /// # Errors
    /// As [`Self::apply`]. The transaction can only be dropped then.
    pub async fn part(&self, tx: &mut OpenTransaction, nets: &[TableNet]) -> Result<Written, Failure> {
        let fail = |e: sqlx::Error| failure(APPLY, e).in_database(self.database.name());
        let connection = &mut tx.held.connection;
        let unique = self.is_plain() || nets.iter().any(|net| !net.table.unique_keys.is_empty());
        if unique {
            sqlx::raw_sql("SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
        }
        let mut result = self.write_in(connection, nets, false).await;
        if self.was_there_already(&result) {
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
            result = self.write_in(connection, nets, false).await;
        }
        if unique && result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            sqlx::raw_sql("ROLLBACK TO SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
            result = self.write_in(connection, nets, true).await;
        }
        let written = result.map_err(|e| e.in_database(self.database.name()))?;
        if unique {
            sqlx::raw_sql("RELEASE SAVEPOINT part").execute(&mut **connection).await.map_err(fail)?;
        }
        written.publish(nets);
        Ok(written)
    }

    /// Tells the server that an open transaction is not forgotten.
    ///
    /// # Errors
    /// As [`Self::part`].
    pub async fn touch(&self, tx: &mut OpenTransaction) -> Result<(), Failure> {
        let touched = sqlx::raw_sql("SELECT 1").execute(&mut *tx.held.connection).await;
        touched.map(drop).map_err(|e| failure(APPLY, e))
    }

    /// Moves the position and commits, both or neither.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn commit(&self, mut tx: OpenTransaction, advance: Advance<'_>) -> Result<(), Failure> {
        let connection = &mut tx.held.connection;
        let fence =
            bind_advance(sqlx::query(AssertSqlSafe(positions::advance(self.database.area()))), advance);
        let done = async {
            let moved = fence.execute(&mut **connection).await?.rows_affected() == 1;
            if moved {
                sqlx::raw_sql("COMMIT").execute(&mut **connection).await?;
            }
            Ok(moved)
        };
        let error = match done.await {
            Ok(true) => {
                self.hold(tx.held);
                return Ok(());
            }
            Ok(false) => None,
            Err(error) => Some(failure(APPLY, error).in_database(self.database.name())),
        };
        drop(tx);
        self.positions.after(advance, error, APPLY).await
    }

    /// Writes rows without moving the position, if the epoch is still the newest. What the position says is unchanged, so
    /// the same rows may be written again.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn write_apart(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
    ) -> Result<Written, Failure> {
        if has_stages(nets) {
            return self.write_apart_in_stages(nets, feed, epoch, false).await;
        }
        let mut held = self.connection().await?;
        let statement = changes::statement_in_epoch(self.database.area(), nets);
        let query = sqlx::query(AssertSqlSafe(statement.sql)).bind(&feed.feed).bind(&feed.scope).bind(epoch);
        let answered = answer(bound(query, statement.arrays).fetch_one(&mut *held.connection).await);
        match answered {
            Ok(Some(written)) => {
                self.hold(held);
                written.publish(nets);
                Ok(written)
            }
            Ok(None) => Err(Failure::fenced(APPLY)),
            Err(error) => Err(error.in_database(self.database.name())),
        }
    }

    /// As [`Self::write_apart`], letting unique values move between rows.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn write_apart_as_one(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
    ) -> Result<Written, Failure> {
        match self.write_apart(nets, feed, epoch).await {
            Err(error) if error.sqlstate() == Some(UNIQUE_VIOLATION) => {}
            other => return other,
        }
        self.write_apart_in_stages(nets, feed, epoch, true).await
    }

    async fn write_apart_in_stages(
        &self,
        nets: &[TableNet],
        feed: &FeedName,
        epoch: i64,
        clear: bool,
    ) -> Result<Written, Failure> {
        let fail = |e| failure(APPLY, e).in_database(self.database.name());
        let mut held = self.connection().await?;
        let mut tx = held.connection.begin().await.map_err(fail)?;
        let fence = sqlx::query(AssertSqlSafe(positions::in_epoch(self.database.area())));
        let fence = fence.bind(&feed.feed).bind(&feed.scope).bind(epoch);
        if fence.fetch_optional(&mut *tx).await.map_err(fail)?.is_none() {
            return Err(Failure::fenced(APPLY));
        }
        let written = self.write_in(&mut tx, nets, clear).await;
        let written = written.map_err(|e| e.in_database(self.database.name()))?;
        tx.commit().await.map_err(fail)?;
        written.publish(nets);
        Ok(written)
    }

    /// In one statement, if that can be.
    async fn write_whole(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        advance: Advance<'_>,
    ) -> Result<Option<Written>, Failure> {
        if has_stages(nets) {
            self.write_stages(connection, nets, advance, false).await
        } else {
            self.write_at_once(connection, nets, advance).await
        }
    }

    /// All in one statement.
    async fn write_at_once(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        advance: Advance<'_>,
    ) -> Result<Option<Written>, Failure> {
        let form = Form { fence: true, plain: self.is_plain() };
        let statement = changes::statement(self.database.area(), nets, form);
        let arrays = checked(statement.arrays, ADVANCE_PARAMS)?;
        let query = bind_advance(sqlx::query(AssertSqlSafe(statement.sql)), advance);
        answer(bound(query, arrays).fetch_one(connection).await)
    }

    /// All stages, in one transaction with the step.
    async fn write_stages(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        advance: Advance<'_>,
        clear: bool,
    ) -> Result<Option<Written>, Failure> {
        let fail = |e| failure(APPLY, e);
        let mut tx = connection.begin().await.map_err(fail)?;
        let fence = sqlx::query(AssertSqlSafe(positions::advance(self.database.area())));
        if bind_advance(fence, advance).execute(&mut *tx).await.map_err(fail)?.rows_affected() != 1 {
            return Ok(None);
        }
        let written = self.write_in(&mut tx, nets, clear).await?;
        tx.commit().await.map_err(fail)?;
        Ok(Some(written))
    }

    /// All stages, in an open transaction. With `clear`, unique values can move between rows.
    async fn write_in(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        clear: bool,
    ) -> Result<Written, Failure> {
        let mut written = Written::default();
        for stage in nets.chunk_by(|one, next| one.stage == next.stage) {
            let stage = if clear {
                self.write_moving(connection, stage).await
            } else {
                self.write_stage(connection, stage, self.is_plain()).await
            };
            written.extend(stage?);
        }
        Ok(written)
    }

    async fn write_stage(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        plain: bool,
    ) -> Result<Written, Failure> {
        let form = Form { fence: false, plain };
        let statement = changes::statement(self.database.area(), nets, form);
        let query = sqlx::query(AssertSqlSafe(statement.sql));
        let row = bound(query, checked(statement.arrays, 0)?).fetch_one(connection).await;
        Ok(answer(row)?.unwrap_or_default())
    }

    /// Answers how many rows were missing, and how many versions were beaten and late.
    async fn write_one_by_one(
        &self,
        connection: &mut PgConnection,
        net: &TableNet,
    ) -> Result<[u64; 3], Failure> {
        let mut counts = [0, 0, 0];
        for step in net.one_by_one() {
            let done = self.write_stage(connection, &[step], false).await?;
            let done = [done.missing, done.beaten, done.late].map(|counts| counts.iter().sum::<u64>());
            counts = std::array::from_fn(|at| counts[at] + done[at]);
        }
        Ok(counts)
    }

    /// Writes a stage in which unique values move between rows. Which rows of a table with steps are written only the
    /// target knows, so there it is one step after the other, as at the source.
    async fn write_moving(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
    ) -> Result<Written, Failure> {
        if let Some(clear) = changes::clear(nets) {
            let query = bound(sqlx::query(AssertSqlSafe(clear.sql)), checked(clear.arrays, 0)?);
            query.execute(&mut *connection).await.map_err(|e| failure(APPLY, e))?;
        }
        let moving = |net: &TableNet| !net.steps.is_empty() && !net.table.unique_keys.is_empty();
        if !nets.iter().any(moving) {
            return self.write_stage(connection, nets, false).await;
        }
        let others: Vec<TableNet> = nets.iter().filter(|net| !moving(net)).cloned().collect();
        let done = self.write_stage(connection, &others, false).await?;
        let mut done = done.missing.into_iter().zip(done.beaten).zip(done.late);
        let mut written = Written::default();
        for net in nets {
            let counts = if moving(net) {
                self.write_one_by_one(connection, net).await?
            } else {
                let ((missing, beaten), late) = done.next().unwrap_or_default();
                [missing, beaten, late]
            };
            let [missing, beaten, late] = counts.map(|count| vec![count]);
            written.extend(Written { missing, beaten, late });
        }
        Ok(written)
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

/// The arrays, if a statement can have them besides `others` parameters.
fn checked(arrays: Vec<Array<'_>>, others: usize) -> Result<Vec<Array<'_>>, Failure> {
    let params = others + arrays.len();
    if params > MAX_PARAMS {
        let reason =
            format!("a batch takes {params} parameters, and the protocol {MAX_PARAMS}; make it smaller");
        return Err(Failure::new(Disposition::Halt, APPLY, reason));
    }
    Ok(arrays)
}

/// What the statement says it did; none if its fence let nothing pass.
fn answer(result: Result<PgRow, sqlx::Error>) -> Result<Option<Written>, Failure> {
    let row = result.map_err(|e| failure(APPLY, e))?;
    let counts = |at: usize| -> Vec<u64> {
        let counts: Vec<i64> = row.get(at);
        counts.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect()
    };
    let missing = counts(1);
    let [beaten, late] = match row.len() {
        0..=2 => [vec![0; missing.len()], vec![0; missing.len()]],
        _ => [counts(2), counts(3)],
    };
    Ok((row.get::<i64, _>(0) == 1).then_some(Written { missing, beaten, late }))
}

fn bound<'q>(
    query: Query<'q, Postgres, PgArguments>,
    arrays: Vec<Array<'q>>,
) -> Query<'q, Postgres, PgArguments> {
    arrays.into_iter().fold(query, |query, array| match array {
        Array::Values(values) => query.bind(values),
        Array::Int2(values) => query.bind(values),
        Array::Int4(values) => query.bind(values),
        Array::Int8(values) => query.bind(values),
        Array::Bool(values) => query.bind(values),
        Array::Labels(labels) => query.bind(labels),
    })
}
