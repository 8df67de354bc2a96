//! Compares a target with the truth, row for row.

use std::fmt;

use anyhow::{Context, Result};
use sink_core::model::HlcTimestamp;
use sink_testkit::oracle::{Difference, Oracle, SESSION_SETTINGS, TextRow};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// What the comparison of one table found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableVerdict {
    /// The table.
    pub table: &'static str,
    /// Rows it must have.
    pub expected: usize,
    /// Rows it has.
    pub found: usize,
    /// The first difference.
    pub difference: Option<Difference>,
}

impl fmt::Display for TableVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, expected, found, difference } = self;
        match difference {
            None => write!(f, "{table:<10} {found:>8} rows   equal"),
            Some(difference) => write!(f, "{table:<10} {found:>8} rows, {expected} expected   {difference}"),
        }
    }
}

/// Compares every table of a schema with what it must show at a time. All tables are read in one snapshot.
///
/// # Errors
/// If the target cannot be read. A difference is not an error.
pub async fn compare(
    connection: &mut PgConnection,
    oracle: &Oracle,
    schema: &str,
    at: HlcTimestamp,
) -> Result<Vec<TableVerdict>> {
    for setting in SESSION_SETTINGS {
        sqlx::raw_sql(setting).execute(&mut *connection).await.context(setting)?;
    }
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *connection).await?;
    let mut verdicts = Vec::new();
    for (expected, (table, sql)) in oracle.expected_at(at).into_iter().zip(oracle.queries(schema)) {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
        let rows = rows.with_context(|| format!("cannot read table {table}"))?;
        let text = |row: &sqlx::postgres::PgRow| (0..row.len()).map(|at| row.try_get(at)).collect();
        let rows: Vec<TextRow> = rows.iter().map(text).collect::<Result<_, sqlx::Error>>()?;
        let difference = expected.first_difference(&rows);
        verdicts.push(TableVerdict { table, expected: expected.rows.len(), found: rows.len(), difference });
    }
    sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
    Ok(verdicts)
}
