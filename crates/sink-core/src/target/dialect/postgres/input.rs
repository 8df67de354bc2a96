//! Handed-over rows as queries. Where the rows of a table have one shape and plain columns, their values come as an array
//! per column, which costs the server a fraction of taking them out of JSON; else the JSON comes.

use super::super::quote;
use super::super::slice::{ArrayForm, GUARD_NEWER, InputColumn, Param, Rows};
use super::rows::{self, fold_keys};
use super::slice::Builder;
use super::value;
use crate::apply::plan::{Fold, ShapePlan, Source, TablePlan};
use crate::model::{ColumnSchema, Shape, ValueClass};

/// Most columns of a table, and of all tables of a statement, that travel as arrays. A row of a query has room for 1,664
/// columns, a statement for 65,535 parameters.
const MAX_ARRAYS: (usize, usize) = (1_000, 10_000);

/// Whether rows of these tables may travel as arrays in one statement.
pub(super) fn arrays_fit(plans: &[TablePlan]) -> bool {
    let columns = |plan: &TablePlan| plan.shapes.iter().map(|shape| shape.feeds.len()).sum::<usize>();
    plans.iter().map(columns).sum::<usize>() <= MAX_ARRAYS.1
}

/// The form in which values of a column can travel without their row. Each type here is read from its text by the same
/// function as from JSON: no cast of it is a function of its own, and none can be made by users.
fn form(column: &ColumnSchema) -> Option<ArrayForm> {
    let name = column.sql_type.split(['(', ' ']).next().unwrap_or_default();
    match (column.class, column.sql_type.as_str()) {
        (ValueClass::Integer(bits), "smallint" | "integer" | "bigint") => Some(ArrayForm::Integer(bits)),
        (ValueClass::Bool, "boolean") => Some(ArrayForm::Bool),
        (ValueClass::Json { binary: true }, "jsonb") => Some(ArrayForm::Json),
        (ValueClass::Float, "real" | "double precision") | (ValueClass::Bytes, "bytea") => {
            Some(ArrayForm::Text)
        }
        (ValueClass::Numeric, _) if name == "numeric" => Some(ArrayForm::Text),
        (ValueClass::Text, _) if matches!(name, "text" | "character") => Some(ArrayForm::Text),
        (ValueClass::Timestamp, _) if name == "timestamp" => Some(ArrayForm::Text),
        (ValueClass::Scalar, _)
            if matches!(name, "uuid" | "date" | "time" | "interval" | "inet" | "cidr") =>
        {
            // Not the arrays, and not a type of somebody's schema whose name begins so.
            Some(ArrayForm::Text)
        }
        _ => None,
    }
}

/// The forms of all columns that the rows of a table feed, if they travel as arrays.
fn forms(plan: &TablePlan) -> Option<Vec<ArrayForm>> {
    let [shape] = plan.shapes.as_slice() else { return None };
    if plan.table.rules().is_some() || shape.feeds.len() > MAX_ARRAYS.0 {
        return None;
    }
    let form_of = |column: usize, source: &Source| match source {
        Source::Member(_) => form(&plan.table.columns[column]),
        Source::Constant | Source::Extras => None,
    };
    shape.feeds.iter().map(|feed| form_of(feed.column, &feed.source)).collect()
}

/// The value of a column from the element of its array.
fn element(column: &ColumnSchema, form: ArrayForm, field: &str) -> String {
    let cast = || format!("{field}::{}", value::cast_type(&column.sql_type));
    match form {
        ArrayForm::Integer(_) | ArrayForm::Bool => field.to_owned(),
        ArrayForm::Text if column.class == ValueClass::Timestamp => value::converted(column, field),
        ArrayForm::Text if column.sql_type == "text" => field.to_owned(),
        ArrayForm::Text => cast(),
        ArrayForm::Json => value::converted(column, &cast()),
    }
}

impl Builder<'_> {
    fn forms(&self, plan: &TablePlan) -> Option<Vec<ArrayForm>> {
        if self.options.rows.handed_over() && self.arrays { forms(plan) } else { None }
    }

    /// Whether every row handed over that is news is written as it is, so that nothing need be kept of them.
    pub(super) fn passes_through(&self, plan: &TablePlan) -> bool {
        self.options.rows == Rows::Upserts
            && plan.fold == Fold::Text
            && plan.shapes.len() == 1
            && !plan.table.is_conditional()
    }

    /// The rows of one shape as a query, key columns first.
    pub(super) fn rows_of(&self, at: usize, plan: &TablePlan, shape: &ShapePlan, filter: &str) -> String {
        let Some(forms) = self.forms(plan) else { return rows::rows_of(at, plan, shape, filter) };
        let values = shape.feeds.iter().zip(forms).enumerate().map(|(number, (feed, form))| {
            let column = &plan.table.columns[feed.column];
            format!("{} AS {}", element(column, form, &format!("r.v{number}")), quote(column.name.as_str()))
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let filter = match self.options.rows {
            Rows::Upserts => String::new(),
            _ => format!(" WHERE r.shape <> {}{filter}", Shape::DELETION),
        };
        format!("SELECT {values} FROM r{at} r{filter}")
    }

    /// Names of the columns of handed-over rows and what they stand for.
    fn columns(&self, plan: &TablePlan, forms: Option<&[ArrayForm]>) -> Vec<(String, InputColumn)> {
        let deletions = self.options.rows != Rows::Upserts;
        let by_key = deletions || plan.fold == Fold::Value || forms.is_none();
        let mut columns =
            vec![("nanos".into(), InputColumn::Nanos), ("logical".into(), InputColumn::Logical)];
        if by_key || self.options.guard {
            columns.push(("key".into(), InputColumn::Key));
        }
        if by_key {
            columns.push(("long_key".into(), InputColumn::LongKey));
        }
        if deletions || forms.is_none() || plan.fold == Fold::Value {
            columns.push(("shape".into(), InputColumn::Shape));
        }
        match forms {
            None => columns.push(("mut".into(), InputColumn::Row)),
            Some(forms) => columns.extend(
                forms
                    .iter()
                    .enumerate()
                    .map(|(feed, form)| (format!("v{feed}"), InputColumn::Value { feed, form: *form })),
            ),
        }
        columns
    }

    /// `r<n>`: the handed-over rows that are newer than everything known of their key. The caller has folded them.
    pub(super) fn newest_input(&mut self, at: usize, plan: &TablePlan) {
        let forms = self.forms(plan);
        let columns = self.columns(plan, forms.as_deref());
        let arrays: Vec<String> = columns.iter().map(|(_, column)| self.array(at, *column)).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let (fence, late) = if self.options.fence {
            // Rows without a time of their own (nanos 0) are never late.
            ("fence f, ", " WHERE (s.nanos, s.logical) > (f.applied_nanos, f.applied_logical) OR s.nanos = 0")
        } else {
            ("", "")
        };
        self.ctes.push(format!(
            "i{at} AS MATERIALIZED (SELECT s.* FROM {fence}unnest({}) AS s({}){late})",
            arrays.join(", "),
            names.join(", "),
        ));
        let newer = if self.options.guard { self.guard(at, plan) } else { String::new() };
        if plan.table.is_conditional() {
            let (source, target) = (format!("i{at} s"), self.exact_target(plan));
            self.ctes.extend(super::versions::effective(at, plan, &source, &newer, target.as_deref()));
            return;
        }
        if self.passes_through(plan) {
            // Read once only, so it need not be stored again.
            self.ctes.push(format!("r{at} AS NOT MATERIALIZED (SELECT s.* FROM i{at} s{newer})"));
            return;
        }
        let select = match plan.fold {
            Fold::Text => format!("SELECT s.* FROM i{at} s{newer}"),
            Fold::Value => {
                let (keys, distinct) = fold_keys(plan, "s");
                let (keys, distinct) = (keys.join(", "), distinct.join(", "));
                format!(
                    "SELECT DISTINCT ON ({distinct}) s.* FROM (SELECT s.*, {keys} FROM i{at} s{newer}) s \
                     ORDER BY {distinct}, s.nanos DESC, s.logical DESC, (s.shape = 0)"
                )
            }
        };
        self.ctes.push(format!("r{at} AS MATERIALIZED ({select})"));
    }

    fn array(&mut self, at: usize, column: InputColumn) -> String {
        let element = match column {
            InputColumn::Nanos | InputColumn::Logical | InputColumn::Shape => "int8",
            InputColumn::Key | InputColumn::LongKey | InputColumn::Row => "text",
            InputColumn::Value { form, .. } => form.element(),
        };
        format!("{}::{element}[]", self.param(Param::Input { table: at, column }))
    }

    /// `g<n>`: records the times of the rows that are news, and answers the condition for being one of them. The rows
    /// come in the order of their keys, which is the order of all writers; to sort them here costs a tenth.
    fn guard(&mut self, at: usize, plan: &TablePlan) -> String {
        let guard = self.area.table(&plan.guard_table);
        self.ctes.push(format!(
            "g{at} AS (INSERT INTO {guard} AS g (key, nanos, logical) SELECT s.key, s.nanos, s.logical \
             FROM i{at} s ON CONFLICT (key) DO UPDATE SET nanos = excluded.nanos, \
             logical = excluded.logical, written_at = now() \
             WHERE {GUARD_NEWER} RETURNING g.key)"
        ));
        // The hashed subplan behind IS TRUE stays linear; a join would be planned as a nested loop here.
        format!(" WHERE (s.key IN (SELECT g.key FROM g{at} g)) IS TRUE")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::slice::{SliceOptions, Writes};
    use super::super::super::{Dialect as _, Product, StagingArea};
    use super::super::Postgres;
    use super::*;
    use crate::model::schema::examples;
    use crate::model::{Ident, Shape};

    /// A table with so many columns, and rows that have them all.
    fn plan(columns: usize) -> TablePlan {
        let name = |at: usize| format!("c{at}");
        let integer = ValueClass::Integer(64);
        let all = (0..columns).map(|at| examples::column(&name(at), "bigint", integer)).collect();
        let shape = Arc::new(Shape::new((0..columns).map(name).collect()));
        TablePlan::new(Arc::new(examples::table("t", 1, all)), "s".into(), "g".into(), &[shape]).unwrap()
    }

    fn parameters(plans: &[TablePlan]) -> usize {
        let area = StagingArea::new(Product::PostgreSql, Ident::new("a").unwrap());
        let options = SliceOptions { fence: true, guard: true, writes: Writes::All, rows: Rows::Upserts };
        Postgres.slice(&area, plans, options)[0].params.len()
    }

    #[test]
    fn wide_tables_and_many_tables_come_as_json() {
        assert_eq!(parameters(&[plan(1_000)]), 2 + 3 + 1_000);
        assert_eq!(parameters(&[plan(1_001)]), 2 + 6);
        assert_eq!(parameters(&vec![plan(100); 100]), 2 + 100 * 103);
        assert_eq!(parameters(&vec![plan(100); 101]), 2 + 101 * 6);
    }
}
