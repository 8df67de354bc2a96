//! `preflight`: everything that can be known to be wrong before a feed is started, and the statements that mend it.
//! `start` looks as well, before it does anything.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use sink_core::failure::{Disposition, chain};
use sink_core::flow::FeedName;
use sink_core::flow::copy::SnapshotStore;
use sink_core::flow::preflight::{Report, Severity, sql};
use sink_core::target::Target;
use sink_service::exit::Exit;
use sink_service::snapshot_args;
use source_pglogical::catalog::{self, CatalogError, SourceCatalog, Wanted};
use source_pglogical::preflight::{Facts, Plan, SnapshotMode, examine};
use source_pglogical::snapshot;
use source_pglogical::transport::{Config, TransportError};
use tokio_util::sync::CancellationToken;

use crate::Failed;
use crate::args::StartArgs;
use crate::start::target_failed;

/// Longest wait for one answer of the source's catalogue.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// SQLSTATEs of tables and schemas that are not there: nobody has ever started this feed.
const NEVER_STARTED: [&str; 2] = ["42P01", "3F000"];

/// Flags of `preflight`: those of `start`, whose findings depend on them, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreflightArgs {
    #[command(flatten)]
    pub(crate) start: StartArgs,

    /// Print the findings as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `start` does about findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtStart {
    /// Ends if any of them is an error.
    Stop,
    /// Tells them and goes on.
    Report,
}

/// Prints what is found; ends with 0 if nothing is an error, else with 4. Changes nothing at either side.
pub(crate) async fn run(args: PreflightArgs) -> Result<Exit, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    crate::snapshot::check(&args.start).map_err(usage)?;
    let config = args.start.target().map_err(usage)?;
    let target = Arc::new(Target::connect_to_look(config).await.map_err(target_failed)?);
    let report = look(&args.start, &target).await.map_err(|error| error.failed());
    target.close().await;
    let report = report?;
    let mut out = std::io::stdout().lock();
    let written = if args.json { writeln!(out, "{:#}", report.to_json()) } else { write!(out, "{report}") };
    written.and_then(|()| out.flush()).context("print the findings").map_err(|e| (Exit::Failure, e))?;
    Ok(if report.passes() { Exit::Success } else { Exit::Refused })
}

/// Looks before the start; tries again while the source does not answer.
///
/// # Errors
/// If a finding is an error, unless that is only to be told.
pub(crate) async fn before_start(
    args: &StartArgs,
    target: &Arc<Target>,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let report = loop {
        match look(args, target).await {
            Ok(report) => break report,
            Err(error) if error.disposition() == Disposition::Retry => {
                tracing::warn!(error = %error.text(), "cannot look at the source yet; trying again");
            }
            Err(error) => return Err(error.failed()),
        }
        let pause = tokio::time::sleep(args.feed.retry_delay);
        if stop.run_until_cancelled(pause).await.is_none() {
            // Whoever comes next ends at once.
            return Ok(());
        }
    };
    for finding in report.findings() {
        let (severity, code) = (finding.severity.as_str(), finding.code);
        let (subject, what) = (&finding.subject, &finding.what);
        match finding.severity {
            Severity::Error => tracing::error!(severity, code, subject, what, "preflight"),
            Severity::Warning | Severity::Info => {
                tracing::info!(severity, code, subject, what, "preflight");
            }
        }
    }
    tracing::info!("preflight: {}", report.summary());
    match (report.passes(), args.preflight) {
        (true, _) | (false, AtStart::Report) => Ok(()),
        (false, AtStart::Stop) => Err((Exit::Refused, anyhow!("preflight:\n{report}"))),
    }
}

/// Why it could not be looked.
enum LookError {
    Flags(anyhow::Error),
    Source(TransportError),
    Catalog(CatalogError),
    Target(sink_core::failure::Failure),
}

impl LookError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Flags(_) => Disposition::Halt,
            Self::Source(error) => error.disposition(),
            Self::Catalog(error) => error.disposition(),
            Self::Target(error) => error.disposition(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Flags(error) => format!("{error:#}"),
            Self::Source(error) => chain(error),
            Self::Catalog(error) => chain(error),
            Self::Target(error) => chain(error),
        }
    }

    fn failed(self) -> Failed {
        let exit = match &self {
            Self::Flags(_) => Exit::Usage,
            Self::Source(_) | Self::Catalog(_) | Self::Target(_) => Exit::Target,
        };
        (exit, anyhow!(self.text()))
    }
}

async fn look(args: &StartArgs, target: &Arc<Target>) -> Result<Report, LookError> {
    let publications = [args.source.publication().map_err(LookError::Flags)?];
    let slot = args.source.slot_name.as_str();
    let config = args.source.config().map_err(LookError::Flags)?;
    let mut source = read(&config, Wanted { slot, publications: &publications }).await?;
    // The books of a feed in the other direction are not carried.
    source.published.tables.retain(|table| table.name.schema != args.target.staging_db);
    let home = target.home();
    let schema = home.schema().refresh(home).await.map_err(LookError::Target)?;
    let target_facts = sql::target_facts(home).await.map_err(LookError::Target)?;
    let flow = args.flow();
    let plan = Plan {
        slot,
        publications: &publications,
        target_database: home.name(),
        mode: flow.mode.into(),
        snapshot: snapshot_mode(args, target).await?,
        create_tables: args.tables.create_tables,
        on_truncate: flow.on_truncate,
    };
    let facts = Facts { source: &source, target: &schema, target_facts: &target_facts };
    Ok(examine(facts, &plan))
}

async fn read(config: &Config, wanted: Wanted<'_>) -> Result<SourceCatalog, LookError> {
    let mut session = catalog::connect(config).await.map_err(LookError::Source)?;
    catalog::read(&mut session, wanted, ANSWER_LIMIT).await.map_err(LookError::Catalog)
}

/// What is still to be copied: nothing, if that was done by an earlier start.
async fn snapshot_mode(args: &StartArgs, target: &Arc<Target>) -> Result<SnapshotMode, LookError> {
    let wanted = match args.snapshot.snapshot_mode {
        snapshot_args::SnapshotMode::Never => return Ok(SnapshotMode::Never),
        snapshot_args::SnapshotMode::Initial => SnapshotMode::Initial,
        snapshot_args::SnapshotMode::Only => SnapshotMode::Only,
    };
    let store = SnapshotStore::new(Arc::clone(target.home())).map_err(LookError::Target)?;
    match store.read(&FeedName::whole(&args.source.loop_name)).await {
        Ok(records) if snapshot::is_done(&records) => Ok(SnapshotMode::Never),
        Ok(_) => Ok(wanted),
        Err(error) if error.sqlstate().is_some_and(|code| NEVER_STARTED.contains(&code)) => Ok(wanted),
        Err(error) => Err(LookError::Target(error)),
    }
}
