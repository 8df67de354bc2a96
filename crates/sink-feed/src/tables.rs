//! `--createTables` and `--dryRun`: tables of the source that the target lacks. What they are made of is the program's to
//! say.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use sink_core::flow::TableMaker;
use sink_core::model::Definitions;
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;

use crate::args::TableArgs;
use crate::{Failed, target_failed};

/// What makes the tables that the target lacks, if that is asked for.
#[must_use]
pub fn maker(args: &TableArgs, target: &Target) -> Option<TableMaker> {
    args.create_tables.then(|| TableMaker::new(Arc::clone(target.home())))
}

/// Makes the tables that the target lacks, with all they have, where no copy comes in between. Otherwise the copy does it.
///
/// # Errors
/// If the source cannot be asked or the target refuses.
pub async fn create_without_copy(
    maker: Option<TableMaker>,
    mode: SnapshotMode,
    wanted: impl AsyncFnOnce() -> Result<Definitions, Failed>,
) -> Result<(), Failed> {
    let (Some(maker), SnapshotMode::Never) = (maker, mode) else { return Ok(()) };
    let wanted = wanted().await?;
    for table in maker.before_copy(&wanted).await.map_err(target_failed)? {
        tracing::info!(%table, "created a table");
    }
    maker.complete(&wanted).await.map_err(target_failed)
}

/// Prints the statements and changes nothing, not even our own tables at the target.
///
/// # Errors
/// If one side cannot be asked.
pub async fn dry_run(
    target: TargetConfig,
    wanted: impl AsyncFnOnce(&Target) -> Result<Definitions, Failed>,
) -> Result<Exit, Failed> {
    let target = Target::connect_to_look(target).await.map_err(target_failed)?;
    let wanted = wanted(&target).await?;
    let maker = TableMaker::new(Arc::clone(target.home()));
    let missing = maker.missing(&wanted).await.map_err(target_failed)?;
    target.close().await;
    let mut out = std::io::stdout().lock();
    let written = write!(out, "{}", missing.plan).and_then(|()| out.flush());
    written.context("print the statements").map_err(|e| (Exit::Failure, e))?;
    Ok(Exit::Success)
}
