//! A PostgreSQL source, a PostgreSQL target, and `cdc-pglogical` between them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use source_pglogical::Lsn;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tests::harness::database::Database;
use tests::harness::postgres::PostgresServer;
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::Ctx;
use tests::harness::wait;

use super::replication;

/// Longest wait until the target has what the source has.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(60);
/// Text forms that do not depend on the server's defaults.
const PINNED: &str = "SET datestyle = ISO; SET intervalstyle = postgres; SET timezone = UTC; SET bytea_output = hex; \
                      SET extra_float_digits = 3; SET search_path = pg_catalog; SET lc_monetary = 'C'";

/// Both sides. The source is a server of its own, so that it can be stopped; the target is the scenario's database.
pub(crate) struct Pair {
    pub(crate) source: PostgresServer,
    pub(crate) origin: Database,
    pub(crate) target: Database,
    folder: std::path::PathBuf,
}

impl Pair {
    /// Starts the source and makes the same tables on both sides.
    pub(crate) async fn start(ctx: &Ctx, ddl: &str) -> Result<Pair> {
        let source = replication::server().await?;
        let origin = source.create_database("origin").await?;
        let pair = Pair { source, origin, target: ctx.target().clone(), folder: ctx.folder().to_owned() };
        pair.origin.execute(ddl).await.context("the source's tables")?;
        pair.target.execute(ddl).await.context("the target's tables")?;
        Ok(pair)
    }

    /// As the documents have it: the publication first, then the slot.
    pub(crate) async fn publish(&self, what: &str) -> Result<()> {
        self.origin.execute(&format!("CREATE PUBLICATION my_pub {what}")).await?;
        replication::create_slot(&mut self.origin.connect().await?, "cdc_sink").await
    }

    /// The program with the flags that every run needs, not started yet.
    pub(crate) fn service(&self) -> Service {
        self.service_to(self.target.url())
    }

    /// As [`service`](Self::service), reaching the target another way.
    pub(crate) fn service_to(&self, target: &str) -> Service {
        Service::new("cdc-pglogical").bind_flag("--metricsAddr").args([
            "start",
            "--sourceConn",
            self.origin.url(),
            "--targetConn",
            target,
            "--publicationName",
            "my_pub",
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
        let mut origin = self.origin.connect().await?;
        // A record of its own, so that the log goes beyond whatever was committed before.
        let marker = "SELECT pg_logical_emit_message(true, 'itest', '')::text";
        let end: String = sqlx::query_scalar(marker).fetch_one(&mut origin).await?;
        let end: Lsn = end.parse()?;
        wait::eventually(CATCH_UP, "the target has what the source has", async || {
            let stored = self.stored().await?;
            ensure!(stored >= end, "stored is {stored}, to reach is {end}");
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// The stored position of the feed; zero if there is none.
    pub(crate) async fn stored(&self) -> Result<Lsn> {
        let mut target = self.target.connect().await?;
        let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = 'pglogical'";
        let stored: Option<String> = sqlx::query_scalar(sql).fetch_optional(&mut target).await?;
        Ok(stored.map(|stored| stored.parse()).transpose()?.unwrap_or(Lsn::ZERO))
    }

    /// Fails unless both sides hold the same rows in these tables.
    pub(crate) async fn same(&self, tables: &[&str]) -> Result<()> {
        for table in tables {
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

/// A connection that prints values the same on both sides.
pub(crate) async fn pinned(database: &Database) -> Result<PgConnection> {
    let mut connection = database.connect().await?;
    sqlx::raw_sql(PINNED).execute(&mut connection).await?;
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
//! A source and a target, what preflight says of them, and its statements put to the test.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sink_core::flow::preflight::target::{TruncatePolicy, WriteMode};
use sink_core::flow::preflight::{Finding, Report, Side, sql};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use source_pglogical::catalog::{self, Wanted};
use source_pglogical::preflight::{Facts, Plan, SnapshotMode, examine};
use source_pglogical::transport::Config;
use sqlx::AssertSqlSafe;
use tests::harness::database::Database;
use tests::harness::postgres::PostgresServer;

/// Longest wait for one question.
const LIMIT: Duration = Duration::from_secs(30);

/// Source and target on one server.
pub(crate) struct Pair {
    pub(crate) server: PostgresServer,
    pub(crate) source: Database,
    pub(crate) target: Database,
}

/// What is going to be done; documented defaults unless changed.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) slot: &'static str,
    pub(crate) publications: &'static [&'static str],
    pub(crate) mode: WriteMode,
    pub(crate) snapshot: SnapshotMode,
    pub(crate) create_tables: bool,
    pub(crate) on_truncate: TruncatePolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slot: "s",
            publications: &["p"],
            mode: WriteMode::Transactional,
            snapshot: SnapshotMode::Never,
            create_tables: false,
            on_truncate: TruncatePolicy::Stop,
        }
    }
}

impl Pair {
    /// Two databases of this server.
    pub(crate) async fn on(server: PostgresServer) -> Result<Pair> {
        let source = server.create_database("source").await?;
        let target = server.create_database("target").await?;
        Ok(Pair { server, source, target })
    }

    /// Looks as the superuser.
    pub(crate) async fn look(&self, settings: Settings) -> Result<Report> {
        look(self.source.url(), self.target.url(), settings).await
    }

    /// Runs statements at one side, as the superuser.
    pub(crate) async fn run(&self, side: Side, statements: &[String]) -> Result<()> {
        let database = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        let mut connection = database.connect().await?;
        for statement in statements {
            // One by one: some refuse to be in a transaction with others.
            let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
            done.with_context(|| format!("on the {}: {statement}", side.as_str()))?;
        }
        Ok(())
    }

    /// There is such a finding; after one of its remedies was run as printed there is none. Returns the report then.
    pub(crate) async fn mend(
        &self,
        settings: Settings,
        code: &str,
        subject: &str,
        remedy: usize,
    ) -> Result<Report> {
        let before = self.look(settings).await?;
        let finding = find(&before, code, subject)?;
        let remedy = finding.remedies.get(remedy).with_context(|| format!("no such remedy: {finding:?}"))?;
        ensure!(!remedy.statements.is_empty(), "nothing to run: {finding:?}");
        self.run(remedy.side, &remedy.statements).await?;
        let after = self.look(settings).await?;
        ensure!(find(&after, code, subject).is_err(), "{code} of {subject} is still there:\n{after}");
        Ok(after)
    }

    /// As [`Self::mend`]; then what is to be run afterwards brings the finding back, word for word.
    pub(crate) async fn mend_and_restore(&self, settings: Settings, code: &str, subject: &str) -> Result<()> {
        let before = self.look(settings).await?;
        let finding = find(&before, code, subject)?.clone();
        self.mend(settings, code, subject, 0).await?;
        let [remedy] = finding.remedies.as_slice() else { bail!("not one remedy: {finding:?}") };
        ensure!(!remedy.afterwards.is_empty(), "nothing is restored: {finding:?}");
        self.run(remedy.side, &remedy.afterwards).await?;
        let again = self.look(settings).await?;
        ensure!(*find(&again, code, subject)? == finding, "restored otherwise:\n{again}");
        Ok(())
    }
}

/// Looks at two databases, as whom these URLs say.
pub(crate) async fn look(source: &str, target: &str, settings: Settings) -> Result<Report> {
    let publications: Vec<String> = settings.publications.iter().map(|name| (*name).to_owned()).collect();
    let mut session = catalog::connect(&Config::from_url(source)?).await?;
    let wanted = Wanted { slot: settings.slot, publications: &publications };
    let source = catalog::read(&mut session, wanted, LIMIT).await?;
    drop(session);
    let config = TargetConfig {
        url: target.to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        max_connections: 2,
    };
    let target = Target::connect(config).await?;
    let schema = target.home().schema().refresh(target.home()).await?;
    let target_facts = sql::target_facts(target.home()).await?;
    let facts = Facts { source: &source, target: &schema, target_facts: &target_facts };
    let plan = Plan {
        slot: settings.slot,
        publications: &publications,
        target_database: target.home().name(),
        mode: settings.mode,
        snapshot: settings.snapshot,
        create_tables: settings.create_tables,
        on_truncate: settings.on_truncate,
    };
    let report = examine(facts, &plan);
    target.close().await;
    Ok(report)
}

/// The finding of this code and subject.
pub(crate) fn find<'a>(report: &'a Report, code: &str, subject: &str) -> Result<&'a Finding> {
    let mut all = report.findings().iter();
    all.find(|finding| finding.code == code && finding.subject == subject)
        .with_context(|| format!("no {code} of {subject} in:\n{report}"))
}

/// Codes and subjects, the worst first.
pub(crate) fn codes(report: &Report) -> Vec<(&str, &str)> {
    report.findings().iter().map(|finding| (finding.code, finding.subject.as_str())).collect()
}
