//! Why bytes could not be understood. Never holds a value of a row, only what stood where.

use std::fmt;

/// Bytes that are not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// The message or frame, in the protocol's own words.
    pub message: &'static str,
    /// Bytes from the start of the message to the part that is wrong.
    pub offset: usize,
    /// The column of the row, counted from 0, if it is inside a row.
    pub column: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The message ends too early.
    Truncated {
        /// What should stand here.
        expected: &'static str,
        /// Bytes it takes, or at least takes.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A text without its closing zero byte.
    Unterminated {
        /// What should stand here.
        expected: &'static str,
    },
    /// A byte that means nothing here.
    Unknown {
        /// What should stand here.
        expected: &'static str,
        /// The byte.
        found: u8,
    },
    /// A length or count below zero.
    Negative {
        /// What should stand here.
        expected: &'static str,
    },
    /// A text that is not UTF-8.
    NotUtf8 {
        /// What should stand here.
        expected: &'static str,
    },
    /// Bytes after the end of the message.
    Trailing {
        /// How many.
        left: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} message, byte {}", self.message, self.offset)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { expected, needed, left } => {
                write!(f, "expected {expected} of {needed} bytes, {left} are left")
            }
            Self::Unterminated { expected } => write!(f, "expected {expected}, its closing zero is missing"),
            Self::Unknown { expected, found } => write!(f, "expected {expected}, found byte 0x{found:02x}"),
            Self::Negative { expected } => write!(f, "expected {expected}, found a negative number"),
            Self::NotUtf8 { expected } => write!(f, "expected {expected} in UTF-8, found other bytes"),
            Self::Trailing { left } => write!(f, "expected the end, {left} bytes are left"),
        }
    }
}

impl std::error::Error for DecodeError {}
