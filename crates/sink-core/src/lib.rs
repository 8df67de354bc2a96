//! The engine of every replicator: it stages rows, resolves them and applies them to a target database. It
//! knows no source, no flag and no HTTP.
//!
//! ```text
//!  changefeed rows ─► staging ──► resolver ──► apply ──► target tables
//!                        ▲            │ mark      │
//!  changefeed marks ─────┘            ▼           ▼
//!                                 checkpoint: the frontier moves in the same target transaction
//! ```
//!
//! Modules are listed in the order in which a row meets them.

pub mod model;

pub mod target;

pub mod apply_config;

pub mod staging;

pub mod checkpoint;

pub mod resolver;

pub mod apply;

pub mod flow;

mod backoff;
pub mod clock;
pub mod credentials;
pub mod failure;
pub mod metrics;
