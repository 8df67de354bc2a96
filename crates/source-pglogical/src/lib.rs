//! Reads PostgreSQL's logical replication stream.
//!
//! ```text
//! server ─► transport ─► pgoutput ─► assemble ─► the caller's replication loop
//!           socket, TLS,  bytes to    order and        │
//!           status out    messages    relations        ▼
//!              ▲                          position: what to store and to acknowledge
//!              └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Everything but `transport` is pure: no clock, no socket. Nothing here knows a target database.

pub mod transport;

pub mod pgoutput;

pub mod relations;

pub mod assemble;

pub mod position;

pub mod lsn;

pub use lsn::Lsn;
