//! The rival: another server of the same product that replicates as such servers do among themselves.

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use tests::harness::mysql::MySqlServer;

use super::servers::DATABASE;

/// How the replica applies and commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Replica {
    /// One transaction after the other, as by default.
    Serial,
    /// Four at a time.
    Parallel,
    /// Four at a time, and no commit waits for the disk.
    Relaxed,
}

impl Replica {
    /// What figures are called by.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Serial => "serial replica",
            Self::Parallel => "parallel replica",
            Self::Relaxed => "relaxed replica",
        }
    }

    /// What that is.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Serial => "slave_parallel_threads = 0, innodb_flush_log_at_trx_commit = 1",
            Self::Parallel => {
                "slave_parallel_threads = 4, slave_parallel_mode = optimistic, innodb_flush_log_at_trx_commit = 1"
            }
            Self::Relaxed => {
                "slave_parallel_threads = 4, slave_parallel_mode = optimistic, innodb_flush_log_at_trx_commit = 2"
            }
        }
    }

    fn settings(self) -> [(&'static str, &'static str); 3] {
        let (threads, flush) = match self {
            Self::Serial => ("0", "1"),
            Self::Parallel => ("4", "1"),
            Self::Relaxed => ("4", "2"),
        };
        [
            ("slave_parallel_threads", threads),
            ("slave_parallel_mode", "'optimistic'"),
            ("innodb_flush_log_at_trx_commit", flush),
        ]
    }
}

/// Forgets whatever the replica followed.
pub(crate) async fn forget(replica: &mut Conn) -> Result<()> {
    for sql in ["STOP SLAVE", "RESET SLAVE ALL"] {
        replica.query_drop(sql).await.context(sql)?;
    }
    Ok(())
}

/// Sets the replica up to go on after `position`, without starting it.
pub(crate) async fn follow(
    replica: &mut Conn,
    source: &MySqlServer,
    position: &str,
    how: Replica,
) -> Result<()> {
    forget(replica).await?;
    for (name, value) in how.settings() {
        let sql = format!("SET GLOBAL {name} = {value}");
        replica.query_drop(&sql).await.context(sql)?;
    }
    let address = source.address();
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = 'root', MASTER_PASSWORD = '', \
         MASTER_SSL = 0, MASTER_USE_GTID = slave_pos",
        address.ip(),
        address.port()
    );
    for sql in [format!("SET GLOBAL gtid_slave_pos = '{position}'"), change] {
        replica.query_drop(&sql).await.context(sql)?;
    }
    Ok(())
}

/// Fails if the replica has stopped.
pub(crate) async fn alive(replica: &mut Conn) -> Result<()> {
    let status: Option<Row> = replica.query_first("SHOW SLAVE STATUS").await?;
    let status = status.context("the replica follows nobody")?;
    let field = |name: &str| status.get::<Option<String>, _>(name).flatten().unwrap_or_default();
    let errors = [field("Last_IO_Error"), field("Last_SQL_Error")].concat();
    ensure!(errors.is_empty() && field("Slave_SQL_Running") == "Yes", "the replica of {DATABASE}: {errors}");
    Ok(())
}
