//! `preflight`: everything that can be known to be wrong before a feed is started. Reads both sides and judges them.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sink_core::flow::preflight::{Report, sql, target};
use sink_core::flow::{FeedName, PositionStore};
use sink_core::target::Target;
use sink_feed::preflight::{self, LookError};
use sink_feed::{Failed, usage};
use sink_service::exit::Exit;
use sink_service::snapshot_args;
use source_pglogical::catalog::{self, SourceCatalog, Wanted};
use source_pglogical::preflight::{Facts, Plan, Since, SnapshotMode, examine};
use source_pglogical::transport::Config;

use crate::args::StartArgs;

/// Longest wait for one answer of the source's catalogue.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Flags of `preflight`: those of `start`, whose findings depend on them, and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct PreflightArgs {
    #[command(flatten)]
    pub(crate) start: StartArgs,

    /// Print the findings as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints what is found; ends with 0 if nothing is an error, else with 4. Changes nothing at either side.
pub(crate) async fn run(args: PreflightArgs) -> Result<Exit, Failed> {
    crate::snapshot::check(&args.start).map_err(usage)?;
    let target = args.start.target().map_err(usage)?;
    preflight::run(target, args.json, async |target| look(&args.start, target).await).await
}

/// Everything that is found.
pub(crate) async fn look(args: &StartArgs, target: &Arc<Target>) -> Result<Report, LookError> {
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
    let snapshot = snapshot_mode(args, target).await?;
    let plan = Plan {
        slot,
        publications: &publications,
        target_database: home.name(),
        mode: flow.mode.into(),
        snapshot,
        since_slot: since_slot(args, target, snapshot).await?,
        create_tables: args.tables.create_tables,
        on_truncate: flow.on_truncate,
    };
    let facts = Facts { source: &source, target: &schema, target_facts: &target_facts };
    let marks = args.both_ways.replication_origin.is_some();
    let origin = marks.then(|| target::replication_origin(&target_facts)).flatten();
    Ok(examine(facts, &plan).findings().iter().cloned().chain(origin).collect())
}

async fn read(config: &Config, wanted: Wanted<'_>) -> Result<SourceCatalog, LookError> {
    let connected = catalog::connect(config).await;
    let mut session = connected.map_err(|error| LookError::source(error.disposition(), &error))?;
    let read = catalog::read(&mut session, wanted, ANSWER_LIMIT).await;
    read.map_err(|error| LookError::source(error.disposition(), &error))
}

async fn snapshot_mode(args: &StartArgs, target: &Target) -> Result<SnapshotMode, LookError> {
    let mode = preflight::still_to_copy(args.snapshot.snapshot_mode, target, &args.source.loop_name);
    Ok(match mode.await? {
        snapshot_args::SnapshotMode::Never => SnapshotMode::Never,
        snapshot_args::SnapshotMode::Initial => SnapshotMode::Initial,
        snapshot_args::SnapshotMode::Only => SnapshotMode::Only,
    })
}

/// A copy is made, and what is published noted, whenever the slot was made.
async fn since_slot(args: &StartArgs, target: &Target, snapshot: SnapshotMode) -> Result<Since, LookError> {
    let positions = PositionStore::new(Arc::clone(target.home()));
    let noted = positions.published(&FeedName::whole(&args.source.loop_name)).await;
    let noted = preflight::unless_never_started(noted).map_err(LookError::Target)?.flatten();
    Ok(match (snapshot, noted) {
        (SnapshotMode::Initial | SnapshotMode::Only, _) | (SnapshotMode::Never, Some(_)) => Since::Compared,
        (SnapshotMode::Never, None) if args.source.accept_publication_changes => Since::Accepted,
        (SnapshotMode::Never, None) => Since::Unknown,
    })
}
