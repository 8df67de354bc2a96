//! What can go wrong between us and the source, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError};
use sink_core::failure::{Disposition, Failure};

/// A connection string or setting that cannot be used. Never quotes it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a URL.
    #[error("not a connection string of the form mysql://user:password@host:port/database")]
    NotAUrl,
    /// No user.
    #[error("the connection string names no user; write mysql://user@host/database")]
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
}

/// An error of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Its number.
    pub code: u16,
    /// Its text.
    pub message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.message, self.code)
    }
}

impl StdError for ServerError {}

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
    #[error("{what} took longer than {:.1} s", limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The server does not do TLS, and it was demanded.
    #[error(
        "the source does not accept TLS; give it a certificate (ssl_cert, ssl_key) or connect with sslmode=disable"
    )]
    NoTls,
    /// TLS failed, for example because of an unknown certificate.
    #[error("TLS with the source failed: {0}")]
    Tls(String),
    /// The server refused.
    #[error("the source refused{}", advice(.0))]
    Server(#[source] ServerError),
    /// The server is one that cannot be followed.
    #[error("{0}")]
    Unsupported(String),
    /// The driver failed in a way of its own.
    #[error("the connection to the source cannot be used: {0}")]
    Driver(String),
    /// The server ended the stream, as it does when it shuts down.
    #[error("the source ended the stream, as it does when it shuts down")]
    Ended,
    /// Nothing came, not even a heartbeat.
    #[error("the source has sent nothing for {:.1} s, not even a heartbeat", .0.as_secs_f64())]
    Silent(Duration),
    /// The driver panicked.
    #[error("the driver could not read what the source sent; connecting anew")]
    Panicked,
}

/// What became of the request for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// What we lack has been deleted there.
    Purged,
    /// The server lacks what we have.
    Ahead,
    /// Transactions have no GTID.
    NoGtid,
    /// Somebody else reads under our number.
    Twice,
    /// Who we are does not suffice.
    Access,
    /// The position is none.
    Position,
    /// Something else.
    Other,
}

/// Numbers of errors that pass by themselves: too many connections or queries, a server that stops, a network, a lock, a
/// connection that was ended by somebody.
const PASSING: &[u16] = &[
    1040, 1053, 1080, 1158, 1159, 1160, 1161, 1184, 1189, 1190, 1203, 1205, 1213, 1226, 1317, 1927, 3024,
    3168, 4031,
];

/// Texts of error 1236 (seen on MySQL 9.7, MariaDB 10.11 and 11.8), in lower case.
const OF_THE_LOG: &[(&str, Refused)] = &[
    ("purged required binary logs", Refused::Purged),
    ("could not find gtid state requested", Refused::Purged),
    ("more gtids than the", Refused::Ahead),
    ("which is not in the master's binlog", Refused::Ahead),
    ("gtid_mode", Refused::NoGtid),
    ("anonymous transaction", Refused::NoGtid),
    ("same server_uuid/server_id", Refused::Twice),
];

impl ServerError {
    fn refused(&self) -> Refused {
        match self.code {
            1236 => {
                let text = self.message.to_lowercase();
                let known = OF_THE_LOG.iter().find(|(part, _)| text.contains(part));
                known.map_or(Refused::Other, |(_, refused)| *refused)
            }
            4052 => Refused::Twice,
            1941 => Refused::Position,
            1044 | 1045 | 1142 | 1143 | 1227 | 1698 => Refused::Access,
            _ => Refused::Other,
        }
    }
}

fn advice(error: &ServerError) -> &'static str {
    match error.refused() {
        Refused::Purged => {
            ": log that is still needed has been deleted there (binlog_expire_logs_seconds, PURGE BINARY LOGS), or the \
             position leaves out a domain; changes are missing for good: give the feed another name (--loopName) and start \
             over with a new copy of the tables"
        }
        Refused::Ahead => {
            ": it lacks transactions that the target has, so it is another server, one that was restored from a backup, or \
             one that is behind; connect to the server that has them, or start over with a new copy of the tables"
        }
        Refused::NoGtid => {
            ": its transactions have no GTIDs; run there: SET PERSIST enforce_gtid_consistency = ON; then \
             SET PERSIST gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE and ON in three steps"
        }
        Refused::Twice => {
            ": another reader uses the same server id; give one of the two another --replicationProcessID"
        }
        Refused::Access => {
            "; check user and password, and grant on the source: GRANT REPLICATION SLAVE ON *.* TO the user (MySQL also \
             REPLICATION CLIENT, MariaDB also BINLOG MONITOR), and SELECT on the databases that are replicated"
        }
        Refused::Position => ": the position is not one that it understands; check --defaultGTIDSet",
        Refused::Other => "",
    }
}

impl TransportError {
    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Io(_) | Self::Timeout { .. } | Self::Ended | Self::Silent(_) | Self::Panicked => {
                Disposition::Retry
            }
            Self::Server(error) => {
                let passes = error.refused() == Refused::Twice || PASSING.contains(&error.code);
                if passes { Disposition::Retry } else { Disposition::Halt }
            }
            Self::Config(_) | Self::NoTls | Self::Tls(_) | Self::Unsupported(_) | Self::Driver(_) => {
                Disposition::Halt
            }
        }
    }

    /// Somebody else reads under our number: the two throw each other out for ever.
    #[must_use]
    pub fn is_another_reader(&self) -> bool {
        matches!(self, Self::Server(error) if error.refused() == Refused::Twice)
    }

    /// Log that was asked for has been deleted.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        matches!(self, Self::Server(error) if error.refused() == Refused::Purged)
    }

    /// As the engine's failure.
    #[must_use]
    pub fn failed(self, operation: &'static str) -> Failure {
        Failure::new(self.disposition(), operation, self)
    }
}

impl From<Error> for TransportError {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(error) => Self::Server(ServerError { code: error.code, message: error.message }),
            Error::Io(IoError::Io(error)) => of_io(error),
            Error::Io(IoError::Tls(error)) => Self::Tls(error.to_string()),
            Error::Driver(DriverError::NoClientSslFlagFromServer) => Self::NoTls,
            Error::Driver(DriverError::ConnectionClosed) => {
                Self::Io(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
            }
            // Of an answer that does not fit, these would print the answer.
            Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => {
                Self::Driver("an answer has another shape than was asked for".to_owned())
            }
            Error::Driver(error) => Self::Driver(error.to_string()),
            Error::Url(_) => Self::Driver("its settings contradict each other".to_owned()),
            Error::Other(error) => Self::Driver(error.to_string()),
        }
    }
}

fn of_io(error: std::io::Error) -> TransportError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(problem) => TransportError::Tls(problem.to_string()),
        None => TransportError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sink_core::failure::chain;

    fn server(code: u16, message: &str) -> TransportError {
        TransportError::Server(ServerError { code, message: message.to_owned() })
    }

    #[test]
    fn what_the_log_lacks_is_for_people_and_what_passes_is_not() {
        let lasting = [
            (
                1236,
                "Cannot replicate because the source purged required binary logs. Replicate the …",
                "new copy",
            ),
            (
                1236,
                "Could not find GTID state requested by slave in any binlog files. Probably …",
                "new copy",
            ),
            (1236, "Replica has more GTIDs than the source has, using the source's SERVER_UUID.", "lacks"),
            (
                1236,
                "The slave I/O thread … requested to start from GTID 0-1-9, which is not in the master's binlog",
                "lacks",
            ),
            (1236, "… cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF …", "gtid_mode"),
            (1236, "Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file …", "gtid_mode"),
            (1236, "could not open log file", "refused"),
            (1045, "Access denied for user 'u'@'localhost' (using password: YES)", "REPLICATION SLAVE"),
            (1941, "Could not parse GTID list", "--defaultGTIDSet"),
        ];
        for (code, text, says) in lasting {
            let error = server(code, text);
            assert_eq!(error.disposition(), Disposition::Halt, "{text}");
            assert!(chain(&error).contains(says), "{}", chain(&error));
        }
        for (code, text) in
            [(1053, "Server shutdown in progress"), (1040, "Too many connections"), (4052, "x")]
        {
            assert_eq!(server(code, text).disposition(), Disposition::Retry, "{text}");
        }
        let twice =
            server(1236, "A replica with the same server_uuid/server_id as this replica has connected");
        assert!(twice.is_another_reader() && twice.disposition() == Disposition::Retry);
    }

    #[test]
    fn answers_are_not_quoted() {
        let error =
            Error::Driver(DriverError::FromValue { value: mysql_async::Value::Bytes(b"secret".to_vec()) });
        assert!(!chain(&TransportError::from(error)).contains("secret"));
    }
}
