//! The flags of `cdc-pglogical`. Those of the original keep its spelling and defaults; every one has a kebab-case alias
//! and an environment variable.

use anyhow::{Context as _, anyhow};
use clap::Args;
use sink_core::flow::{FlowConfig, Mode};
use sink_core::target::TargetConfig;
use sink_feed::args::{LookArgs, TableArgs, flow_config, target_config};
use sink_service::feed_args::{FeedArgs, FeedTargetArgs};
use sink_service::secret::Secret;
use sink_service::shutdown::ShutdownArgs;
use sink_service::snapshot_args::SnapshotArgs;
use source_pglogical::feed::{Leave, Origins};
use source_pglogical::source::SlotSource;
use source_pglogical::transport::Config;

/// Flags of `start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) target: FeedTargetArgs,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) both_ways: BothWaysArgs,
    #[command(flatten)]
    pub(crate) feed: FeedArgs,
    #[command(flatten)]
    pub(crate) snapshot: SnapshotArgs,
    #[command(flatten)]
    pub(crate) shutdown: ShutdownArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// What is followed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct SourceArgs {
    /// Connection string of the source database.
    #[arg(
        long = "sourceConn",
        alias = "source-conn",
        env = "CDC_SOURCE_CONN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) source_conn: Option<Secret>,

    /// The publication within the source database to replicate.
    #[arg(
        long = "publicationName",
        alias = "publication-name",
        env = "CDC_PUBLICATION_NAME",
        value_name = "NAME"
    )]
    pub(crate) publication_name: Option<String>,

    /// The replication slot in the source database.
    #[arg(
        long = "slotName",
        alias = "slot-name",
        env = "CDC_SLOT_NAME",
        value_name = "NAME",
        default_value = "cdc_sink"
    )]
    pub(crate) slot_name: String,

    /// Name of this feed: its position in the target is kept under it, and metrics show it. Two feeds that write one
    /// target need two names.
    #[arg(
        long = "loopName",
        alias = "loop-name",
        env = "CDC_LOOP_NAME",
        value_name = "NAME",
        default_value = "pglogical"
    )]
    pub(crate) loop_name: String,

    /// Go on although a table was taken out of the publication, or put in again, or is filtered in another way, since the
    /// last look, or may have come after the slot was made: for once, after the tables concerned were copied anew. Counts
    /// for the first stream that is opened.
    #[arg(
        long = "acceptPublicationChanges",
        alias = "accept-publication-changes",
        env = "CDC_ACCEPT_PUBLICATION_CHANGES",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) accept_publication_changes: bool,
}

/// What keeps changes from going round where two databases follow each other.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replication both ways")]
pub(crate) struct BothWaysArgs {
    /// Leave out transactions that came to the source by replication: those of these replication origins, by their
    /// names at the source, or `any`.
    #[arg(
        long = "skipOrigins",
        alias = "skip-origins",
        env = "CDC_SKIP_ORIGINS",
        value_name = "any|NAME,…",
        value_delimiter = ','
    )]
    pub(crate) skip_origins: Vec<String>,

    /// Mark what is written to a PostgreSQL target with this replication origin, so that a feed in the other direction
    /// can leave it out; made if there is none. One process at a time can use it.
    #[arg(
        long = "replicationOrigin",
        alias = "replication-origin",
        env = "CDC_REPLICATION_ORIGIN",
        value_name = "NAME"
    )]
    pub(crate) replication_origin: Option<String>,
}

impl BothWaysArgs {
    fn origins(&self) -> Origins {
        match &self.skip_origins[..] {
            [] => Origins::None,
            names if names.iter().any(|name| name == "any") => Origins::Any,
            names => Origins::Named(names.iter().cloned().collect()),
        }
    }
}

impl SourceArgs {
    /// The source's connection settings.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let url = self.source_conn.as_ref().ok_or_else(|| {
            anyhow!("--sourceConn is missing: the source's connection string, postgres://user@host/database")
        })?;
        Config::from_url(url.expose()).context("--sourceConn")
    }

    /// The publication to follow.
    pub(crate) fn publication(&self) -> anyhow::Result<String> {
        self.publication_name.clone().ok_or_else(|| {
            anyhow!(
                "--publicationName is missing; make a publication in the source with: CREATE PUBLICATION my_pub FOR \
                 TABLE …;"
            )
        })
    }
}

impl StartArgs {
    pub(crate) fn source(&self) -> anyhow::Result<SlotSource> {
        let (config, publication) = (self.source.config()?, self.source.publication()?);
        let source =
            SlotSource::new(config, &self.source.slot_name, vec![publication], self.feed.standby_timeout);
        // A publication of all tables has those that a feed in the other direction keeps its own books in.
        let schemas = [self.target.staging_db.clone()].into();
        let leave = Leave { origins: self.both_ways.origins(), schemas, ..Leave::default() };
        Ok(source.context("--slotName")?.leaving(leave))
    }

    /// The replication origin that rows are marked with, if any.
    pub(crate) fn replication_origin(&self) -> anyhow::Result<Option<String>> {
        let origin = self.both_ways.replication_origin.clone();
        if origin.is_some() && self.flow().mode != Mode::Transactional {
            return Err(anyhow!(
                "--replicationOrigin needs a single writer; leave out --immediate and --backfillWindow"
            ));
        }
        Ok(origin)
    }

    /// The target.
    pub(crate) fn target(&self) -> anyhow::Result<TargetConfig> {
        target_config(&self.target)
    }

    pub(crate) fn flow(&self) -> FlowConfig {
        // Only one session can use a replication origin.
        flow_config(&self.feed, self.both_ways.replication_origin.is_some())
    }
}
