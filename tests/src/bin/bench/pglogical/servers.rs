//! The two servers, their databases, and what both cost.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::wait;

use super::commits::Commits;
use crate::machine;

/// The database of both servers, and its schema.
pub(crate) const DATABASE: &str = "bench";
/// The publication that everything is in.
pub(crate) const PUBLICATION: &str = "bench";
/// How long sessions may take to end.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// What the target's database is copied from before each drain.
const START: &str = "start";

/// Settings of both servers. Checkpoints are taken between drains, not within; autovacuum would come at moments of its
/// own to one drain and not to another.
const SETTINGS: [(&str, &str); 6] = [
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("wal_compression", "off"),
    ("autovacuum", "off"),
];

/// Source and target.
pub(crate) struct Servers {
    /// Where the backlog is.
    pub(crate) source: PostgresServer,
    /// Where it goes.
    pub(crate) target: PostgresServer,
    /// Whether sizes are reduced.
    pub(crate) quick: bool,
    /// Alternating pairs per ratio.
    pub(crate) pairs: u32,
    /// Whether ours is left out.
    pub(crate) rival_only: bool,
    /// How drains commit.
    pub(crate) commits: Vec<Commits>,
    /// For logs of our processes.
    pub(crate) folder: TempDir,
    main: [u32; 2],
}

impl Servers {
    /// Starts both.
    pub(crate) async fn start(
        quick: bool,
        pairs: u32,
        rival_only: bool,
        commits: Vec<Commits>,
    ) -> Result<Servers> {
        let settings = SETTINGS.iter().fold(Settings::default(), |all, (name, value)| all.with(name, value));
        let target = PostgresServer::start(&settings).await?;
        let source = PostgresServer::start(&settings.with("wal_level", "logical")).await?;
        let main = [
            machine::main_process(&source.url("postgres")).await?,
            machine::main_process(&target.url("postgres")).await?,
        ];
        Ok(Servers { source, target, quick, pairs, rival_only, commits, folder: tempfile::tempdir()?, main })
    }

    /// The full size, or the reduced one.
    pub(crate) fn size(&self, full: i64, quick: i64) -> i64 {
        if self.quick { quick } else { full }
    }

    /// Processor seconds so far: of the source's processes, and of the target's.
    pub(crate) fn cpu(&self) -> Result<[f64; 2]> {
        Ok([machine::tree_cpu(self.main[0])?, machine::tree_cpu(self.main[1])?])
    }

    /// A session on the source.
    pub(crate) async fn at_source(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.source.url(DATABASE)).await.context("cannot connect to the source")
    }

    /// A session on the target.
    pub(crate) async fn at_target(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.target.url(DATABASE)).await.context("cannot connect to the target")
    }

    /// Writes everything out on both sides, so that no drain pays for the one before.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        for server in [&self.source, &self.target] {
            let mut connection = PgConnection::connect(&server.url("postgres")).await?;
            sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// Makes the tables with their first rows on both sides by the same SQL; at the source also what `extra` makes,
    /// and a publication of `tables`. What earlier figures left is thrown away.
    pub(crate) async fn prepare(&self, sql: &str, extra: &str, tables: &[&str]) -> Result<()> {
        self.clean().await?;
        self.source.create_database(DATABASE).await?.execute(sql).await?;
        self.target.create_database(START).await?.execute(sql).await?;
        let mut source = self.at_source().await?;
        let publication = format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE {}", tables.join(", "));
        for statement in [extra, &publication, "VACUUM (FREEZE, ANALYZE)"] {
            execute(&mut source, statement).await?;
        }
        let mut start = PgConnection::connect(&self.target.url(START)).await?;
        execute(&mut start, "VACUUM (FREEZE, ANALYZE)").await?;
        start.close().await?;
        source.close().await.context("cannot disconnect")
    }

    /// Brings the target back to its start state, and all that was written to disk.
    pub(crate) async fn restore(&self) -> Result<()> {
        self.drop_subscriptions().await?;
        let mut connection = PgConnection::connect(&self.target.url("postgres")).await?;
        execute(&mut connection, &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        execute(&mut connection, &format!("CREATE DATABASE {DATABASE} TEMPLATE {START}")).await?;
        connection.close().await?;
        self.checkpoint().await
    }

    /// Removes subscriptions and slots, whoever uses them.
    pub(crate) async fn clean(&self) -> Result<()> {
        self.drop_subscriptions().await?;
        let mut source = PgConnection::connect(&self.source.url("postgres")).await?;
        let slots: Vec<String> = sqlx::query_scalar("SELECT slot_name::text FROM pg_replication_slots")
            .fetch_all(&mut source)
            .await?;
        for slot in slots {
            self.drop_slot(&slot).await?;
        }
        source.close().await.context("cannot disconnect")
    }

    /// Drops a slot, once nobody uses it any more.
    pub(crate) async fn drop_slot(&self, slot: &str) -> Result<()> {
        let mut source = PgConnection::connect(&self.source.url("postgres")).await?;
        let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1";
        sqlx::query(end).bind(slot).execute(&mut source).await?;
        wait::eventually(QUIET_WITHIN, "a slot to be let go", async || {
            sqlx::query("SELECT pg_drop_replication_slot($1)").bind(slot).execute(&mut source).await
        })
        .await?;
        source.close().await.context("cannot disconnect")
    }

    /// Drops the subscriptions of the target's database without touching their slots.
    pub(crate) async fn drop_subscriptions(&self) -> Result<()> {
        let mut server = PgConnection::connect(&self.target.url("postgres")).await?;
        let sql = "SELECT quote_ident(subname) FROM pg_subscription";
        let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut server).await?;
        server.close().await?;
        if names.is_empty() {
            return Ok(());
        }
        let mut target = self.at_target().await?;
        for name in names {
            for step in [
                format!("ALTER SUBSCRIPTION {name} DISABLE"),
                format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {name}"),
            ] {
                execute(&mut target, &step).await?;
            }
        }
        target.close().await.context("cannot disconnect")
    }
}

/// Runs SQL that is made here.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.map(|_| ()).with_context(|| sql.to_owned())
}
