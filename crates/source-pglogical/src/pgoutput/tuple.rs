//! The values of a row.

use super::error::{DecodeError, Problem};
use super::reader::Reader;

/// One column's value. `Debug` shows the kind and the length only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL. In an old row that holds the key alone, also every column outside the key.
    Null,
    /// Not sent: stored out of line and not touched by this update. The target keeps what it has.
    Unchanged,
    /// What the type's output function wrote.
    Text(&'a str),
    /// What the type's send function wrote. Not asked for by us.
    Binary(&'a [u8]),
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// A row, in the order of the relation's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple<'a>(Vec<Value<'a>>);

/// A column is at least its kind.
const COLUMN_BYTES: usize = 1;

impl<'a> Tuple<'a> {
    /// The values.
    #[must_use]
    pub fn values(&self) -> &[Value<'a>] {
        &self.0
    }

    /// Takes the values out.
    #[must_use]
    pub fn into_values(self) -> Vec<Value<'a>> {
        self.0
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = reader.count16(COLUMN_BYTES, "the number of columns")?;
        let mut values = Vec::with_capacity(count);
        for column in 0..count {
            let value = read_value(reader);
            values.push(value.map_err(|error| DecodeError { column: Some(column), ..error })?);
        }
        Ok(Self(values))
    }
}

fn read_value<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, DecodeError> {
    let expected = "a column's kind";
    match reader.u8(expected)? {
        b'n' => Ok(Value::Null),
        b'u' => Ok(Value::Unchanged),
        b't' => {
            let length = reader.count32(1, "a column's length")?;
            reader.utf8(length, "a column's text").map(Value::Text)
        }
        b'b' => {
            let length = reader.count32(1, "a column's length")?;
            reader.bytes(length, "a column's bytes").map(Value::Binary)
        }
        found => Err(reader.error(1, Problem::Unknown { expected, found })),
    }
}
