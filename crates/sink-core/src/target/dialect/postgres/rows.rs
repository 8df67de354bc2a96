//! The rows of staged JSON as queries: values of columns, and what tells keys apart.

use super::super::{quote, quote_literal};
use super::value;
use crate::apply::plan::{Feed, Fold, ShapePlan, Source, TablePlan};
use crate::model::expression::Input;
use crate::model::{ColumnSchema, Expression, TableSchema, ValueClass};

/// Longest name of a field, in bytes; longer ones are cut silently, and would be looked for under another name.
const MAX_FIELD_BYTES: usize = 63;

/// Records declared over one JSON text. A record has each member once, so a member that is wanted as two types needs
/// a second record.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: Vec<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// Fields and their types, in order.
    fields: Vec<(String, String)>,
    /// The record has this member alone, whose name is too long for a field.
    long: Option<String>,
}

impl Records {
    /// The expression of a member declared with this type.
    pub(super) fn field(&mut self, member: &str, sql_type: &str) -> String {
        let long = (member.len() > MAX_FIELD_BYTES).then(|| member.to_owned());
        let field = if long.is_some() { "member" } else { member };
        let place = self.records.iter().position(|record| {
            let declared = record.fields.iter().find(|(name, _)| name == field);
            record.long == long && declared.is_none_or(|(_, declared)| declared == sql_type)
        });
        let place = place.unwrap_or_else(|| {
            self.records.push(Record { fields: Vec::new(), long });
            self.records.len() - 1
        });
        let fields = &mut self.records[place].fields;
        if !fields.iter().any(|(name, _)| name == field) {
            fields.push((field.to_owned(), sql_type.to_owned()));
        }
        format!("{}.{}", alias(place), quote(field))
    }

    /// `, json_to_record(…) AS cdc_row(…)` for each, over this JSON.
    pub(super) fn join(&self, json: &str) -> String {
        let each = self.records.iter().enumerate().map(|(place, record)| {
            let fields: Vec<String> =
                record.fields.iter().map(|(name, sql_type)| format!("{} {sql_type}", quote(name))).collect();
            let json = match &record.long {
                Some(member) => format!("json_build_object('member', ({json})->{})", quote_literal(member)),
                None => json.to_owned(),
            };
            format!(", json_to_record({json}) AS {}({})", alias(place), fields.join(", "))
        });
        each.collect()
    }
}

/// A name that no expression's own subquery is likely to use: it would be taken for the incoming row.
fn alias(place: usize) -> String {
    if place == 0 { "cdc_row".into() } else { format!("cdc_row{}", place + 1) }
}

/// The expression of a column's value in rows of a shape.
pub(super) fn column_value(
    plan: &TablePlan,
    shape: &ShapePlan,
    feed: &Feed,
    records: &mut Records,
) -> String {
    let column = &plan.table.columns[feed.column];
    let expression = plan.table.rule(feed.column).and_then(|rule| rule.expression.as_ref());
    match (&feed.source, expression) {
        (Source::Extras, _) => extras(shape),
        (Source::Constant, expression) => substituted(column, expression, "NULL"),
        (Source::Member(member), None) => {
            let field = records.field(member, value::record_type(column));
            value::converted(column, &field)
        }
        (Source::Member(member), Some(expression)) => {
            let input = input_of(column, expression, member, records);
            substituted(column, Some(expression), &input)
        }
    }
}

/// What an expression gets for `$0` from a member of a record.
pub(super) fn input_of(
    column: &ColumnSchema,
    expression: &Expression,
    member: &str,
    records: &mut Records,
) -> String {
    match expression.input() {
        // The text of a JSON value is its JSON, quotes and all.
        Input::Text if is_document(column) => format!("{}::text", records.field(member, "json")),
        Input::Text => records.field(member, "text"),
        Input::Typed => {
            let field = records.field(member, &value::input_type(value::record_type(column)));
            format!("({})", value::converted(column, &field))
        }
    }
}

/// Whether the text form of a column's type is not what a scalar of JSON unquoted is.
fn is_document(column: &ColumnSchema) -> bool {
    matches!(column.class, ValueClass::Json { .. })
}

/// The expression with its input, as the column's type. A length is left to the assignment, which refuses what is too
/// long; a cast would cut it.
pub(super) fn substituted(column: &ColumnSchema, expression: Option<&Expression>, input: &str) -> String {
    let text = expression.map_or_else(|| "NULL".into(), |expression| expression.with(input));
    format!("({text})::{}", value::cast_type(&column.sql_type))
}

/// A query that is planned only if the expression can stand for a value of the column. In a WHERE clause nothing may
/// stand that makes one row out of several, or several out of one.
pub(super) fn check_expression(table: &TableSchema, column: usize, expression: &Expression) -> String {
    let schema = &table.columns[column];
    let mut records = Records::default();
    let input = match expression.is_constant() {
        true => String::new(),
        false => input_of(schema, expression, table.source_of(column), &mut records),
    };
    format!(
        "SELECT 1 FROM (SELECT 1) AS one{} WHERE {} IS NULL",
        records.join("'{}'::json"),
        substituted(schema, Some(expression), &input)
    )
}

/// Everything that is not listed in the shape.
fn extras(shape: &ShapePlan) -> String {
    if !shape.shape.is_open() && shape.left_over.is_empty() {
        return "'{}'::jsonb".into();
    }
    let listed: Vec<String> = shape.taken().map(quote_literal).collect();
    format!("(r.mut::jsonb - ARRAY[{}]::text[])", listed.join(", "))
}

/// The rows of one shape as a query over `r<n>`, key columns first.
pub(super) fn rows_of(at: usize, plan: &TablePlan, shape: &ShapePlan, filter: &str) -> String {
    let mut records = Records::default();
    let values: Vec<String> = shape
        .feeds
        .iter()
        .map(|feed| {
            let value = column_value(plan, shape, feed, &mut records);
            let name = quote(plan.table.columns[feed.column].name.as_str());
            if value == format!("cdc_row.{name}") { value } else { format!("{value} AS {name}") }
        })
        .collect();
    format!(
        "SELECT {} FROM r{at} r{} WHERE r.shape = {}{filter}",
        values.join(", "),
        records.join("r.mut::json"),
        shape.shape.id(),
    )
}

/// The value of key column number `position` from a JSON array of key values, as its expression makes it.
pub(super) fn key_value(table: &TableSchema, key: &str, position: usize) -> String {
    let at = table.primary_key[position];
    let column = &table.columns[at];
    match table.rule(at).and_then(|rule| rule.expression.as_ref()) {
        None => value::key_value(column, key, position),
        Some(expression) if expression.is_constant() => substituted(column, Some(expression), ""),
        Some(expression) => {
            let input = match expression.input() {
                Input::Text => format!("{key}::json->>{position}"),
                Input::Typed => value::key_input(column, key, position),
            };
            let value = substituted(column, Some(expression), "cdc_key.value");
            format!("(SELECT {value} FROM (SELECT {input}) AS cdc_key(value))")
        }
    }
}

/// Definitions (`… AS k0`) and names of the expressions that tell keys apart.
pub(super) fn fold_keys(plan: &TablePlan, alias: &str) -> (Vec<String>, Vec<String>) {
    match plan.fold {
        Fold::Text => (Vec::new(), vec![format!("{alias}.key")]),
        Fold::Value => (0..plan.table.primary_key.len())
            .map(|position| {
                let key = format!("COALESCE({alias}.long_key, {alias}.key)");
                (
                    format!("{} AS k{position}", key_value(&plan.table, &key, position)),
                    format!("{alias}.k{position}"),
                )
            })
            .unzip(),
    }
}

/// Whether row `t` of the target is the one that `row` of a folded slice is about.
pub(super) fn same_key(plan: &TablePlan, row: &str) -> String {
    let matches = plan.table.key_columns().enumerate().map(|(position, column)| {
        let key = match plan.fold {
            Fold::Text => value::key_value(column, &format!("COALESCE({row}.long_key, {row}.key)"), position),
            Fold::Value => format!("{row}.k{position}"),
        };
        format!("t.{} = {key}", quote(column.name.as_str()))
    });
    matches.collect::<Vec<_>>().join(" AND ")
}
