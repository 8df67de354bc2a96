//! A PostgreSQL source, a PostgreSQL target, and `cdc-pglogical` between them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use source_pglogical::Lsn;
use source_pglogical::transport::PINNED;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::harness::database::Database;
use tests::harness::http::Client;
use tests::harness::postgres::PostgresServer;
use tests::harness::process::{READY_PATH, Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

use super::replication;

/// Longest wait until the target has what the source has.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(60);

/// Both sides. The source is a server of its own, so that it can be stopped; the target is the scenario's database.
pub(crate) struct Pair {
    pub(crate) source: PostgresServer,
    pub(crate) origin: Database,
    pub(crate) target: Database,
    /// The publication that the program follows.
    pub(crate) publication: String,
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
        let publication = "my_pub".to_owned();
        let pair = Pair { source, origin, target, publication, folder: ctx.folder().to_owned() };
        pair.origin.execute(ddl).await.context("the source's tables")?;
        pair.target.execute(ddl).await.context("the target's tables")?;
        Ok(pair)
    }

    /// As the documents have it: the publication first, then the slot.
    pub(crate) async fn publish(&self, what: &str) -> Result<()> {
        let publication = self.publication.replace('"', "\"\"");
        self.origin.execute(&format!("CREATE PUBLICATION \"{publication}\" {what}")).await?;
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

    /// As [`service`](Self::service), as another role of the source.
    pub(crate) fn service_from(&self, role: &str) -> Service {
        let source = self.origin.url().replacen("postgres@", &format!("{role}@"), 1);
        self.service_between(&source, self.target.url())
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
            &self.publication,
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
        self.caught_up_as(&["pglogical"]).await
    }

    /// As [`caught_up`](Self::caught_up), of feeds of these names.
    pub(crate) async fn caught_up_as(&self, feeds: &[&str]) -> Result<()> {
        let mut origin = self.origin.connect().await?;
        // A record of its own, so that the log goes beyond whatever was committed before.
        let marker = "SELECT pg_logical_emit_message(true, 'itest', '')::text";
        let end: String = sqlx::query_scalar(marker).fetch_one(&mut origin).await?;
        let end: Lsn = end.parse()?;
        wait::eventually(CATCH_UP, "the target has what the source has", async || {
            for feed in feeds {
                let stored = self.stored_by(feed).await?;
                ensure!(stored >= end, "stored is {stored}, to reach is {end}");
            }
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// The stored position of the feed; zero if there is none.
    pub(crate) async fn stored_by(&self, feed: &str) -> Result<Lsn> {
        let mut target = self.target.connect().await?;
        let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = $1";
        let stored: Option<String> = sqlx::query_scalar(sql).bind(feed).fetch_optional(&mut target).await?;
        Ok(stored.map(|stored| stored.parse()).transpose()?.unwrap_or(Lsn::ZERO))
    }

    /// Fails unless both sides hold the same rows in these tables.
    pub(crate) async fn same<T: AsRef<str>>(&self, tables: &[T]) -> Result<()> {
        for table in tables.iter().map(AsRef::as_ref) {
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

/// What the program says of its feed.
pub(crate) async fn state(process: &ServiceProcess) -> Result<serde_json::Value> {
    let (_, body) = Client::connect(process.address()).await?.get(READY_PATH).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Waits until the feed stands still for a reason that has all of these words.
pub(crate) async fn stalled(process: &ServiceProcess, words: &[&str]) -> Result<()> {
    wait::eventually(CATCH_UP, "the feed stands still", async || {
        let state = state(process).await?;
        ensure!(state["phase"] == "stalled", "{state}");
        let problem = state["problem"].as_str().unwrap_or_default();
        let lacking: Vec<_> = words.iter().filter(|word| !problem.contains(**word)).collect();
        ensure!(lacking.is_empty(), "{lacking:?} not in {problem:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// A connection that prints values the same on both sides.
pub(crate) async fn pinned(database: &Database) -> Result<PgConnection> {
    let mut connection = database.connect().await?;
    for (name, value) in PINNED {
        sqlx::query("SELECT set_config($1, $2, false)")
            .bind(name)
            .bind(value)
            .execute(&mut connection)
            .await?;
    }
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

/// Some tables and what happens to them at the source.
pub(crate) struct Story<'a> {
    /// The tables, in a schema of their own that is the first in the search path.
    pub(crate) tables: &'a str,
    /// What is published; `$S` stands for the schema, and everything in it is meant if this is empty.
    pub(crate) published: &'a str,
    /// One transaction each, unless they say `BEGIN` or `COMMIT` themselves.
    pub(crate) steps: &'a [&'a str],
    /// The tables that are compared.
    pub(crate) compared: &'a [&'a str],
}

impl Story<'_> {
    /// Lets everything happen twice: once while the program is away, so that it comes as a backlog and is folded, and
    /// once step by step, comparing after each. Answers the running program.
    pub(crate) async fn happens(&self, ctx: &Ctx, flags: &[&str]) -> Result<(Pair, ServiceProcess)> {
        let mut pair = Pair::start(ctx, "").await?;
        for schema in ["backlog", "live"] {
            let ddl = format!("CREATE SCHEMA {schema}; SET search_path = {schema}, public; {}", self.tables);
            pair.origin.execute(&ddl).await.context("the source's tables")?;
            pair.target.execute(&ddl).await.context("the target's tables")?;
        }
        let process = self.happens_in(&mut pair, flags).await?;
        Ok((pair, process))
    }

    /// As [`happens`](Self::happens), where the tables are on both sides already, in the schemas `backlog` and `live`.
    pub(crate) async fn happens_in(&self, pair: &mut Pair, flags: &[&str]) -> Result<ServiceProcess> {
        let each = ["backlog", "live"].map(|schema| self.published.replace("$S", schema));
        let all = "FOR ALL TABLES".to_owned();
        let publication = if self.published.is_empty() { all } else { format!("FOR {}", each.join(", ")) };
        self.happens_as(pair, &publication, flags).await
    }

    /// As [`happens_in`](Self::happens_in), by a publication that is made so.
    pub(crate) async fn happens_as(
        &self,
        pair: &mut Pair,
        publication: &str,
        flags: &[&str],
    ) -> Result<ServiceProcess> {
        pair.publish(publication).await?;
        for step in self.steps {
            pair.origin.execute(&within("backlog", step)).await?;
        }
        let service = pair.service().args(flags.iter().copied());
        let process = ServiceProcess::start(service, pair.folder()).await?;
        pair.caught_up().await.with_context(|| said(&process))?;
        pair.same(&self.named("backlog")).await.context("as a backlog")?;
        for step in self.steps {
            pair.origin.execute(&within("live", step)).await?;
            pair.caught_up().await.with_context(|| said(&process))?;
            pair.same(&self.named("live")).await.with_context(|| format!("after {step}"))?;
        }
        ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
        Ok(process)
    }

    fn named(&self, schema: &str) -> Vec<String> {
        self.compared.iter().map(|table| format!("{schema}.{table}")).collect()
    }
}

/// A statement with a schema's tables first in its path.
pub(crate) fn within(schema: &str, sql: &str) -> String {
    format!("SET search_path = {schema}, public; {sql}")
}

fn said(process: &ServiceProcess) -> String {
    format!("the program's log ends with:\n{}", process.log_tail())
}
