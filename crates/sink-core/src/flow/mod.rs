//! target. The position moves in the same target transaction as the rows, so it is never ahead of them nor behind.

pub mod position;
pub mod store;

pub use position::{Advance, FeedName, Happened, Position, Stored};
pub use store::PositionStore;
