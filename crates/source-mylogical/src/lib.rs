//! Reads the binary logs of MySQL and MariaDB.
//!
//! ```text
//! server ─► transport ─► binlog ──► assemble ─► feed ─► the engine's replication loop
//!           connection,   frames,    begin,      steps,      │
//!           dump request  events,    savepoints, by table    ▼
//!                         queries    XA, ends      ▲   stored positions: gtid
//!                                                  │
//!                              table map ─► row ───┘
//!                              (plan)       values as text, json
//! ```
//!
//! Beside it, `catalog` reads what the source says about itself, `snapshot` copies the tables before the stream starts,
//! `definitions` says how to make them in the target, and `preflight` looks for what would go wrong.
//!
//! Everything but `transport`, `source`, `snapshot` and the questions of `catalog` is pure: no clock, no socket.

pub mod assemble;
pub mod binlog;
pub mod catalog;
pub mod charset;
pub mod definitions;
pub mod feed;
pub mod flavor;
pub mod gtid;
mod json;
pub mod metrics;
pub mod policy;
pub mod preflight;
mod resume;
pub mod row;
pub mod snapshot;
pub mod source;
pub mod table;
pub mod transport;

pub use flavor::Flavor;
