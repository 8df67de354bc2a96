//! Values of a log, which are texts, as values of columns.

use super::super::quote;
use super::rows::substituted;
use super::value;
use crate::model::TableSchema;
use crate::model::expression::Input;

/// The value of a column from the expression of its text, as the column's expression makes it, if it has one.
pub(super) fn value(table: &TableSchema, column: usize, text: &str) -> String {
    let schema = &table.columns[column];
    let Some(expression) = table.rule(column).and_then(|rule| rule.expression.as_ref()) else {
        return format!("{text}::{}", value::cast_type(&schema.sql_type));
    };
    let input = match (expression.is_constant(), expression.input()) {
        (true, _) => String::new(),
        (false, Input::Text) => text.to_owned(),
        (false, Input::Typed) => format!("({text}::{})", value::input_type(&schema.sql_type)),
    };
    substituted(schema, Some(expression), &input)
}

/// A value that was given, for a row that goes on from `row`: of the extras, what was not given stays.
pub(super) fn over(table: &TableSchema, column: usize, row: &str) -> String {
    if table.rules().is_none_or(|rules| rules.extras != Some(column)) {
        return format!("v.c{column}");
    }
    format!("v.c{column} || {}", kept(table, column, row, "v.x"))
}

/// The part of an extras column of `row` whose names are in the array `names`.
pub(super) fn kept(table: &TableSchema, column: usize, row: &str, names: &str) -> String {
    let stored = format!("{row}.{}", quote(table.columns[column].name.as_str()));
    format!(
        "COALESCE((SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(CASE jsonb_typeof({stored}) \
         WHEN 'object' THEN {stored} END) e WHERE {names} ? e.key), '{{}}')"
    )
}
