//! A history that waits at the source behind a slot, to be drained many times.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use sqlx::{Connection, PgConnection};
use tests::harness::fingerprint::{self, Fingerprint};

use super::servers::{DATABASE, Servers, execute};
use super::workload::{PROCEDURES, Workload};

/// The slot that holds the history; each drain works on a copy.
const SLOT: &str = "backlog";

/// What waits at the source.
pub(crate) struct Backlog {
    /// The history.
    pub(crate) workload: Workload,
    /// What both sides must hold at its end: table, columns, fingerprint.
    truth: Vec<(String, Vec<String>, Fingerprint)>,
    copies: std::cell::Cell<u32>,
}

impl Backlog {
    /// Makes the tables, the slot, and then the history.
    pub(crate) async fn make(servers: &Servers, workload: Workload) -> Result<Backlog> {
        let tables: Vec<&str> = workload.tables.iter().copied().chain(["marker"]).collect();
        servers.prepare(&workload.start, PROCEDURES, &tables).await?;
        let mut source = servers.at_source().await?;
        execute(&mut source, &format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"))
            .await?;
        try_join_all(workload.history.iter().map(|statement| alone(servers, statement))).await?;
        execute(&mut source, "INSERT INTO marker VALUES (1)").await?;
        let mut truth = Vec::new();
        for table in tables {
            let columns = fingerprint::columns(&mut source, table).await?;
            let found = fingerprint::of(&mut source, table, &columns).await?;
            truth.push((table.to_owned(), columns, found));
        }
        source.close().await?;
        Ok(Backlog { workload, truth, copies: std::cell::Cell::new(0) })
    }

    /// A fresh slot that holds the whole history.
    pub(crate) async fn slot(&self, servers: &Servers) -> Result<String> {
        self.copies.set(self.copies.get() + 1);
        let name = format!("drain_{}", self.copies.get());
        let mut source = servers.at_source().await?;
        execute(&mut source, &format!("SELECT pg_copy_logical_replication_slot('{SLOT}', '{name}')")).await?;
        source.close().await?;
        Ok(name)
    }

    /// Fails unless the target holds what the source does.
    pub(crate) async fn verify(&self, target: &mut PgConnection) -> Result<()> {
        for (table, columns, expected) in &self.truth {
            let found = fingerprint::of(target, table, columns).await?;
            ensure!(found == *expected, "table {table} differs: source {expected}; target {found}");
        }
        Ok(())
    }

    /// Lets the source forget the history.
    pub(crate) async fn discard(self, servers: &Servers) -> Result<()> {
        servers.clean().await
    }
}

/// Runs a statement in a session of its own that does not wait for the disk.
async fn alone(servers: &Servers, statement: &str) -> Result<()> {
    let mut session = PgConnection::connect(&servers.source.url(DATABASE)).await?;
    execute(&mut session, "SET synchronous_commit = off").await?;
    execute(&mut session, statement).await?;
    session.close().await.context("cannot disconnect")
}
