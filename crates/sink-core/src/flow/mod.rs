//! What the log sources share: changes come in the order of their commits, and a position says how far they are in the
//! target. The position moves in the same target transaction as the rows, so it is never ahead of them nor behind.
//!
//! ```text
//! supervisor: lease, connect, try again
//!   └─ replicate: the loop ── stream (the source) ─► batch ─► fold ─► writer ─► sql, with the position
//!                             tables: which target a table goes to
//!                             apart: over several connections, where transactions need not be kept together
//! ```

mod apart;
mod batch;
pub mod change;
pub mod copy;
pub mod create;
mod extras;
pub mod fold;
mod keyless;
pub mod keys;
mod ordered;
pub mod position;
pub mod preflight;
pub mod replicate;
mod row;
pub mod sql;
pub mod status;
pub mod store;
pub mod stream;
pub mod supervisor;
mod tables;
pub mod upkeep;
mod writer;

pub use change::{Binding, Change, SourceColumn};
pub use create::{Missing, TableMaker};
pub use extras::Form;
pub use fold::{Folder, Limits, Origin, Outcome, TableNet};
pub use ordered::RowStep;
pub use position::{Advance, FeedName, Happened, Position, Stored};
pub use replicate::{FlowConfig, Mode, OnTruncate};
pub use row::{Row, Value};
pub use sql::{FlowApplier, Written};
pub use status::{FlowStatus, Phase};
pub use store::PositionStore;
pub use stream::{ChangeStream, Definition, Identified, LogSource, OldRows, SourceTable, Step, TableNumber};
pub use supervisor::Supervisor;
pub use upkeep::Upkeep;
