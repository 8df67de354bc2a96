//! The initial snapshot: from flags to a source that copies first.

use std::sync::Arc;

use anyhow::Context as _;
use sink_core::flow::copy::{Board, SnapshotStore};
use sink_core::flow::{FeedName, FlowStatus, PositionStore};
use sink_core::target::Target;
use sink_feed::{Failed, target_failed, usage};
use sink_service::snapshot_args::SnapshotMode;
use source_pglogical::snapshot::{First, Settings, Snapshot, SnapshotSource, parse_tables};
use tokio_util::sync::CancellationToken;

use crate::args::StartArgs;

/// The source of these flags: it copies first, if that is asked for.
pub(crate) fn source(
    args: &StartArgs,
    target: &Arc<Target>,
    status: &Arc<FlowStatus>,
    board: &Arc<Board>,
    stop: CancellationToken,
) -> Result<SnapshotSource, Failed> {
    let slot = args.source().map_err(usage)?;
    let store = SnapshotStore::new(Arc::clone(target.home())).map_err(target_failed)?;
    let feed = FeedName::whole(&args.source.loop_name);
    let first = match args.snapshot.snapshot_mode {
        SnapshotMode::Never => First::Stream { store, feed },
        SnapshotMode::Initial | SnapshotMode::Only => First::Copy(Box::new(Snapshot {
            source: args.source.config().map_err(usage)?,
            settings: settings(args).map_err(usage)?,
            store,
            positions: PositionStore::new(Arc::clone(target.home())),
            feed,
            maker: sink_feed::tables::maker(&args.tables, target),
            status: Arc::clone(status),
            board: Arc::clone(board),
            stop,
        })),
    };
    Ok(SnapshotSource::new(slot, first))
}

/// Refuses flags that make no sense, before anything is connected to.
///
/// # Errors
/// Names the flag.
pub(crate) fn check(args: &StartArgs) -> anyhow::Result<()> {
    args.source()?;
    settings(args).map(drop)
}

pub(crate) fn settings(args: &StartArgs) -> anyhow::Result<Settings> {
    let tables = args.snapshot.tables.as_deref().map(parse_tables).transpose().context("--tables")?;
    Ok(Settings {
        publication: args.source.publication()?,
        slot: args.source.slot_name.clone(),
        tables: tables.unwrap_or_default(),
        own_schema: args.target.staging_db.clone(),
        workers: usize::from(args.snapshot.snapshot_workers),
        slot_patience: args.snapshot.snapshot_slot_timeout,
        question_limit: Settings::QUESTION_LIMIT,
    })
}
