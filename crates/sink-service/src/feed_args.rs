//! The flags that the programs for log sources share. Those of the original keep its spelling and defaults.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use crate::duration;
use crate::secret::Secret;

/// The target and our own tables in it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct FeedTargetArgs {
    /// Connection string of the target (CockroachDB or PostgreSQL).
    #[arg(
        long = "targetConn",
        aliases = ["target-conn", "conn"],
        env = "CDC_TARGET_CONN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub target_conn: Option<Secret>,

    /// The database in the target that is written. Tables go to the schema and table of the same name. Without it, the
    /// one in --targetConn.
    #[arg(long = "targetDB", aliases = ["target-db", "targetDb"], env = "CDC_TARGET_DB", value_name = "NAME")]
    pub target_db: Option<String>,

    /// Where to keep metadata: a database of this name on CockroachDB, a schema of this name inside the target
    /// database on PostgreSQL.
    #[arg(
        long = "stagingDB",
        aliases = ["staging-db", "stagingDb"],
        env = "CDC_STAGING_DB",
        value_name = "NAME",
        default_value = "_cdc_sink"
    )]
    pub staging_db: String,

    /// Create the staging database or schema if it does not exist.
    #[arg(
        long = "stagingCreateSchema",
        alias = "staging-create-schema",
        env = "CDC_STAGING_CREATE_SCHEMA",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub staging_create_schema: bool,

    /// Most connections to the target at once.
    #[arg(
        long = "targetDBConns",
        aliases = ["target-db-conns", "targetMaxPoolSize", "target-max-pool-size"],
        env = "CDC_TARGET_DB_CONNS",
        value_name = "N",
        default_value_t = 1_024,
        value_parser = clap::value_parser!(u32).range(2..=10_000)
    )]
    pub target_db_conns: u32,
}

/// What becomes of a TRUNCATE at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TruncatePolicy {
    /// The feed stops before it.
    Stop,
    /// The target keeps its rows.
    Ignore,
    /// The target's rows are deleted, in the same transaction as the changes around it.
    Apply,
}

/// How changes are carried.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Replication")]
pub struct FeedArgs {
    /// Longest time to wait for the target to apply one batch.
    #[arg(
        long = "applyTimeout",
        alias = "apply-timeout",
        env = "CDC_APPLY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration::parse
    )]
    pub apply_timeout: Duration,

    /// Use a faster mode that does not keep transactions together while the feed is this far behind; 0 never does.
    #[arg(
        long = "backfillWindow",
        alias = "backfill-window",
        env = "CDC_BACKFILL_WINDOW",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = duration::parse
    )]
    pub backfill_window: Duration,

    /// Bytes of changes that may be in flight; a full buffer stops the reading until the target has caught up.
    #[arg(
        long = "bytesInFlight",
        alias = "bytes-in-flight",
        env = "CDC_BYTES_IN_FLIGHT",
        value_name = "BYTES",
        default_value_t = 10_485_760,
        value_parser = clap::value_parser!(u64).range(65_536..=1_073_741_824)
    )]
    pub bytes_in_flight: u64,

    /// Connections that write at the same time in immediate and backfill mode.
    #[arg(
        long = "fanShards",
        alias = "fan-shards",
        env = "CDC_FAN_SHARDS",
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=256)
    )]
    pub fan_shards: u32,

    /// Do not keep transactions together: each row ends at its newest version, in between readers may see parts.
    #[arg(
        long = "immediate",
        env = "CDC_IMMEDIATE",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub immediate: bool,

    /// Longest pause between two attempts after a failure; the first ones follow sooner.
    #[arg(
        long = "retryDelay",
        alias = "retry-delay",
        env = "CDC_RETRY_DELAY",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    pub retry_delay: Duration,

    /// How often the position is stored while the source has nothing for the target.
    #[arg(
        long = "standbyTimeout",
        alias = "standby-timeout",
        env = "CDC_STANDBY_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration::parse
    )]
    pub standby_timeout: Duration,

    /// What to do when the source truncates a table.
    #[arg(
        long = "onTruncate",
        alias = "on-truncate",
        env = "CDC_ON_TRUNCATE",
        value_enum,
        default_value_t = TruncatePolicy::Stop
    )]
    pub on_truncate: TruncatePolicy,

    /// Serve health, readiness and metrics here, in plain HTTP; best on loopback or a private network.
    #[arg(long = "metricsAddr", alias = "metrics-addr", env = "CDC_METRICS_ADDR", value_name = "HOST:PORT")]
    pub metrics_addr: Option<String>,
}
