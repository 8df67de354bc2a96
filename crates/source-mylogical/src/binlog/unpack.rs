//! What the servers compress: whole transactions (MySQL), single events (MariaDB).

/// What was compressed cannot be had back. Nothing of it may be taken for empty.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Compressed in a way that is not known.
    #[error(
        "the source compressed with the unknown method {method}; switch compression of the binary log off there"
    )]
    Method {
        /// The number of the method.
        method: u64,
    },
    /// The data does not follow its format.
    #[error("the compressed data is damaged")]
    Damaged,
    /// More or less came out than was announced.
    #[error("compressed data should have {expected} bytes when unpacked, and has {found}")]
    Size {
        /// As announced.
        expected: u64,
        /// As found, at least.
        found: u64,
    },
    /// Larger than any server writes.
    #[error("compressed data announces {expected} bytes, more than the {limit} that a server can write")]
    TooLarge {
        /// As announced.
        expected: u64,
        /// Ours.
        limit: u64,
    },
}
