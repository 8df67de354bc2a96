//! What the scenarios, the demo, the benchmarks and the fuzzers share.

pub mod driver;
pub mod harness;
pub mod properties;
