//! Flags that need the engine to be understood, and the engine's settings from those that do not.

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use sink_core::flow::{FlowConfig, Limits, Mode, OnTruncate};
use sink_core::model::Ident;
use sink_core::target::TargetConfig;
use sink_service::feed_args::{FeedArgs, FeedTargetArgs, TruncatePolicy};
use url::Url;

/// A batch takes at most this part of `--bytesInFlight`: one is collected while another is written, and each stands in
/// memory once more as a statement.
const BATCH_SHARE: usize = 4;

/// Tables that the target lacks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tables")]
pub struct TableArgs {
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
    pub create_tables: bool,

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
    pub dry_run: bool,
}

impl TableArgs {
    /// The statements that make tables are to be printed, and nothing else.
    ///
    /// # Errors
    /// If nothing is to be created.
    pub fn is_dry_run(&self) -> anyhow::Result<bool> {
        if self.dry_run && !self.create_tables {
            return Err(anyhow!("--dryRun shows what --createTables would do; give both"));
        }
        Ok(self.dry_run)
    }
}

/// What `start` does about findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AtStart {
    /// Ends if any of them is an error.
    Stop,
    /// Tells them and goes on.
    Report,
}

/// The look before the start.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Start")]
pub struct LookArgs {
    /// What to do about errors that the look before the start finds (see the command `preflight`).
    #[arg(long = "preflight", env = "CDC_PREFLIGHT", value_name = "WHAT", default_value = "stop")]
    pub preflight: AtStart,
}

/// The target, with the database of `--targetDB` in place of the one in the connection string.
///
/// # Errors
/// Names the flag that is missing or wrong; never quotes the connection string.
pub fn target_config(args: &FeedTargetArgs) -> anyhow::Result<TargetConfig> {
    let missing =
        || anyhow!("--targetConn is missing: the target's connection string, postgresql://user@host/");
    let text = args.target_conn.as_ref().ok_or_else(missing)?;
    // The parser's message may quote the URL, password and all.
    let mut url =
        Url::parse(text.expose()).map_err(|_| anyhow!("--targetConn is not a connection string"))?;
    if let Some(database) = &args.target_db {
        url.set_path(database);
    }
    if url.path().trim_matches('/').is_empty() {
        return Err(anyhow!("--targetDB is missing: the database in the target that is written"));
    }
    Ok(TargetConfig {
        url: url.into(),
        staging: Ident::new(&args.staging_db).context("--stagingDB")?,
        create_staging: args.staging_create_schema,
        max_connections: args.target_db_conns,
    })
}

/// How changes are carried; over one connection if there may be a `single_writer` only.
#[must_use]
pub fn flow_config(args: &FeedArgs, single_writer: bool) -> FlowConfig {
    let window = args.backfill_window;
    let mode = match (args.immediate, window.is_zero()) {
        (true, _) => Mode::Immediate,
        (false, true) => Mode::Transactional,
        (false, false) => Mode::Backfill { window },
    };
    let bytes = usize::try_from(args.bytes_in_flight).unwrap_or(usize::MAX) / BATCH_SHARE;
    FlowConfig {
        mode,
        shards: if single_writer { 1 } else { usize::try_from(args.fan_shards).unwrap_or(1) },
        limits: Limits { bytes, ..Limits::default() },
        apply_timeout: args.apply_timeout,
        standby_timeout: args.standby_timeout,
        on_truncate: match args.on_truncate {
            TruncatePolicy::Stop => OnTruncate::Stop,
            TruncatePolicy::Ignore => OnTruncate::Ignore,
            TruncatePolicy::Apply => OnTruncate::Apply,
        },
    }
}
