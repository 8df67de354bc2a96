//! The connection to the source: the one place with a socket.
//!
//! ```text
//! Config ─► Session ─────────────────────────────► Stream
//!           connected and authenticated;            frames in, statuses out
//!           commands one at a time                  until it ends
//!                 └───────────────────────────────► CopySession
//!                                                   tables out, as bytes
//! ```
//!
//! Messages of the handshake and SCRAM come from the crate `pgwire-replication`. Two parts are ours, behind this seam:
//!
//! * **The stream's reader.** The crate hands out one event per message through a channel that is bounded by count. On a
//!   backlog of one-row transactions it drained 0.4 times as many as a reader that takes what has piled up at once, with
//!   35 times the processor time; and a queue of messages that may be large has to be bounded in bytes.
//! * **TLS.** The crate's needs the cryptography library `ring`; this process has one library, aws-lc-rs.

mod auth;
mod config;
mod copy;
mod error;
mod session;
mod socket;
pub mod sql;
mod stream;
mod tls;

pub use config::{Config, Endpoint, Limits, PINNED, TlsMode};
pub use copy::CopySession;
pub use error::{ConfigError, ServerError, TransportError};
pub use session::{CreatedSlot, NewSlot, Row, Session, SnapshotAction, StartRequest, SystemIdentity};
pub use sql::{identifier, literal};
pub use stream::Stream;
