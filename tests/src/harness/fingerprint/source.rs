//! Whether a table of MySQL or MariaDB and its copy in PostgreSQL hold the same rows.
//!
//! What the target must hold is told from values of the prepared protocol, cast by the target itself to the types of
//! its columns, and compared there; the first rows that only one side has are reported.

use anyhow::{Context, Result, bail, ensure};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::harness::database::Database;
use crate::harness::mysql::canonical::{self, SourceColumn, ZeroDates};
use crate::harness::mysql::{SourceDatabase, quoted};

/// Rows that are sent to the target together.
const CHUNK: usize = 500;
/// Rows of a difference that are shown.
const SHOWN: usize = 3;
/// Characters of a row that are shown.
const SHOWN_CHARS: usize = 400;

/// A table and its copy.
#[derive(Debug, Clone)]
pub struct TablePair {
    source: String,
    target: String,
    zero: ZeroDates,
    without: Vec<String>,
}

impl TablePair {
    /// A table by its name at the source, without quotes, and by its name in the target, as SQL.
    #[must_use]
    pub fn new(source: &str, target: &str) -> TablePair {
        let (source, target) = (source.to_owned(), target.to_owned());
        TablePair { source, target, zero: ZeroDates::Null, without: Vec::new() }
    }

    /// What becomes of zero dates, instead of NULL.
    #[must_use]
    pub fn zero_dates(mut self, zero: ZeroDates) -> TablePair {
        self.zero = zero;
        self
    }

    /// A column of the source that the target does not have.
    #[must_use]
    pub fn without(mut self, column: &str) -> TablePair {
        self.without.push(column.to_owned());
        self
    }
}

/// Rows that only one side has, as the target prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that the target lacks.
    pub missing: Vec<String>,
    /// Rows that the source does not have.
    pub surplus: Vec<String>,
}

/// Fails unless both sides hold the same rows in tables that are called the same. Nobody may write meanwhile.
///
/// # Errors
///
/// Names the first rows that differ, and fails if a table cannot be read.
pub async fn same<T: AsRef<str>>(source: &SourceDatabase, target: &Database, tables: &[T]) -> Result<()> {
    for table in tables.iter().map(AsRef::as_ref) {
        let there = format!("\"{}\"", table.replace('"', "\"\""));
        same_pair(source, target, &TablePair::new(table, &there)).await?;
    }
    Ok(())
}

/// As [`same`], of one table and the copy that it has under whatever name.
///
/// # Errors
///
/// As [`same`].
pub async fn same_pair(source: &SourceDatabase, target: &Database, pair: &TablePair) -> Result<()> {
    let found = difference(source, target, pair).await.with_context(|| format!("table {}", pair.source))?;
    let shown = |rows: &[String]| {
        let short = rows.iter().map(|row| row.chars().take(SHOWN_CHARS).collect::<String>());
        short.collect::<Vec<_>>().join("\n  ")
    };
    ensure!(
        found == Difference::default(),
        "table {}: only at the source:\n  {}\nonly in the target:\n  {}",
        pair.source,
        shown(&found.missing),
        shown(&found.surplus)
    );
    Ok(())
}

/// The first rows that only one side has.
///
/// # Errors
///
/// Fails if a table cannot be read, or the target lacks a column.
pub async fn difference(source: &SourceDatabase, target: &Database, pair: &TablePair) -> Result<Difference> {
    let columns: Vec<_> = columns(source, &pair.source).await?;
    let columns: Vec<_> = columns.into_iter().filter(|column| !pair.without.contains(&column.name)).collect();
    let mut there = target.connect().await?;
    let types = types(&mut there, &pair.target, &columns).await?;

    let names: Vec<_> = types.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let create = format!("CREATE TEMP TABLE expected AS SELECT {names} FROM {} WITH NO DATA", pair.target);
    execute(&mut there, create).await?;
    let listed = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
    let mut connection = source.connect().await?;
    let mut read = connection.exec_iter(format!("SELECT {listed} FROM {}", quoted(&pair.source)), ()).await?;
    let mut chunk = Vec::new();
    while let Some(row) = read.next().await? {
        chunk.push(told(row, &columns, &types, pair.zero)?);
        if chunk.len() == CHUNK {
            expect(&mut there, &types, &std::mem::take(&mut chunk)).await?;
        }
    }
    expect(&mut there, &types, &chunk).await?;
    drop(read);
    connection.disconnect().await?;

    let expected = format!("SELECT ROW({names})::text AS line FROM expected");
    let actual = format!("SELECT ROW({names})::text AS line FROM {}", pair.target);
    Ok(Difference {
        missing: first_of(&mut there, &expected, &actual).await?,
        surplus: first_of(&mut there, &actual, &expected).await?,
    })
}

/// The columns of a table in order.
///
/// # Errors
///
/// Fails if there is no such table.
pub async fn columns(source: &SourceDatabase, table: &str) -> Result<Vec<SourceColumn>> {
    let literal = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let sql = format!(
        "SELECT column_name, data_type, column_type FROM information_schema.columns \
         WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(source.name()),
        literal(table)
    );
    let rows = source.query(&sql).await?;
    ensure!(!rows.is_empty(), "the source has no such table");
    let column = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        let mut next = || row.next().context("a column without a type");
        Ok(SourceColumn { name: next()?, data_type: next()?.to_lowercase(), column_type: next()? })
    };
    rows.into_iter().map(column).collect()
}

/// Name, quoted, and type of the target's column for each of the source's.
async fn types(
    target: &mut PgConnection,
    table: &str,
    columns: &[SourceColumn],
) -> Result<Vec<(String, String)>> {
    let sql = "SELECT attname::text, quote_ident(attname), format_type(atttypid, atttypmod) FROM pg_attribute \
               WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped";
    let all: Vec<(String, String, String)> = sqlx::query_as(sql).bind(table).fetch_all(target).await?;
    let find = |column: &SourceColumn| {
        let exact = all.iter().find(|(name, ..)| *name == column.name);
        let found = exact.or_else(|| all.iter().find(|(name, ..)| name.eq_ignore_ascii_case(&column.name)));
        let (_, quoted, its_type) =
            found.with_context(|| format!("the target has no column {}", column.name))?;
        Ok((quoted.clone(), its_type.clone()))
    };
    columns.iter().map(find).collect()
}

/// A row as a list of texts.
fn told(
    row: Row,
    columns: &[SourceColumn],
    types: &[(String, String)],
    zero: ZeroDates,
) -> Result<serde_json::Value> {
    let values = row.unwrap();
    let told = values.iter().zip(columns.iter().zip(types)).map(|(value, (column, (_, target)))| {
        let text = canonical::text(value, column, target, zero);
        text.with_context(|| format!("column {}", column.name)).map(serde_json::Value::from)
    });
    Ok(serde_json::Value::Array(told.collect::<Result<_>>()?))
}

/// Lets the target read the texts as values of its own types.
async fn expect(
    target: &mut PgConnection,
    types: &[(String, String)],
    rows: &[serde_json::Value],
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let casts =
        types.iter().enumerate().map(|(index, (_, its_type))| format!("(line->>{index})::{its_type}"));
    let casts = casts.collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO expected SELECT {casts} FROM json_array_elements($1::json) AS line");
    let rows = serde_json::to_string(rows)?;
    let done = sqlx::query(AssertSqlSafe(sql)).bind(rows).execute(target).await;
    match done {
        Ok(_) => Ok(()),
        Err(error) => bail!("the target cannot hold what the source has: {error}"),
    }
}

async fn execute(target: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(target).await?;
    Ok(())
}

async fn first_of(target: &mut PgConnection, of: &str, without: &str) -> Result<Vec<String>> {
    let sql = format!("SELECT line FROM ({of} EXCEPT ALL {without}) AS rest ORDER BY line LIMIT {SHOWN}");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(target).await?)
}
