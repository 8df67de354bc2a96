//! From a batch to statements and their answers.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};

use super::{APPLY, FlowApplier, MAX_PARAMS, Written, has_stages};
use crate::failure::{Disposition, Failure};
use crate::flow::TableNet;
use crate::flow::position::Advance;
use crate::flow::store::bind_advance;
use crate::target::dialect::positions::{self, ADVANCE_PARAMS};
use crate::target::dialect::postgres::changes::{self, Array, Form};
use crate::target::pool::failure;

impl FlowApplier {
    /// In one statement, if that can be.
    pub(super) async fn write_whole(
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
    pub(super) async fn write_stages(
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
    pub(super) async fn write_in(
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
pub(super) fn answer(result: Result<PgRow, sqlx::Error>) -> Result<Option<Written>, Failure> {
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

pub(super) fn bound<'q>(
    query: Query<'q, Postgres, PgArguments>,
    arrays: Vec<Array<'q>>,
) -> Query<'q, Postgres, PgArguments> {
    arrays.into_iter().fold(query, |query, array| match array {
        Array::Values(values) => query.bind(values),
        Array::Int2(values) => query.bind(values),
        Array::Int4(values) => query.bind(values),
        Array::Int8(values) => query.bind(values),
        Array::Float4(values) => query.bind(values),
        Array::Float8(values) => query.bind(values),
        Array::Bool(values) => query.bind(values),
        Array::Labels(labels) => query.bind(labels),
    })
}
