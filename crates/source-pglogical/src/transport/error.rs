//! What can go wrong between us and the source, and what to do about it.

use std::fmt;
use std::time::Duration;

use pgwire_replication::PgWireError;
use pgwire_replication::protocol::ErrorFields;
use sink_core::failure::Disposition;

use crate::pgoutput::DecodeError;

/// A connection string or setting that cannot be used. Never quotes it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL.
    #[error("not a connection string of the form postgres://user:password@host:port/database")]
    NotAUrl,
    /// No database.
    #[error("the connection string names no database; end it with /name")]
    NoDatabase,
    /// No user.
    #[error("the connection string names no user; write postgres://user@host/database")]
    NoUser,
    /// A parameter's value is not allowed.
    #[error("parameter {name} of the connection string: expected {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A parameter we do not know. Ignoring it might mean less safety than asked for.
    #[error("parameter {name:?} of the connection string is not supported; remove it")]
    UnknownParameter {
        /// Its name.
        name: String,
    },
    /// A zero byte, which would end the text early on the wire.
    #[error("{what} holds a zero byte")]
    ZeroByte {
        /// Which text.
        what: &'static str,
    },
    /// A file of certificates or keys.
    #[error("cannot use {what} from the file given by {parameter}: {problem}")]
    File {
        /// Certificate or key.
        what: &'static str,
        /// The parameter that names the file.
        parameter: &'static str,
        /// What rustls says.
        problem: String,
    },
    /// TLS over a Unix socket.
    #[error("a Unix socket has no TLS; remove sslmode or connect by host name")]
    TlsOnSocket,
}

/// An error of the server. Its detail and context are left out: they may quote values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Five characters.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    pub(super) fn parse(payload: &[u8]) -> Self {
        let fields = ErrorFields::parse(payload);
        Self { sqlstate: fields.code.unwrap_or_default(), message: fields.message.unwrap_or_default() }
    }
}

/// A failed operation on the connection.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The configuration.
    #[error("the source's connection cannot be set up")]
    Config(#[from] ConfigError),
    /// The network.
    #[error("the connection to the source failed")]
    Io(#[source] std::io::Error),
    /// Too slow.
    #[error("{what} took longer than {}", humane(*limit))]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The server does not do TLS, and it was demanded.
    #[error("the source does not accept TLS; set ssl=on there or connect with sslmode=disable")]
    NoTls,
    /// TLS failed, for example because of an unknown certificate.
    #[error("TLS with the source failed")]
    Tls(#[source] std::io::Error),
    /// Not authenticated, for a reason other than the server's refusal.
    #[error("cannot authenticate to the source: {0}")]
    Auth(String),
    /// The server refused.
    #[error("the source refused {what}")]
    Server {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        #[source]
        source: ServerError,
    },
    /// The server sent what cannot be at this place.
    #[error("the source broke the protocol: {0}")]
    Protocol(&'static str),
    /// A frame that is not understood.
    #[error("the source sent a frame that is not understood")]
    Frame(#[from] DecodeError),
    /// A message above the limit.
    #[error(
        "the source sent a message of {bytes} bytes, the limit is {limit}; raise the limit or keep such rows out of the publication"
    )]
    TooLarge {
        /// As announced.
        bytes: usize,
        /// As configured.
        limit: usize,
    },
    /// The server ended the stream in good order, as when it shuts down.
    #[error("the source ended the stream")]
    Ended,
    /// An earlier command was cut off; its answer may still be under way.
    #[error("the session was left in the middle of a command; connect anew")]
    OutOfStep,
}

fn humane(limit: Duration) -> String {
    format!("{:.1} s", limit.as_secs_f64())
}

/// Classes and codes that pass by themselves: connection exceptions, resources, object in use, operator
/// intervention, and a serialization failure.
const PASSING: &[&str] = &["08", "53", "55006", "57", "40", "58"];

impl TransportError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Io(_) | Self::Timeout { .. } | Self::Ended | Self::OutOfStep => Disposition::Retry,
            Self::Server { source, .. } => {
                let passes = PASSING.iter().any(|start| source.sqlstate.starts_with(start));
                if passes { Disposition::Retry } else { Disposition::Halt }
            }
            Self::Config(_)
            | Self::NoTls
            | Self::Tls(_)
            | Self::Auth(_)
            | Self::Protocol(_)
            | Self::Frame(_)
            | Self::TooLarge { .. } => Disposition::Halt,
        }
    }

    /// The server's code, if it is the server's error.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server { source, .. } => Some(&source.sqlstate),
            Self::Config(_)
            | Self::Io(_)
            | Self::Timeout { .. }
            | Self::NoTls
            | Self::Tls(_)
            | Self::Auth(_)
            | Self::Protocol(_)
            | Self::Frame(_)
            | Self::TooLarge { .. }
            | Self::Ended
            | Self::OutOfStep => None,
        }
    }
}

impl From<std::io::Error> for TransportError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<PgWireError> for TransportError {
    fn from(error: PgWireError) -> Self {
        match error {
            PgWireError::Io(error) => Self::Io(std::io::Error::new(error.kind(), error)),
            PgWireError::Auth(problem) => Self::Auth(problem),
            PgWireError::MessageTooLarge { payload_bytes, limit_bytes } => {
                Self::TooLarge { bytes: payload_bytes, limit: limit_bytes }
            }
            // The functions that are used here return none of the rest; the enum may grow.
            _ => Self::Protocol("a message of the handshake is malformed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(sqlstate: &str) -> TransportError {
        let source = ServerError { sqlstate: sqlstate.to_owned(), message: "m".to_owned() };
        TransportError::Server { what: "the stream", source }
    }

    #[test]
    fn a_busy_slot_and_a_stopping_server_pass_and_a_lost_slot_does_not() {
        for passing in ["55006", "57P01", "57P03", "53300", "08006"] {
            assert_eq!(server(passing).disposition(), Disposition::Retry, "{passing}");
        }
        for lasting in ["55000", "42704", "28P01", "42501", "0A000", ""] {
            assert_eq!(server(lasting).disposition(), Disposition::Halt, "{lasting}");
        }
    }

    #[test]
    fn details_of_the_servers_errors_are_left_out() {
        let payload = b"SERROR\0C23505\0Mduplicate key\0DKey (id)=(secret) already exists.\0\0";
        let error = ServerError::parse(payload);
        assert_eq!(error.to_string(), "duplicate key (SQLSTATE 23505)");
    }
}
