//! What a simulated feed is like: its size, its options, its faults.

use std::ops::RangeInclusive;

/// Shape of the rows a feed sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Envelope {
    /// `after`, `key` as an array, `topic`, `updated`.
    #[default]
    Wrapped,
    /// `after`, `key` as an object, `op`, `source` with table and commit time.
    Enriched,
    /// As a query changefeed sends its one table: `after`, `before`, `updated`, whatever else is asked for.
    Query,
}

/// Options that change the bytes of a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The envelope.
    pub envelope: Envelope,
    /// Re-marshalled by Go, as older sinks do: no spaces, and `<`, `>`, `&` escaped.
    pub compact: bool,
    /// Adds `before`.
    pub diff: bool,
    /// Adds the time of the row version itself, which is older than `updated` for rows of the scan.
    pub mvcc_timestamp: bool,
    /// Database and schema in front of the table name in `topic`: `full_table_name`.
    pub topic_prefix: Option<String>,
    /// The schema of every row beside it, one level up: `enriched_properties='schema'`. Enriched only.
    pub with_schema: bool,
}

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An acknowledged batch is delivered again, possibly one below a resolved time.
    Duplicate,
    /// An acknowledged batch is held back and delivered again after a resolved time that covers it.
    Zombie,
    /// A batch in flight is given up and sent again, while the receiver still works on it.
    Concurrent,
    /// An earlier resolved time of any run is sent again.
    RepeatResolved,
    /// The next resolved time never reaches the receiver; a later one will.
    LoseResolved,
    /// The job restarts and sends again what its checkpoint does not cover.
    Restart(RestartFrom),
}

/// Where a job resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartFrom {
    /// The last checkpoint.
    LastCheckpoint,
    /// Any earlier checkpoint: later ones were not written in time. Resolved times go backwards.
    EarlierCheckpoint,
    /// The initial scan, at the same time as the first.
    Beginning,
}

/// Probabilities of faults, each per call of [`Feed::next`](super::Feed::next) unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Of [`Fault::Duplicate`].
    pub duplicate: f64,
    /// Of [`Fault::Zombie`].
    pub zombie: f64,
    /// Of [`Fault::Concurrent`].
    pub concurrent: f64,
    /// Of [`Fault::RepeatResolved`].
    pub repeat_resolved: f64,
    /// Of [`Fault::LoseResolved`].
    pub lose_resolved: f64,
    /// Of [`Fault::Restart`].
    pub restart: f64,
    /// That a restart, drawn or forced by failed attempts, goes back behind the last checkpoint.
    pub restart_earlier: f64,
    /// That an acknowledged version is left out when it would be sent again.
    pub replay_gap: f64,
    /// How many restarts may be drawn; without a limit a long run would never end.
    pub max_drawn_restarts: u32,
}

impl Faults {
    /// Nothing goes wrong unless the receiver causes it.
    pub const NONE: Self = Self {
        duplicate: 0.0,
        zombie: 0.0,
        concurrent: 0.0,
        repeat_resolved: 0.0,
        lose_resolved: 0.0,
        restart: 0.0,
        restart_earlier: 0.0,
        replay_gap: 0.0,
        max_drawn_restarts: 0,
    };

    /// Everything goes wrong often enough to matter in a run of a few hundred deliveries.
    pub const CHAOS: Self = Self {
        duplicate: 0.05,
        zombie: 0.03,
        concurrent: 0.03,
        repeat_resolved: 0.03,
        lose_resolved: 0.02,
        restart: 0.01,
        restart_earlier: 0.5,
        replay_gap: 0.3,
        max_drawn_restarts: 4,
    };
}

/// A simulated feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Nodes that send rows, each for its own part of the keys.
    pub nodes: usize,
    /// Requests in flight per node.
    pub workers: usize,
    /// Rows per request: `Flush.Messages`.
    pub flush_messages: usize,
    /// Calls of [`Feed::next`](super::Feed::next) after which a smaller batch is sent: `Flush.Frequency`.
    pub flush_steps: u32,
    /// Commits the feed reads per call, drawn from this range, while its backlog is small.
    pub commits_per_step: RangeInclusive<usize>,
    /// Commits between two resolved times; zero sends the last one only.
    pub resolved_every: usize,
    /// Attempts per request before the job restarts: `Retry.Max` plus one. The source's own count is 4.
    pub max_attempts: u32,
    /// Options of the feed.
    pub encoding: Encoding,
    /// Faults by chance.
    pub faults: Faults,
    /// Faults by script: the number of the call, from one, and what happens then or as soon as it is possible.
    pub script: Vec<(u64, Fault)>,
    /// Whether the feed judges every delivery by [`SelfCheck`](super::SelfCheck) and panics on a violation.
    pub self_check: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 3,
            workers: 2,
            flush_messages: 20,
            flush_steps: 8,
            commits_per_step: 0..=3,
            resolved_every: 10,
            max_attempts: 4,
            encoding: Encoding::default(),
            faults: Faults::NONE,
            script: Vec::new(),
            self_check: true,
        }
    }
}
