//! The initial snapshot: from flags to a source that copies first.

use std::sync::Arc;

use anyhow::Context as _;
use sink_core::flow::copy::{Board, SnapshotStore};
use sink_core::flow::{FeedName, FlowStatus, PositionStore};
use sink_core::model::Definitions;
use sink_core::target::Target;
use sink_feed::{Failed, target_failed, usage};
use sink_service::exit::Exit;
use sink_service::snapshot_args::SnapshotMode;
use source_mylogical::snapshot::{
    First, Settings, Snapshot, SnapshotSource, parse_tables, table_definitions,
};
use source_mylogical::source::BinlogSource;
use tokio_util::sync::CancellationToken;

use crate::args::StartArgs;

/// The source of these flags: it copies first, if that is asked for.
pub(crate) fn source(
    args: &StartArgs,
    target: &Arc<Target>,
    status: &Arc<FlowStatus>,
    board: &Arc<Board>,
    stop: CancellationToken,
) -> Result<SnapshotSource<BinlogSource>, Failed> {
    let log = args.source(target).map_err(usage)?;
    let store = SnapshotStore::new(Arc::clone(target.home())).map_err(target_failed)?;
    let feed = FeedName::whole(&args.source.loop_name);
    let status = Arc::clone(status);
    let first = match args.snapshot.snapshot_mode {
        SnapshotMode::Never => First::Stream { store, feed, status },
        SnapshotMode::Initial | SnapshotMode::Only => First::Copy(Arc::new(Snapshot {
            source: args.source.config().map_err(usage)?,
            settings: settings(args, target).map_err(usage)?,
            store,
            positions: PositionStore::new(Arc::clone(target.home())),
            feed,
            maker: sink_feed::tables::maker(&args.tables, target),
            status,
            board: Arc::clone(board),
            stop,
        })),
    };
    Ok(SnapshotSource::new(log, first))
}

/// What is copied.
fn settings(args: &StartArgs, target: &Target) -> anyhow::Result<Settings> {
    let databases = args.databases(&args.source.config()?, target)?;
    let names = databases.names();
    let only = match names.as_slice() {
        [only] => Some(only.as_str()),
        _ => None,
    };
    let tables = args.snapshot.tables.as_deref().map(|text| parse_tables(text, only));
    Ok(Settings {
        tables: tables.transpose().context("--tables")?.unwrap_or_default(),
        databases: Arc::new(databases),
        workers: usize::from(args.snapshot.snapshot_workers),
        policies: args.values.policies(),
        chunk_bytes: Settings::CHUNK_BYTES,
        allow_unlogged_cascades: args.source.allow_unlogged_cascades,
    })
}

/// The tables that the target needs.
pub(crate) async fn wanted(args: &StartArgs, target: &Target) -> Result<Definitions, Failed> {
    let config = args.source.config().map_err(usage)?;
    let settings = settings(args, target).map_err(usage)?;
    let definitions = table_definitions(&config, &settings, target.home().name()).await;
    definitions.map_err(|e| (Exit::Failure, e.into()))
}
