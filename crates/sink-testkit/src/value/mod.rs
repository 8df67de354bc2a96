//! Column values in two spellings: the JSON a changefeed sends and the text PostgreSQL prints for
//! `column::text`. Both are made from the same input by separate code, so that neither is derived from
//! the other.

mod decimal;
mod json;
mod timestamp;

pub(crate) use timestamp::civil;

use std::fmt::Write as _;
use std::sync::Arc;

pub use decimal::Decimal;
pub use json::{Json, quote_json};

/// One column value. Cheap to clone.
///
/// The PostgreSQL spelling holds for a session with the settings in
/// [`SESSION_SETTINGS`](crate::oracle::SESSION_SETTINGS).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    json: Arc<str>,
    text: Option<Arc<str>>,
}

impl Value {
    /// SQL NULL.
    #[must_use]
    pub fn null() -> Self {
        Self { json: Arc::from("null"), text: None }
    }

    /// A value spelled alike on both sides and bare in JSON: numbers and booleans.
    fn bare(text: String) -> Self {
        let text: Arc<str> = text.into();
        Self { json: text.clone(), text: Some(text) }
    }

    /// A value which is a JSON string of exactly what PostgreSQL prints.
    fn quoted(text: &str) -> Self {
        Self { json: quote_json(text).into(), text: Some(text.into()) }
    }

    fn pair(json: String, text: String) -> Self {
        Self { json: json.into(), text: Some(text.into()) }
    }

    /// An `int8`.
    #[must_use]
    pub fn int8(value: i64) -> Self {
        Self::bare(value.to_string())
    }

    /// A `bool`. A cast to text spells it out, unlike the type's own output function.
    #[must_use]
    pub fn bool(value: bool) -> Self {
        Self::bare(value.to_string())
    }

    /// A `text`.
    #[must_use]
    pub fn text_value(value: &str) -> Self {
        Self::quoted(value)
    }

    /// A `numeric`; trailing zeros are part of the value.
    #[must_use]
    pub fn numeric(value: &Decimal) -> Self {
        Self::pair(value.scientific(), value.plain())
    }

    /// The `numeric` that is no number: a JSON string, because JSON has no such number.
    #[must_use]
    pub fn numeric_nan() -> Self {
        Self::quoted("NaN")
    }

    /// A `float8`, shortest digits that round-trip.
    #[must_use]
    pub fn float8(value: f64) -> Self {
        match decimal::shortest_digits(value) {
            Some(digits) => Self::pair(digits.scientific(), digits.pg_float()),
            None if value.is_nan() => Self::quoted("NaN"),
            None if value > 0.0 => Self::quoted("Infinity"),
            None => Self::quoted("-Infinity"),
        }
    }

    /// A `bytea`, always in the hexadecimal form.
    #[must_use]
    pub fn bytea(bytes: &[u8]) -> Self {
        let mut text = String::from("\\x");
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self::quoted(&text)
    }

    /// A `uuid` from its 128 bits.
    #[must_use]
    pub fn uuid(bits: u128) -> Self {
        let hex = format!("{bits:032x}");
        Self::quoted(&[&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }

    /// A `timestamptz`, in microseconds since 1970, within the years 1 to 9999.
    ///
    /// # Panics
    /// Outside these years, where the two products spell times in ways this type does not model.
    #[must_use]
    pub fn timestamptz(micros: i64) -> Self {
        let (day, time) = civil(micros);
        Self::pair(format!("\"{day}T{time}Z\""), format!("{day} {time}+00"))
    }

    /// A `jsonb`. A JSON null at the top is refused: a feed does not tell it from SQL NULL.
    ///
    /// # Panics
    /// On [`Json::Null`].
    #[must_use]
    pub fn jsonb(value: &Json) -> Self {
        assert!(*value != Json::Null, "a top-level JSON null reads as SQL NULL in a feed");
        Self::pair(value.cockroach(), value.postgres())
    }

    /// A `text[]` of one dimension.
    #[must_use]
    pub fn text_array(elements: &[Option<&str>]) -> Self {
        let json: Vec<String> =
            elements.iter().map(|element| element.map_or_else(|| "null".to_owned(), quote_json)).collect();
        let text: Vec<String> =
            elements.iter().map(|element| element.map_or_else(|| "NULL".to_owned(), array_element)).collect();
        Self::pair(format!("[{}]", json.join(", ")), format!("{{{}}}", text.join(",")))
    }

    /// The JSON fragment of the changefeed, with `", "` and `": "` between its parts.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What PostgreSQL prints for `column::text`; `None` is SQL NULL.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

/// An element of a PostgreSQL array literal, quoted only where its output function quotes.
fn array_element(text: &str) -> String {
    // The white space of C's "POSIX" locale, which is wider than Rust's `is_ascii_whitespace`.
    let special =
        |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\' | ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(value: &Value) -> (&str, &str) {
        (value.json(), value.text().unwrap())
    }

    #[test]
    fn floats_are_scientific_in_the_feed_whenever_they_end_in_zeros() {
        for (value, json, text) in [
            (100.0, "1E+2", "100"),
            (120.0, "1.2E+2", "120"),
            (123.0, "123", "123"),
            (1.5, "1.5", "1.5"),
            (-0.0, "-0", "-0"),
            (0.0, "0", "0"),
            (0.000_001, "0.000001", "1e-06"),
            (0.000_000_1, "1E-7", "1e-07"),
            (1e14, "1E+14", "100000000000000"),
            (1e15, "1E+15", "1e+15"),
            (1e20, "1E+20", "1e+20"),
            (f64::MAX, "1.7976931348623157E+308", "1.7976931348623157e+308"),
            (5e-324, "5E-324", "5e-324"),
            (f64::NAN, "\"NaN\"", "NaN"),
            (f64::NEG_INFINITY, "\"-Infinity\"", "-Infinity"),
        ] {
            assert_eq!(spelled(&Value::float8(value)), (json, text));
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        for (digits, exponent, json, text) in [
            ("2630", -2, "26.30", "26.30"),
            ("0", -2, "0.00", "0.00"),
            ("1", 2, "1E+2", "100"),
            ("1", -7, "1E-7", "0.0000001"),
            ("120", 1, "1.20E+3", "1200"),
            ("5", -1, "0.5", "0.5"),
        ] {
            let value = Value::numeric(&Decimal::new(false, digits, exponent));
            assert_eq!(spelled(&value), (json, text));
        }
    }

    #[test]
    fn times_drop_trailing_zeros_of_the_fraction() {
        let value = Value::timestamptz(1_704_193_445_000_001);
        assert_eq!(spelled(&value), ("\"2024-01-02T11:04:05.000001Z\"", "2024-01-02 11:04:05.000001+00"));
        let value = Value::timestamptz(-500_000);
        assert_eq!(spelled(&value), ("\"1969-12-31T23:59:59.5Z\"", "1969-12-31 23:59:59.5+00"));
        let value = Value::timestamptz(1_709_164_800_000_000);
        assert_eq!(spelled(&value), ("\"2024-02-29T00:00:00Z\"", "2024-02-29 00:00:00+00"));
    }

    #[test]
    fn strings_escape_only_what_the_feed_escapes() {
        let value = Value::text_value("q\"b\\s/tab\tnl\n<&> é ☃\u{1}\u{7f}");
        assert_eq!(value.json(), "\"q\\\"b\\\\s/tab\\tnl\\n<&> é ☃\\u0001\u{7f}\"");
        assert_eq!(Value::bytea(&[0, 255, 16]).json(), "\"\\\\x00ff10\"");
        assert_eq!(
            Value::uuid(0x6f96_19ff_8b86_d011_b42d_00cf_4fc9_64ff).json(),
            "\"6f9619ff-8b86-d011-b42d-00cf4fc964ff\""
        );
    }

    #[test]
    fn arrays_quote_what_would_read_back_differently() {
        let value = Value::text_array(&[Some("a"), None, Some("null"), Some(""), Some("b\"c"), Some("d e")]);
        assert_eq!(value.text().unwrap(), r#"{a,NULL,"null","","b\"c","d e"}"#);
        assert_eq!(value.json(), r#"["a", null, "null", "", "b\"c", "d e"]"#);
        assert_eq!(spelled(&Value::text_array(&[])), ("[]", "{}"));
    }
}
