//! Types of MySQL and MariaDB, as the catalogue spells them, and what they become.

use sink_core::model::ColumnType;

use crate::catalog::ColumnFacts;

/// A type of the target, and what the operator should know of the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) column_type: ColumnType,
    pub(super) note: Option<String>,
    /// Of ENUM: the labels that it allows.
    pub(super) labels: Vec<String>,
}

/// The type of a column.
pub(super) fn column_type(column: &ColumnFacts) -> Mapped {
    let unsigned = column.column_type.to_ascii_lowercase().contains("unsigned");
    let numbers = numbers(&column.column_type);
    let length = || numbers.first().copied();
    let digits = || Some(u8::try_from(length().unwrap_or(0)).unwrap_or(6));
    let plain = match (column.data_type.as_str(), unsigned) {
        _ if column.json => ColumnType::Json(true),
        ("tinyint" | "year", _) | ("smallint", false) => ColumnType::Integer(16),
        ("smallint", true) | ("mediumint", _) | ("int" | "integer", false) => ColumnType::Integer(32),
        ("int" | "integer", true) | ("bigint", false) => ColumnType::Integer(64),
        ("bigint", true) => ColumnType::Decimal(Some((20, 0))),
        ("decimal" | "numeric", _) => decimal(&numbers),
        ("float", _) => ColumnType::Float(32),
        ("double" | "real", _) => ColumnType::Float(64),
        ("bit", _) => ColumnType::Bit(length().unwrap_or(1)),
        ("date", _) => ColumnType::Date,
        ("datetime", _) => ColumnType::Timestamp(digits(), false),
        ("timestamp", _) => ColumnType::Timestamp(digits(), true),
        ("time", _) => ColumnType::Interval(format!("({})", length().unwrap_or(0))),
        ("char" | "varchar", _) => ColumnType::Varchar(length()),
        ("tinytext" | "text" | "mediumtext" | "longtext" | "set", _) => ColumnType::Text,
        ("binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob", _) => ColumnType::Bytes,
        ("json", _) => ColumnType::Json(true),
        ("uuid", _) => ColumnType::Uuid,
        ("inet4" | "inet6", _) => ColumnType::Inet,
        ("vector", _) => ColumnType::Array(Box::new(ColumnType::Float(32)), 1),
        ("enum", _) => {
            let labels = labels(&column.column_type);
            return Mapped { column_type: ColumnType::Text, note: None, labels };
        }
        (other, _) => return unknown(other, column),
    };
    Mapped { column_type: plain, note: None, labels: Vec::new() }
}

/// Geometries, and types that this version does not know.
fn unknown(data_type: &str, column: &ColumnFacts) -> Mapped {
    const GEOMETRIES: &[&str] = &[
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geomcollection",
        "geometrycollection",
    ];
    let (column_type, note) = if GEOMETRIES.contains(&data_type) {
        let note =
            format!("{data_type} is kept as the bytes of EWKB; with PostGIS, make it geometry by hand");
        (ColumnType::Bytes, note)
    } else {
        (
            ColumnType::Text,
            format!("type {} is not known to this version; its text is kept", column.column_type),
        )
    };
    Mapped { column_type, note: Some(note), labels: Vec::new() }
}

fn decimal(numbers: &[u32]) -> ColumnType {
    let precision = numbers.first().and_then(|digits| u16::try_from(*digits).ok()).unwrap_or(10);
    let scale = numbers.get(1).and_then(|digits| i16::try_from(*digits).ok()).unwrap_or(0);
    ColumnType::Decimal(Some((precision, scale)))
}

/// The numbers between the brackets of `decimal(10,2) unsigned`.
pub(crate) fn numbers(text: &str) -> Vec<u32> {
    let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let numbers =
        inside.map(|(inside, _)| inside.split(',').map(|number| number.trim().parse().ok()).collect());
    numbers.flatten().unwrap_or_default()
}

/// The labels of `enum('a','b,c','d''e')`. The catalogue doubles quotes and escapes nothing else (seen on MySQL 9.7 and
/// MariaDB 11.8).
pub(crate) fn labels(text: &str) -> Vec<String> {
    let Some((_, rest)) = text.split_once('(') else { return Vec::new() };
    let mut labels = Vec::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(c) = chars.next() {
            if c != '\'' {
                label.push(c);
            } else if chars.next_if_eq(&'\'').is_some() {
                label.push('\'');
            } else {
                break;
            }
        }
        labels.push(label);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::tables::tests::column;

    #[test]
    fn types_are_those_that_hold_every_value() {
        let decimal = |precision, scale| ColumnType::Decimal(Some((precision, scale)));
        for (text, expected) in [
            ("tinyint(1)", ColumnType::Integer(16)),
            ("smallint unsigned", ColumnType::Integer(32)),
            ("mediumint(8) unsigned", ColumnType::Integer(32)),
            ("int unsigned", ColumnType::Integer(64)),
            ("bigint(20) unsigned", decimal(20, 0)),
            ("bigint", ColumnType::Integer(64)),
            ("decimal(65,30)", decimal(65, 30)),
            ("bit(10)", ColumnType::Bit(10)),
            ("year(4)", ColumnType::Integer(16)),
            ("datetime(3)", ColumnType::Timestamp(Some(3), false)),
            ("timestamp", ColumnType::Timestamp(Some(0), true)),
            ("time(2)", ColumnType::Interval("(2)".into())),
            ("char(5)", ColumnType::Varchar(Some(5))),
            ("longtext", ColumnType::Text),
            ("varbinary(300)", ColumnType::Bytes),
            ("json", ColumnType::Json(true)),
            ("inet6", ColumnType::Inet),
            ("vector(3)", ColumnType::Array(Box::new(ColumnType::Float(32)), 1)),
        ] {
            assert_eq!(column_type(&column("c", text)).column_type, expected, "{text}");
        }
        let json = ColumnFacts { json: true, ..column("c", "longtext") };
        assert_eq!(column_type(&json).column_type, ColumnType::Json(true));
        assert!(column_type(&column("c", "point")).note.is_some_and(|note| note.contains("PostGIS")));
    }

    #[test]
    fn labels_are_read_with_their_quotes_and_commas() {
        assert_eq!(labels("enum('a','b,c','d''e','')"), ["a", "b,c", "d'e", ""]);
        assert_eq!(labels("set('x')"), ["x"]);
        assert!(labels("enum(").is_empty());
    }
}
