//! The flags of `cdc-mylogical`. Those of the original keep its spelling and defaults; every one has a kebab-case alias
//! and an environment variable.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use sink_core::flow::FlowConfig;
use sink_core::model::{DatabaseSchema, Ident, SchemaId, TableSchema};
use sink_core::target::{Database, Target, TargetConfig};
use sink_feed::args::{LookArgs, TableArgs, flow_config, target_config};
use sink_service::feed_args::{FeedArgs, FeedTargetArgs};
use sink_service::secret::Secret;
use sink_service::shutdown::ShutdownArgs;
use sink_service::snapshot_args::SnapshotArgs;
use source_mylogical::assemble::Holds;
use source_mylogical::feed::{Carry, Databases, FindTarget};
use source_mylogical::policy::{LongTimes, Nuls, Policies, ZeroDates};
use source_mylogical::source::{BinlogSource, Settings};
use source_mylogical::transport::{Config, Replica};

/// The log is read ahead by at most this part of `--bytesInFlight`; batches take most of the rest.
const READ_AHEAD_SHARE: u64 = 4;
/// Rows that may not be handed on yet wait in memory up to this part of `--bytesInFlight`, on disk beyond.
const HOLD_SHARE: u64 = 4;

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
    pub(crate) values: ValueArgs,
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
    /// Connection string of the source: mysql://user:password@host:port/database?sslmode=…
    #[arg(
        long = "sourceConn",
        alias = "source-conn",
        env = "CDC_SOURCE_CONN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) source_conn: Option<Secret>,

    /// Where to begin if no position is stored: the GTID set that the dump shows whose tables are in the target, as it is
    /// printed there. Without it the log is read from its very start, if that is still there.
    #[arg(
        long = "defaultGTIDSet",
        aliases = ["default-gtid-set", "defaultGtidSet"],
        env = "CDC_DEFAULT_GTID_SET",
        value_name = "SET",
        allow_hyphen_values = true
    )]
    pub(crate) default_gtid_set: Option<String>,

    /// The server id under which we read the log; no replica of the source may have the same. Without it, one that is made
    /// from the feed's name and both sides' addresses.
    #[arg(
        long = "replicationProcessID",
        aliases = ["replication-process-id", "replicationProcessId"],
        env = "CDC_REPLICATION_PROCESS_ID",
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) replication_process_id: Option<u32>,

    /// Name of this feed: its position in the target is kept under it, and metrics show it. Two feeds that write one
    /// target need two names.
    #[arg(
        long = "loopName",
        alias = "loop-name",
        env = "CDC_LOOP_NAME",
        value_name = "NAME",
        default_value = "mylogical"
    )]
    pub(crate) loop_name: String,

    /// The databases of the source that are carried, each to the schema of the same name, or of the one behind `=`. Without
    /// it, the one in --sourceConn, or else the one called as --targetDB, to the schema `public`.
    #[arg(long = "databases", env = "CDC_DATABASES", value_name = "NAME[=SCHEMA],…")]
    pub(crate) databases: Option<String>,

    /// Go on although foreign keys of the source change rows by themselves and its log does not say so: the same foreign
    /// keys are in the target.
    #[arg(
        long = "allowUnloggedCascades",
        alias = "allow-unlogged-cascades",
        env = "CDC_ALLOW_UNLOGGED_CASCADES",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) allow_unlogged_cascades: bool,
}

/// Values that the target cannot hold as they are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Values")]
pub(crate) struct ValueArgs {
    /// What becomes of dates that do not exist, such as 0000-00-00.
    #[arg(
        long = "zeroDates",
        alias = "zero-dates",
        env = "CDC_ZERO_DATES",
        value_name = "WHAT",
        default_value = "null"
    )]
    zero_dates: ZeroDateArg,

    /// What becomes of zero characters in text.
    #[arg(
        long = "nulBytes",
        alias = "nul-bytes",
        env = "CDC_NUL_BYTES",
        value_name = "WHAT",
        default_value = "refuse"
    )]
    nul_bytes: NulArg,

    /// What becomes of times below zero or of a day and more where the target's column is a time of day.
    #[arg(
        long = "outOfRangeTimes",
        alias = "out-of-range-times",
        env = "CDC_OUT_OF_RANGE_TIMES",
        value_name = "WHAT",
        default_value = "error"
    )]
    out_of_range_times: TimeArg,
}

/// Dates that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ZeroDateArg {
    /// NULL if the target's column can be NULL, else an error.
    Null,
    /// The feed stands still before them.
    Error,
    /// The first moment of 1970.
    Epoch,
    /// As the source shows them if the target's column is text, else as `null`.
    Text,
}

/// Zero characters in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NulArg {
    /// The feed stands still before them.
    Refuse,
    /// They are left out.
    Strip,
}

/// Times that are none of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TimeArg {
    /// The feed stands still before them.
    Error,
    /// NULL if the target's column can be NULL, else an error.
    Null,
}

impl ValueArgs {
    /// What is done with such values.
    pub(crate) fn policies(&self) -> Policies {
        Policies {
            zero_dates: match self.zero_dates {
                ZeroDateArg::Null => ZeroDates::Null,
                ZeroDateArg::Error => ZeroDates::Error,
                ZeroDateArg::Epoch => ZeroDates::Epoch,
                ZeroDateArg::Text => ZeroDates::Text,
            },
            nuls: match self.nul_bytes {
                NulArg::Refuse => Nuls::Refuse,
                NulArg::Strip => Nuls::Strip,
            },
            long_times: match self.out_of_range_times {
                TimeArg::Error => LongTimes::Error,
                TimeArg::Null => LongTimes::Null,
            },
        }
    }
}

impl SourceArgs {
    /// The source's connection settings.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let url = self.source_conn.as_ref().ok_or_else(|| {
            anyhow!("--sourceConn is missing: the source's connection string, mysql://user@host:3306/")
        })?;
        Config::from_url(url.expose()).context("--sourceConn")
    }
}

impl StartArgs {
    /// The target.
    pub(crate) fn target(&self) -> anyhow::Result<TargetConfig> {
        target_config(&self.target)
    }

    pub(crate) fn flow(&self) -> FlowConfig {
        flow_config(&self.feed, false)
    }

    /// What is carried, and where to.
    pub(crate) fn databases(&self, config: &Config, target: &Target) -> anyhow::Result<Databases> {
        const SCHEMA: &str = "public";
        match (&self.source.databases, &config.database) {
            (Some(list), _) => Databases::parse(list).context("--databases"),
            (None, Some(database)) => Ok(Databases::one(database, SCHEMA)),
            (None, None) => Ok(Databases::one(target.home().name().as_str(), SCHEMA)),
        }
    }

    /// The source.
    pub(crate) fn source(&self, target: &Arc<Target>) -> anyhow::Result<BinlogSource> {
        let config = self.source.config()?;
        let carry = Carry {
            feed: self.source.loop_name.clone(),
            databases: Arc::new(self.databases(&config, target)?),
            policies: self.values.policies(),
            on_truncate: self.flow().on_truncate,
            target: find_target(target),
        };
        let bytes = self.feed.bytes_in_flight;
        let holds = Holds::new(bytes / HOLD_SHARE, std::env::temp_dir());
        Ok(BinlogSource::new(Settings {
            replica: self.replica(&config, target),
            config,
            carry,
            default_position: self.source.default_gtid_set.clone(),
            allow_unlogged_cascades: self.source.allow_unlogged_cascades,
            read_ahead_bytes: usize::try_from(bytes / READ_AHEAD_SHARE).unwrap_or(usize::MAX),
            holds,
        }))
    }

    /// Who we are to the source: the same wherever this feed runs, for only one process at a time does.
    fn replica(&self, config: &Config, target: &Target) -> Replica {
        let source = format!("{}:{}", config.host, config.port);
        let written = target.home().name().as_str();
        let who = ["cdc-mylogical", self.source.loop_name.as_str(), source.as_str(), written];
        match self.source.replication_process_id {
            Some(id) => Replica::numbered(id, &who),
            None => Replica::of(&who),
        }
    }
}

/// The table of the target that takes the rows of one of the source's.
pub(crate) fn target_table(
    home: &Database,
    known: &DatabaseSchema,
    schema: &str,
    name: &str,
) -> Option<Arc<TableSchema>> {
    let schema = SchemaId { database: home.name().clone(), schema: Ident::new(schema).ok()? };
    known.table(&schema, name).cloned()
}

fn find_target(target: &Arc<Target>) -> FindTarget {
    let home = Arc::clone(target.home());
    Arc::new(move |schema, name| {
        let known = home.schema().known()?;
        target_table(&home, &known, schema, name).map(|table| table.id.clone())
    })
}
