//! Which type of CockroachDB holds the values of a type.

use super::super::quote;
use crate::model::definition::{ColumnType, Definitions, Domain, TypeId, TypeKind};

/// A type there, and how it differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// As SQL.
    pub(super) sql: String,
    /// What an operator should know; none if values and their meaning stay.
    pub(super) note: Option<String>,
}

fn same(sql: impl Into<String>) -> Mapped {
    Mapped { sql: sql.into(), note: None }
}

fn differs(sql: impl Into<String>, note: impl Into<String>) -> Mapped {
    Mapped { sql: sql.into(), note: Some(note.into()) }
}

/// The three-part name of a type.
pub(super) fn type_name(id: &TypeId) -> String {
    let (database, schema) = (&id.schema.database, &id.schema.schema);
    format!("{}.{}.{}", quote(database.as_str()), quote(schema.as_str()), quote(id.name.as_str()))
}

/// The type for a column.
pub(super) fn map(definitions: &Definitions, column_type: &ColumnType) -> Mapped {
    let of = |name: &str, length: Option<u32>| match length {
        Some(length) => same(format!("{name}({length})")),
        None => same(name),
    };
    match column_type {
        ColumnType::Integer(16) => same("INT2"),
        ColumnType::Integer(32) => same("INT4"),
        ColumnType::Integer(_) => same("INT8"),
        ColumnType::Float(32) => same("FLOAT4"),
        ColumnType::Float(_) => same("FLOAT8"),
        ColumnType::Decimal(limits) => decimal(*limits),
        ColumnType::Money => differs("DECIMAL", "money has no counterpart; amounts are plain numbers"),
        ColumnType::Bool => same("BOOL"),
        ColumnType::Char(length) => {
            differs(format!("CHAR({length})"), "blanks at the end of character(n) count in comparisons")
        }
        ColumnType::Varchar(None) | ColumnType::Text => same("STRING"),
        ColumnType::Varchar(length) => of("VARCHAR", *length),
        ColumnType::Bytes => same("BYTES"),
        ColumnType::Date => same("DATE"),
        ColumnType::Time(digits, false) => of("TIME", digits.map(u32::from)),
        ColumnType::Time(digits, true) => of("TIMETZ", digits.map(u32::from)),
        ColumnType::Timestamp(digits, false) => of("TIMESTAMP", digits.map(u32::from)),
        ColumnType::Timestamp(digits, true) => of("TIMESTAMPTZ", digits.map(u32::from)),
        // Values come with the source's precision already.
        ColumnType::Interval(_) => same("INTERVAL"),
        ColumnType::Uuid => same("UUID"),
        ColumnType::Inet => same("INET"),
        ColumnType::Json(true) => same("JSONB"),
        ColumnType::Json(false) => {
            differs("JSONB", "json is normalised: blanks, order and repetition of members are lost")
        }
        ColumnType::Bit(length) => same(format!("BIT({length})")),
        ColumnType::Varbit(length) => of("VARBIT", *length),
        ColumnType::TextSearch(false) => same("TSVECTOR"),
        ColumnType::TextSearch(true) => same("TSQUERY"),
        ColumnType::Builtin(name) => builtin(name),
        ColumnType::Extension(extension) => extension_type(extension.id.name.as_str(), &extension.modifier),
        ColumnType::User(id) => user(definitions, id),
        ColumnType::Array(element, dimensions) => array(definitions, element, *dimensions),
    }
}

fn decimal(limits: Option<(u16, i16)>) -> Mapped {
    match limits {
        None => same("DECIMAL"),
        Some((precision, scale)) if scale >= 0 && i32::from(scale) <= i32::from(precision) => {
            same(format!("DECIMAL({precision},{scale})"))
        }
        Some((precision, scale)) => {
            differs("DECIMAL", format!("numeric({precision},{scale}) has no counterpart; any number fits"))
        }
    }
}

fn builtin(name: &str) -> Mapped {
    match name {
        "name" => same("STRING"),
        "oid" => same("INT8"),
        other => differs("STRING", format!("{other} has no counterpart; its text is kept")),
    }
}

fn extension_type(name: &str, modifier: &str) -> Mapped {
    match name {
        "geometry" | "geography" => same(format!("{}{modifier}", name.to_ascii_uppercase())),
        "hstore" => differs("JSONB", "hstore has no counterpart; the pairs become members of an object"),
        "citext" => differs("STRING", "citext compares without regard to case, STRING does not"),
        other => differs("STRING", format!("{} has no counterpart; its text is kept", quote(other))),
    }
}

fn user(definitions: &Definitions, id: &TypeId) -> Mapped {
    let text = |what: &str| {
        differs("STRING", format!("{what} {} has no counterpart; its text is kept", type_name(id)))
    };
    match definitions.user_type(id).map(|definition| &definition.kind) {
        Some(TypeKind::Enum(_)) => same(type_name(id)),
        Some(TypeKind::Domain(domain)) => map(definitions, &domain.base),
        Some(TypeKind::Composite(_)) => text("composite type"),
        Some(TypeKind::Range { .. } | TypeKind::Multirange(_)) => text("range type"),
        Some(TypeKind::Opaque(_)) | None => text("type"),
    }
}

fn array(definitions: &Definitions, element: &ColumnType, dimensions: u32) -> Mapped {
    if dimensions > 1 || matches!(element, ColumnType::Array(..)) {
        return differs("JSONB", "arrays of arrays have no counterpart; they become JSON");
    }
    let inner = map(definitions, element);
    match inner.sql.as_str() {
        "JSONB" | "TSVECTOR" | "TSQUERY" => {
            differs("JSONB", format!("arrays of {} have no counterpart; they become JSON", inner.sql))
        }
        sql if sql.ends_with("[]") => {
            differs("JSONB", "arrays of arrays have no counterpart; they become JSON")
        }
        sql => Mapped { sql: format!("{sql}[]"), note: inner.note },
    }
}

/// The domains that a column's value must pass, innermost last.
pub(super) fn domains<'a>(definitions: &'a Definitions, column_type: &ColumnType) -> Vec<&'a Domain> {
    let mut found = Vec::new();
    let mut next = column_type.clone();
    while let ColumnType::User(id) = &next {
        let Some(TypeKind::Domain(domain)) = definitions.user_type(id).map(|d| &d.kind) else { break };
        found.push(&**domain);
        next = domain.base.clone();
    }
    found
}
