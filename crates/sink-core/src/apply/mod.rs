//! The seam where changes reach the target, and the pure planning before it.

pub mod matching;
pub mod order;
pub mod plan;
pub mod sql;

use std::future::Future;

use crate::checkpoint::Advance;
use crate::failure::Failure;
use crate::model::{Batch, SchemaId};
use crate::staging::Window;

pub use sql::SqlApplier;

/// Whether an applied unit can still be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Taken, not yet durable, so the feed must not advance.
    Accepted,
    /// The rows *and* the advance are committed, together.
    Durable,
}

/// What becomes visible at once.
#[derive(Debug, Clone, Copy)]
pub enum Changes<'a> {
    /// Rows handed over, to be written only where they are newer than what the target has (immediate mode).
    Rows(&'a [Batch<'a>]),
    /// A span of staged time, which the target can read itself.
    Staged {
        /// The span; all of it is promised.
        window: Window,
        /// Leave out rows that an immediate write has overtaken.
        guard: bool,
        /// The span holds a single source timestamp.
        indivisible: bool,
    },
}

/// What to do with a row that the target refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRowError {
    /// Fail, changing nothing.
    #[default]
    Stop,
    /// Move the row to the quarantine table in the same transaction.
    Quarantine,
}

/// One unit of work.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// The schema.
    pub schema: &'a SchemaId,
    /// The changes.
    pub changes: Changes<'a>,
    /// The step of the frontier that goes with them; rows of immediate mode have none.
    pub advance: Option<Advance>,
    /// What to do with rows that the target refuses.
    pub on_row_error: OnRowError,
}

/// What applying a unit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Whether it can still be lost.
    pub durability: Durability,
    /// Rows written.
    pub upserts: u64,
    /// Rows removed.
    pub deletes: u64,
    /// Rows moved aside.
    pub quarantined: u64,
}

/// Writes units to a target.
pub trait Applier: Send + Sync {
    /// Applies a unit completely or not at all. With an advance: only if the feed stands at `advance.from` in that
    /// epoch; without: only if the schema is in immediate mode; else it fails with `Fenced`. Units are given in
    /// order; a unit given again ends in the same state.
    fn apply(&self, unit: &Unit<'_>) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// Makes everything accepted so far durable.
    fn flush(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}
