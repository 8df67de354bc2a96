//! JSON documents as both products print their `jsonb`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Decimal;

/// A JSON document. Objects cannot hold a key twice, as in `jsonb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number; its scale is kept.
    Number(Decimal),
    /// A string without NUL, which `jsonb` refuses.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object, in bytewise order of its keys.
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// As CockroachDB prints it: keys in bytewise order.
    #[must_use]
    pub fn cockroach(&self) -> String {
        let mut out = String::new();
        self.print(&mut out, Product::Cockroach);
        out
    }

    /// As PostgreSQL prints it: shorter keys first, numbers without exponent.
    #[must_use]
    pub fn postgres(&self) -> String {
        let mut out = String::new();
        self.print(&mut out, Product::Postgres);
        out
    }

    fn print(&self, out: &mut String, product: Product) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => out.push_str(&match product {
                Product::Cockroach => value.scientific(),
                Product::Postgres => value.plain(),
            }),
            Self::String(value) => product.quote(out, value),
            Self::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    element.print(out, product);
                }
                out.push(']');
            }
            Self::Object(members) => print_object(out, members, product),
        }
    }
}

fn print_object(out: &mut String, members: &BTreeMap<String, Json>, product: Product) {
    let mut members: Vec<_> = members.iter().collect();
    if matches!(product, Product::Postgres) {
        // Stable: keys of one length stay in bytewise order.
        members.sort_by_key(|(key, _)| key.len());
    }
    out.push('{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        product.quote(out, key);
        out.push_str(": ");
        value.print(out, product);
    }
    out.push('}');
}

#[derive(Clone, Copy)]
enum Product {
    Cockroach,
    Postgres,
}

impl Product {
    fn quote(self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' if matches!(self, Self::Postgres) => out.push_str("\\b"),
                '\x0c' if matches!(self, Self::Postgres) => out.push_str("\\f"),
                c if c < ' ' => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// A JSON string as a changefeed writes it: only quotes, backslashes and control characters are escaped.
#[must_use]
pub fn quote_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    Product::Cockroach.quote(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_differ_in_key_order_numbers_and_escapes() {
        let json = Json::Object(BTreeMap::from([
            ("bb".to_owned(), Json::Number(Decimal::new(false, "1", 3))),
            ("c".to_owned(), Json::String("\x08\x0c\x01".to_owned())),
            ("aa".to_owned(), Json::Array(vec![Json::Null, Json::Bool(true), Json::Object(BTreeMap::new())])),
        ]));
        assert_eq!(json.cockroach(), r#"{"aa": [null, true, {}], "bb": 1E+3, "c": "\u0008\u000c\u0001"}"#);
        assert_eq!(json.postgres(), r#"{"c": "\b\f\u0001", "aa": [null, true, {}], "bb": 1000}"#);
    }
}
