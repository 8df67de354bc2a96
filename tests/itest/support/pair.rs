//! A PostgreSQL source, a PostgreSQL target, and `cdc-pglogical` between them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use source_pglogical::Lsn;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::harness::database::Database;
use tests::harness::postgres::PostgresServer;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

use super::replication;

/// Longest wait until the target has what the source has.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(60);
/// Text forms that do not depend on the server's defaults.
const PINNED: &str = "SET datestyle = ISO; SET intervalstyle = postgres; SET timezone = UTC; SET bytea_output = hex; \
                      SET extra_float_digits = 3; SET search_path = pg_catalog; SET lc_monetary = 'C'";

/// Both sides. The source is a server of its own, so that it can be stopped; the target is the scenario's database.
pub(crate) struct Pair {
    pub(crate) source: PostgresServer,
    pub(crate) origin: Database,
    pub(crate) target: Database,
    folder: std::path::PathBuf,
}

impl Pair {
    /// Starts the source and makes the same tables on both sides.
    pub(crate) async fn start(ctx: &Ctx, ddl: &str) -> Result<Pair> {
        Self::start_with(ctx, replication::server().await?, ctx.target().clone(), ddl).await
    }

    /// As [`start`](Self::start), with a source and a target of the caller's.
    pub(crate) async fn start_with(
        ctx: &Ctx,
        source: PostgresServer,
        target: Database,
        ddl: &str,
    ) -> Result<Pair> {
        let origin = source.create_database("origin").await?;
        let pair = Pair { source, origin, target, folder: ctx.folder().to_owned() };
        pair.origin.execute(ddl).await.context("the source's tables")?;
        pair.target.execute(ddl).await.context("the target's tables")?;
        Ok(pair)
    }

    /// As the documents have it: the publication first, then the slot.
    pub(crate) async fn publish(&self, what: &str) -> Result<()> {
        self.origin.execute(&format!("CREATE PUBLICATION my_pub {what}")).await?;
        replication::create_slot(&mut self.origin.connect().await?, "cdc_sink").await
    }

    /// The program with the flags that every run needs, not started yet.
    pub(crate) fn service(&self) -> Service {
        self.service_to(self.target.url())
    }

    /// As [`service`](Self::service), reaching the target another way.
    pub(crate) fn service_to(&self, target: &str) -> Service {
        self.service_between(self.origin.url(), target)
    }

    /// As [`service`](Self::service), reaching both another way.
    pub(crate) fn service_between(&self, source: &str, target: &str) -> Service {
        Service::new("cdc-pglogical").bind_flag("--metricsAddr").args([
            "start",
            "--sourceConn",
            source,
            "--targetConn",
            target,
            "--publicationName",
            "my_pub",
            "--standbyTimeout",
            "200ms",
            "--retryDelay",
            "1s",
        ])
    }

    /// Starts it and waits until it streams.
    pub(crate) async fn run(&self) -> Result<ServiceProcess> {
        ServiceProcess::start(self.service(), self.folder()).await
    }

    /// The scenario's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until everything that the source has committed by now is in the target.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        let mut origin = self.origin.connect().await?;
        // A record of its own, so that the log goes beyond whatever was committed before.
        let marker = "SELECT pg_logical_emit_message(true, 'itest', '')::text";
        let end: String = sqlx::query_scalar(marker).fetch_one(&mut origin).await?;
        let end: Lsn = end.parse()?;
        wait::eventually(CATCH_UP, "the target has what the source has", async || {
            let stored = self.stored().await?;
            ensure!(stored >= end, "stored is {stored}, to reach is {end}");
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// The stored position of the feed; zero if there is none.
    pub(crate) async fn stored(&self) -> Result<Lsn> {
        let mut target = self.target.connect().await?;
        let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = 'pglogical'";
        let stored: Option<String> = sqlx::query_scalar(sql).fetch_optional(&mut target).await?;
        Ok(stored.map(|stored| stored.parse()).transpose()?.unwrap_or(Lsn::ZERO))
    }

    /// Fails unless both sides hold the same rows in these tables.
    pub(crate) async fn same(&self, tables: &[&str]) -> Result<()> {
        for table in tables {
            let (ours, theirs) =
                (fingerprint(&self.origin, table).await?, fingerprint(&self.target, table).await?);
            if ours != theirs {
                bail!(
                    "{table}: {} at the source, {} in the target",
                    differing(&ours, &theirs),
                    differing(&theirs, &ours)
                );
            }
        }
        Ok(())
    }
}

/// A connection that prints values the same on both sides.
pub(crate) async fn pinned(database: &Database) -> Result<PgConnection> {
    let mut connection = database.connect().await?;
    sqlx::raw_sql(PINNED).execute(&mut connection).await?;
    Ok(connection)
}

/// All rows of a table as text, in an order that depends on them alone.
pub(crate) async fn fingerprint(database: &Database, table: &str) -> Result<Vec<String>> {
    let mut connection = pinned(database).await?;
    // Columns by name: their order may differ.
    let columns = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute \
                   WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped";
    let columns: String = sqlx::query_scalar(columns).bind(table).fetch_one(&mut connection).await?;
    let sql = format!("SELECT ROW({columns})::text FROM {table} ORDER BY 1");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn differing(of: &[String], from: &[String]) -> String {
    const SHOWN: usize = 3;
    let from: std::collections::HashSet<&String> = from.iter().collect();
    let only: Vec<_> = of.iter().filter(|row| !from.contains(row)).collect();
    let shown = only.iter().take(SHOWN).map(|row| row.as_str()).collect::<Vec<_>>().join(" ");
    format!("{} rows, {} of them only there ({shown})", of.len(), only.len())
}
