//! Writes a batch and its position to PostgreSQL: one statement, in its own implicit transaction; several in
//! one transaction only where unique values move between rows.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};

use super::store::{PositionStore, bind_advance};
use super::{Advance, TableNet};
use crate::failure::{Disposition, Failure};
use crate::target::dialect::positions::{self, ADVANCE_PARAMS};
use crate::target::dialect::postgres::changes;
use crate::target::pool::failure;
use crate::target::{Database, Product};

/// Most parameters of a statement, by the protocol.
const MAX_PARAMS: usize = 65_535;
/// SQLSTATE: a unique value exists already.
const UNIQUE_VIOLATION: &str = "23505";
const APPLY: &str = "apply changes of a log";

/// What a batch did, as far as the answer was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// By table of the batch: rows that should have been in the target and were not, so that an update had nothing to
    /// change. Empty if the answer was lost.
    pub missing: Vec<u64>,
}

/// Applies batches to one database.
#[derive(Clone)]
pub struct FlowApplier {
    database: Arc<Database>,
    positions: PositionStore,
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
        Ok(Self { positions: PositionStore::new(Arc::clone(&database)), database })
    }

    /// Writes the rows and the step together, or neither: they commit together, so no crash comes between them. When
    /// the answer is an error or lost, the stored position tells what happened, before anything is tried again.
    ///
    /// # Errors
    /// `Fenced` if somebody else took over; `Retry` if nothing was written and the same may be tried again; otherwise
    /// the target refuses the rows, and nothing was written.
    pub async fn apply(&self, nets: &[TableNet], advance: Advance<'_>) -> Result<Written, Failure> {
        let statement = changes::statement(self.database.area(), nets, true);
        let params = ADVANCE_PARAMS + statement.arrays.len();
        if params > MAX_PARAMS {
            let reason =
                format!("a batch takes {params} parameters, and the protocol {MAX_PARAMS}; make it smaller");
            return Err(Failure::new(Disposition::Halt, APPLY, reason));
        }
        let mut connection = self.database.connection().await?;
        let query = bind_advance(sqlx::query(AssertSqlSafe(statement.sql)), advance);
        let mut result = answer(bound(query, statement.arrays).fetch_one(&mut *connection).await);
        if result.as_ref().is_err_and(|e| e.sqlstate() == Some(UNIQUE_VIOLATION)) {
            match self.clear_then_write(&mut connection, nets, advance).await {
                // That the target refuses this as well says no more than its first answer.
                Err(error) if matches!(error.disposition(), Disposition::Halt | Disposition::Defer) => {}
                other => result = other,
            }
        }
        let error = match result {
            Ok(Some(written)) => return Ok(written),
            // An earlier try, whose answer was lost, may have been done after all.
            Ok(None) => None,
            Err(error) => Some(error.in_database(self.database.name())),
        };
        drop(connection);
        self.positions.after(advance, error, APPLY).await?;
        Ok(Written::default())
    }

    /// Lets unique values move between rows: first the rows that are given others give up theirs, then all is written,
    /// in one transaction with the step.
    async fn clear_then_write(
        &self,
        connection: &mut PgConnection,
        nets: &[TableNet],
        advance: Advance<'_>,
    ) -> Result<Option<Written>, Failure> {
        let fail = |e| failure(APPLY, e);
        let mut tx = connection.begin().await.map_err(fail)?;
        let fence = sqlx::query(AssertSqlSafe(positions::advance(self.database.area())));
        if bind_advance(fence, advance).execute(&mut *tx).await.map_err(fail)?.rows_affected() != 1 {
            return Ok(None);
        }
        if let Some(clear) = changes::clear(nets) {
            let query = sqlx::query(AssertSqlSafe(clear.sql));
            bound(query, clear.arrays).execute(&mut *tx).await.map_err(fail)?;
        }
        let statement = changes::statement(self.database.area(), nets, false);
        let query = sqlx::query(AssertSqlSafe(statement.sql));
        let written = answer(bound(query, statement.arrays).fetch_one(&mut *tx).await)?;
        tx.commit().await.map_err(fail)?;
        Ok(written)
    }
}

/// What the statement says it did; none if its fence let nothing pass.
fn answer(result: Result<PgRow, sqlx::Error>) -> Result<Option<Written>, Failure> {
    let row = result.map_err(|e| failure(APPLY, e))?;
    let missing: Vec<i64> = row.get(1);
    let missing = missing.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect();
    Ok((row.get::<i64, _>(0) == 1).then_some(Written { missing }))
}

fn bound<'q>(
    query: Query<'q, Postgres, PgArguments>,
    arrays: Vec<Vec<Option<&'q str>>>,
) -> Query<'q, Postgres, PgArguments> {
    arrays.into_iter().fold(query, |query, array| query.bind(array))
}
