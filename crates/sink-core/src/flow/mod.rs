//! What the log sources share: changes come in the order of their commits, and a position says how far they are in the
//! target. The position moves in the same target transaction as the rows, so it is never ahead of them nor behind.

pub mod change;
pub mod fold;
pub mod position;
pub mod sql;
pub mod store;

pub use change::{Binding, Change, Row, Value};
pub use fold::{Folder, Limits, Origin, Outcome, TableNet};
pub use position::{Advance, FeedName, Happened, Position, Stored};
pub use sql::{FlowApplier, Written};
pub use store::PositionStore;
