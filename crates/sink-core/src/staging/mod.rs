//! Where partially ordered rows wait until the source promises that nothing older is coming.

pub mod admission;
pub mod json_text;
pub mod key_text;
pub mod names;
pub mod sql;
mod value_kind;

use std::future::Future;

use crate::failure::Failure;
use crate::model::{Batch, HlcTimestamp, SchemaId};

pub use sql::SqlStager;

/// What staging a request did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows that were there with the same content.
    pub duplicates: u64,
    /// Rows that were there with other content and were replaced.
    pub replaced: u64,
}

/// A half-open stretch of source time: rows after `after`, up to and including `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Everything at or below this is applied.
    pub after: HlcTimestamp,
    /// The newest time included.
    pub upto: HlcTimestamp,
}

/// The next piece of a window to apply, cut between source timestamps, over all tables of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Where the piece ends; it starts where the window does.
    pub upto: HlcTimestamp,
    /// The piece holds at most one timestamp, so it cannot be cut any further.
    pub indivisible: bool,
}

/// How far forgetting came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Nothing is left to forget.
    All,
    /// Something is left for another call.
    Some,
}

/// Stores rows and marks until they are applied.
pub trait Stager: Send + Sync {
    /// Stores rows. `Ok` means durable. Idempotent: the same rows may come any number of times, in any order.
    fn stage(
        &self,
        schema: &SchemaId,
        batches: &[Batch<'_>],
    ) -> impl Future<Output = Result<StageCounts, Failure>> + Send;

    /// Records the source's promise that every row up to `at` has been stored. `Ok` means durable. Idempotent.
    fn mark(&self, schema: &SchemaId, at: HlcTimestamp) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The newest promise beyond `after`.
    fn newest_mark(
        &self,
        schema: &SchemaId,
        after: HlcTimestamp,
    ) -> impl Future<Output = Result<Option<HlcTimestamp>, Failure>> + Send;

    /// The first piece of the window with about `max_rows` rows at most, or with one timestamp if that alone has more;
    /// with `max_rows` 1 always exactly one timestamp.
    /// `window.upto` must be promised.
    fn cut(
        &self,
        schema: &SchemaId,
        window: Window,
        max_rows: u32,
    ) -> impl Future<Output = Result<Slice, Failure>> + Send;

    /// Forgets rows and marks at or below `upto`, which must be applied. Gives way to whoever stages the same rows, and
    /// says so.
    fn retire(
        &self,
        schema: &SchemaId,
        upto: HlcTimestamp,
    ) -> impl Future<Output = Result<Retired, Failure>> + Send;
}
