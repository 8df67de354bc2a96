//! What the tables of the source are made of, for those that make or print them.

use sink_core::model::Definitions;
use sink_core::target::Target;
use sink_feed::{Failed, usage};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use source_pglogical::snapshot;

use crate::args::StartArgs;
use crate::snapshot as copy;

/// The tables that the target needs.
pub(crate) async fn wanted(args: &StartArgs, target: &Target) -> Result<Definitions, Failed> {
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
