//! The flags of the initial snapshot, alike for all log sources.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;

/// Whether tables are copied before the log is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SnapshotMode {
    /// The tables are there already; only changes are carried.
    Never,
    /// Tables are copied first, unless that is done; then changes are carried.
    Initial,
    /// Tables are copied, and the process ends.
    Only,
}

/// The initial snapshot.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Snapshot")]
pub struct SnapshotArgs {
    /// Copy the tables before changes are carried. Goes on with a copy that was broken off; does nothing once it is done.
    #[arg(
        long = "snapshotMode",
        alias = "snapshot-mode",
        env = "CDC_SNAPSHOT_MODE",
        value_name = "MODE",
        default_value = "never"
    )]
    pub snapshot_mode: SnapshotMode,

    /// How many tables, or parts of them, are copied at the same time.
    #[arg(
        long = "snapshotWorkers",
        alias = "snapshot-workers",
        env = "CDC_SNAPSHOT_WORKERS",
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    pub snapshot_workers: u16,

    /// The tables to copy, as SQL names them, separated by commas: schema.table,"Schema"."Table". Without it, all that are
    /// published; if the publication is to be made, all that have a usable key.
    #[arg(long = "tables", env = "CDC_TABLES", value_name = "LIST")]
    pub tables: Option<String>,

    /// How long to wait for the transactions that are open at the source when the copy begins.
    #[arg(
        long = "snapshotSlotTimeout",
        alias = "snapshot-slot-timeout",
        env = "CDC_SNAPSHOT_SLOT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration::parse
    )]
    pub snapshot_slot_timeout: Duration,
}
