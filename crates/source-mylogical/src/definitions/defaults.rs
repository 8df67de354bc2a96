//! Defaults as the two catalogues write them.

use sink_core::model::ColumnType;
use sink_core::model::definition::{DefaultValue, PortableDefault};

use crate::Flavor;
use crate::catalog::ColumnFacts;

/// A default, or why there is none.
pub(super) fn default(
    column: &ColumnFacts,
    column_type: &ColumnType,
    flavor: Flavor,
) -> Result<Option<DefaultValue>, String> {
    let Some(text) = column.default.as_deref() else { return Ok(None) };
    let is_expression = match flavor {
        Flavor::MySql => column.extra.to_ascii_uppercase().contains("DEFAULT_GENERATED"),
        Flavor::MariaDb => true,
    };
    if !is_expression {
        return literal(text, column_type);
    }
    if flavor == Flavor::MariaDb && text.eq_ignore_ascii_case("NULL") {
        return Ok(None);
    }
    if let Some(known) = known(text, column_type) {
        return Ok(Some(known));
    }
    match (flavor, quoted(text)) {
        (Flavor::MariaDb, Some(value)) => literal(&value, column_type),
        (Flavor::MariaDb, None) if is_bare(text) => literal(text, column_type),
        _ => Err(format!("its default is left out: {text}")),
    }
}

fn portable(value: PortableDefault) -> DefaultValue {
    DefaultValue { portable: Some(value), postgres: None }
}

/// Functions that the target has as well.
fn known(text: &str, column_type: &ColumnType) -> Option<DefaultValue> {
    let lower = text.trim_matches(['(', ')']).to_ascii_lowercase();
    let name = lower.split('(').next().unwrap_or_default();
    match (name, column_type) {
        ("current_timestamp" | "now" | "localtimestamp" | "localtime", ColumnType::Timestamp(..)) => {
            Some(portable(PortableDefault::Now))
        }
        ("curdate" | "current_date", ColumnType::Date) => Some(portable(PortableDefault::Today)),
        ("uuid", ColumnType::Uuid) => Some(portable(PortableDefault::RandomUuid)),
        ("uuid", ColumnType::Varchar(Some(36..)) | ColumnType::Text) => {
            Some(DefaultValue { portable: None, postgres: Some("(gen_random_uuid())::text".into()) })
        }
        _ => None,
    }
}

/// A number, or bits, as MariaDB writes them without quotes.
fn is_bare(text: &str) -> bool {
    is_number(text) || text.starts_with("b'")
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
}

/// A value as the source's text of it.
fn literal(text: &str, column_type: &ColumnType) -> Result<Option<DefaultValue>, String> {
    let left_out = || Err(format!("its default is left out: {text}"));
    let value = match column_type {
        ColumnType::Integer(_) | ColumnType::Float(_) | ColumnType::Decimal(_) if is_number(text) => {
            PortableDefault::Number(text.to_owned())
        }
        ColumnType::Bit(bits) => {
            let digits = text.strip_prefix("b'").and_then(|rest| rest.strip_suffix('\'')).unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| matches!(b, b'0' | b'1')) {
                return left_out();
            }
            let width = usize::try_from(*bits).unwrap_or(64);
            PortableDefault::Text(format!("{digits:0>width$}"))
        }
        ColumnType::Date | ColumnType::Timestamp(..) if !is_date(text) => return left_out(),
        ColumnType::Date
        | ColumnType::Timestamp(..)
        | ColumnType::Interval(_)
        | ColumnType::Varchar(_)
        | ColumnType::Text
        | ColumnType::Uuid
        | ColumnType::Inet => PortableDefault::Text(text.to_owned()),
        _ => return left_out(),
    };
    Ok(Some(portable(value)))
}

/// A date that exists, as far as zeros go.
fn is_date(text: &str) -> bool {
    let mut parts = text.split([' ', '-']).take(3);
    parts.all(|part| part.chars().any(|c| matches!(c, '1'..='9')) && part.chars().all(|c| c.is_ascii_digit()))
}

/// The text between quotes, as MariaDB writes it: quotes doubled, backslashes escaped.
fn quoted(text: &str) -> Option<String> {
    let inside = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut value = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => value.push(chars.next().filter(|next| *next == '\'')?),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'Z' => '\u{1a}',
                '0' => return None,
                other => other,
            }),
            c => value.push(c),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::tables::tests::column;

    fn of(flavor: Flavor, text: &str, extra: &str, column_type: &ColumnType) -> Option<DefaultValue> {
        let facts = ColumnFacts {
            default: Some(text.to_owned()),
            extra: extra.to_owned(),
            ..column("c", "varchar(36)")
        };
        default(&facts, column_type, flavor).ok().flatten()
    }

    #[test]
    fn values_are_read_from_either_catalogue() {
        let text = |value: &str| Some(portable(PortableDefault::Text(value.to_owned())));
        let number = |value: &str| Some(portable(PortableDefault::Number(value.to_owned())));
        let (mysql, mariadb) = (Flavor::MySql, Flavor::MariaDb);
        assert_eq!(of(mysql, "a'b\\c", "", &ColumnType::Text), text("a'b\\c"));
        assert_eq!(of(mariadb, r"'a''b\\c'", "", &ColumnType::Text), text("a'b\\c"));
        assert_eq!(of(mysql, "-5", "", &ColumnType::Integer(32)), number("-5"));
        assert_eq!(of(mariadb, "1.50", "", &ColumnType::Decimal(None)), number("1.50"));
        assert_eq!(of(mysql, "b'101'", "", &ColumnType::Bit(5)), text("00101"));
        assert_eq!(of(mariadb, "'2020-01-01'", "", &ColumnType::Date), text("2020-01-01"));
        assert_eq!(of(mariadb, "NULL", "", &ColumnType::Text), None);
        assert_eq!(of(mysql, "NULL", "", &ColumnType::Text), text("NULL"));
    }

    #[test]
    fn functions_are_those_of_the_target() {
        let now = Some(portable(PortableDefault::Now));
        let moment = ColumnType::Timestamp(Some(3), false);
        assert_eq!(of(Flavor::MySql, "CURRENT_TIMESTAMP(3)", "DEFAULT_GENERATED", &moment), now);
        assert_eq!(of(Flavor::MariaDb, "current_timestamp(3)", "", &moment), now);
        let uuid = of(Flavor::MariaDb, "uuid()", "", &ColumnType::Uuid);
        assert_eq!(uuid, Some(portable(PortableDefault::RandomUuid)));
        let text = of(Flavor::MySql, "uuid()", "DEFAULT_GENERATED", &ColumnType::Varchar(Some(36)));
        assert_eq!(text.and_then(|value| value.postgres).as_deref(), Some("(gen_random_uuid())::text"));
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        let date = ColumnType::Timestamp(None, false);
        assert_eq!(of(Flavor::MySql, "0000-00-00 00:00:00", "", &date), None);
        assert_eq!(of(Flavor::MySql, "concat('a','b')", "DEFAULT_GENERATED", &ColumnType::Text), None);
        assert_eq!(of(Flavor::MariaDb, "concat('a','b')", "", &ColumnType::Text), None);
        assert_eq!(of(Flavor::MariaDb, "'a' 'b'", "", &ColumnType::Text), None);
    }
}
