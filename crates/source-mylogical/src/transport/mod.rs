//! Connections to the source: for questions, and for the log.

mod config;
mod dump;
mod error;
mod session;
mod who;

pub use config::{Config, TlsMode};
pub use dump::{Dump, DumpRequest, HEARTBEAT};
pub use error::{ConfigError, ServerError, TransportError};
pub use session::{NET_WRITE_TIMEOUT_SECONDS, Session};
pub use who::Replica;
