//! Whether two databases hold the same rows, without carrying the rows over.
//!
//! A fingerprint is the number of rows and two sums of 64-bit hashes over whole rows as text, with different seeds. It
//! does not depend on the order of rows, and a row that is there twice counts twice.

pub mod across;
pub mod source;

use std::fmt;

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection};

/// What the rows of one table come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many rows there are.
    pub rows: i64,
    sums: [String; 2],
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last digits differ as surely as all of them, and fit a line.
        let digits = |sum: &str| {
            let digits = sum.trim_start_matches('-');
            digits[digits.len().saturating_sub(8)..].to_owned()
        };
        write!(f, "{} rows, {}-{}", self.rows, digits(&self.sums[0]), digits(&self.sums[1]))
    }
}

/// One table on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The table, as it was asked for.
    pub table: String,
    /// What the source holds.
    pub source: Fingerprint,
    /// What the target holds.
    pub target: Fingerprint,
}

impl Compared {
    /// Whether both sides hold the same rows.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.source == self.target
    }
}

/// Names of a table's columns in the order of the catalogue, quoted. `table` is SQL, such as `public.t`.
///
/// # Errors
///
/// Fails if there is no such table.
pub async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>> {
    let sql = "SELECT quote_ident(attname) FROM pg_attribute \
               WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let columns = sqlx::query_scalar(sql).bind(table).fetch_all(&mut *connection).await;
    columns.with_context(|| format!("cannot read the columns of {table}"))
}

/// The fingerprint of a table over these columns, in this order.
///
/// # Errors
///
/// Fails if the table cannot be read.
pub async fn of(connection: &mut PgConnection, table: &str, columns: &[String]) -> Result<Fingerprint> {
    ensure!(!columns.is_empty(), "table {table} has no columns");
    let sql = format!(
        "SELECT count(*), coalesce(sum(hashtextextended(line, 1)::numeric), 0)::text, \
         coalesce(sum(hashtextextended(line, 2)::numeric), 0)::text \
         FROM (SELECT ROW({})::text AS line FROM {table}) AS lines",
        columns.join(", ")
    );
    let read = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut *connection).await;
    let (rows, one, two) = read.with_context(|| format!("cannot read table {table}"))?;
    Ok(Fingerprint { rows, sums: [one, two] })
}

/// Compares tables of two databases by the columns that the source's have. Nobody may write meanwhile.
///
/// # Errors
///
/// Fails if a table cannot be read on one side. A difference is not an error.
pub async fn compare<T: AsRef<str>>(
    source: &mut PgConnection,
    target: &mut PgConnection,
    tables: &[T],
) -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    for table in tables.iter().map(AsRef::as_ref) {
        let columns = columns(source, table).await?;
        let there = of(source, table, &columns).await.context("source")?;
        let here = of(target, table, &columns).await.context("target")?;
        all.push(Compared { table: table.to_owned(), source: there, target: here });
    }
    Ok(all)
}
