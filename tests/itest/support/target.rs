//! Reads a target: its rows as the oracle spells them, its frontier, its staging area.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sink_core::model::HlcTimestamp;
use sink_testkit::oracle::{Oracle, SESSION_SETTINGS, TextRow};
use sink_testkit::workload::{Invariant, Workload, ddl};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tests::harness::database::Database;
use tests::harness::wait;

/// The target schema of every scenario; its name needs quotes nowhere.
pub(crate) const SCHEMA: &str = "app";

/// A target database with the tables of a workload, and what is known of the truth.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    database: Database,
    oracle: Arc<Oracle>,
    invariants: Arc<[Invariant]>,
}

/// The row that says how far a schema is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frontier {
    /// Every row up to this time is visible.
    pub(crate) applied: HlcTimestamp,
    /// Rises with every take-over.
    pub(crate) epoch: i64,
}

impl Target {
    /// Makes the tables of a workload.
    pub(super) async fn create(database: &Database, workload: &Workload) -> Result<Target> {
        database.execute(&ddl(SCHEMA).join(";\n")).await?;
        let (oracle, invariants) = (Oracle::new(workload), workload.invariants(SCHEMA));
        Ok(Target { database: database.clone(), oracle: Arc::new(oracle), invariants: invariants.into() })
    }

    /// What always holds.
    pub(super) fn invariants(&self) -> &[Invariant] {
        &self.invariants
    }

    /// The truth.
    pub(super) fn oracle(&self) -> &Arc<Oracle> {
        &self.oracle
    }

    /// The database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// A connection that prints values as the oracle does.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.database.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(SESSION_SETTINGS.join(";"))).execute(&mut connection).await?;
        Ok(connection)
    }

    /// How far the schema is applied; nothing is before the first request.
    pub(crate) async fn frontier(&self, connection: &mut PgConnection) -> Result<Frontier> {
        let nothing = Frontier { applied: HlcTimestamp::ZERO, epoch: 0 };
        let sql = "SELECT applied_nanos, applied_logical, epoch FROM \"_cdc_sink\".\"frontiers\" \
                   WHERE target_schema = $1";
        let row = match sqlx::query(sql).bind(SCHEMA).fetch_optional(&mut *connection).await {
            Ok(row) => row,
            // There is no such table, schema or database yet.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42P01" | "3F000" | "3D000")) =>
            {
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(row) = row else { return Ok(nothing) };
        let applied = HlcTimestamp::new(row.get(0), i32::try_from(row.get::<i64, _>(1))?);
        Ok(Frontier { applied: applied.context("a negative time")?, epoch: row.get(2) })
    }

    /// The applied time now.
    pub(crate) async fn applied(&self) -> Result<HlcTimestamp> {
        let mut connection = self.connect().await?;
        Ok(self.frontier(&mut connection).await?.applied)
    }

    /// Every row of every table, in the order and the form of the oracle.
    pub(crate) async fn rows(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(&'static str, Vec<TextRow>)>> {
        let mut all = Vec::new();
        for (table, sql) in self.oracle.queries(SCHEMA) {
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
            let rows = rows.with_context(|| format!("cannot read {table}"))?;
            let text = |row: &sqlx::postgres::PgRow| (0..row.len()).map(|at| row.try_get(at)).collect();
            let rows: Result<Vec<TextRow>, _> = rows.iter().map(text).collect();
            all.push((table, rows?));
        }
        Ok(all)
    }

    /// Waits until everything up to a time is applied.
    pub(crate) async fn wait_applied(&self, upto: HlcTimestamp, deadline: Duration) -> Result<()> {
        let mut connection = self.connect().await?;
        let what = format!("the mark {upto} to be applied");
        let reached = async || match self.frontier(&mut connection).await {
            Ok(frontier) if frontier.applied >= upto => Ok(()),
            Ok(frontier) => Err(format!("{frontier:?}")),
            Err(error) => Err(format!("{error:#}")),
        };
        wait::eventually(deadline, &what, reached).await
    }

    /// Whether the target is what the source was at a time, row for row; the first difference if not.
    pub(crate) async fn expect_at(&self, at: HlcTimestamp) -> Result<()> {
        let mut connection = self.connect().await?;
        let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let rows = self.rows(&mut snapshot).await?;
        compare(&self.oracle, at, &rows)
    }

    /// What must never change once everything is applied: the rows, and which version of each row there is.
    pub(crate) async fn fingerprint(&self) -> Result<String> {
        let mut connection = self.connect().await?;
        let mut all = String::new();
        for (table, _) in self.oracle.queries(SCHEMA) {
            let sql = format!(
                "SELECT count(*)::text || ':' || md5(coalesce(string_agg(t::text || t.xmin::text, '|' \
                 ORDER BY t::text), '')) FROM {SCHEMA}.{table} t"
            );
            let digest: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await?;
            all.push_str(&format!("{table}={digest} "));
        }
        Ok(all)
    }

    /// Rows in the staging tables, dead ones included, and the bytes of these tables.
    pub(crate) async fn staging(&self) -> Result<(i64, i64)> {
        let mut connection = self.connect().await?;
        let tables: Vec<String> = sqlx::query_scalar("SELECT staging_table FROM \"_cdc_sink\".staged_tables")
            .fetch_all(&mut connection)
            .await?;
        let (mut rows, mut bytes) = (0, 0);
        for table in tables {
            let sql = format!(
                "SELECT (SELECT count(*) FROM \"_cdc_sink\".\"{table}\"), \
                 pg_total_relation_size('\"_cdc_sink\".\"{table}\"')"
            );
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await?;
            rows += row.get::<i64, _>(0);
            bytes += row.get::<i64, _>(1);
        }
        Ok((rows, bytes))
    }

    /// The table that stages the rows of a target table, quoted.
    pub(crate) async fn staging_table(&self, table: &str) -> Result<String> {
        let mut connection = self.connect().await?;
        let sql = "SELECT staging_table FROM \"_cdc_sink\".staged_tables WHERE target_schema = $1 AND target_table = $2";
        let name: Option<String> =
            sqlx::query_scalar(sql).bind(SCHEMA).bind(table).fetch_optional(&mut connection).await?;
        Ok(format!("\"_cdc_sink\".\"{}\"", name.with_context(|| format!("nothing was staged for {table}"))?))
    }

    /// Waits until a session of the service waits for a lock in a statement that contains `text`.
    pub(crate) async fn wait_blocked(&self, text: &str, deadline: Duration) -> Result<()> {
        let mut connection = self.connect().await?;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND wait_event_type = 'Lock' AND strpos(query, $1) > 0";
        let blocked = async || -> Result<()> {
            let count: i64 = sqlx::query_scalar(sql).bind(text).fetch_one(&mut connection).await?;
            ensure!(count > 0, "no statement with {text:?} waits");
            Ok(())
        };
        wait::eventually(deadline, "a statement to wait for a lock", blocked).await
    }
}

/// Compares what a target showed with the truth at a time.
pub(super) fn compare(
    oracle: &Oracle,
    at: HlcTimestamp,
    actual: &[(&'static str, Vec<TextRow>)],
) -> Result<()> {
    for (expected, (table, rows)) in oracle.expected_at(at).iter().zip(actual) {
        ensure!(expected.name == *table, "tables in another order");
        if let Some(difference) = expected.first_difference(rows) {
            let counts = format!("{} rows instead of {}", rows.len(), expected.rows.len());
            bail!("at {at} the target is not what the source was: {difference} ({counts})");
        }
    }
    Ok(())
}
