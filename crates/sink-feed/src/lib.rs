//! What the programs that follow a log have in common: from flags to the engine, and what goes on around a feed. Joins
//! `sink-service` with `sink-core`; knows no kind of source, which each program brings.
//!
//! Part of the programs, hence errors for people (`anyhow`) with the code for machines.

pub mod args;
pub mod docs;
pub mod observe;
pub mod preflight;
pub mod snapshot;
pub mod start;
pub mod tables;
pub mod watching;

use sink_core::failure::Failure;
use sink_core::target::LOOK_FOR_LEFTOVERS;
use sink_service::exit::Exit;

/// An error for people, with the code for machines.
pub type Failed = (Exit, anyhow::Error);

/// The command line is wrong.
#[must_use]
pub fn usage(error: anyhow::Error) -> Failed {
    (Exit::Usage, error)
}

/// The target cannot be worked with, or only after a person has decided what becomes of what the original left there.
#[must_use]
pub fn target_failed(failure: Failure) -> Failed {
    let leftovers = failure.operation() == LOOK_FOR_LEFTOVERS && failure.sqlstate().is_none();
    (if leftovers { Exit::Refused } else { Exit::Target }, failure.into())
}

/// Who is running, as `--version` says: each program's own name and version.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `CARGO_PKG_NAME` of the program.
    pub name: &'static str,
    /// `CARGO_PKG_VERSION` of the program.
    pub version: &'static str,
}
