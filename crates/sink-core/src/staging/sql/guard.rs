//! Forgets what the guard of immediate writes no longer needs.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};

use crate::failure::Failure;
use crate::target::pool::{Database, failure};

const PURGE: &str = "purge the guard of immediate writes";

/// Removes entries at or below the applied time of their schema (rows that old are refused as late anyway), and
/// entries written longer than `retention` ago, for feeds that never send a mark; but not while rows of the table are
/// staged and not applied, which might be older than an entry.
///
/// # Errors
/// If a statement fails; the next call goes on.
pub async fn purge_guards(database: &Database, retention: Duration) -> Result<u64, Failure> {
    let area = database.area();
    let sql = format!(
        "SELECT t.guard_table, f.applied_nanos, f.applied_logical, t.staging_table FROM {} t JOIN {} f \
         ON f.target_db = t.target_db AND f.target_schema = t.target_schema",
        area.table("staged_tables"),
        area.table("frontiers")
    );
    let mut connection = database.connection().await?;
    let tables =
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await.map_err(|e| failure(PURGE, e))?;
    let mut purged = 0;
    for row in &tables {
        let table = area.table(&row.get::<String, _>(0));
        let staging = area.table(&row.get::<String, _>(3));
        let sql = format!(
            "DELETE FROM {table} WHERE (nanos, logical) <= ($1, $2) OR (written_at < now() - $3::text::interval \
             AND NOT EXISTS (SELECT 1 FROM {staging} s WHERE (s.nanos, s.logical) > ($1, $2)))"
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(row.get::<i64, _>(1))
            .bind(row.get::<i64, _>(2))
            .bind(format!("{} seconds", retention.as_secs()));
        purged += query.execute(&mut *connection).await.map_err(|e| failure(PURGE, e))?.rows_affected();
    }
    Ok(purged)
}
