//! The copy of a MySQL or MariaDB source, driven by itself: without a program and without a stream.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sink_core::flow::copy::{Board, SnapshotStore};
use sink_core::flow::{FeedName, FlowStatus, PositionStore, TableMaker};
use source_mylogical::feed::Databases;
use source_mylogical::policy::Policies;
use source_mylogical::snapshot::{Settings, Snapshot, parse_tables};
use source_mylogical::transport::Config;
use tests::harness::runner::Ctx;
use tokio_util::sync::CancellationToken;

use crate::flow_positions::connect;

/// Whose position it is.
pub(crate) const IDENTITY: &str = r#"{"product":"any"}"#;

/// What to copy of a scenario's own database: all tables, or those named, to schema `public`.
pub(crate) fn settings(ctx: &Ctx, tables: &str, workers: usize) -> Result<Settings> {
    let name = ctx.source().name();
    let tables = if tables.is_empty() { Vec::new() } else { parse_tables(tables, Some(name))? };
    Ok(Settings {
        databases: Arc::new(Databases::one(name, "public")),
        tables,
        workers,
        policies: Policies::default(),
        chunk_bytes: Settings::CHUNK_BYTES,
        allow_unlogged_cascades: true,
    })
}

/// A snapshot of a scenario's own database.
pub(crate) struct Copy {
    pub(crate) snapshot: Snapshot,
}

impl Copy {
    /// A copy that has not begun, or goes on. With `create`, tables are made.
    pub(crate) async fn new(ctx: &Ctx, settings: Settings, create: bool) -> Result<Copy> {
        let target = Arc::new(connect(ctx.target().url()).await?);
        let home = target.home();
        let snapshot = Snapshot {
            source: Config::from_url(&ctx.source().url()).context("the source's URL")?,
            settings,
            store: SnapshotStore::new(Arc::clone(home))?,
            positions: PositionStore::new(Arc::clone(home)),
            feed: FeedName::whole("copy"),
            maker: create.then(|| TableMaker::new(Arc::clone(home))),
            status: Arc::new(FlowStatus::new("copy")),
            board: Board::new(),
            stop: CancellationToken::new(),
        };
        Ok(Copy { snapshot })
    }

    /// Copies everything that is left.
    pub(crate) async fn run(&self) -> Result<()> {
        Ok(self.snapshot.run(IDENTITY).await?)
    }
}
