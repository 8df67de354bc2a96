//! Why the catalogue could not be read.

use sink_core::failure::Disposition;

use crate::transport::TransportError;

/// A look at the source's catalogue that failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The connection, or a refusal of the server.
    #[error("cannot read {what} from the source's catalogue")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: TransportError,
    },
    /// An answer of another form than asked for.
    #[error(
        "the source's catalogue answers for {what} with something that is not {expected}; is it PostgreSQL 14 or later?"
    )]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What should have come.
        expected: &'static str,
    },
}

impl CatalogError {
    /// Whether trying again may help.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Read { source, .. } => source.disposition(),
            Self::Malformed { .. } => Disposition::Halt,
        }
    }

    /// The server's code, if it is the server's error.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Read { source, .. } => source.sqlstate(),
            Self::Malformed { .. } => None,
        }
    }
}
