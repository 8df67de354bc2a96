//! Why bytes of the log could not be understood. Never holds a value of a row, only what stood where.

use std::fmt;

/// Bytes that are not what the log's format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// The event, or what it is part of.
    pub part: &'static str,
    /// Bytes from the start of the part to what is wrong.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The event ends too early.
    Truncated {
        /// What should stand here.
        expected: &'static str,
        /// Bytes it takes, or at least takes.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A number that means nothing here.
    Unknown {
        /// What should stand here.
        expected: &'static str,
        /// The number.
        found: u64,
    },
    /// A text that is not UTF-8.
    NotUtf8 {
        /// What should stand here.
        expected: &'static str,
    },
    /// Bytes after the end.
    Trailing {
        /// How many.
        left: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, byte {}: {}", self.part, self.offset, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected, needed, left } => {
                write!(f, "expected {expected} of {needed} bytes, {left} are left")
            }
            Self::Unknown { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::NotUtf8 { expected } => write!(f, "expected {expected} in UTF-8, found other bytes"),
            Self::Trailing { left } => write!(f, "expected the end, {left} bytes are left"),
        }
    }
}

impl std::error::Error for DecodeError {}
