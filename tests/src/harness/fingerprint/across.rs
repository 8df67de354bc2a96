//! The same for a MySQL or MariaDB source and a PostgreSQL target: each server writes its rows as lines of the same text
//! and hashes them, so that nothing of ours takes part in it.

use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Compared, Fingerprint};

/// Stands for NULL in a line; no value is written so.
const NULL: &str = "~NULL~";

/// A column, and how it is written as text on both sides.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// Its data type at the source, such as `varbinary`.
    data_type: String,
}

/// A table on its way from the one to the other.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
}

impl Table {
    /// Reads what columns the source's table has. It is in the connection's database.
    ///
    /// # Errors
    ///
    /// Fails if there is no such table.
    pub async fn read(source: &mut Conn, name: &str) -> Result<Table> {
        let sql = "SELECT column_name, lower(data_type) FROM information_schema.columns \
                   WHERE table_schema = database() AND table_name = ? ORDER BY ordinal_position";
        let columns: Vec<(String, String)> =
            source.exec(sql, (name,)).await.context("cannot read columns")?;
        ensure!(!columns.is_empty(), "the source has no table {name}");
        let columns = columns.into_iter().map(|(name, data_type)| Column { name, data_type }).collect();
        Ok(Table { name: name.to_owned(), columns })
    }

    /// What a MySQL or MariaDB server holds; the source, or a replica of it.
    ///
    /// # Errors
    ///
    /// Fails if the table cannot be read.
    pub async fn at_source(&self, source: &mut Conn) -> Result<Fingerprint> {
        let texts = self.columns.iter().map(|column| format!("COALESCE({}, '{NULL}')", column.at_source()));
        let hash = |from: u8| format!("CAST(CONV(SUBSTR(h, {from}, 15), 16, 10) AS UNSIGNED)");
        let sql = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM({}), 0) AS CHAR), CAST(COALESCE(SUM({}), 0) AS CHAR) \
             FROM (SELECT SHA2(CONCAT_WS('|', {}), 256) AS h FROM `{}`) AS hashed",
            hash(1),
            hash(17),
            texts.collect::<Vec<_>>().join(", "),
            self.name
        );
        // Texts are hashed as UTF-8, moments shown in UTC. MySQL 9.6 and later have no MD5.
        source.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'").await?;
        let read: Option<(i64, String, String)> =
            source.query_first(&sql).await.with_context(|| format!("cannot read table {}", self.name))?;
        let (rows, one, two) = read.context("no answer")?;
        Ok(Fingerprint { rows, sums: [one, two] })
    }

    /// What PostgreSQL holds. The table is found by the connection's `search_path`.
    ///
    /// # Errors
    ///
    /// Fails if the table cannot be read, or lacks a column.
    pub async fn at_target(&self, target: &mut PgConnection) -> Result<Fingerprint> {
        let types = target_types(target, &self.name).await?;
        let mut texts = Vec::new();
        for column in &self.columns {
            let found = types.iter().find(|(name, _)| *name == column.name);
            let (_, kind) =
                found.with_context(|| format!("the target's {} lacks {}", self.name, column.name))?;
            texts.push(format!("coalesce({}, '{NULL}')", at_target(&column.name, kind)));
        }
        let hash = |from: u8| format!("('x0' || substr(h, {from}, 15))::bit(64)::int8::numeric");
        let sql = format!(
            "SELECT count(*), coalesce(sum({}), 0)::text, coalesce(sum({}), 0)::text \
             FROM (SELECT encode(sha256(convert_to(concat_ws('|', {}), 'UTF8')), 'hex') AS h FROM \"{}\") AS hashed",
            hash(1),
            hash(17),
            texts.join(", "),
            self.name
        );
        let read = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut *target).await;
        let (rows, one, two) = read.with_context(|| format!("cannot read table {}", self.name))?;
        Ok(Fingerprint { rows, sums: [one, two] })
    }
}

impl Column {
    fn at_source(&self) -> String {
        let name = format!("`{}`", self.name);
        match self.data_type.as_str() {
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                format!("LOWER(HEX({name}))")
            }
            "datetime" | "timestamp" => format!("DATE_FORMAT({name}, '%Y-%m-%d %H:%i:%s.%f')"),
            _ => format!("CONVERT({name} USING utf8mb4)"),
        }
    }
}

/// Names and types of a table's columns.
async fn target_types(target: &mut PgConnection, table: &str) -> Result<Vec<(String, String)>> {
    let sql = "SELECT attname::text, atttypid::regtype::text FROM pg_attribute \
               WHERE attrelid = quote_ident($1)::regclass AND attnum > 0 AND NOT attisdropped";
    let types = sqlx::query_as(sql).bind(table).fetch_all(target).await;
    types.with_context(|| format!("cannot read the columns of {table}"))
}

fn at_target(name: &str, kind: &str) -> String {
    const MOMENT: &str = "YYYY-MM-DD HH24:MI:SS.US";
    let name = format!("\"{name}\"");
    match kind {
        // `tinyint(1)` at the source.
        "boolean" => format!("{name}::int::text"),
        "bytea" => format!("encode({name}, 'hex')"),
        "timestamp without time zone" => format!("to_char({name}, '{MOMENT}')"),
        "timestamp with time zone" => format!("to_char({name} AT TIME ZONE 'UTC', '{MOMENT}')"),
        _ => format!("{name}::text"),
    }
}

/// Compares tables of a source and a target. Nobody may write meanwhile.
///
/// # Errors
///
/// Fails if a table cannot be read on one side. A difference is not an error.
pub async fn compare<T: AsRef<str>>(
    source: &mut Conn,
    target: &mut PgConnection,
    tables: &[T],
) -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    for name in tables.iter().map(AsRef::as_ref) {
        let table = Table::read(source, name).await?;
        let there = table.at_source(source).await.context("source")?;
        let here = table.at_target(target).await.context("target")?;
        all.push(Compared { table: name.to_owned(), source: there, target: here });
    }
    Ok(all)
}
