//! How a JSON value of a changefeed becomes a value of a PostgreSQL column. Facts: PostgreSQL 15 manual, and
//! CockroachDB's JSON encoding of its types (v23.1 to v26.1).

use std::borrow::Cow;

use crate::model::{ColumnSchema, ValueClass};

/// What JSON null looks like in a feed with `encode_json_value_null_as_object`; a plain null is SQL NULL.
const JSON_NULL: &str = "'{\"__crdb_json_null__\": true}'::jsonb";

/// The type a member is declared with in `json_to_record`, and whether [`converted`] must still cast it.
pub(super) fn record_type(column: &ColumnSchema) -> &str {
    match column.class {
        // CockroachDB prints years that PostgreSQL's input does not read.
        ValueClass::Timestamp => "text",
        ValueClass::Array if timestamp_element(column).is_some() => "text[]",
        ValueClass::Integer(_)
        | ValueClass::Float
        | ValueClass::Numeric
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Json { .. }
        | ValueClass::Array
        | ValueClass::Composite
        | ValueClass::Geo { .. }
        | ValueClass::Scalar => &column.sql_type,
    }
}

/// The expression for a column's value, given the expression of its record field.
pub(super) fn converted(column: &ColumnSchema, field: &str) -> String {
    match column.class {
        ValueClass::Timestamp => timestamp(field, &column.sql_type),
        ValueClass::Array if timestamp_element(column).is_some() => timestamps(field, column),
        ValueClass::Json { binary: true } => {
            format!("CASE WHEN {field} = {JSON_NULL} THEN 'null' ELSE {field} END")
        }
        ValueClass::Json { binary: false } => {
            format!("CASE WHEN {field}::jsonb = {JSON_NULL} THEN 'null' ELSE {field} END")
        }
        ValueClass::Integer(_)
        | ValueClass::Float
        | ValueClass::Numeric
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Array
        | ValueClass::Composite
        | ValueClass::Geo { .. }
        | ValueClass::Scalar => field.to_owned(),
    }
}

/// The value of key column number `position`, taken from the JSON array in `key`.
pub(super) fn key_value(column: &ColumnSchema, key: &str, position: usize) -> String {
    key_as(column, key, position, &cast_type(&column.sql_type))
}

/// The same as the input of an expression: what it makes of a row, it must make of the row's deletion.
pub(super) fn key_input(column: &ColumnSchema, key: &str, position: usize) -> String {
    key_as(column, key, position, &input_type(&column.sql_type))
}

fn key_as(column: &ColumnSchema, key: &str, position: usize, sql_type: &str) -> String {
    let text = format!("({key}::json->>{position})");
    match column.class {
        ValueClass::Timestamp => timestamp(&text, &column.sql_type),
        ValueClass::Integer(_)
        | ValueClass::Float
        | ValueClass::Numeric
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Json { .. }
        | ValueClass::Array
        | ValueClass::Composite
        | ValueClass::Geo { .. }
        | ValueClass::Scalar => format!("{text}::{sql_type}"),
    }
}

/// The type to cast to. A cast to a type with a length cuts what is too long, and so would make one key into another.
pub(super) fn cast_type(sql_type: &str) -> Cow<'_, str> {
    if let Some(element) = sql_type.strip_suffix("[]") {
        return Cow::Owned(format!("{}[]", cast_type(element)));
    }
    let (name, _) = sql_type.split_once('(').unwrap_or((sql_type, ""));
    Cow::Borrowed(match name {
        "character varying" | "bit varying" => name,
        // Without a length these two would mean a length of one.
        "character" => "bpchar",
        "bit" => "bit varying",
        _ => sql_type,
    })
}

/// The type of what an expression takes: only its result is held against the column's length.
pub(super) fn input_type(sql_type: &str) -> Cow<'_, str> {
    if let Some(element) = sql_type.strip_suffix("[]") {
        return Cow::Owned(format!("{}[]", input_type(element)));
    }
    match cast_type(sql_type) {
        numeric if numeric.starts_with("numeric(") => Cow::Borrowed("numeric"),
        other => other,
    }
}

/// The element type of a column that holds an array of timestamps.
fn timestamp_element(column: &ColumnSchema) -> Option<&str> {
    column.sql_type.strip_suffix("[]").filter(|element| element.starts_with("timestamp"))
}

/// Converts each element of an array.
fn timestamps(field: &str, column: &ColumnSchema) -> String {
    let element = timestamp("e.v", timestamp_element(column).unwrap_or("timestamptz"));
    format!(
        "CASE WHEN {field} IS NOT NULL THEN \
         ARRAY(SELECT {element} FROM unnest({field}) WITH ORDINALITY AS e(v, n) ORDER BY e.n) END"
    )
}

/// CockroachDB writes 44 BC as the year `-0043` where PostgreSQL wants `0044-… BC`, and infinity as the finite
/// bounds of its range (which differ between its versions).
fn timestamp(field: &str, sql_type: &str) -> String {
    let bounds = |texts: [&str; 2]| {
        texts.iter().flat_map(|t| [format!("'{t}'"), format!("'{t}Z'")]).collect::<Vec<_>>().join(", ")
    };
    let last = bounds(["294276-12-31T23:59:59.999999", "294277-01-01T23:59:59.999999"]);
    let first = bounds(["-4713-11-24T00:00:00", "-4714-11-24T00:00:00"]);
    format!(
        "(CASE WHEN left({field}, 1) = '-' OR left({field}, 5) IN ('0000-', '29427') THEN \
         CASE WHEN {field} IN ({last}) THEN 'infinity' WHEN {field} IN ({first}, '-infinity') THEN '-infinity' \
         WHEN left({field}, 5) = '29427' THEN {field} \
         ELSE lpad((1 + substring({field} from '^-?(\\d+)')::int)::text, 4, '0') \
         || substring({field} from '^-?\\d+(.*)$') || ' BC' END \
         ELSE {field} END)::{sql_type}"
    )
}
