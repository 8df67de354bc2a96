//! `preflight`: everything that can be known to be wrong before a feed is started. Reads both sides and judges them.

use std::sync::Arc;

use clap::Args;
use sink_core::flow::preflight::Report;
use sink_core::flow::preflight::sql;
use sink_core::flow::preflight::target::Intent;
use sink_core::target::Target;
use sink_feed::preflight::{self, LookError};
use sink_feed::{Failed, usage};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use source_mylogical::catalog::{self, ServerFacts};
use source_mylogical::preflight::{Facts, Plan, examine};
use source_mylogical::transport::{Session, TransportError};

use crate::args::StartArgs;

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
    let target = args.start.target().map_err(usage)?;
    preflight::run(target, args.json, async |target| look(&args.start, target).await).await
}

/// Everything that is found.
pub(crate) async fn look(args: &StartArgs, target: &Arc<Target>) -> Result<Report, LookError> {
    let config = args.source.config().map_err(LookError::Flags)?;
    let databases = args.databases(&config, target).map_err(LookError::Flags)?;
    let failed = |error: TransportError| LookError::source(error.disposition(), &error);
    let mut session = Session::connect(&config).await.map_err(failed)?;
    let server = ServerFacts::read(&mut session).await.map_err(failed)?;
    let tables = catalog::tables(&mut session, &databases.names()).await.map_err(failed)?;
    session.close().await;
    let home = target.home();
    let schema = home.schema().refresh(home).await.map_err(LookError::Target)?;
    let target_facts = sql::target_facts(home).await.map_err(LookError::Target)?;
    // What is copied already stays: a start after it asks for nothing that copying needs.
    let copies = preflight::still_to_copy(args.snapshot.snapshot_mode, target, &args.source.loop_name);
    let plan = Plan {
        databases: &databases,
        target_database: home.name(),
        intent: Intent { mode: args.flow().mode.into(), copies: copies.await? != SnapshotMode::Never },
        allow_unlogged_cascades: args.source.allow_unlogged_cascades,
        create_tables: args.tables.create_tables,
    };
    let facts = Facts { server: &server, tables: &tables, target: &schema, target_facts: &target_facts };
    Ok(examine(facts, &plan))
}
