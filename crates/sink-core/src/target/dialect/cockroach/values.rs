//! How a JSON value of a changefeed becomes a value of a CockroachDB column.

use super::super::quote_literal;
use crate::apply::plan::{Feed, ShapePlan, Source, TablePlan};
use crate::model::expression::Input;
use crate::model::{ColumnSchema, Expression, TableSchema, ValueClass};

/// The key values of a JSON array of key texts, as their expressions make them.
pub(super) fn key_values(table: &TableSchema, key: &str) -> Vec<String> {
    let each = table.primary_key.iter().enumerate().map(|(position, at)| {
        let column = &table.columns[*at];
        let text = format!("({key}::JSONB->>{position})");
        match table.rule(*at).and_then(|rule| rule.expression.as_ref()) {
            None => format!("{text}::{}", column.sql_type),
            Some(expression) => {
                let input = match expression.input() {
                    _ if expression.is_constant() => return substituted(column, Some(expression), ""),
                    Input::Text => text,
                    Input::Typed => format!("{text}::{}", column.sql_type),
                };
                let value = substituted(column, Some(expression), "cdc_key.value");
                format!("(SELECT {value} FROM (SELECT {input}) AS cdc_key(value))")
            }
        }
    });
    each.collect()
}

/// The value of a column from a row of this shape; `json` is the row's JSON object.
pub(super) fn row_value(plan: &TablePlan, shape: &ShapePlan, feed: &Feed, json: &str) -> String {
    let column = &plan.table.columns[feed.column];
    let expression = plan.table.rule(feed.column).and_then(|rule| rule.expression.as_ref());
    match (&feed.source, expression) {
        (Source::Extras, _) => extras(shape, json),
        (Source::Constant, expression) => substituted(column, expression, "NULL"),
        (Source::Member(member), None) => value(column, json, member),
        (Source::Member(member), Some(expression)) => {
            substituted(column, Some(expression), &input_of(column, expression, json, member))
        }
    }
}

/// What an expression gets for `$0`.
pub(super) fn input_of(column: &ColumnSchema, expression: &Expression, json: &str, member: &str) -> String {
    match expression.input() {
        // The text of a JSON value is its JSON, quotes and all.
        Input::Text if matches!(column.class, ValueClass::Json { .. }) => {
            format!("(NULLIF({json}->{}, 'null'::JSONB)::STRING)", quote_literal(member))
        }
        Input::Text => format!("({json}->>{})", quote_literal(member)),
        Input::Typed => format!("({})", value(column, json, member)),
    }
}

/// The type to cast to. A length is left to the assignment, which refuses what is too long; a cast would cut it.
pub(super) fn cast_type(sql_type: &str) -> &str {
    let (name, rest) = sql_type.split_once('(').unwrap_or((sql_type, ""));
    match name.to_ascii_uppercase().as_str() {
        // What follows the length matters: a collation, or brackets of an array.
        _ if !rest.is_empty() && !rest.ends_with(')') => sql_type,
        "VARCHAR" | "STRING" | "CHAR" | "CHARACTER VARYING" | "CHARACTER" => "STRING",
        "BIT" | "VARBIT" => "VARBIT",
        _ => sql_type,
    }
}

fn substituted(column: &ColumnSchema, expression: Option<&Expression>, input: &str) -> String {
    let text = expression.map_or_else(|| "NULL".into(), |expression| expression.with(input));
    format!("({text})::{}", cast_type(&column.sql_type))
}

/// A query that is planned only if the expression can stand for a value of the column, for one row.
pub(super) fn check_expression(table: &TableSchema, column: usize, expression: &Expression) -> String {
    let schema = &table.columns[column];
    let input = input_of(schema, expression, "cdc_row.j", table.source_of(column));
    format!(
        "SELECT 1 FROM (SELECT '{{}}'::JSONB AS j) AS cdc_row WHERE {} IS NULL",
        substituted(schema, Some(expression), &input)
    )
}

/// Everything that is not listed in the shape.
fn extras(shape: &ShapePlan, json: &str) -> String {
    if !shape.shape.is_open() && shape.left_over.is_empty() {
        return "'{}'::JSONB".into();
    }
    let listed: Vec<String> = shape.taken().map(quote_literal).collect();
    format!("({json} - ARRAY[{}]::STRING[])", listed.join(", "))
}

fn value(column: &ColumnSchema, json: &str, member: &str) -> String {
    let member = quote_literal(member);
    let sql_type = &column.sql_type;
    match column.class {
        ValueClass::Json { .. } => format!(
            "CASE WHEN {json}->{member} = '{{\"__crdb_json_null__\": true}}'::JSONB THEN 'null'::JSONB \
             ELSE NULLIF({json}->{member}, 'null'::JSONB) END"
        ),
        ValueClass::Array => format!(
            "CASE WHEN jsonb_typeof({json}->{member}) = 'array' THEN ARRAY(SELECT e.x::{} \
             FROM jsonb_array_elements_text({json}->{member}) AS e(x)) END",
            sql_type.strip_suffix("[]").unwrap_or(sql_type)
        ),
        ValueClass::Geo { geography: false } => {
            format!("st_geomfromgeojson(NULLIF({json}->{member}, 'null'::JSONB))")
        }
        ValueClass::Geo { geography: true } => {
            format!("st_geogfromgeojson(NULLIF({json}->{member}, 'null'::JSONB))")
        }
        ValueClass::Integer(_)
        | ValueClass::Float
        | ValueClass::Numeric
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Timestamp
        | ValueClass::Composite
        | ValueClass::Scalar => format!("({json}->>{member})::{sql_type}"),
    }
}
