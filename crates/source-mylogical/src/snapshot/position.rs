//! Positions of the log around a copy: one that is before everything the copy can see, and one that is behind.
//!
//! MySQL counts a transaction among those it has after its rows can be seen, MariaDB before. So each product needs care at
//! one end: MariaDB where the stream begins (its `gtid_binlog_pos` names transactions that a reader does not see yet, seen
//! on 10.11 and 11.8), MySQL where the copy ends.

use std::collections::BTreeSet;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure};

use crate::Flavor;
use crate::catalog;
use crate::gtid::GtidSet;
use crate::transport::{Session, TransportError};

const POSITION: &str = "ask the source for its position";
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(60);
/// A transaction that is being committed is counted within this time; one that takes longer is held by something else,
/// such as a replica's worker, and has shown nothing yet.
const COUNTED: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);

/// A position that holds nothing but what a reader sees from now on.
///
/// # Errors
/// The connection's; `Retry` while a prepared transaction is undecided: its rows would be neither in the copy nor behind the
/// position.
pub(super) async fn before(session: &mut Session) -> Result<GtidSet, Failure> {
    undecided(session).await?;
    match session.flavor() {
        Flavor::MySql => catalog::position(session).await.map_err(|e| e.failed(POSITION)),
        Flavor::MariaDb => of_snapshot(session).await,
    }
}

/// MariaDB: the position of a consistent snapshot is exactly what the snapshot shows.
async fn of_snapshot(session: &mut Session) -> Result<GtidSet, Failure> {
    let failed = |error: TransportError| error.failed(POSITION);
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT", LIMIT).await.map_err(failed)?;
    let asked = place(session).await;
    session.run("ROLLBACK", LIMIT).await.map_err(failed)?;
    let (file, at) = asked.map_err(failed)?.ok_or_else(|| {
        let reason = "the server does not tell where in its binary log a snapshot is; is log_bin off?";
        Failure::new(Disposition::Halt, POSITION, reason)
    })?;
    let found: Vec<Option<String>> =
        session.rows("SELECT BINLOG_GTID_POS(?, ?)", (file, at), LIMIT).await.map_err(failed)?;
    let Some(text) = found.into_iter().next().flatten() else {
        // The file was deleted in between; the next snapshot is in another.
        let reason = "the binary log moved on while it was asked for its position";
        return Err(Failure::new(Disposition::Retry, POSITION, reason));
    };
    parse(Flavor::MariaDb, &text)
}

async fn place(session: &mut Session) -> Result<Option<(String, u64)>, TransportError> {
    let sql = "SHOW STATUS LIKE 'binlog_snapshot_%'";
    let rows: Vec<(String, String)> = session.rows(sql, (), LIMIT).await?;
    let value = |name: &str| {
        let found = rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let at = value("binlog_snapshot_position").and_then(|at| at.parse().ok());
    Ok(value("binlog_snapshot_file").zip(at))
}

/// A position that holds everything that a reader has seen until now.
///
/// # Errors
/// The connection's.
pub(super) async fn behind(session: &mut Session) -> Result<GtidSet, Failure> {
    if session.flavor() == Flavor::MySql {
        let begun = tokio::time::Instant::now();
        let first = owned(session).await?;
        while begun.elapsed() < COUNTED && !owned(session).await?.is_disjoint(&first) {
            tokio::time::sleep(AGAIN).await;
        }
    }
    catalog::position(session).await.map_err(|e| e.failed(POSITION))
}

/// The transactions that sessions are committing, or hold by name.
async fn owned(session: &mut Session) -> Result<BTreeSet<String>, Failure> {
    let rows: Vec<Option<String>> =
        session.rows("SELECT @@GLOBAL.gtid_owned", (), LIMIT).await.map_err(|e| e.failed(POSITION))?;
    Ok(owners(&rows.into_iter().flatten().collect::<Vec<_>>().join(",")))
}

/// `uuid:7#41:8#42,uuid:…`, each number with the session that has it.
fn owners(text: &str) -> BTreeSet<String> {
    let of_server = |server: &str| {
        let mut parts = server.trim().split(':');
        let uuid = parts.next().unwrap_or_default().to_owned();
        parts.map(|part| format!("{uuid}:{part}")).collect::<Vec<_>>()
    };
    text.split(',').flat_map(of_server).collect()
}

/// Whether the source has transactions that are prepared and not decided. Not everybody may ask MySQL.
async fn undecided(session: &mut Session) -> Result<(), Failure> {
    let asked: Result<Vec<mysql_async::Row>, _> = session.rows("XA RECOVER", (), LIMIT).await;
    match asked {
        Ok(rows) if rows.is_empty() => Ok(()),
        Ok(rows) => {
            let reason = format!(
                "the source has {} prepared transactions that are neither committed nor rolled back (XA RECOVER); the copy \
                 begins when they are decided",
                rows.len()
            );
            Err(Failure::new(Disposition::Retry, POSITION, reason))
        }
        Err(TransportError::Server(error)) => {
            tracing::debug!(%error, "not told whether the source has prepared transactions");
            Ok(())
        }
        Err(error) => Err(error.failed(POSITION)),
    }
}

/// A position as the source or the target wrote it.
pub(super) fn parse(flavor: Flavor, text: &str) -> Result<GtidSet, Failure> {
    GtidSet::parse(flavor, text).map_err(|e| Failure::new(Disposition::Halt, POSITION, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_told_apart() {
        let owners = owners(
            "3e11fa47-71ca-11e1-9e33-c80aa9429562:7#41:9#42,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1#5",
        );
        assert_eq!(owners.len(), 3);
        assert!(owners.contains("3e11fa47-71ca-11e1-9e33-c80aa9429562:9#42"));
        assert!(super::owners("").is_empty());
    }
}
