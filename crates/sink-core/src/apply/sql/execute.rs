//! Runs generated statements: binds parameters by meaning and reads the answers.

use std::collections::HashSet;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres, Row as _};

use super::columns::{self, Column};
use crate::apply::plan::TablePlan;
use crate::failure::Failure;
use crate::metrics;
use crate::model::{HlcTimestamp, Mutation, SchemaId};
use crate::staging::Window;
use crate::staging::sql::timestamp;
use crate::target::dialect::{Answer, InputColumn, Param, Statement};
use crate::target::pool::failure;

pub(super) const APPLY: &str = "apply rows";

/// What the parameters of the statements of one unit stand for.
pub(super) struct Values<'a> {
    pub(super) schema: &'a SchemaId,
    pub(super) window: Window,
    pub(super) epoch: i64,
    /// Per table: the index keys that the statement is restricted to.
    pub(super) keys: Vec<Vec<String>>,
    /// Per table: how rows handed over are applied.
    pub(super) plans: &'a [TablePlan],
    /// Per table: rows handed over.
    pub(super) input: Vec<Vec<&'a Mutation<'a>>>,
}

impl<'a> Values<'a> {
    pub(super) fn staged(schema: &'a SchemaId, window: Window, epoch: i64) -> Self {
        Self { schema, window, epoch, keys: Vec::new(), plans: &[], input: Vec::new() }
    }
}

/// Rows written and removed, per table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) upserts: Vec<u64>,
    pub(super) deletes: Vec<u64>,
    /// Versions that compare-and-set kept out.
    pub(super) beaten: Vec<u64>,
    /// Versions that missed a deadline.
    pub(super) late: Vec<u64>,
}

impl Counts {
    pub(super) fn new(tables: usize) -> Self {
        let zeros = || vec![0; tables];
        Self { upserts: zeros(), deletes: zeros(), beaten: zeros(), late: zeros() }
    }

    pub(super) fn publish(&self, plans: &[TablePlan]) {
        for (at, plan) in plans.iter().enumerate() {
            metrics::count_table("apply_upserts_total", &plan.table.id, self.upserts[at]);
            metrics::count_table("apply_deletes_total", &plan.table.id, self.deletes[at]);
            metrics::count_discarded(&plan.table.id, "cas", self.beaten[at]);
            metrics::count_discarded(&plan.table.id, "deadline", self.late[at]);
        }
    }

    pub(super) fn total_upserts(&self) -> u64 {
        self.upserts.iter().sum()
    }

    pub(super) fn total_deletes(&self) -> u64 {
        self.deletes.iter().sum()
    }
}

/// Runs the statements as one transaction. A single statement is one by itself, which saves two round trips and
/// leaves no transaction open if we freeze in between.
pub(super) async fn transaction(
    connection: &mut PgConnection,
    statements: &[Statement],
    values: &mut Values<'_>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    if let [statement] = statements {
        return one(connection, statement, values, counts).await;
    }
    let mut tx = connection.begin().await.map_err(|e| failure(APPLY, e))?;
    all(&mut tx, statements, values, counts).await?;
    tx.commit().await.map_err(|e| failure(APPLY, e))
}

/// Runs the statements inside a transaction of the caller's.
pub(super) async fn all(
    connection: &mut PgConnection,
    statements: &[Statement],
    values: &mut Values<'_>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    for statement in statements {
        one(connection, statement, values, counts).await?;
    }
    Ok(())
}

async fn one(
    connection: &mut PgConnection,
    statement: &Statement,
    values: &mut Values<'_>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let fail = |e| failure(APPLY, e);
    match statement.answer {
        Answer::Counts => {
            let row = bound(statement, values)?.fetch_one(connection).await.map_err(fail)?;
            if row.get::<i64, _>(0) != 1 {
                return Err(Failure::fenced(APPLY));
            }
            add(&mut counts.upserts, &row, 1);
            add(&mut counts.deletes, &row, 2);
            add(&mut counts.beaten, &row, 3);
            add(&mut counts.late, &row, 4);
        }
        Answer::Fence => {
            let done = bound(statement, values)?.execute(connection).await.map_err(fail)?;
            if done.rows_affected() != 1 {
                return Err(Failure::fenced(APPLY));
            }
        }
        Answer::Mode => {
            let row = bound(statement, values)?.fetch_optional(connection).await.map_err(fail)?;
            let row = row.ok_or_else(|| Failure::fenced(APPLY))?;
            let applied = timestamp(row.get(0), row.get(1))?;
            drop_late(values, applied);
        }
        Answer::Newer(table) => {
            let rows = bound(statement, values)?.fetch_all(connection).await.map_err(fail)?;
            let newer: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
            values.input[table].retain(|row| newer.contains(&*row.key.indexed()));
        }
        Answer::Upserts(table) => {
            counts.upserts[table] +=
                bound(statement, values)?.execute(connection).await.map_err(fail)?.rows_affected();
        }
        Answer::Discarded(table) => {
            let row = bound(statement, values)?.fetch_one(connection).await.map_err(fail)?;
            let count = |at: usize| u64::try_from(row.get::<i64, _>(at)).unwrap_or(0);
            counts.beaten[table] += count(0);
            counts.late[table] += count(1);
        }
        Answer::Deletes(table) => {
            counts.deletes[table] +=
                bound(statement, values)?.execute(connection).await.map_err(fail)?.rows_affected();
        }
    }
    Ok(())
}

/// Rows at or below the applied time are redeliveries of what the target already has; rows without a time are not.
fn drop_late(values: &mut Values<'_>, applied: HlcTimestamp) {
    for rows in &mut values.input {
        rows.retain(|row| row.time > applied || row.time.is_untimed());
    }
}

fn add(counts: &mut [u64], row: &PgRow, column: usize) {
    let each: Vec<i64> = row.get(column);
    for (count, add) in counts.iter_mut().zip(each) {
        *count += u64::try_from(add).unwrap_or(0);
    }
}

fn bound<'q>(
    statement: &Statement,
    values: &'q Values<'_>,
) -> Result<Query<'q, Postgres, PgArguments>, Failure> {
    let mut columns = columns_of(statement, values)?.into_iter();
    let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
    let bound = statement.params.iter().fold(query, |query, param| match param {
        Param::Input { column: InputColumn::Value { .. }, .. } => match columns.next() {
            Some(column) => column.bind(query),
            None => query,
        },
        other => bind(query, *other, values),
    });
    Ok(bound)
}

/// The columns that the statement takes apart from their rows, in the order of its parameters, which is table by table.
fn columns_of<'q>(statement: &Statement, values: &'q Values<'_>) -> Result<Vec<Column<'q>>, Failure> {
    let mut wanted = vec![Vec::new(); values.input.len()];
    for param in &statement.params {
        if let Param::Input { table, column: InputColumn::Value { feed, form } } = param {
            wanted[*table].push((*feed, *form));
        }
    }
    let mut all = Vec::new();
    for (table, wanted) in wanted.iter().enumerate() {
        if let Some(shape) = values.plans.get(table).and_then(|plan| plan.shapes.first())
            && !wanted.is_empty()
        {
            all.extend(columns::columns(shape, wanted, &values.input[table])?);
        }
    }
    Ok(all)
}

fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    param: Param,
    values: &'q Values<'_>,
) -> Query<'q, Postgres, PgArguments> {
    let logical = |at: HlcTimestamp| i64::from(at.logical());
    match param {
        Param::AfterNanos => query.bind(values.window.after.nanos()),
        Param::AfterLogical => query.bind(logical(values.window.after)),
        Param::UptoNanos => query.bind(values.window.upto.nanos()),
        Param::UptoLogical => query.bind(logical(values.window.upto)),
        Param::Database => query.bind(values.schema.database.as_str()),
        Param::Schema => query.bind(values.schema.schema.as_str()),
        Param::Epoch => query.bind(values.epoch),
        Param::Keys { table } => query.bind(&values.keys[table]),
        Param::Input { table, column } => bind_input(query, column, &values.input[table]),
    }
}

/// Binding encodes at once, so only references are collected.
fn bind_input<'q>(
    query: Query<'q, Postgres, PgArguments>,
    column: InputColumn,
    rows: &'q [&Mutation<'_>],
) -> Query<'q, Postgres, PgArguments> {
    match column {
        InputColumn::Nanos => query.bind(rows.iter().map(|row| row.time.nanos()).collect::<Vec<_>>()),
        InputColumn::Logical => {
            query.bind(rows.iter().map(|row| i64::from(row.time.logical())).collect::<Vec<_>>())
        }
        InputColumn::Key => query.bind(rows.iter().map(|row| row.key.index_text()).collect::<Vec<_>>()),
        InputColumn::LongKey => query
            .bind(rows.iter().map(|row| row.key.is_long().then(|| row.key.as_json())).collect::<Vec<_>>()),
        // Bound by the caller, who reads all columns of a row at once.
        InputColumn::Value { .. } => query,
        InputColumn::Row => query.bind(rows.iter().map(|row| row.row_text()).collect::<Vec<_>>()),
        InputColumn::Shape => query.bind(rows.iter().map(|row| row.shape_id()).collect::<Vec<_>>()),
    }
}
