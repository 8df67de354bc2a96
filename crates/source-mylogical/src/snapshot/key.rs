//! The key in whose order a table is copied: what is asked for, and how a place in it is written down. Pure.
//!
//! Keys are compared by the server alone, each part under its own collation and as its own type: what comes next is the
//! server's to say. So a place is kept as texts that become typed constants of a statement again.

use mysql_async::Value;

use crate::catalog::{ColumnFacts, quoted};

/// How a part of a key is read, kept and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Integer {
        unsigned: bool,
    },
    /// ENUM, SET and BIT are ordered by their number. It takes arithmetic to compare the first two by it.
    Number {
        arithmetic: bool,
    },
    Float,
    Decimal {
        sql_type: String,
    },
    /// DATE, DATETIME, TIME: as this type.
    Temporal {
        sql_type: &'static str,
    },
    Bytes,
    Text {
        charset: String,
        collation: String,
    },
    /// MariaDB's own types, such as UUID.
    Cast {
        sql_type: String,
    },
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    column: String,
    kind: Kind,
}

/// The key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    index: String,
    parts: Vec<Part>,
}

/// A place in the order of a key: one text for each part.
pub(super) type Place = Vec<String>;

/// A piece of a statement and its constants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Condition {
    /// SQL.
    pub(super) sql: String,
    /// What its question marks stand for.
    pub(super) values: Vec<Value>,
}

impl Key {
    /// The key over these columns of an index, each with its collation.
    #[must_use]
    pub(super) fn new(index: &str, columns: &[(&ColumnFacts, Option<&str>)]) -> Self {
        let part = |(column, collation): &(&ColumnFacts, Option<&str>)| Part {
            column: column.name.clone(),
            kind: kind(column, *collation),
        };
        Self { index: index.to_owned(), parts: columns.iter().map(part).collect() }
    }

    /// What to read of each row so that its place can be written down.
    #[must_use]
    pub(super) fn select(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(Part::select).collect();
        parts.join(", ")
    }

    /// The order, and the index to walk.
    #[must_use]
    pub(super) fn order(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|part| quoted(&part.column)).collect();
        parts.join(", ")
    }

    /// The index that has this order.
    #[must_use]
    pub(super) fn index(&self) -> &str {
        &self.index
    }

    /// Rows behind a place. Spelled out: of a comparison of rows the servers make no use of an index.
    #[must_use]
    pub(super) fn behind(&self, place: &[String]) -> Condition {
        let mut condition = Condition::default();
        behind(&self.parts, place, &mut condition);
        condition
    }

    /// The first part, if it is an integer: what ranges are cut by.
    #[must_use]
    pub(super) fn cut_by(&self) -> Option<String> {
        let first = self.parts.first()?;
        matches!(first.kind, Kind::Integer { .. }).then(|| quoted(&first.column))
    }

    /// Rows whose first part is above one number and at most another.
    #[must_use]
    pub(super) fn within(&self, above: Option<i128>, upto: Option<i128>) -> Condition {
        let Some(first) = self.parts.first() else { return Condition::default() };
        let mut condition = Condition::default();
        for (sign, bound) in [(">", above), ("<=", upto)] {
            if let Some(bound) = bound {
                if !condition.sql.is_empty() {
                    condition.sql.push_str(" AND ");
                }
                condition.sql.push_str(&first.compared(sign));
                condition.values.push(first.constant(&bound.to_string()));
            }
        }
        condition
    }
}

fn behind(parts: &[Part], place: &[String], condition: &mut Condition) {
    let (Some((part, rest)), Some((value, places))) = (parts.split_first(), place.split_first()) else {
        return;
    };
    condition.sql.push_str(&part.compared(">"));
    condition.values.push(part.constant(value));
    if rest.is_empty() || places.is_empty() {
        return;
    }
    condition.sql.push_str(&format!(" OR ({} AND (", part.compared("=")));
    condition.values.push(part.constant(value));
    behind(rest, places, condition);
    condition.sql.push_str("))");
}

impl Part {
    fn select(&self) -> String {
        let column = quoted(&self.column);
        match self.kind {
            Kind::Integer { .. } | Kind::Decimal { .. } | Kind::Float | Kind::Text { .. } => column,
            Kind::Number { .. } => format!("CAST({column} AS UNSIGNED)"),
            Kind::Temporal { .. } | Kind::Cast { .. } => format!("CAST({column} AS CHAR)"),
            Kind::Bytes => format!("HEX({column})"),
        }
    }

    /// The part, a sign, and a constant of the same type.
    fn compared(&self, sign: &str) -> String {
        let column = quoted(&self.column);
        match &self.kind {
            Kind::Integer { .. } | Kind::Float | Kind::Number { arithmetic: false } => {
                format!("{column} {sign} ?")
            }
            Kind::Number { arithmetic: true } => format!("({column} + 0) {sign} ?"),
            Kind::Decimal { sql_type } | Kind::Cast { sql_type } => {
                format!("{column} {sign} CAST(? AS {sql_type})")
            }
            Kind::Temporal { sql_type } => format!("{column} {sign} CAST(? AS {sql_type})"),
            Kind::Bytes => format!("{column} {sign} UNHEX(?)"),
            Kind::Text { charset, collation } => {
                format!("{column} {sign} CONVERT(? USING {charset}) COLLATE {collation}")
            }
        }
    }

    fn constant(&self, text: &str) -> Value {
        match self.kind {
            Kind::Integer { unsigned: false } => text.parse().map_or(Value::NULL, Value::Int),
            Kind::Integer { unsigned: true } | Kind::Number { .. } => {
                text.parse().map_or(Value::NULL, Value::UInt)
            }
            Kind::Float => text.parse().map_or(Value::NULL, Value::Double),
            Kind::Decimal { .. }
            | Kind::Temporal { .. }
            | Kind::Bytes
            | Kind::Text { .. }
            | Kind::Cast { .. } => Value::Bytes(text.as_bytes().to_vec()),
        }
    }
}

fn kind(column: &ColumnFacts, collation: Option<&str>) -> Kind {
    let unsigned = column.column_type.to_ascii_lowercase().contains("unsigned");
    match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => Kind::Integer { unsigned },
        "year" => Kind::Integer { unsigned: true },
        "bit" => Kind::Number { arithmetic: false },
        "enum" | "set" => Kind::Number { arithmetic: true },
        "float" | "double" | "real" => Kind::Float,
        "decimal" | "numeric" => {
            let sql_type = column.column_type.split([' ', ')']).next().unwrap_or_default();
            Kind::Decimal { sql_type: format!("{sql_type})") }
        }
        "date" => Kind::Temporal { sql_type: "DATE" },
        "datetime" | "timestamp" => Kind::Temporal { sql_type: "DATETIME(6)" },
        "time" => Kind::Temporal { sql_type: "TIME(6)" },
        "uuid" | "inet4" | "inet6" => Kind::Cast { sql_type: column.data_type.to_ascii_uppercase() },
        _ => match (&column.charset, collation) {
            (Some(charset), Some(collation)) if charset != "binary" => {
                Kind::Text { charset: charset.clone(), collation: collation.to_owned() }
            }
            _ => Kind::Bytes,
        },
    }
}

/// What a server answered for a part, as text; `None` if it is nothing that a key can hold.
#[must_use]
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Float(number) => Some(f64::from(*number).to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::NULL | Value::Date(..) | Value::Time(..) => None,
    }
}

/// A place as it is kept: a JSON array.
#[must_use]
pub(super) fn written(place: &[String]) -> String {
    serde_json::Value::from(place.to_vec()).to_string()
}

/// A place that was kept.
#[must_use]
pub(super) fn read(text: &str) -> Option<Place> {
    let list: serde_json::Value = serde_json::from_str(text).ok()?;
    list.as_array()?.iter().map(|part| part.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::column_of_type as column;

    #[test]
    fn composite_keys_are_spelled_out() {
        let text = ColumnFacts { charset: Some("latin1".into()), ..column("b", "varchar(20)") };
        let (first, last) = (column("a", "int"), column("c", "bigint unsigned"));
        let key = Key::new("PRIMARY", &[(&first, None), (&text, Some("latin1_german1_ci")), (&last, None)]);
        let place = ["-5", "ö", "18446744073709551615"].map(str::to_owned);
        let condition = key.behind(&place);
        let texts = "`b` > CONVERT(? USING latin1) COLLATE latin1_german1_ci";
        assert_eq!(
            condition.sql,
            format!("`a` > ? OR (`a` = ? AND ({texts} OR ({} AND (`c` > ?))))", texts.replace('>', "="))
        );
        let name = Value::Bytes("ö".as_bytes().to_vec());
        let (number, last) = (Value::Int(-5), Value::UInt(u64::MAX));
        assert_eq!(condition.values, [number.clone(), number, name.clone(), name, last]);
    }

    #[test]
    fn each_type_is_compared_as_itself() {
        for (sql_type, compared, select) in [
            ("binary(6)", "`k` > UNHEX(?)", "HEX(`k`)"),
            ("decimal(10,2) unsigned", "`k` > CAST(? AS decimal(10,2))", "`k`"),
            ("enum('a')", "(`k` + 0) > ?", "CAST(`k` AS UNSIGNED)"),
            ("bit(3)", "`k` > ?", "CAST(`k` AS UNSIGNED)"),
            ("timestamp(3)", "`k` > CAST(? AS DATETIME(6))", "CAST(`k` AS CHAR)"),
            ("uuid", "`k` > CAST(? AS UUID)", "CAST(`k` AS CHAR)"),
        ] {
            let facts = column("k", sql_type);
            let key = Key::new("PRIMARY", &[(&facts, None)]);
            assert_eq!(
                (key.behind(&["1".to_owned()]).sql.as_str(), key.select().as_str()),
                (compared, select)
            );
        }
    }

    #[test]
    fn places_are_kept_whatever_is_in_them() {
        let place = ["a\0\"\\".to_owned(), String::new(), "ü".to_owned()];
        let text = written(&place);
        assert!(!text.contains('\0'));
        assert_eq!(read(&text).unwrap(), place);
        assert_eq!(read("[1]"), None);
    }

    #[test]
    fn ranges_are_cut_by_integers_only() {
        let (number, text) = (column("a", "int"), column("b", "varbinary(3)"));
        let key = Key::new("PRIMARY", &[(&number, None), (&text, None)]);
        assert_eq!(key.cut_by().as_deref(), Some("`a`"));
        assert_eq!(key.within(Some(1), Some(5)).sql, "`a` > ? AND `a` <= ?");
        assert_eq!(key.within(None, None), Condition::default());
        assert_eq!(Key::new("PRIMARY", &[(&text, None)]).cut_by(), None);
    }
}
