//! How far each schema durably is, and who may move it on.

pub mod binding;
pub mod lease;
pub mod overview;
pub mod sql;

use std::future::Future;

use crate::failure::Failure;
use crate::model::{HlcTimestamp, SchemaId};

pub use lease::Leases;
pub use sql::SqlCheckpoints;

/// How rows of a schema reach their tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Staged, and applied at resolved marks: the target moves between states the source had.
    Consistent,
    /// Written as they arrive: each key ends at its newest version, transactions are torn.
    Immediate,
}

impl Mode {
    /// The word stored in the frontier row and used in flags and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Immediate => "immediate",
        }
    }

    /// The mode of a stored word; anything unknown is the careful one.
    #[must_use]
    pub fn from_stored(word: &str) -> Self {
        if word == "immediate" { Self::Immediate } else { Self::Consistent }
    }
}

/// Where a schema stands, as its frontier row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Every row up to this time is in the target.
    pub applied: HlcTimestamp,
    /// Raised by whoever takes over; writes with an older one are refused.
    pub epoch: i64,
    /// How rows reach their tables.
    pub mode: Mode,
    /// Rows up to this time may have been written immediately, so applying must ask the guard.
    pub guard_upto: HlcTimestamp,
}

impl Standing {
    /// Whether a slice must leave out rows that an immediate write has overtaken.
    #[must_use]
    pub fn needs_guard(&self) -> bool {
        self.mode == Mode::Immediate || self.applied < self.guard_upto
    }
}

/// One step of a schema's frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Where the frontier must stand.
    pub from: HlcTimestamp,
    /// Where it goes.
    pub to: HlcTimestamp,
    /// The epoch it must have.
    pub epoch: i64,
}

/// Keeps frontiers. For reading, for taking over, and for appliers that do not move the frontier themselves.
pub trait CheckpointStore: Send + Sync {
    /// Makes the caller the only one whose writes are accepted, by raising the epoch.
    fn take_over(&self, schema: &SchemaId) -> impl Future<Output = Result<Standing, Failure>> + Send;

    /// Where the schema stands; `None` if nothing was ever staged for it.
    fn standing(&self, schema: &SchemaId) -> impl Future<Output = Result<Option<Standing>, Failure>> + Send;

    /// Moves the frontier if it stands at `advance.from` in that epoch, else fails with `Fenced`. Never back.
    fn advance(
        &self,
        schema: &SchemaId,
        advance: Advance,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
