//! The target server: connections, what its catalogue says, and how its SQL differs from the other product's.

pub mod catalog;
pub mod dialect;
mod legacy;
mod patience;
pub mod pool;
pub(crate) mod replication_origin;
pub mod schema_watcher;
pub mod server_clock;

pub use dialect::{Dialect, Product, StagingArea};
pub use legacy::LOOK as LOOK_FOR_LEFTOVERS;
pub use pool::{Database, Target, TargetConfig};
pub use schema_watcher::SchemaWatcher;
pub use server_clock::ServerClock;
