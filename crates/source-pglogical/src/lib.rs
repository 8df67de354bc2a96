//! Reads PostgreSQL's logical replication stream.
//!
//! ```text
//! server ─► transport ─► pgoutput ─► assemble ─► feed ─► the engine's replication loop
//!           socket, TLS,  bytes to    order and    steps,      │
//!           status out    messages    relations    by table    ▼
//!              ▲                                          stored positions
//!              └──────────────── source ◄───────────────────────┘
//!                       opens the stream only where nothing is lost: position
//! ```
//!
//! Beside it, `catalog` reads what the source says about itself, over a session of its own, and `snapshot` copies the tables
//! before the stream starts.
//!
//! Everything but `transport`, `source`, `snapshot` and the questions of `catalog` is pure: no clock, no socket. Nothing here knows a
//! target database; `preflight` compares with one that somebody else has read.

pub mod transport;

pub mod pgoutput;

pub mod relations;

pub mod assemble;

pub mod position;

pub mod feed;

pub mod source;

pub mod catalog;

pub mod snapshot;

pub mod definitions;

pub mod preflight;

pub mod watch;

pub mod metrics;

pub mod lsn;

pub use lsn::Lsn;
