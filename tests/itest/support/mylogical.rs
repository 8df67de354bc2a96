//! A MySQL or MariaDB source, a PostgreSQL target, and `cdc-mylogical` between them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::harness::database::{Database, Product};
use tests::harness::fingerprint::source;
use tests::harness::mysql::SourceDatabase;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

use super::pair::CATCH_UP;

/// A table of our own on both sides: what was committed before a row of it is in the target when the row is.
const MARKER: &str = "CREATE TABLE itest_marker (id bigint PRIMARY KEY)";

/// Both sides. Their databases are called the same.
pub(crate) struct MyPair {
    pub(crate) origin: SourceDatabase,
    pub(crate) target: Database,
    /// The source's position when its tables were made.
    pub(crate) begin: String,
    folder: PathBuf,
}

impl MyPair {
    /// On the shared servers: makes the tables of both sides.
    pub(crate) async fn start(ctx: &Ctx, source_ddl: &str, target_ddl: &str) -> Result<MyPair> {
        MyPair::between(ctx, ctx.source().clone(), ctx.target().clone(), source_ddl, target_ddl).await
    }

    /// Another pair of databases on the same servers.
    pub(crate) async fn another(
        &self,
        ctx: &Ctx,
        name: &str,
        source_ddl: &str,
        target_ddl: &str,
    ) -> Result<MyPair> {
        let target = Database::create(self.target.url(), Product::Postgres, name).await?;
        let origin = self.origin.another(target.name()).await?;
        MyPair::between(ctx, origin, target, source_ddl, target_ddl).await
    }

    async fn between(
        ctx: &Ctx,
        origin: SourceDatabase,
        target: Database,
        source_ddl: &str,
        target_ddl: &str,
    ) -> Result<MyPair> {
        origin.execute(MARKER).await?;
        target.execute(MARKER).await?;
        for statement in split(source_ddl) {
            origin.execute(statement).await.context("the source's tables")?;
        }
        target.execute(target_ddl).await.context("the target's tables")?;
        let begin = origin.position().await?;
        Ok(MyPair { origin, target, begin, folder: ctx.folder().to_owned() })
    }

    /// The scenario's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program with the flags that every run needs, not started yet.
    pub(crate) fn service(&self) -> Service {
        self.service_between(&self.origin.url(), self.target.url())
    }

    /// As [`service`](Self::service), reaching both another way.
    pub(crate) fn service_between(&self, source: &str, target: &str) -> Service {
        Service::new("cdc-mylogical").bind_flag("--metricsAddr").args([
            "start",
            "--sourceConn",
            source,
            "--targetConn",
            target,
            "--targetDB",
            self.target.name(),
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
        ServiceProcess::start(self.service(), self.folder()).await
    }

    /// Runs statements at the source, one transaction each unless they say otherwise.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        self.origin.execute(sql).await
    }

    /// Waits until everything that the source has committed by now is in the target.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        let next = "SELECT CAST(COALESCE(MAX(id), 0) + 1 AS char) FROM itest_marker";
        let marker = self.origin.value(next).await?.context("no marker")?;
        self.execute(&format!("INSERT INTO itest_marker VALUES ({marker})")).await?;
        wait::eventually(CATCH_UP, "the target has what the source has", async || {
            let mut target = self.target.connect().await?;
            let there: Option<i64> =
                sqlx::query_scalar("SELECT max(id) FROM itest_marker").fetch_one(&mut target).await?;
            let there = there.unwrap_or(0);
            ensure!(there.to_string() == marker, "marker {there} instead of {marker}");
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// Fails unless both sides hold the same rows in these tables, which are called the same in schema `public`.
    pub(crate) async fn same<T: AsRef<str>>(&self, tables: &[T]) -> Result<()> {
        source::same(&self.origin, &self.target, tables).await
    }
}

/// Some tables and what happens to them at the source.
pub(crate) struct MyStory<'a> {
    /// The source's tables; statements end at the end of a line.
    pub(crate) source: &'a str,
    /// The target's tables.
    pub(crate) target: &'a str,
    /// Each on a connection of its own.
    pub(crate) steps: &'a [&'a str],
    /// The tables that are compared.
    pub(crate) compared: &'a [&'a str],
}

impl MyStory<'_> {
    /// Lets everything happen twice: once while the program is away, so that it comes as a backlog and is folded, and
    /// once step by step, comparing after each. Answers the second pair with its running program.
    pub(crate) async fn happens(&self, ctx: &Ctx) -> Result<(MyPair, ServiceProcess)> {
        let backlog = MyPair::start(ctx, self.source, self.target).await?;
        for step in self.steps {
            backlog.execute(step).await?;
        }
        let process = backlog.run().await?;
        backlog.caught_up().await?;
        backlog.same(self.compared).await.context("a backlog")?;
        drop(process);

        let live = backlog.another(ctx, &format!("live_{}", ctx.name()), self.source, self.target).await?;
        let process = live.run().await?;
        for step in self.steps {
            live.execute(step).await?;
            live.caught_up().await.context(format!("live: {step}"))?;
            live.same(self.compared).await.context(format!("live: {step}"))?;
        }
        Ok((live, process))
    }
}

/// Statements that end at the end of a line.
fn split(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}
