//! The three servers: the source, a replica of the same product, and the target; and what they cost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tests::harness::mysql::{self, Flavor, MySqlServer};
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::wait;

use super::replica::{self, Replica};
use crate::machine;

/// The database of all servers.
pub(crate) const DATABASE: &str = "bench";
/// What the databases are copied from before each drain.
const START: &str = "start";
/// Holds what makes histories, at the source.
pub(crate) const MAKER: &str = "maker";
/// How long a reader of the log may take to go.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Settings of the target, as for `cdc-pglogical`: checkpoints are taken between drains, not within.
const TARGET: [(&str, &str); 6] = [
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "16GB"),
    ("checkpoint_timeout", "1h"),
    ("wal_compression", "off"),
    ("autovacuum", "off"),
];

/// Settings of both MariaDB servers: as much memory as the target, and a log that takes a whole drain.
const BINLOG: [&str; 4] = [
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=512M",
    "--innodb-flush-log-at-trx-commit=1",
    "--sync-binlog=1",
];

/// Source, rival and target.
pub(crate) struct Servers {
    /// Where the backlog is.
    pub(crate) source: MySqlServer,
    /// Where the rival takes it.
    pub(crate) replica: MySqlServer,
    /// Where we take it.
    pub(crate) target: PostgresServer,
    /// Whether sizes are reduced.
    pub(crate) quick: bool,
    /// Alternating pairs per ratio.
    pub(crate) pairs: u32,
    /// Whether ours is left out.
    pub(crate) rival_only: bool,
    /// The rivals of drains.
    pub(crate) replicas: Vec<Replica>,
    /// For logs of our processes.
    pub(crate) folder: TempDir,
    target_main: u32,
}

impl Servers {
    /// Starts all three.
    pub(crate) async fn start(
        quick: bool,
        pairs: u32,
        rival_only: bool,
        replicas: Vec<Replica>,
    ) -> Result<Servers> {
        let settings = TARGET.iter().fold(Settings::default(), |all, (name, value)| all.with(name, value));
        let target = PostgresServer::start(&settings).await?;
        let binlog = BINLOG.iter().fold(mysql::Settings::default(), |all, argument| all.with(argument));
        let source = MySqlServer::start(Flavor::MariaDb, &binlog).await?;
        // What a replica applies it need not log again: cheaper for the rival, and its default.
        let replica = MySqlServer::start(Flavor::MariaDb, &binlog.with("--skip-log-bin")).await?;
        let target_main = machine::main_process(&target.url("postgres")).await?;
        let folder = tempfile::tempdir()?;
        Ok(Servers { source, replica, target, quick, pairs, rival_only, replicas, folder, target_main })
    }

    /// The full size, or the reduced one.
    pub(crate) fn size(&self, full: i64, quick: i64) -> i64 {
        if self.quick { quick } else { full }
    }

    /// Settings of the source that decide about figures.
    pub(crate) async fn describe(&self) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for (name, variable) in [
            ("source", "version"),
            ("sync_binlog", "sync_binlog"),
            ("flush at commit", "innodb_flush_log_at_trx_commit"),
            ("buffer pool", "innodb_buffer_pool_size"),
        ] {
            let value = self.source.database("").value(&format!("SELECT @@GLOBAL.{variable}")).await?;
            all.push((name.to_owned(), value.unwrap_or_default()));
        }
        Ok(all)
    }

    /// Processor seconds so far: of the source, of the replica, and of the target's processes.
    pub(crate) fn cpu(&self) -> Result<[f64; 3]> {
        Ok([
            machine::tree_cpu(self.source.pid()?)?,
            machine::tree_cpu(self.replica.pid()?)?,
            machine::tree_cpu(self.target_main)?,
        ])
    }

    /// A session on the source.
    pub(crate) async fn at_source(&self) -> Result<Conn> {
        self.source.database(DATABASE).connect().await
    }

    /// A session on the replica.
    pub(crate) async fn at_replica(&self) -> Result<Conn> {
        self.replica.database(DATABASE).connect().await
    }

    /// A session on the target.
    pub(crate) async fn at_target(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.target.url(DATABASE)).await.context("cannot connect to the target")
    }

    /// Makes the tables with their first rows everywhere; SQL for MariaDB and for PostgreSQL. The log of the source
    /// begins anew behind them.
    pub(crate) async fn prepare(&self, binlog: &[String], target: &str) -> Result<()> {
        for (server, database) in [(&self.source, DATABASE), (&self.replica, START)] {
            let made = server.create_database(database).await?;
            let mut session = made.connect().await?;
            for sql in binlog {
                session.query_drop(sql).await.with_context(|| sql.clone())?;
            }
            session.disconnect().await?;
        }
        self.target.create_database(START).await?.execute(target).await?;
        let mut start = PgConnection::connect(&self.target.url(START)).await?;
        execute(&mut start, "VACUUM (FREEZE, ANALYZE)").await?;
        start.close().await.context("cannot disconnect")
    }

    /// Brings the target back to its start state, and all that was written to disk.
    pub(crate) async fn restore_target(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.target.url("postgres")).await?;
        execute(&mut connection, &format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
        execute(&mut connection, &format!("CREATE DATABASE {DATABASE} TEMPLATE {START}")).await?;
        execute(&mut connection, "CHECKPOINT").await?;
        connection.close().await.context("cannot disconnect")
    }

    /// The same for the replica, which follows nobody afterwards.
    pub(crate) async fn restore_replica(&self, tables: &[&str]) -> Result<()> {
        let mut session = self.replica.database("").connect().await?;
        replica::forget(&mut session).await?;
        session.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}; CREATE DATABASE {DATABASE}")).await?;
        for table in tables {
            let copy = format!(
                "CREATE TABLE {DATABASE}.{table} LIKE {START}.{table}; \
                 INSERT INTO {DATABASE}.{table} SELECT * FROM {START}.{table} ORDER BY id; \
                 ANALYZE TABLE {DATABASE}.{table}"
            );
            session.query_drop(&copy).await.context(copy)?;
        }
        // Nothing else writes all pages of a table at once.
        let all = tables.iter().map(|table| format!("{DATABASE}.{table}")).collect::<Vec<_>>().join(", ");
        session.query_drop(format!("FLUSH TABLES {all} FOR EXPORT; UNLOCK TABLES")).await?;
        session.disconnect().await.context("cannot disconnect")
    }

    /// Waits until nobody reads the source's log any more. Sessions whose readers have gone are ended: they would find out
    /// only when they have something to say.
    pub(crate) async fn until_unread(&self) -> Result<()> {
        let mut source = self.at_source().await?;
        let left: Vec<u64> = source.query(format!("SELECT id {READERS}")).await?;
        for session in left {
            // It may have ended by itself.
            drop(source.query_drop(format!("KILL {session}")).await);
        }
        wait::eventually(QUIET_WITHIN, "the log to be let go", async || {
            let readers = readers(&mut source).await?;
            ensure!(readers == 0, "{readers} read it");
            anyhow::Ok(())
        })
        .await?;
        source.disconnect().await.context("cannot disconnect")
    }
}

const READERS: &str = "FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";

/// How many sessions read the source's log.
pub(crate) async fn readers(source: &mut Conn) -> Result<u64> {
    source.query_first(format!("SELECT COUNT(*) {READERS}")).await?.context("no answer")
}

/// Runs SQL that is made here.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.map(|_| ()).with_context(|| sql.to_owned())
}
