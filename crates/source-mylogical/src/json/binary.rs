//! The binary form of documents. Containers begin with a table of what is in them, and offsets count from their begin.

use super::IMPOSSIBLE;
use crate::row::RowProblem;

/// Kinds of values (read in server source, `json_binary.h`).
mod kind {
    pub(super) const SMALL_OBJECT: u8 = 0;
    pub(super) const LARGE_OBJECT: u8 = 1;
    pub(super) const SMALL_ARRAY: u8 = 2;
    pub(super) const LARGE_ARRAY: u8 = 3;
    pub(super) const LITERAL: u8 = 4;
    pub(super) const INT16: u8 = 5;
    pub(super) const UINT16: u8 = 6;
    pub(super) const INT32: u8 = 7;
    pub(super) const UINT32: u8 = 8;
    pub(super) const INT64: u8 = 9;
    pub(super) const UINT64: u8 = 10;
    pub(super) const DOUBLE: u8 = 11;
    pub(super) const STRING: u8 = 12;
    pub(super) const OPAQUE: u8 = 15;
}

/// A value of a document, looked at.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'a str),
    /// A type of the log, and a value of it.
    Opaque(u8, &'a [u8]),
    Array(Container<'a>),
    Object(Container<'a>),
}

/// An array or an object.
#[derive(Clone, Copy)]
pub(super) struct Container<'a> {
    /// All of it.
    bytes: &'a [u8],
    count: usize,
    /// Offsets have four bytes instead of two.
    large: bool,
    object: bool,
}

impl<'a> View<'a> {
    /// A whole document. No bytes are the JSON null.
    pub(super) fn of_document(bytes: &'a [u8]) -> Result<Self, RowProblem> {
        match bytes.split_first() {
            None => Ok(Self::Null),
            Some((kind, value)) => Self::of(*kind, value),
        }
    }

    /// A value that begins with these bytes.
    fn of(kind: u8, bytes: &'a [u8]) -> Result<Self, RowProblem> {
        Ok(match kind {
            kind::SMALL_OBJECT => Self::Object(Container::of(bytes, false, true)?),
            kind::LARGE_OBJECT => Self::Object(Container::of(bytes, true, true)?),
            kind::SMALL_ARRAY => Self::Array(Container::of(bytes, false, false)?),
            kind::LARGE_ARRAY => Self::Array(Container::of(bytes, true, false)?),
            kind::LITERAL => match first(bytes)? {
                [0] => Self::Null,
                [1] => Self::Bool(true),
                [2] => Self::Bool(false),
                _ => return Err(IMPOSSIBLE),
            },
            kind::INT16 => Self::Int(i16::from_le_bytes(first(bytes)?).into()),
            kind::UINT16 => Self::Uint(u16::from_le_bytes(first(bytes)?).into()),
            kind::INT32 => Self::Int(i32::from_le_bytes(first(bytes)?).into()),
            kind::UINT32 => Self::Uint(u32::from_le_bytes(first(bytes)?).into()),
            kind::INT64 => Self::Int(i64::from_le_bytes(first(bytes)?)),
            kind::UINT64 => Self::Uint(u64::from_le_bytes(first(bytes)?)),
            kind::DOUBLE => {
                let number = f64::from_le_bytes(first(bytes)?);
                // JSON has no others.
                if !number.is_finite() {
                    return Err(IMPOSSIBLE);
                }
                Self::Double(number)
            }
            kind::STRING => Self::Text(text(counted(bytes)?)?),
            kind::OPAQUE => {
                let (log_type, rest) = bytes.split_first().ok_or(IMPOSSIBLE)?;
                Self::Opaque(*log_type, counted(rest)?)
            }
            _ => return Err(IMPOSSIBLE),
        })
    }
}

impl<'a> Container<'a> {
    fn of(bytes: &'a [u8], large: bool, object: bool) -> Result<Self, RowProblem> {
        let count = number(bytes, 0, large)?;
        let size = number(bytes, width(large), large)?;
        let container = Self { bytes: bytes.get(..size).ok_or(IMPOSSIBLE)?, count, large, object };
        if container.table_bytes() > size {
            return Err(IMPOSSIBLE);
        }
        Ok(container)
    }

    /// How many values are in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many bytes tell what is in it.
    pub(super) fn table_bytes(&self) -> usize {
        let keys = if self.object { self.count.saturating_mul(self.key_bytes()) } else { 0 };
        2 * width(self.large) + keys.saturating_add(self.count.saturating_mul(self.value_bytes()))
    }

    /// Where a key begins, and its length of two bytes.
    fn key_bytes(&self) -> usize {
        width(self.large) + 2
    }

    /// The kind of a value, and where it begins or what it is.
    fn value_bytes(&self) -> usize {
        1 + width(self.large)
    }

    /// A member's name.
    pub(super) fn key(&self, at: usize) -> Result<&'a str, RowProblem> {
        let entry = 2 * width(self.large) + at * self.key_bytes();
        let begin = number(self.bytes, entry, self.large)?;
        let length = number(self.bytes, entry + width(self.large), false)?;
        text(self.bytes.get(begin..begin.saturating_add(length)).ok_or(IMPOSSIBLE)?)
    }

    /// A value.
    pub(super) fn value(&self, at: usize) -> Result<View<'a>, RowProblem> {
        let keys = if self.object { self.count * self.key_bytes() } else { 0 };
        let entry = 2 * width(self.large) + keys + at * self.value_bytes();
        let kind = *self.bytes.get(entry).ok_or(IMPOSSIBLE)?;
        let is_here = match kind {
            kind::LITERAL | kind::INT16 | kind::UINT16 => true,
            kind::INT32 | kind::UINT32 => self.large,
            _ => false,
        };
        let begin = if is_here { entry + 1 } else { number(self.bytes, entry + 1, self.large)? };
        View::of(kind, self.bytes.get(begin..).ok_or(IMPOSSIBLE)?)
    }
}

fn width(large: bool) -> usize {
    if large { 4 } else { 2 }
}

fn first<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RowProblem> {
    bytes.first_chunk().copied().ok_or(IMPOSSIBLE)
}

fn number(bytes: &[u8], at: usize, large: bool) -> Result<usize, RowProblem> {
    let bytes = bytes.get(at..).ok_or(IMPOSSIBLE)?;
    let number =
        if large { u32::from_le_bytes(first(bytes)?) } else { u16::from_le_bytes(first(bytes)?).into() };
    usize::try_from(number).map_err(|_| IMPOSSIBLE)
}

/// Bytes behind a length of which each byte holds seven bits, the least significant first.
fn counted(bytes: &[u8]) -> Result<&[u8], RowProblem> {
    const MOST_BYTES: usize = 5;
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().take(MOST_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes[at + 1..].get(..length).ok_or(IMPOSSIBLE);
        }
    }
    Err(IMPOSSIBLE)
}

fn text(bytes: &[u8]) -> Result<&str, RowProblem> {
    std::str::from_utf8(bytes).map_err(|_| RowProblem::NotText)
}
