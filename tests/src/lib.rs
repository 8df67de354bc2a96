//! What the scenarios, the demo and the benchmarks share.

pub mod driver;
pub mod harness;
