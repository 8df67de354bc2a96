//! What all figures share: the server, fresh databases, and a service per run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tests::harness::database::Database;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::{Service, ServiceProcess};

use crate::figure::Pair;

/// The one database that is made anew for every run; bodies are rendered once, for its path.
pub(crate) const DATABASE: &str = "bench";
/// Where rows are posted.
pub(crate) const PATH: &str = "/bench/public";
/// Longest wait for rows to become visible.
const VISIBLE_WITHIN: Duration = Duration::from_secs(600);

/// Settings of the server, the same for both sides. Checkpoints are taken between runs, not within.
const SERVER_SETTINGS: [(&str, &str); 5] = [
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("wal_compression", "off"),
];

/// What all figures share.
pub(crate) struct Bench {
    /// The target server of both sides.
    pub(crate) server: PostgresServer,
    /// Whether sizes are reduced.
    pub(crate) quick: bool,
    pairs: u32,
    folder: TempDir,
}

impl Bench {
    /// Starts the server.
    pub(crate) async fn start(quick: bool, pairs: u32) -> Result<Bench> {
        let settings =
            SERVER_SETTINGS.iter().fold(Settings::default(), |all, (name, value)| all.with(name, value));
        let server = PostgresServer::start(&settings).await?;
        Ok(Bench { server, quick, pairs, folder: tempfile::tempdir()? })
    }

    /// The full size, or the reduced one.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// An empty database with these tables, after a checkpoint.
    pub(crate) async fn database(&self, ddl: &str) -> Result<Database> {
        let database = self.server.create_database(DATABASE).await?;
        database.execute(ddl).await?;
        self.checkpoint().await?;
        Ok(database)
    }

    /// Writes everything out, so that no run pays for the one before.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.server.url("postgres")).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await?;
        connection.close().await.context("cannot disconnect")
    }

    /// A service on the database.
    pub(crate) async fn service(&self, name: &str, flags: &[&str]) -> Result<ServiceProcess> {
        self.service_with(name, true, flags).await
    }

    /// A service on the database that asks for tokens unless it is `open`.
    pub(crate) async fn service_with(
        &self,
        name: &str,
        open: bool,
        flags: &[&str],
    ) -> Result<ServiceProcess> {
        let url = self.server.url(DATABASE);
        let access = format!("--disableAuthentication={open}");
        let usual = ["start", "--conn", url.as_str(), "--stagingCreateSchema", access.as_str()];
        let service = Service::new("cdc-webhook").named(name).args(usual).args(flags.iter().copied());
        ServiceProcess::start(service, self.folder.path()).await
    }

    /// Ends a service and fails if it complained of anything: a figure with errors behind it is worth nothing.
    pub(crate) async fn end(&self, mut service: ServiceProcess, announced: &[&str]) -> Result<()> {
        let code = service.terminate(Duration::from_secs(60)).await?;
        ensure!(code == Some(0), "cdc-webhook ended with {code:?}:\n{}", service.log_tail());
        let odd = service.unexpected_lines(announced)?;
        ensure!(odd.is_empty(), "cdc-webhook complained: {:#?}", &odd[..odd.len().min(5)]);
        std::fs::remove_file(service.log()).context("cannot remove a log")
    }

    /// Runs alternating pairs: whoever came first comes second the next time. `run` answers a rate.
    pub(crate) async fn pairs(&self, mut run: impl AsyncFnMut(Side) -> Result<f64>) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        for at in 0..self.pairs {
            let pair = if at % 2 == 0 {
                let rival = run(Side::Rival).await?;
                Pair { ours: run(Side::Ours).await?, rival }
            } else {
                let ours = run(Side::Ours).await?;
                Pair { ours, rival: run(Side::Rival).await? }
            };
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// How many pairs are asked for.
    pub(crate) fn pair_count(&self) -> u32 {
        self.pairs
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The product.
    Ours,
    /// What it is compared with.
    Rival,
}

/// Waits until the frontier has reached a time, looking every few milliseconds; returns when that was seen.
pub(crate) async fn until_applied(connection: &mut PgConnection, nanos: i64) -> Result<Instant> {
    let begin = Instant::now();
    loop {
        let applied: Option<i64> = sqlx::query_scalar("SELECT max(applied_nanos) FROM _cdc_sink.frontiers")
            .fetch_one(&mut *connection)
            .await?;
        if applied.is_some_and(|applied| applied >= nanos) {
            return Ok(Instant::now());
        }
        ensure!(
            begin.elapsed() < VISIBLE_WITHIN,
            "not applied within {VISIBLE_WITHIN:?}: {applied:?} of {nanos}"
        );
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// One number from the database.
pub(crate) async fn number(connection: &mut PgConnection, sql: &str) -> Result<i64> {
    let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
    query.fetch_one(connection).await.with_context(|| sql.to_owned())
}

/// A rate from a count and its time.
pub(crate) fn rate(rows: usize, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}
