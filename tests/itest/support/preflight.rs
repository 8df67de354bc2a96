//! A source and a target, what preflight says of them, and its statements put to the test.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sink_core::flow::OnTruncate;
use sink_core::flow::preflight::target::WriteMode;
use sink_core::flow::preflight::{Finding, Report, Side, sql};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use source_pglogical::catalog::{self, Wanted};
use source_pglogical::preflight::{Facts, Plan, Since, SnapshotMode, examine};
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
    pub(crate) since_slot: Since,
    pub(crate) create_tables: bool,
    pub(crate) on_truncate: OnTruncate,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slot: "s",
            publications: &["p"],
            mode: WriteMode::Transactional,
            snapshot: SnapshotMode::Never,
            since_slot: Since::Unknown,
            create_tables: false,
            on_truncate: OnTruncate::Stop,
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
        since_slot: settings.since_slot,
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
