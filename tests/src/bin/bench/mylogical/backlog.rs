//! A history that waits in the source's log, to be drained many times.

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use sqlx::PgConnection;
use tests::harness::fingerprint::Fingerprint;
use tests::harness::fingerprint::across::Table;

use super::servers::{MAKER, Servers};
use super::workload::{PROCEDURES, TABLES, Workload};

/// What waits at the source.
pub(crate) struct Backlog {
    /// The history.
    pub(crate) workload: Workload,
    /// The position before it.
    pub(crate) begin: String,
    /// The file of the log that it begins in.
    pub(crate) file: String,
    /// What everybody must hold at its end.
    truth: Vec<(Table, Fingerprint)>,
}

impl Backlog {
    /// Makes the tables, and then the history.
    pub(crate) async fn make(servers: &Servers, workload: Workload) -> Result<Backlog> {
        servers.prepare(&workload.at_source(), &workload.at_target()).await?;
        let maker = servers.source.create_database(MAKER).await?;
        for sql in PROCEDURES {
            maker.execute(sql).await?;
        }
        let mut source = servers.at_source().await?;
        // The log before is of no use, and reading must not begin far behind.
        source.query_drop("FLUSH BINARY LOGS").await?;
        let begin = servers.source.position().await?;
        let status: Option<Row> = source.query_first("SHOW MASTER STATUS").await?;
        let file = status.and_then(|row| row.get("File")).context("the source writes no log")?;
        // Making it need not wait for the disk.
        let flush = |synced: u8| {
            format!("SET GLOBAL sync_binlog = {synced}, GLOBAL innodb_flush_log_at_trx_commit = {synced}")
        };
        source.query_drop(flush(0)).await?;
        source.query_drop(&workload.history).await.with_context(|| workload.history.clone())?;
        source.query_drop("INSERT INTO marker VALUES (1)").await?;
        source.query_drop(flush(1)).await?;
        let mut truth = Vec::new();
        for name in TABLES {
            let table = Table::read(&mut source, name).await?;
            let found = table.at_source(&mut source).await?;
            truth.push((table, found));
        }
        source.disconnect().await?;
        Ok(Backlog { workload, begin, file, truth })
    }

    /// Fails unless the target holds what the source does.
    pub(crate) async fn verify_target(&self, target: &mut PgConnection) -> Result<()> {
        for (table, expected) in &self.truth {
            let found = table.at_target(target).await?;
            ensure!(found == *expected, "a table differs: source {expected}; target {found}");
        }
        Ok(())
    }

    /// Fails unless the replica holds what the source does.
    pub(crate) async fn verify_replica(&self, replica: &mut Conn) -> Result<()> {
        for (table, expected) in &self.truth {
            let found = table.at_source(replica).await?;
            ensure!(found == *expected, "a table differs: source {expected}; replica {found}");
        }
        Ok(())
    }
}
