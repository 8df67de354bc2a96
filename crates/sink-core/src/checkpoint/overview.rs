//! What operators see of a schema, and how they repair it.

mod sql;

use std::time::Duration;

use crate::model::{HlcTimestamp, SchemaId};

/// The state of one schema, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Which schema.
    pub schema: SchemaId,
    /// `consistent` or `immediate`.
    pub mode: String,
    /// Every row up to this time is in the target.
    pub applied: HlcTimestamp,
    /// When that last moved, as time past by the database's clock; `None` if never.
    pub applied_ago: Option<Duration>,
    /// How far the applied time is behind the database's clock; `None` before the first mark.
    pub lag: Option<Duration>,
    /// The newest resolved mark that is kept.
    pub newest_mark: Option<HlcTimestamp>,
    /// The host that applies the schema, while its lease is good.
    pub leader: Option<String>,
    /// Why the target refuses the next rows, if it does.
    pub stall: Option<String>,
    /// Rows waiting in staging; `None` if looking took too long.
    pub pending: Option<Pending>,
    /// How far the newest mark or, if it is newer, the applied time is behind the database's clock: the age of the
    /// newest promise that is durable here. `None` before the first.
    pub staged_lag: Option<Duration>,
    /// The database's clock, as time since 1970.
    pub now: Duration,
    /// Space taken by its staging tables, in bytes; `None` where the product does not say.
    pub staging_bytes: Option<u64>,
    /// Rows in quarantine.
    pub quarantined_rows: u64,
}

/// What waits in the staging tables of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Rows after the applied time.
    pub rows: u64,
    /// Whether `rows` was counted, and not estimated from the server's statistics.
    pub exact: bool,
    /// Age of the oldest by the database's clock; `None` if there is none.
    pub oldest: Option<Duration>,
}

/// How thoroughly pending rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Up to ten thousand, and an estimate beyond: for probes and metrics.
    Quick,
    /// All of them, for as long as an operator waits; else as [`Self::Quick`].
    Exact,
}

/// What a reset does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Forget everything: the next feed starts from nothing, as for a new schema.
    Everything,
    /// The target is taken to be at this time: the feed continues from there.
    To(HlcTimestamp),
}

/// What a reset did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetDone {
    /// Where the schema stood before.
    pub was: HlcTimestamp,
    /// Staged rows that had not been applied and are dropped.
    pub dropped_rows: u64,
}
