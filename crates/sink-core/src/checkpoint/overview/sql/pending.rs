//! What waits in the staging tables of a schema, without reading them from end to end.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::{READ, bound, staging_tables};
use crate::checkpoint::overview::{Counting, Pending, SchemaStatus};
use crate::failure::Failure;
use crate::staging::names::bucket_of;
use crate::target::Product;
use crate::target::pool::{Database, failure};

/// Most rows of a schema that a quick look counts one by one.
const QUICK_ROWS: i64 = 10_000;
/// The least of them that one table gets, however many tables there are.
const LEAST_SHARE: i64 = 100;
/// Most index entries looked at to find the tables that have something; with more, all tables of the schema are asked.
const MAX_ENTRIES: i64 = 4_000;
/// Most tables of one query.
const MAX_QUERY_TABLES: usize = 50;
/// Longest statement of a quick look, and of an exact count.
const QUICK_MS: u32 = 1_000;
const EXACT_MS: u32 = 5_000;
/// SQLSTATE of a statement that the server ended because of its time limit.
const CANCELED: &str = "57014";

/// Looks; `None` if even the quick look took too long.
pub(super) async fn look(
    connection: &mut PgConnection,
    database: &Database,
    status: &SchemaStatus,
    counting: Counting,
) -> Result<Option<Pending>, Failure> {
    let tables = tables_with_rows(connection, database, status).await?;
    if counting == Counting::Exact {
        let counted = in_time(count(connection, database, status, &tables, i64::MAX, EXACT_MS).await)?;
        if counted.is_some() {
            return Ok(counted);
        }
    }
    let share = QUICK_ROWS / i64::try_from(tables.len().max(1)).unwrap_or(i64::MAX);
    in_time(count(connection, database, status, &tables, share.max(LEAST_SHARE), QUICK_MS).await)
}

/// Running out of time is an answer.
fn in_time(result: Result<Pending, Failure>) -> Result<Option<Pending>, Failure> {
    match result {
        Ok(pending) => Ok(Some(pending)),
        Err(error) if error.sqlstate() == Some(CANCELED) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The staging tables that may have rows after the applied time. Idle tables cost nothing.
async fn tables_with_rows(
    connection: &mut PgConnection,
    database: &Database,
    status: &SchemaStatus,
) -> Result<Vec<String>, Failure> {
    let sql = format!(
        "SELECT staging_table FROM {} WHERE target_db = $1 AND target_schema = $2 AND bucket >= $3 \
         ORDER BY bucket LIMIT $4",
        database.area().table("staged_windows")
    );
    let query = bound(sql, &status.schema).bind(bucket_of(status.applied)).bind(MAX_ENTRIES);
    let rows = query.fetch_all(&mut *connection).await.map_err(|e| failure(READ, e))?;
    if i64::try_from(rows.len()).is_ok_and(|entries| entries >= MAX_ENTRIES) {
        return staging_tables(connection, database, &status.schema).await;
    }
    let mut tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    tables.sort_unstable();
    tables.dedup();
    Ok(tables)
}

/// Counts up to `share` rows of each table; a table with more is estimated.
async fn count(
    connection: &mut PgConnection,
    database: &Database,
    status: &SchemaStatus,
    tables: &[String],
    share: i64,
    statement_ms: u32,
) -> Result<Pending, Failure> {
    let fail = |e| failure(READ, e);
    let mut pending = Pending { rows: 0, exact: true, oldest: None };
    let mut tx = connection.begin().await.map_err(fail)?;
    let mut settings = format!("SET LOCAL statement_timeout = '{statement_ms}ms'");
    if database.dialect().product() == Product::PostgreSql {
        // A staging table has no statistics to speak of; its rows are to be read along the key.
        settings.push_str("; SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off");
    }
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *tx).await.map_err(fail)?;
    for tables in tables.chunks(MAX_QUERY_TABLES) {
        let each: Vec<String> = tables.iter().map(|table| of_table(database, table)).collect();
        let query = sqlx::query(AssertSqlSafe(each.join(" UNION ALL ")))
            .bind(status.applied.nanos())
            .bind(i64::from(status.applied.logical()))
            .bind(share);
        for row in query.fetch_all(&mut *tx).await.map_err(fail)? {
            let (counted, oldest, estimate): (i64, Option<i64>, i64) = (row.get(0), row.get(1), row.get(2));
            if counted >= share {
                pending.exact = false;
            }
            let rows = if counted >= share { counted.max(estimate) } else { counted };
            pending.rows += u64::try_from(rows).unwrap_or(0);
            let age = oldest.map(|nanos| {
                status.now.saturating_sub(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
            });
            pending.oldest = pending.oldest.max(age);
        }
    }
    tx.commit().await.map_err(fail)?;
    Ok(pending)
}

/// Counted rows, time of the oldest, and what the server believes to be in the table (with rows that are applied and
/// not removed yet, which are few).
fn of_table(database: &Database, table: &str) -> String {
    let name = database.area().table(table);
    let after = "(nanos, logical) > ($1, $2)";
    let estimate = match database.dialect().product() {
        Product::PostgreSql => {
            format!("pg_stat_get_live_tuples(to_regclass('{}'))", name.to_string().replace('\'', "''"))
        }
        Product::CockroachDb => "0".to_owned(),
    };
    format!(
        "(SELECT (SELECT count(*) FROM (SELECT 1 FROM {name} WHERE {after} ORDER BY nanos, logical LIMIT $3) AS c), \
         (SELECT nanos FROM {name} WHERE {after} ORDER BY nanos, logical LIMIT 1), \
         COALESCE({estimate}, 0)::int8)"
    )
}
