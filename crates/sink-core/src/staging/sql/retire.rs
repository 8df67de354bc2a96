//! Removes rows that are dead because the frontier has passed them, and gives their space back.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::super::Retired;
use super::super::names::{bucket_end, bucket_of};
use crate::failure::{Failure, chain};
use crate::model::{HlcTimestamp, SchemaId};
use crate::target::Product;
use crate::target::pool::{Database, failure};

const RETIRE: &str = "remove applied rows from staging";

/// SQLSTATE: a lock could not be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Rows removed by one statement: short enough not to hold anybody up.
const CHUNK_ROWS: i64 = 20_000;
/// Removed rows after which a table is vacuumed, so that its space is used again without waiting for autovacuum.
const VACUUM_AFTER_ROWS: u64 = 100_000;
/// An emptied table below this size is left as it is.
const TRUNCATE_ABOVE_BYTES: i64 = 1 << 20;

/// See [`super::super::Stager::retire`]. With `sweep`, every table is looked at from its beginning.
///
/// Every statement checks that the frontier is at or above `upto`, and keeps it there ([`passed`]).
pub(super) async fn retire(
    database: &Database,
    schema: &SchemaId,
    upto: HlcTimestamp,
    sweep: bool,
) -> Result<Retired, Failure> {
    let mut connection = database.connection().await?;
    let tables = if sweep {
        all_tables(&mut connection, database, schema).await?
    } else {
        tables_with_rows(&mut connection, database, schema, upto).await?
    };
    for (staging_table, from) in tables {
        let removed = match remove_rows(&mut connection, database, schema, &staging_table, from, upto).await {
            Ok(removed) => removed,
            // Somebody stages the same rows again. What is left has its index entries, so the next pass finds it.
            Err(error) if error.sqlstate() == Some(LOCK_NOT_AVAILABLE) => return Ok(Retired::Some),
            Err(error) => return Err(error),
        };
        if database.dialect().product() == Product::PostgreSql {
            // Space is only space: without the privilege to truncate, the rest is forgotten all the same.
            let given = give_back_space(&mut connection, database, schema, &staging_table, removed).await;
            if let Err(error) = given {
                tracing::warn!(%schema, staging_table, error = %chain(&error), "space was not given back");
            }
        }
    }
    remove_entries(&mut connection, database, schema, upto).await?;
    Ok(Retired::All)
}

/// Every staging table of the schema, from the beginning of time.
async fn all_tables(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
) -> Result<BTreeMap<String, HlcTimestamp>, Failure> {
    let sql = format!(
        "SELECT staging_table FROM {} WHERE target_db = $1 AND target_schema = $2",
        database.area().table("staged_tables")
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
    let rows = query.fetch_all(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
    Ok(rows.iter().map(|row| (row.get(0), HlcTimestamp::ZERO)).collect())
}

/// Staging tables that may have dead rows, with a time before the first of them.
async fn tables_with_rows(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    upto: HlcTimestamp,
) -> Result<BTreeMap<String, HlcTimestamp>, Failure> {
    let sql = format!(
        "SELECT staging_table, min(bucket) FROM {} WHERE target_db = $1 AND target_schema = $2 AND bucket <= $3 \
         GROUP BY staging_table",
        database.area().table("staged_windows")
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(schema.database.as_str())
        .bind(schema.schema.as_str())
        .bind(bucket_of(upto));
    let rows = query.fetch_all(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
    // Starting there keeps the scan off the index pages that earlier removals have emptied.
    let before = |bucket: i64| if bucket == 0 { HlcTimestamp::ZERO } else { bucket_end(bucket - 1) };
    Ok(rows.iter().map(|row| (row.get(0), before(row.get(1)))).collect())
}

async fn remove_rows(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    staging_table: &str,
    from: HlcTimestamp,
    upto: HlcTimestamp,
) -> Result<u64, Failure> {
    let delete = database.dialect().retire(database.area(), staging_table);
    // A redelivery that meets a row being removed waits for us and may hold the next one: whoever stages must not wait
    // until the server finds the deadlock. The setting ends with the statement.
    let patient = match database.dialect().product() {
        Product::PostgreSql => "set_config('lock_timeout', '50ms', true)",
        Product::CockroachDb => "1",
    };
    let sql = format!("WITH passed AS ({}) {delete}", passed(database, patient));
    let mut total = 0;
    loop {
        let query = sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(upto.nanos())
            .bind(i64::from(upto.logical()))
            .bind(from.nanos())
            .bind(i64::from(from.logical()))
            .bind(CHUNK_ROWS);
        let done = query.execute(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
        total += done.rows_affected();
        if done.rows_affected() < CHUNK_ROWS.unsigned_abs() {
            return Ok(total);
        }
    }
}

/// Empties a table's files if it has no rows left, else lets its pages be used again.
async fn give_back_space(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    staging_table: &str,
    removed: u64,
) -> Result<(), Failure> {
    let table = database.area().table(staging_table);
    let sql = "SELECT pg_total_relation_size($1::regclass)";
    let size: i64 = sqlx::query_scalar(sql)
        .bind(&table)
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| failure(RETIRE, e))?;
    if size < TRUNCATE_ABOVE_BYTES {
        return Ok(());
    }
    if !truncate_if_dead(connection, database, schema, &table).await? && removed >= VACUUM_AFTER_ROWS {
        let sql = format!("VACUUM (TRUNCATE false) {table}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
    }
    Ok(())
}

/// Truncates the table if every row in it is dead. The lock keeps new rows out between the look and the cut; if it
/// cannot be had at once, the next pass will try again.
async fn truncate_if_dead(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    table: &str,
) -> Result<bool, Failure> {
    let fail = |e| failure(RETIRE, e);
    // Without the lock first: under load there is always something alive.
    if has_live_rows(connection, database, schema, table).await? {
        return Ok(false);
    }
    let mut tx = connection.begin().await.map_err(fail)?;
    sqlx::query("SET LOCAL lock_timeout = '50ms'").execute(&mut *tx).await.map_err(fail)?;
    let lock = sqlx::raw_sql(AssertSqlSafe(format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")));
    if lock.execute(&mut *tx).await.is_err() {
        return tx.rollback().await.map(|()| false).map_err(fail);
    }
    if has_live_rows(&mut tx, database, schema, table).await? {
        return tx.rollback().await.map(|()| false).map_err(fail);
    }
    sqlx::raw_sql(AssertSqlSafe(format!("TRUNCATE {table}"))).execute(&mut *tx).await.map_err(fail)?;
    tx.commit().await.map_err(fail)?;
    Ok(true)
}

async fn has_live_rows(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    table: &str,
) -> Result<bool, Failure> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {table} s, {} f WHERE f.target_db = $1 AND f.target_schema = $2 \
         AND (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical))",
        database.area().table("frontiers")
    );
    let query =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
    query.fetch_one(connection).await.map_err(|e| failure(RETIRE, e))
}

/// The condition under which anything at or below `($3, $4)` may be forgotten. The lock lets the frontier go on and
/// keeps an operator from moving it back while the statement runs: what the source sends again after that must stay.
/// `answer` is what the condition selects.
fn passed(database: &Database, answer: &str) -> String {
    let lock = match database.dialect().product() {
        Product::PostgreSql => " FOR KEY SHARE",
        Product::CockroachDb => "",
    };
    format!(
        "SELECT {answer} FROM {} WHERE target_db = $1 AND target_schema = $2 \
         AND (applied_nanos, applied_logical) >= ($3, $4){lock}",
        database.area().table("frontiers")
    )
}

/// Forgets marks and index entries that are no longer needed; the stretch that `upto` lies in stays.
async fn remove_entries(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    upto: HlcTimestamp,
) -> Result<(), Failure> {
    let area = database.area();
    let windows = format!(
        "WITH passed AS ({}) DELETE FROM {} WHERE target_db = $1 AND target_schema = $2 AND bucket < $5 \
         AND EXISTS (SELECT 1 FROM passed)",
        passed(database, "1"),
        area.table("staged_windows")
    );
    let marks = format!(
        "WITH passed AS ({}) DELETE FROM {} WHERE target_db = $1 AND target_schema = $2 \
         AND (source_nanos, source_logical) < ($3, $4) AND EXISTS (SELECT 1 FROM passed)",
        passed(database, "1"),
        area.table("pending_timestamps")
    );
    let bind = |sql: String| {
        sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(upto.nanos())
            .bind(i64::from(upto.logical()))
    };
    bind(windows).bind(bucket_of(upto)).execute(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
    bind(marks).execute(&mut *connection).await.map_err(|e| failure(RETIRE, e))?;
    Ok(())
}
