//! One value: from the log's bytes to text.

use super::error::RowProblem;
use super::{decimal, number, temporal, text};
use crate::binlog::reader::Reader;
use crate::json;
use crate::policy::{Changed, Policies};
use crate::table::{Kind, PlannedColumn};

/// What holds for all values of a row.
pub(crate) struct Context<'a> {
    pub(crate) policies: Policies,
    pub(crate) changed: &'a mut Changed,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Text.
    Text,
    /// A policy made it NULL.
    Null,
}

/// Reads one value and appends its text.
#[inline]
pub(crate) fn write(
    column: &PlannedColumn,
    reader: &mut Reader<'_>,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    let expected = "an integer";
    match column.kind {
        Kind::Tiny => number::integer(reader.array(expected).map(i8::from_le_bytes)?, out),
        Kind::UnsignedTiny => number::integer(reader.u8(expected)?, out),
        Kind::Short => number::integer(reader.array(expected).map(i16::from_le_bytes)?, out),
        Kind::UnsignedShort => number::integer(reader.u16(expected)?, out),
        Kind::Medium => number::integer(medium(reader)?, out),
        Kind::UnsignedMedium => number::integer(reader.uint(3, expected)?, out),
        Kind::Long => number::integer(reader.array(expected).map(i32::from_le_bytes)?, out),
        Kind::UnsignedLong => number::integer(reader.u32(expected)?, out),
        Kind::LongLong => number::integer(reader.array(expected).map(i64::from_le_bytes)?, out),
        Kind::UnsignedLongLong => number::integer(reader.u64(expected)?, out),
        _ => return other(column, reader, out, context),
    }
    Ok(Written::Text)
}

fn medium(reader: &mut Reader<'_>) -> Result<i32, RowProblem> {
    let [low, middle, high] = reader.array("an integer")?;
    // The sign is in the highest byte, whose place is that of a number of 32 bits here.
    Ok(i32::from_le_bytes([0, low, middle, high]) >> 8)
}

/// Everything but integers.
fn other(
    column: &PlannedColumn,
    reader: &mut Reader<'_>,
    out: &mut String,
    context: &mut Context<'_>,
) -> Result<Written, RowProblem> {
    match column.kind {
        Kind::Float => number::float32(reader.array("a float").map(f32::from_le_bytes)?, out),
        Kind::Double => number::float64(reader.array("a double").map(f64::from_le_bytes)?, out),
        Kind::Decimal { precision, scale } => decimal::write(reader, precision, scale, out)?,
        Kind::Year => number::year(reader.u8("a year")?, out),
        Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_) | Kind::Time { .. } => {
            return temporal::write(column, reader, out, context);
        }
        Kind::Bool(bytes) => number::boolean(reader.uint(bytes, "an integer")?, out),
        Kind::Bits(bits) => number::bits(reader.uint_be(bits.div_ceil(8), "bits")?, bits, out),
        Kind::BitsNumber(bits) => number::integer(reader.uint_be(bits.div_ceil(8), "bits")?, out),
        Kind::BitsBool(bits) => number::boolean(reader.uint_be(bits.div_ceil(8), "bits")?, out),
        Kind::Json { prefix } => json::document(reader, prefix, column, out, context)?,
        _ => text::write(column, reader, out, context)?,
    }
    Ok(Written::Text)
}
