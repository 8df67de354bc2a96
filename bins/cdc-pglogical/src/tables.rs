//! `--createTables` and `--dryRun`: tables of the source that the target lacks.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use sink_core::flow::TableMaker;
use sink_core::model::Definitions;
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use source_pglogical::snapshot;

use crate::args::StartArgs;
use crate::start::target_failed;
use crate::{Failed, snapshot as copy};

/// What makes the tables that the target lacks, if that is asked for.
pub(crate) fn maker(args: &StartArgs, target: &Target) -> Option<TableMaker> {
    args.tables.create_tables.then(|| TableMaker::new(Arc::clone(target.home())))
}

/// What the tables of the source are made of.
async fn wanted(args: &StartArgs, target: &Target) -> Result<Definitions, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let config = args.source.config().map_err(usage)?;
    let settings = copy::settings(args).map_err(usage)?;
    let may_publish = match args.snapshot.snapshot_mode {
        SnapshotMode::Never => false,
        SnapshotMode::Initial | SnapshotMode::Only => true,
    };
    let definitions =
        snapshot::table_definitions(&config, &settings, target.home().name(), may_publish).await;
    definitions.map_err(|e| (Exit::Failure, e.into()))
}

/// Makes the tables that the target lacks, with all they have, where no copy comes in between. Otherwise the copy does it.
pub(crate) async fn create_without_copy(args: &StartArgs, target: &Target) -> Result<(), Failed> {
    let (Some(maker), SnapshotMode::Never) = (maker(args, target), args.snapshot.snapshot_mode) else {
        return Ok(());
    };
    let wanted = wanted(args, target).await?;
    for table in maker.before_copy(&wanted).await.map_err(target_failed)? {
        tracing::info!(%table, "created a table");
    }
    snapshot::complete(&maker, &wanted).await.map_err(target_failed)
}

/// Prints the statements and changes nothing, not even our own tables at the target.
pub(crate) async fn dry_run(args: &StartArgs, config: TargetConfig) -> Result<Exit, Failed> {
    let target = Target::connect_to_look(config).await.map_err(target_failed)?;
    let wanted = wanted(args, &target).await?;
    let maker = TableMaker::new(Arc::clone(target.home()));
    let missing = maker.missing(&wanted).await.map_err(target_failed)?;
    target.close().await;
    let mut out = std::io::stdout().lock();
    let written = write!(out, "{}", missing.plan).and_then(|()| out.flush());
    written.context("print the statements").map_err(|e| (Exit::Failure, e))?;
    Ok(Exit::Success)
}
