//! A MySQL or MariaDB source, a PostgreSQL target, and `cdc-mylogical` between them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use source_mylogical::Flavor;
use source_mylogical::gtid::{GtidSet, LogPosition};
use tests::harness::database::Database;
use tests::harness::fingerprint::source::same;
use tests::harness::mysql::{self, SourceDatabase};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

/// Longest wait until the target has what the source has.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Both sides. The target is the scenario's database.
pub(crate) struct MyPair {
    pub(crate) origin: SourceDatabase,
    pub(crate) target: Database,
    /// The source's position before anything of the scenario was done there.
    pub(crate) begin: String,
    folder: std::path::PathBuf,
}

impl MyPair {
    /// Makes the tables on both sides. The source is the scenario's database at a server that others use as well.
    pub(crate) async fn start(ctx: &Ctx, source: &str, target: &str) -> Result<MyPair> {
        Self::start_with(ctx, ctx.source().clone(), source, target).await
    }

    /// As [`start`](Self::start), with a source of the caller's.
    pub(crate) async fn start_with(
        ctx: &Ctx,
        origin: SourceDatabase,
        source: &str,
        target: &str,
    ) -> Result<MyPair> {
        let begin = origin.position().await?;
        let pair = MyPair { origin, target: ctx.target().clone(), begin, folder: ctx.folder().to_owned() };
        if !source.is_empty() {
            pair.origin.execute(source).await.context("the source's tables")?;
        }
        pair.target.execute(target).await.context("the target's tables")?;
        Ok(pair)
    }

    /// The program with the flags that every run needs, not started yet.
    pub(crate) fn service(&self) -> Service {
        self.service_from(&self.origin.url())
    }

    /// As [`service`](Self::service), reaching the source another way.
    pub(crate) fn service_from(&self, source: &str) -> Service {
        Service::new("cdc-mylogical").bind_flag("--metricsAddr").args([
            "start",
            "--sourceConn",
            source,
            "--targetConn",
            self.target.url(),
            "--defaultGTIDSet",
            &self.begin,
            "--standbyTimeout",
            "200ms",
            "--retryDelay",
            "1s",
        ])
    }

    /// Starts it and waits until it streams.
    pub(crate) async fn run(&self) -> Result<ServiceProcess> {
        ServiceProcess::start(self.service(), &self.folder).await
    }

    /// The scenario's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until everything that the source has committed by now is in the target.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        let flavor = self.flavor();
        let end = GtidSet::parse(flavor, &self.origin.position().await?)?;
        wait::eventually(CATCH_UP, "the target has what the source has", async || {
            let stored = self.stored().await?;
            let stored = LogPosition::parse(flavor, &stored)?;
            ensure!(stored.applied().has_passed(&end), "stored is {stored}, to reach is {end}");
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// The stored position of the feed; empty if there is none.
    pub(crate) async fn stored(&self) -> Result<String> {
        let mut target = self.target.connect().await?;
        let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = 'mylogical'";
        let stored: Option<String> = sqlx::query_scalar(sql).fetch_optional(&mut target).await?;
        Ok(stored.unwrap_or_default())
    }

    /// Fails unless both sides hold the same rows in these tables.
    pub(crate) async fn same(&self, tables: &[&str]) -> Result<()> {
        same(&self.origin, &self.target, tables).await
    }

    /// Waits, then compares.
    pub(crate) async fn arrives(&self, tables: &[&str]) -> Result<()> {
        self.caught_up().await?;
        self.same(tables).await
    }

    fn flavor(&self) -> Flavor {
        match self.origin.flavor() {
            mysql::Flavor::MySql => Flavor::MySql,
            mysql::Flavor::MariaDb => Flavor::MariaDb,
        }
    }
}
