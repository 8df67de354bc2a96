//! Tables that are copied in the order of their key, where the source has no snapshot to hold: in ranges, and these in
//! chunks. How far a range is copied moves in the target transaction that holds the chunk, so a copy goes on behind the last
//! chunk that was written, whatever happened.
//!
//! What chunks hold is of many moments. The log is followed from before the first of them, and once it is past the last,
//! the target is as the source was.

mod pass;
pub mod store;

pub use pass::{Chunks, RangePlan, RangesPass};

use super::table::SourceName;

/// A part of a table as the target knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRecord {
    /// Of which table.
    pub table: SourceName,
    /// Its number within the table, from 1.
    pub number: i32,
    /// Which keys are in it, as its source wrote it.
    pub bounds: String,
    /// The last key that was copied, as its source wrote it; none if none was.
    pub reached: Option<String>,
    /// All of it is there.
    pub done: bool,
    /// Rows copied.
    pub rows: u64,
    /// Bytes of text copied.
    pub bytes: u64,
}

/// Where a chunk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Its last key; that of the chunk before if it had no rows.
    pub key: Option<String>,
    /// Nothing of the range is behind it.
    pub last: bool,
}

/// How a chunk moves its range.
#[derive(Debug, Clone)]
pub struct RangeStep {
    /// Of which table.
    pub table: SourceName,
    /// Which range.
    pub number: i32,
    /// Where it must stand.
    pub from: Option<String>,
}
