//! Reads and repairs the state of schemas in the staging area.

mod pending;

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::{Counting, Reset, ResetDone, SchemaStatus};
use crate::checkpoint::SqlCheckpoints;
use crate::failure::{Disposition, Failure};
use crate::model::{HlcTimestamp, Ident, SchemaId};
use crate::staging::sql::timestamp;
use crate::target::Product;
use crate::target::pool::{Database, failure};

pub(super) const READ: &str = "read the state of schemas";
const RESET: &str = "reset a schema";

impl SqlCheckpoints {
    /// The state of every schema of a database.
    ///
    /// # Errors
    /// If a query fails.
    pub async fn overview(
        &self,
        database: &Database,
        counting: Counting,
    ) -> Result<Vec<SchemaStatus>, Failure> {
        let area = database.area();
        let sql = format!(
            "SELECT f.target_db, f.target_schema, f.mode, f.applied_nanos, f.applied_logical, \
             extract(epoch FROM clock_timestamp() - f.applied_at)::float8, \
             extract(epoch FROM clock_timestamp())::float8, \
             (SELECT m.source_nanos FROM {marks} m WHERE m.target_db = f.target_db AND m.target_schema = f.target_schema \
             ORDER BY m.source_nanos DESC, m.source_logical DESC LIMIT 1), \
             (SELECT m.source_logical FROM {marks} m WHERE m.target_db = f.target_db \
             AND m.target_schema = f.target_schema ORDER BY m.source_nanos DESC, m.source_logical DESC LIMIT 1), \
             (SELECT s.reason FROM {stalls} s WHERE s.target_db = f.target_db AND s.target_schema = f.target_schema), \
             (SELECT count(*) FROM {quarantine} q WHERE q.target_db = f.target_db AND q.target_schema = f.target_schema) \
             FROM {frontiers} f WHERE f.target_db = $1 ORDER BY 1, 2",
            marks = area.table("pending_timestamps"),
            stalls = area.table("stalls"),
            quarantine = area.table("quarantine"),
            frontiers = area.table("frontiers"),
        );
        let mut connection = database.connection().await?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(database.name().as_str())
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| failure(READ, e))?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut status = status_of(row)?;
            status.leader = self.leader_of(&status.schema).await?;
            status.staging_bytes = staging_bytes(&mut connection, database, &status.schema).await?;
            status.pending = pending::look(&mut connection, database, &status, counting).await?;
            all.push(status);
        }
        Ok(all)
    }

    /// Space taken by the staging tables of a schema, in bytes; `None` where the product does not say.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn staging_bytes(&self, schema: &SchemaId) -> Result<Option<u64>, Failure> {
        let database = self.target.database(&schema.database).await?;
        let mut connection = database.connection().await?;
        staging_bytes(&mut connection, &database, schema).await
    }

    /// Repairs a schema. The frontier moves first, which fences every process that applies it; marks are forgotten,
    /// so nothing is applied before the feed has promised it anew. Everything happens in one transaction.
    ///
    /// # Errors
    /// If the schema is unknown, or rows that were staged and not applied would be dropped without `discard`.
    pub async fn reset(&self, schema: &SchemaId, reset: Reset, discard: bool) -> Result<ResetDone, Failure> {
        let fail = |e| failure(RESET, e);
        let database = self.target.database(&schema.database).await?;
        let frontiers = database.area().table("frontiers");
        let mut connection = database.connection().await?;
        let mut tx = connection.begin().await.map_err(fail)?;
        let sql = format!(
            "SELECT applied_nanos, applied_logical FROM {frontiers} WHERE target_db = $1 AND target_schema = $2 FOR UPDATE"
        );
        let row = bound(sql, schema).fetch_optional(&mut *tx).await.map_err(fail)?;
        let row = row.ok_or_else(|| {
            Failure::new(Disposition::Halt, RESET, format!("nothing was ever staged for schema {schema}"))
        })?;
        let was = timestamp(row.get(0), row.get(1))?;
        let upto = match reset {
            Reset::Everything => HlcTimestamp::MAX,
            Reset::To(to) => to,
        };
        let dropped_rows = drop_rows(&mut tx, &database, schema, was, upto).await?;
        if dropped_rows > 0 && !discard {
            let reason = format!("{dropped_rows} staged rows that are not applied yet would be dropped");
            return Err(Failure::new(Disposition::Halt, RESET, reason));
        }
        let to = match reset {
            Reset::Everything => HlcTimestamp::ZERO,
            Reset::To(to) => to,
        };
        let sql = format!(
            "UPDATE {frontiers} SET applied_nanos = $3, applied_logical = $4, epoch = epoch + 1, applied_at = now() \
             WHERE target_db = $1 AND target_schema = $2"
        );
        bound(sql, schema)
            .bind(to.nanos())
            .bind(i64::from(to.logical()))
            .execute(&mut *tx)
            .await
            .map_err(fail)?;
        for table in ["pending_timestamps", "stalls", "feeds"] {
            let sql = format!(
                "DELETE FROM {} WHERE target_db = $1 AND target_schema = $2",
                database.area().table(table)
            );
            bound(sql, schema).execute(&mut *tx).await.map_err(fail)?;
        }
        tx.commit().await.map_err(fail)?;
        Ok(ResetDone { was, dropped_rows })
    }

    async fn leader_of(&self, schema: &SchemaId) -> Result<Option<String>, Failure> {
        let home = self.target.home();
        let sql = format!(
            "SELECT COALESCE(hostname, '?') FROM {} WHERE name = $1 AND expires > clock_timestamp()",
            home.area().table("leases")
        );
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(format!("resolver:{schema}"));
        query.fetch_optional(home.control()).await.map_err(|e| failure(READ, e))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bound<'q>(sql: String, schema: &SchemaId) -> Query<'q> {
    sqlx::query(AssertSqlSafe(sql)).bind(schema.database.to_string()).bind(schema.schema.to_string())
}

fn status_of(row: &PgRow) -> Result<SchemaStatus, Failure> {
    let ident = |at: usize| {
        Ident::new(row.get::<String, _>(at)).map_err(|e| Failure::new(Disposition::Halt, READ, e))
    };
    let applied = timestamp(row.get(3), row.get(4))?;
    let seconds = |value: f64| Duration::try_from_secs_f64(value.max(0.0)).ok();
    let newest_mark = match row.get::<Option<i64>, _>(7) {
        Some(nanos) => Some(timestamp(nanos, row.get::<Option<i64>, _>(8).unwrap_or(0))?),
        None => None,
    };
    let now = seconds(row.get(6)).unwrap_or_default();
    let lag_of = |at: HlcTimestamp| {
        let source_time = Duration::from_nanos(at.nanos().unsigned_abs());
        (at > HlcTimestamp::ZERO).then(|| now.saturating_sub(source_time))
    };
    Ok(SchemaStatus {
        schema: SchemaId { database: ident(0)?, schema: ident(1)? },
        mode: row.get(2),
        applied,
        applied_ago: row.get::<Option<f64>, _>(5).and_then(seconds),
        lag: lag_of(applied),
        staged_lag: lag_of(newest_mark.map_or(applied, |mark| mark.max(applied))),
        now,
        newest_mark,
        leader: None,
        stall: row.get(9),
        pending: None,
        staging_bytes: None,
        quarantined_rows: u64::try_from(row.get::<i64, _>(10)).unwrap_or(0),
    })
}

pub(super) async fn staging_tables(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
) -> Result<Vec<String>, Failure> {
    let sql = format!(
        "SELECT staging_table FROM {} WHERE target_db = $1 AND target_schema = $2 ORDER BY 1",
        database.area().table("staged_tables")
    );
    let rows = bound(sql, schema).fetch_all(connection).await.map_err(|e| failure(READ, e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn staging_bytes(
    connection: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
) -> Result<Option<u64>, Failure> {
    if database.dialect().product() != Product::PostgreSql {
        return Ok(None);
    }
    let sql = format!(
        "SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM {} t \
         JOIN pg_catalog.pg_class c ON c.relname = t.staging_table \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $3 \
         WHERE t.target_db = $1 AND t.target_schema = $2",
        database.area().table("staged_tables")
    );
    let query = bound(sql, schema).bind(database.area().name().to_string());
    let row = query.fetch_one(connection).await.map_err(|e| failure(READ, e))?;
    Ok(u64::try_from(row.get::<i64, _>(0)).ok())
}

/// Removes staged rows up to `upto`; answers how many of them were after `applied`.
async fn drop_rows(
    tx: &mut PgConnection,
    database: &Database,
    schema: &SchemaId,
    applied: HlcTimestamp,
    upto: HlcTimestamp,
) -> Result<u64, Failure> {
    let mut dropped = 0;
    for table in staging_tables(tx, database, schema).await? {
        let sql = format!(
            "WITH gone AS (DELETE FROM {} WHERE (nanos, logical) <= ($1, $2) RETURNING nanos, logical) \
             SELECT count(*) FROM gone WHERE (nanos, logical) > ($3, $4)",
            database.area().table(&table)
        );
        let query = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(upto.nanos())
            .bind(i64::from(upto.logical()))
            .bind(applied.nanos())
            .bind(i64::from(applied.logical()));
        let rows: i64 = query.fetch_one(&mut *tx).await.map_err(|e| failure(RESET, e))?;
        dropped += u64::try_from(rows).unwrap_or(0);
    }
    Ok(dropped)
}
