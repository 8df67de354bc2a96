//! How version tuples are compared, in SQL that both products read the same way.

use super::quote;
use crate::model::{TableSchema, ValueClass};

/// Whether the incoming version tuple is greater than that of row `stored`. Compared column by column, NULL below every
/// value; never NULL itself. `incoming` gives the expression of a tuple's element by its number and column.
pub(super) fn greater(
    table: &TableSchema,
    incoming: impl Fn(usize, usize) -> String,
    stored: &str,
) -> String {
    let cas = table.rules().map_or(&[][..], |rules| &rules.cas);
    let pairs: Vec<(String, String)> = cas
        .iter()
        .enumerate()
        .map(|(number, column)| (incoming(number, *column), comparable(table, *column, stored)))
        .collect();
    let nested = pairs.iter().rev().fold(None, |rest: Option<String>, (new, old)| {
        let more = format!("({new} IS NOT NULL AND ({old} IS NULL OR {new} > {old}))");
        Some(match rest {
            None => more,
            Some(rest) => format!("({more} OR ({new} IS NOT DISTINCT FROM {old} AND {rest}))"),
        })
    });
    nested.unwrap_or_else(|| "true".into())
}

/// A column of a row in the form in which it is compared.
pub(super) fn comparable(table: &TableSchema, column: usize, row: &str) -> String {
    let column = &table.columns[column];
    without_nan(column.class, &format!("{row}.{}", quote(column.name.as_str())))
}

/// NaN counts as NULL: a row with a broken version must not block every later one.
pub(super) fn without_nan(class: ValueClass, value: &str) -> String {
    match class {
        ValueClass::Float | ValueClass::Numeric => format!("NULLIF({value}, 'NaN')"),
        ValueClass::Integer(_)
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Timestamp
        | ValueClass::Json { .. }
        | ValueClass::Array
        | ValueClass::Composite
        | ValueClass::Geo { .. }
        | ValueClass::Scalar => value.to_owned(),
    }
}
