//! A simulated CockroachDB changefeed and the oracle that judges what a target made of it. For tests.
//!
//! Everything here is pure: no socket, no clock, no thread. A run is determined by its seeds and by the
//! replies the caller gives, so that a failure is repeated by printing a number.
//!
//! * [`source`]: tables with their whole history, the truth of a run;
//! * [`workload`]: random transactions on tables whose rows depend on one another;
//! * [`feed`]: what a changefeed sends about them, faults included;
//! * [`memory`]: a target in memory, with scripted faults;
//! * [`golden`]: the statement shapes whose SQL is kept as text;
//! * [`oracle`]: what the target must show at a given time;
//! * [`value`]: one column value in the two spellings a test needs.

pub mod feed;
pub mod golden;
pub mod memory;
pub mod oracle;
pub mod source;
pub mod value;
pub mod workload;

pub use feed::{Config, Delivery, Feed, Reply, Step};
pub use oracle::Oracle;
pub use source::Source;
pub use workload::{Workload, WorkloadConfig};
