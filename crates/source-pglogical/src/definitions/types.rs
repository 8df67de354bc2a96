//! Types as the catalogue spells them, read.

use sink_core::model::ColumnType;

/// A type of `pg_catalog` from what `format_type` says.
pub(super) fn builtin(text: &str) -> ColumnType {
    let (name, args, tail) = split(text);
    let first = args.first().and_then(|text| text.parse::<u32>().ok());
    let digits = args.first().and_then(|text| text.parse::<u8>().ok());
    let other = || ColumnType::Builtin(text.to_owned());
    match (name, tail) {
        ("smallint", "") => ColumnType::Integer(16),
        ("integer", "") => ColumnType::Integer(32),
        ("bigint", "") => ColumnType::Integer(64),
        ("real", "") => ColumnType::Float(32),
        ("double precision", "") => ColumnType::Float(64),
        ("numeric", "") => numeric(&args).unwrap_or_else(other),
        ("money", "") => ColumnType::Money,
        ("boolean", "") => ColumnType::Bool,
        ("character", "") => first.map_or_else(other, ColumnType::Char),
        ("character varying", "") => ColumnType::Varchar(first),
        ("text", "") => ColumnType::Text,
        ("bytea", "") => ColumnType::Bytes,
        ("date", "") => ColumnType::Date,
        ("time", " without time zone") | ("time without time zone", "") => ColumnType::Time(digits, false),
        ("time", " with time zone") | ("time with time zone", "") => ColumnType::Time(digits, true),
        ("timestamp", " without time zone") | ("timestamp without time zone", "") => {
            ColumnType::Timestamp(digits, false)
        }
        ("timestamp", " with time zone") | ("timestamp with time zone", "") => {
            ColumnType::Timestamp(digits, true)
        }
        ("uuid", "") => ColumnType::Uuid,
        ("inet", "") => ColumnType::Inet,
        ("json", "") => ColumnType::Json(false),
        ("jsonb", "") => ColumnType::Json(true),
        ("bit", "") => first.map_or_else(other, ColumnType::Bit),
        ("bit varying", "") => ColumnType::Varbit(first),
        ("tsvector", "") => ColumnType::TextSearch(false),
        ("tsquery", "") => ColumnType::TextSearch(true),
        _ => match text.strip_prefix("interval") {
            Some(rest) => ColumnType::Interval(rest.to_owned()),
            None => other(),
        },
    }
}

fn numeric(args: &[&str]) -> Option<ColumnType> {
    match args {
        [] => Some(ColumnType::Decimal(None)),
        [precision, scale] => {
            Some(ColumnType::Decimal(Some((precision.parse().ok()?, scale.trim().parse().ok()?))))
        }
        _ => None,
    }
}

/// Name, what is in the brackets, and what follows them.
fn split(text: &str) -> (&str, Vec<&str>, &str) {
    let Some((name, rest)) = text.split_once('(') else { return (text, Vec::new(), "") };
    let Some((args, tail)) = rest.split_once(')') else { return (text, Vec::new(), "") };
    (name, args.split(',').collect(), tail)
}

/// What follows a type's name, such as `(Point,4326)`. Names with brackets are in quotes.
pub(super) fn modifier(text: &str) -> String {
    let mut quoted = false;
    let begin = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '(' && !quoted
    });
    begin.map(|(at, _)| text[at..].to_owned()).unwrap_or_default()
}

/// The text of an array's element: format_type shows one pair of brackets at the end, however many dimensions.
pub(super) fn element_text(text: &str) -> &str {
    text.strip_suffix("[]").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_with_their_limits() {
        for (text, expected) in [
            ("numeric(12,3)", ColumnType::Decimal(Some((12, 3)))),
            ("numeric(3,-2)", ColumnType::Decimal(Some((3, -2)))),
            ("numeric", ColumnType::Decimal(None)),
            ("character(5)", ColumnType::Char(5)),
            ("bpchar", ColumnType::Builtin("bpchar".into())),
            ("\"char\"", ColumnType::Builtin("\"char\"".into())),
            ("character varying", ColumnType::Varchar(None)),
            ("time(3) without time zone", ColumnType::Time(Some(3), false)),
            ("timestamp with time zone", ColumnType::Timestamp(None, true)),
            ("timestamp(0) without time zone", ColumnType::Timestamp(Some(0), false)),
            ("interval day to second(3)", ColumnType::Interval(" day to second(3)".into())),
            ("interval(2)", ColumnType::Interval("(2)".into())),
            ("interval", ColumnType::Interval(String::new())),
            ("bit(3)", ColumnType::Bit(3)),
            ("int4multirange", ColumnType::Builtin("int4multirange".into())),
        ] {
            assert_eq!(builtin(text), expected, "{text}");
        }
    }

    #[test]
    fn a_modifier_is_what_follows_the_name() {
        assert_eq!(modifier("public.geometry(Point,4326)"), "(Point,4326)");
        assert_eq!(modifier("public.\"odd(\"\"type\""), "");
        assert_eq!(element_text("numeric(3,1)[]"), "numeric(3,1)");
    }
}
