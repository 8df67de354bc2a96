//! Whether a JSON value is of a kind that a column takes, as far as that needs no server. Pure.

use crate::model::{ColumnSchema, ValueClass};

/// Whether a column takes a value of this kind; the error says what came, in words.
pub(super) fn check_kind(column: &ColumnSchema, value: &str) -> Result<(), &'static str> {
    let first = value.bytes().next().unwrap_or(b' ');
    let number = first == b'-' || first.is_ascii_digit();
    match (column.class, first) {
        (_, b'n') => Ok(()),
        (ValueClass::Integer(bits), _) if number => check_integer(bits, value),
        (ValueClass::Integer(_), _) => Err(kind_name(first)),
        (ValueClass::Float | ValueClass::Numeric, b'"') => match value {
            "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"" => Ok(()),
            _ => Err("a string that is not a number"),
        },
        (ValueClass::Float | ValueClass::Numeric, _) if number => Ok(()),
        (ValueClass::Float | ValueClass::Numeric, _) => Err(kind_name(first)),
        (ValueClass::Bool, b't' | b'f') | (ValueClass::Text | ValueClass::Json { .. }, _) => Ok(()),
        (ValueClass::Bool, _) => Err(kind_name(first)),
        (ValueClass::Bytes, b'"') => check_bytes(value),
        (ValueClass::Timestamp, b'"') => Ok(()),
        (ValueClass::Bytes | ValueClass::Timestamp, _) => Err(kind_name(first)),
        (ValueClass::Array, b'[') => Ok(()),
        (ValueClass::Array, _) => Err(kind_name(first)),
        (ValueClass::Composite | ValueClass::Geo { .. }, b'{' | b'"') => Ok(()),
        (ValueClass::Composite | ValueClass::Geo { .. }, _) => Err(kind_name(first)),
        (ValueClass::Scalar, b'[' | b'{') => Err(kind_name(first)),
        (ValueClass::Scalar, _) => Ok(()),
    }
}

fn check_integer(bits: u8, value: &str) -> Result<(), &'static str> {
    if !value.bytes().all(|b| b == b'-' || b.is_ascii_digit()) {
        return Err("a number that is not an integer");
    }
    let limit = 1_i128 << (bits - 1);
    match value.parse::<i128>() {
        Ok(number) if (-limit..limit).contains(&number) => Ok(()),
        _ => Err("an integer outside its range"),
    }
}

/// CockroachDB writes bytes as `"\\x…"`.
fn check_bytes(value: &str) -> Result<(), &'static str> {
    let digits = value.strip_prefix("\"\\\\x").and_then(|rest| rest.strip_suffix('"'));
    match digits {
        Some(digits) if digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(()),
        _ => Err("a string that is not \\x and hexadecimal digits"),
    }
}

fn kind_name(first: u8) -> &'static str {
    match first {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "an array",
        b't' | b'f' => "a boolean",
        _ => "a number",
    }
}
