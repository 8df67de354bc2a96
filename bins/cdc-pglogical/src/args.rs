//! The flags of `cdc-pglogical`. Those of the original keep its spelling and defaults; every one has a kebab-case alias
//! and an environment variable.

use anyhow::{Context as _, anyhow};
use clap::Args;
use sink_core::flow::{FlowConfig, Limits, Mode, OnTruncate};
use sink_core::model::Ident;
use sink_core::target::TargetConfig;
use sink_service::feed_args::{FeedArgs, FeedTargetArgs, TruncatePolicy};
use sink_service::secret::Secret;
use sink_service::shutdown::ShutdownArgs;
use sink_service::snapshot_args::SnapshotArgs;
use source_pglogical::feed::{Leave, Origins};
use source_pglogical::source::SlotSource;
use source_pglogical::transport::Config;
use url::Url;

use crate::preflight::AtStart;

/// A batch takes at most this part of `--bytesInFlight`: one is collected while another is written, and each stands in
/// memory once more as a statement.
const BATCH_SHARE: usize = 4;

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

    /// What to do about errors that the look before the start finds (see `cdc-pglogical preflight`).
    #[arg(
        long = "preflight",
        env = "CDC_PREFLIGHT",
        value_name = "WHAT",
        default_value = "stop",
        help_heading = "Start"
    )]
    pub(crate) preflight: AtStart,
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
    /// last look: for once, after the tables concerned were copied anew. Counts for the first stream that is opened.
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

/// Tables that the target lacks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArgs {
    /// Make published tables that the target lacks, with their types, keys, indexes and constraints.
    #[arg(
        long = "createTables",
        alias = "create-tables",
        env = "CDC_CREATE_TABLES",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) create_tables: bool,

    /// With --createTables: print the statements, and what they leave out, change nothing, and end.
    #[arg(
        long = "dryRun",
        alias = "dry-run",
        env = "CDC_DRY_RUN",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) dry_run: bool,
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

    /// The target, with the database of `--targetDB` in place of the one in the connection string.
    pub(crate) fn target(&self) -> anyhow::Result<TargetConfig> {
        let missing =
            || anyhow!("--targetConn is missing: the target's connection string, postgresql://user@host/");
        let text = self.target.target_conn.as_ref().ok_or_else(missing)?;
        // The parser's message may quote the URL, password and all.
        let mut url =
            Url::parse(text.expose()).map_err(|_| anyhow!("--targetConn is not a connection string"))?;
        if let Some(database) = &self.target.target_db {
            url.set_path(database);
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(anyhow!("--targetDB is missing: the database in the target that is written"));
        }
        Ok(TargetConfig {
            url: url.into(),
            staging: Ident::new(&self.target.staging_db).context("--stagingDB")?,
            create_staging: self.target.staging_create_schema,
            max_connections: self.target.target_db_conns,
        })
    }

    /// The statements that make tables are to be printed, and nothing else.
    pub(crate) fn is_dry_run(&self) -> anyhow::Result<bool> {
        if self.tables.dry_run && !self.tables.create_tables {
            return Err(anyhow!("--dryRun shows what --createTables would do; give both"));
        }
        Ok(self.tables.dry_run)
    }

    pub(crate) fn flow(&self) -> FlowConfig {
        let window = self.feed.backfill_window;
        let mode = match (self.feed.immediate, window.is_zero()) {
            (true, _) => Mode::Immediate,
            (false, true) => Mode::Transactional,
            (false, false) => Mode::Backfill { window },
        };
        let bytes = usize::try_from(self.feed.bytes_in_flight).unwrap_or(usize::MAX) / BATCH_SHARE;
        FlowConfig {
            mode,
            // Only one session can use a replication origin.
            shards: match self.both_ways.replication_origin {
                Some(_) => 1,
                None => usize::try_from(self.feed.fan_shards).unwrap_or(1),
            },
            limits: Limits { bytes, ..Limits::default() },
            apply_timeout: self.feed.apply_timeout,
            standby_timeout: self.feed.standby_timeout,
            on_truncate: match self.feed.on_truncate {
                TruncatePolicy::Stop => OnTruncate::Stop,
                TruncatePolicy::Ignore => OnTruncate::Ignore,
                TruncatePolicy::Apply => OnTruncate::Apply,
            },
        }
    }
}
