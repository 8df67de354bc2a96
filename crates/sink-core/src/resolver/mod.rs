//! From a resolved mark to applied rows.
//!
//! `frontier` decides, `catch_up` does it once, `task` does it for as long as this process holds the schema's lease,
//! and `manager` has a task for every schema with something to do.

pub mod catch_up;
pub mod frontier;
pub mod manager;
mod observer;
mod retirer;
mod task;

pub use catch_up::{CatchUp, Pace, Progress};
pub use frontier::{Frontier, Step};
pub use manager::{ResolverConfig, Resolvers};
