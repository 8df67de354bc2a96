//! `--createTables` and `--dryRun`: tables of the source that the target lacks.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sink_core::flow::TableMaker;
use sink_core::model::{Definitions, Ident, TableId};
use sink_core::target::{Target, TargetConfig};
use sink_service::exit::Exit;
use source_pglogical::definitions;

use crate::Failed;
use crate::args::StartArgs;

/// Longest wait for one answer of the source's catalogue.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// The published tables as they are to be at the target.
pub(crate) struct Tables {
    wanted: Definitions,
    maker: TableMaker,
}

impl Tables {
    /// Reads what the tables are made of.
    pub(crate) async fn read(args: &StartArgs, target: &Target) -> Result<Self, Failed> {
        let wanted = wanted(args, target.home().name()).await?;
        Ok(Self { wanted, maker: TableMaker::new(Arc::clone(target.home())) })
    }

    /// Makes those that the target lacks, with what rows need.
    pub(crate) async fn before_copy(&self) -> Result<(), Failed> {
        let made = self.maker.before_copy(&self.wanted).await;
        announce("created", &made.map_err(|e| (Exit::Target, e.into()))?);
        Ok(())
    }

    /// Gives those that we made what they lack, now that their rows are there.
    pub(crate) async fn after_copy(&self) -> Result<(), Failed> {
        let made = self.maker.after_copy(&self.wanted).await;
        announce("completed with indexes and constraints", &made.map_err(|e| (Exit::Target, e.into()))?);
        Ok(())
    }
}

fn announce(what: &str, tables: &BTreeSet<TableId>) {
    for table in tables {
        tracing::info!(%table, "table {what}");
    }
}

async fn wanted(args: &StartArgs, database: &Ident) -> Result<Definitions, Failed> {
    let usage = |e: anyhow::Error| (Exit::Usage, e);
    let (config, publication) =
        (args.source.config().map_err(usage)?, args.source.publication().map_err(usage)?);
    let definitions = definitions::published(&config, &[publication], database, ANSWER_LIMIT).await;
    definitions.context("read the tables of the source").map_err(|e| (Exit::Failure, e))
}

/// Prints the statements and changes nothing, not even our own tables at the target.
pub(crate) async fn dry_run(args: &StartArgs, config: TargetConfig) -> Result<Exit, Failed> {
    let target = Target::connect_to_look(config).await.map_err(|e| (Exit::Target, e.into()))?;
    let tables = Tables::read(args, &target).await?;
    let missing = tables.maker.missing(&tables.wanted).await.map_err(|e| (Exit::Target, e.into()))?;
    target.close().await;
    let mut out = std::io::stdout().lock();
    let written = write!(out, "{}", missing.plan).and_then(|()| out.flush());
    written.context("print the statements").map_err(|e| (Exit::Failure, e))?;
    Ok(Exit::Success)
}
