//! Frontiers as rows of the staging area.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, Row as _, Transaction};

use super::{Advance, CheckpointStore, Mode, Standing};
use crate::failure::{Disposition, Failure};
use crate::model::{HlcTimestamp, Ident, SchemaId};
use crate::staging::sql::timestamp;
use crate::target::pool::{Database, failure};
use crate::target::{Product, Target};

const READ: &str = "read the frontier";

/// Frontiers in the target.
#[derive(Clone)]
pub struct SqlCheckpoints {
    pub(super) target: Arc<Target>,
}

/// Why a schema stands still, as shown to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The commit time of the rows that cannot be applied.
    pub at: HlcTimestamp,
    /// Table, column and SQLSTATE, never values.
    pub reason: String,
}

impl SqlCheckpoints {
    /// Frontiers of all schemas of `target`.
    #[must_use]
    pub fn new(target: Arc<Target>) -> Self {
        Self { target }
    }

    /// Schemas of an open database with a promise beyond what is applied, with the newest promise.
    ///
    /// # Errors
    /// If the query fails.
    pub async fn with_pending_marks(
        &self,
        database: &Database,
    ) -> Result<Vec<(SchemaId, HlcTimestamp)>, Failure> {
        let sql = format!(
            "SELECT f.target_db, f.target_schema, m.source_nanos, m.source_logical FROM {} f, LATERAL (\
             SELECT p.source_nanos, p.source_logical FROM {} p WHERE p.target_db = f.target_db \
             AND p.target_schema = f.target_schema \
             AND (p.source_nanos, p.source_logical) > (f.applied_nanos, f.applied_logical) \
             ORDER BY p.source_nanos DESC, p.source_logical DESC LIMIT 1) m",
            database.area().table("frontiers"),
            database.area().table("pending_timestamps")
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(database.control()).await;
        let rows = rows.map_err(|e| failure("look for resolved marks", e))?;
        rows.iter().map(|row| Ok((schema_of(row)?, timestamp(row.get(2), row.get(3))?))).collect()
    }

    /// Changes how rows of a schema reach their tables. Raises the epoch, so that whoever is applying reads the
    /// new mode first. Going back to consistent, rows that were written immediately stay guarded up to
    /// `guard_upto`, which must lie beyond every row time accepted so far.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn set_mode(
        &self,
        schema: &SchemaId,
        mode: Mode,
        guard_upto: HlcTimestamp,
    ) -> Result<(), Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "UPDATE {} SET mode = $3, epoch = epoch + 1, guard_upto_nanos = greatest(guard_upto_nanos, $4) \
             WHERE target_db = $1 AND target_schema = $2 AND mode <> $3",
            database.area().table("frontiers")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(mode.as_str())
            .bind(guard_upto.nanos());
        let mut tx = impatient(&database).await?;
        query.execute(&mut *tx).await.map_err(|e| failure("change the mode", e))?;
        tx.commit().await.map_err(|e| failure("change the mode", e))
    }

    /// Shows operators of every process that a schema stands still, unless somebody took over since `epoch`.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn record_stall(&self, schema: &SchemaId, stall: &Stall, epoch: i64) -> Result<(), Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "INSERT INTO {} (target_db, target_schema, source_nanos, source_logical, reason) \
             SELECT f.target_db, f.target_schema, $3, $4, $5 FROM {} f \
             WHERE f.target_db = $1 AND f.target_schema = $2 AND f.epoch = $6 ON CONFLICT (target_db, target_schema) DO UPDATE SET \
             source_nanos = excluded.source_nanos, source_logical = excluded.source_logical, reason = excluded.reason",
            database.area().table("stalls"),
            database.area().table("frontiers")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(stall.at.nanos())
            .bind(i64::from(stall.at.logical()))
            .bind(&stall.reason)
            .bind(epoch);
        query.execute(database.control()).await.map(drop).map_err(|e| failure("record a stall", e))
    }

    /// The schema moves again.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn clear_stall(&self, schema: &SchemaId) -> Result<(), Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "DELETE FROM {} WHERE target_db = $1 AND target_schema = $2",
            database.area().table("stalls")
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
        query.execute(database.control()).await.map(drop).map_err(|e| failure("clear a stall", e))
    }
}

impl CheckpointStore for SqlCheckpoints {
    async fn take_over(&self, schema: &SchemaId) -> Result<Standing, Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "UPDATE {} SET epoch = epoch + 1 WHERE target_db = $1 AND target_schema = $2 \
             RETURNING applied_nanos, applied_logical, epoch, mode, guard_upto_nanos",
            database.area().table("frontiers")
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
        let row =
            query.fetch_optional(database.control()).await.map_err(|e| failure("take over a schema", e))?;
        let row = row.ok_or_else(|| {
            let reason = format!("schema {schema} has no frontier; nothing was ever staged for it");
            Failure::new(Disposition::Halt, "take over a schema", reason)
        })?;
        standing_of(&row)
    }

    async fn standing(&self, schema: &SchemaId) -> Result<Option<Standing>, Failure> {
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "SELECT applied_nanos, applied_logical, epoch, mode, guard_upto_nanos FROM {} \
             WHERE target_db = $1 AND target_schema = $2",
            database.area().table("frontiers")
        );
        let query =
            sqlx::query(AssertSqlSafe(sql)).bind(schema.database.as_str()).bind(schema.schema.as_str());
        let row = query.fetch_optional(database.control()).await.map_err(|e| failure(READ, e))?;
        row.as_ref().map(standing_of).transpose()
    }

    async fn advance(&self, schema: &SchemaId, advance: Advance) -> Result<(), Failure> {
        const ADVANCE: &str = "advance the frontier";
        let database = self.target.database(&schema.database).await?;
        let sql = format!(
            "UPDATE {} SET applied_nanos = $5, applied_logical = $6, applied_at = now() \
             WHERE target_db = $1 AND target_schema = $2 AND applied_nanos = $3 AND applied_logical = $4 AND epoch = $7",
            database.area().table("frontiers")
        );
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(schema.database.as_str())
            .bind(schema.schema.as_str())
            .bind(advance.from.nanos())
            .bind(i64::from(advance.from.logical()))
            .bind(advance.to.nanos())
            .bind(i64::from(advance.to.logical()))
            .bind(advance.epoch);
        let done = query.execute(database.control()).await.map_err(|e| failure(ADVANCE, e))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Failure::fenced(ADVANCE)) }
    }
}

/// A transaction that gives up soon if a slice holds the frontier: a large one may for minutes, and whoever waits would
/// keep a connection from others. The caller tries again.
async fn impatient(database: &Database) -> Result<Transaction<'static, Postgres>, Failure> {
    const BEGIN: &str = "begin a short transaction";
    let mut tx = database.control().begin().await.map_err(|e| failure(BEGIN, e))?;
    if database.dialect().product() == Product::PostgreSql {
        sqlx::query("SET LOCAL lock_timeout = '1s'")
            .execute(&mut *tx)
            .await
            .map_err(|e| failure(BEGIN, e))?;
    }
    Ok(tx)
}

fn standing_of(row: &PgRow) -> Result<Standing, Failure> {
    Ok(Standing {
        applied: timestamp(row.get(0), row.get(1))?,
        epoch: row.get(2),
        mode: Mode::from_stored(&row.get::<String, _>(3)),
        guard_upto: timestamp(row.get(4), 0)?,
    })
}

fn schema_of(row: &PgRow) -> Result<SchemaId, Failure> {
    let ident = |at: usize| {
        Ident::new(row.get::<String, _>(at)).map_err(|e| Failure::new(Disposition::Halt, READ, e))
    };
    Ok(SchemaId { database: ident(0)?, schema: ident(1)? })
}
