//! The first copy of tables, before a log is followed.
//!
//! ```text
//! pieces of tables ─► Reader ─────► Loader ──────────► target table
//!                     the source's   COPY, fenced by         │
//!                     own snapshot   the feed's epoch        ▼
//!                                             store: pending → copying → copied at a consistent point
//! ```
//!
//! A table that is `copied` holds everything the source had committed before its consistent point and nothing else, so the
//! log's changes before that point are skipped for this table and the rest is applied. A table that a crash left
//! `copying` is emptied and copied anew, in another snapshot with its own point.
//!
//! Where a source has no snapshot to hold, tables are copied in [`ranges`] of their keys instead.
//!
//! Knows no source: a source brings its pieces and its [`Reader`]s.

pub mod pass;
pub mod progress;
pub mod ranges;
pub mod sql;
pub mod store;
mod table;

pub use pass::{Opened, Pass, Reader, Rows, TablePlan};
pub use progress::{Board, Progress, View};
pub use ranges::{Chunks, RangePlan, RangeRecord, RangesPass, Reached};
pub use sql::Loader;
pub use store::{Fence, SnapshotStore};
pub use table::{SourceName, TableRecord, TableState, TargetTable, is_done};
