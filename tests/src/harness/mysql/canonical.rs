//! What a value of MySQL or MariaDB is to be in the target, as text, told from a value of the prepared protocol.
//!
//! Written for tests alone and by the table of types of the documentation, so that it can contradict the program.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use mysql_async::Value;

/// What becomes of dates whose day, month or year is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ZeroDates {
    /// NULL.
    #[default]
    Null,
    /// The first moment of 1970.
    Epoch,
    /// As the source writes it.
    Text,
}

/// A column of the source, as its catalogue has it.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type without length, such as `tinyint`.
    pub data_type: String,
    /// Its type as it was declared, such as `bit(10)`.
    pub column_type: String,
}

impl SourceColumn {
    /// The number in the type's parentheses, or what it is without.
    fn length(&self, otherwise: usize) -> usize {
        let inside = self.column_type.split(['(', ')']).nth(1);
        inside.and_then(|inside| inside.parse().ok()).unwrap_or(otherwise)
    }
}

/// The text that, cast to the target column's type, is the value that must be there. `target` is that type in the
/// target's own words, such as `bit(10)` or `text[]`.
///
/// # Errors
///
/// Fails if the value cannot be one of the column.
pub fn text(value: &Value, column: &SourceColumn, target: &str, zero: ZeroDates) -> Result<Option<String>> {
    if *value == Value::NULL {
        return Ok(None);
    }
    let told = match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Some(integer(value, target)?),
        "float" | "double" => Some(float(value)?),
        "bit" => Some(bits(bytes(value)?, column.length(1), target)?),
        "date" => date(value, target, zero)?,
        "datetime" => moment(value, column.length(0), "", zero)?,
        "timestamp" => moment(value, column.length(0), "+00:00", zero)?,
        "time" => Some(time(value, column.length(0))?),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            Some(octets(bytes(value)?, target))
        }
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geomcollection" | "geometrycollection" => Some(geometry(bytes(value)?, target)?),
        "vector" => Some(vector(bytes(value)?, target)?),
        "set" => Some(set(bytes(value)?, target)?),
        "decimal" | "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum"
        | "json" | "uuid" | "inet4" | "inet6" => Some(utf8(bytes(value)?)?),
        other => bail!("{}: no rule for type {other}", column.name),
    };
    Ok(told)
}

fn bytes(value: &Value) -> Result<&[u8]> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => bail!("bytes expected, got {other:?}"),
    }
}

fn utf8(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).context("not UTF-8")
}

fn integer(value: &Value, target: &str) -> Result<String> {
    let digits = match value {
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        other => bail!("an integer expected, got {other:?}"),
    };
    Ok(if target == "boolean" { (digits != "0").to_string() } else { digits })
}

/// Each width prints the fewest digits that lead back to the same number.
fn float(value: &Value) -> Result<String> {
    match value {
        Value::Float(number) => Ok(number.to_string()),
        Value::Double(number) => Ok(number.to_string()),
        other => bail!("a floating-point number expected, got {other:?}"),
    }
}

fn bits(bytes: &[u8], length: usize, target: &str) -> Result<String> {
    ensure!(bytes.len() <= 8, "{} bytes of bits", bytes.len());
    let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    if target == "boolean" {
        return Ok((number != 0).to_string());
    }
    let is_bits = target.starts_with("bit") || target.starts_with("text") || target.starts_with("character");
    Ok(if is_bits { format!("{number:0length$b}") } else { number.to_string() })
}

fn date(value: &Value, target: &str, zero: ZeroDates) -> Result<Option<String>> {
    let Value::Date(year, month, day, ..) = *value else { bail!("a date expected, got {value:?}") };
    if month == 0 || day == 0 {
        return Ok(match zero {
            ZeroDates::Null => None,
            ZeroDates::Epoch => Some("1970-01-01".to_owned()),
            ZeroDates::Text => Some(format!("{year:04}-{month:02}-{day:02}")),
        });
    }
    let time = if target.starts_with("timestamp") { " 00:00:00" } else { "" };
    Ok(Some(format!("{}{time}", day_of(year, month, day))))
}

fn moment(value: &Value, digits: usize, zone: &str, zero: ZeroDates) -> Result<Option<String>> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
        bail!("a date and time expected, got {value:?}");
    };
    let clock = format!("{hour:02}:{minute:02}:{second:02}{}", fraction(micros, digits));
    if month == 0 || day == 0 {
        return Ok(match zero {
            ZeroDates::Null => None,
            ZeroDates::Epoch => Some(format!("1970-01-01 00:00:00{zone}")),
            ZeroDates::Text => Some(format!("{year:04}-{month:02}-{day:02} {clock}")),
        });
    }
    Ok(Some(format!("{} {clock}{zone}", day_of(year, month, day))))
}

fn day_of(year: u16, month: u8, day: u8) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

/// As many digits of a second as the column was declared with.
fn fraction(micros: u32, digits: usize) -> String {
    if digits == 0 { String::new() } else { format!(".{}", &format!("{micros:06}")[..digits.min(6)]) }
}

fn time(value: &Value, digits: usize) -> Result<String> {
    let Value::Time(negative, days, hours, minutes, seconds, micros) = *value else {
        bail!("a time expected, got {value:?}");
    };
    let hours = days * 24 + u32::from(hours);
    let sign = if negative { "-" } else { "" };
    Ok(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros, digits)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn octets(bytes: &[u8], target: &str) -> String {
    if target == "uuid" { hex(bytes) } else { format!("\\x{}", hex(bytes)) }
}

/// Moves the reference system from in front of the shape into its header.
fn geometry(bytes: &[u8], target: &str) -> Result<String> {
    ensure!(bytes.len() >= 9 && bytes[4] == 1, "not a little-endian shape");
    let srid = &bytes[..4];
    let mut shape = bytes[4..].to_vec();
    if srid != [0; 4] {
        shape[4] |= 0x20;
        shape.splice(5..5, srid.iter().copied());
    }
    Ok(if target == "bytea" { format!("\\x{}", hex(&shape)) } else { hex(&shape) })
}

fn vector(bytes: &[u8], target: &str) -> Result<String> {
    ensure!(bytes.len().is_multiple_of(4), "{} bytes of a vector", bytes.len());
    let numbers = bytes.chunks_exact(4).map(|four| {
        let mut number = [0; 4];
        number.copy_from_slice(four);
        f32::from_le_bytes(number).to_string()
    });
    let list = numbers.collect::<Vec<_>>().join(",");
    Ok(if target.ends_with("[]") { format!("{{{list}}}") } else { format!("[{list}]") })
}

fn set(bytes: &[u8], target: &str) -> Result<String> {
    let list = utf8(bytes)?;
    if !target.ends_with("[]") {
        return Ok(list);
    }
    let labels = list.split(',').filter(|label| !label.is_empty());
    let quoted = labels.map(|label| format!("\"{}\"", label.replace('\\', "\\\\").replace('"', "\\\"")));
    Ok(format!("{{{}}}", quoted.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(data_type: &str, column_type: &str, value: Value, target: &str) -> Option<String> {
        let column = SourceColumn {
            name: "c".to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
        };
        text(&value, &column, target, ZeroDates::Null).unwrap()
    }

    #[test]
    fn values_become_what_the_target_is_to_hold() {
        let is = |told: Option<String>, expected: &str| assert_eq!(told.as_deref(), Some(expected));
        is(told("tinyint", "tinyint(1)", Value::Int(2), "boolean"), "true");
        is(told("bigint", "bigint unsigned", Value::UInt(u64::MAX), "numeric"), "18446744073709551615");
        is(told("bit", "bit(10)", Value::Bytes(vec![2, 1]), "bit(10)"), "1000000001");
        is(told("bit", "bit(10)", Value::Bytes(vec![2, 1]), "integer"), "513");
        is(told("float", "float", Value::Float(1.1), "real"), "1.1");
        is(told("time", "time(2)", Value::Time(true, 34, 22, 59, 59, 450_000), "interval"), "-838:59:59.45");
        is(
            told("timestamp", "timestamp", Value::Date(2038, 1, 19, 3, 14, 7, 0), "x"),
            "2038-01-19 03:14:07+00:00",
        );
        is(told("binary", "binary(2)", Value::Bytes(vec![1, 0]), "bytea"), "\\x0100");
        is(told("set", "set('a','b')", Value::Bytes(b"a,b".to_vec()), "text[]"), "{\"a\",\"b\"}");
        is(
            told(
                "vector",
                "vector(2)",
                Value::Bytes([1.5_f32.to_le_bytes(), 2_f32.to_le_bytes()].concat()),
                "vector",
            ),
            "[1.5,2]",
        );
        assert_eq!(told("date", "date", Value::Date(2024, 0, 0, 0, 0, 0, 0), "date"), None);
        assert_eq!(told("int", "int", Value::NULL, "integer"), None);
    }

    #[test]
    fn the_reference_system_of_a_shape_moves_into_its_header() {
        let mut bytes = vec![0xe6, 0x10, 0, 0, 1, 1, 0, 0, 0];
        bytes.extend(20_f64.to_le_bytes());
        bytes.extend(10_f64.to_le_bytes());
        let expected = "0101000020e610000000000000000034400000000000002440";
        assert_eq!(geometry(&bytes, "geometry(Point,4326)").unwrap(), expected);
        bytes[..4].fill(0);
        assert_eq!(geometry(&bytes, "bytea").unwrap(), "\\x010100000000000000000034400000000000002440");
    }
}
