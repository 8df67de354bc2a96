//! Which version of a row is written where that depends on more than time; the rule is that of the PostgreSQL module of
//! the same name. CockroachDB's transactions are serialisable, so nothing changes between the steps of one.

use super::super::compare::{comparable, greater, without_nan};
use super::super::{quote, quote_literal};
use super::values::{cast_type, key_values, row_value};
use crate::apply::plan::{Fold, TablePlan};
use crate::model::{Shape, TableRules};

/// The best version of each key among `source` (versions as `s`), or the deletion that stands because there is none.
pub(super) fn best(plan: &TablePlan, source: &str, filter: &str) -> String {
    let Some(rules) = plan.table.rules() else { return String::new() };
    let names = |row: &str| key_names(plan, row).join(", ");
    let greatest: String =
        (0..rules.cas.len()).map(|number| format!("x.c{number} DESC NULLS LAST, ")).collect();
    let order = if rules.cas.is_empty() {
        "x.nanos DESC, x.logical DESC".to_owned()
    } else {
        format!("{greatest}x.nanos, x.logical")
    };
    let tuple: String = (0..rules.cas.len()).map(|number| format!(", x.c{number}")).collect();
    format!(
        "SELECT DISTINCT ON ({keys}) x.key, x.long_key, CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, \
         CASE WHEN x.candidate THEN x.shape ELSE {deletion} END AS shape, x.reborn, x.later{tuple} \
         FROM ({}) AS x WHERE x.candidate OR x.reborn ORDER BY {keys}, x.candidate DESC, {order}",
        candidates(plan, rules, source, filter),
        keys = names("x"),
        deletion = Shape::DELETION,
    )
}

/// Every version with `candidate`: after the key's last deletion and within the deadlines.
fn candidates(plan: &TablePlan, rules: &TableRules, source: &str, filter: &str) -> String {
    let names = |row: &str| key_names(plan, row).join(", ");
    format!(
        "SELECT z.*, sum(CASE WHEN z.candidate THEN 1 ELSE 0 END) OVER (PARTITION BY {z} \
         ORDER BY z.nanos DESC, z.logical DESC) - CASE WHEN z.candidate THEN 1 ELSE 0 END AS later \
         FROM (SELECT y.*, (y.shape <> {deletion} AND y.fresh AND y.deletions = 0) AS candidate \
         FROM (SELECT w.*, sum(CASE WHEN w.shape = {deletion} THEN 1 ELSE 0 END) OVER (PARTITION BY {w} \
         ORDER BY w.nanos DESC, w.logical DESC, (w.shape = {deletion})) AS deletions, \
         bool_or(w.shape = {deletion}) OVER (PARTITION BY {w}) AS reborn FROM ({}) AS w) AS y) AS z",
        tuples(plan, rules, source, filter),
        w = names("w"),
        z = names("z"),
        deletion = Shape::DELETION,
    )
}

/// Every version with its version tuple (`c0`, …) and whether it is `fresh`.
fn tuples(plan: &TablePlan, rules: &TableRules, source: &str, filter: &str) -> String {
    let mut columns = vec!["cdc_row.*".to_owned()];
    if plan.fold == Fold::Value {
        let keys = key_values(&plan.table, "COALESCE(cdc_row.long_key, cdc_row.key)");
        columns.extend(keys.iter().enumerate().map(|(position, key)| format!("{key} AS k{position}")));
    }
    columns.extend(rules.cas.iter().enumerate().map(|(number, column)| {
        let class = plan.table.columns[*column].class;
        format!("{} AS c{number}", without_nan(class, &in_any_shape(plan, *column)))
    }));
    let fresh = rules.deadlines.iter().map(|deadline| {
        let value = in_any_shape(plan, deadline.column);
        format!("{value} > now() - {}::INTERVAL", quote_literal(&deadline.interval))
    });
    let fresh: Vec<String> = fresh.collect();
    let fresh =
        if fresh.is_empty() { "true".into() } else { format!("COALESCE({}, false)", fresh.join(" AND ")) };
    columns.push(format!("{fresh} AS fresh"));
    format!(
        "SELECT {} FROM (SELECT s.*, s.mut::JSONB AS j FROM {source} WHERE {filter}) AS cdc_row",
        columns.join(", ")
    )
}

fn key_names(plan: &TablePlan, row: &str) -> Vec<String> {
    match plan.fold {
        Fold::Text => vec![format!("{row}.key")],
        Fold::Value => (0..plan.table.primary_key.len()).map(|at| format!("{row}.k{at}")).collect(),
    }
}

/// The value of a column in a version of any shape.
fn in_any_shape(plan: &TablePlan, column: usize) -> String {
    let cases = plan.shapes.iter().filter_map(|shape| {
        let feed = shape.feeds.iter().find(|feed| feed.column == column)?;
        Some(format!(" WHEN {} THEN {}", shape.shape.id(), row_value(plan, shape, feed, "cdc_row.j")))
    });
    let cases: String = cases.collect();
    if cases.is_empty() {
        return format!("NULL::{}", cast_type(&plan.table.columns[column].sql_type));
    }
    format!("(CASE cdc_row.shape{cases} END)")
}

/// The condition under which `ON CONFLICT DO UPDATE` may overwrite row `t`.
pub(super) fn overwrites(plan: &TablePlan) -> String {
    greater(&plan.table, |_, column| comparable(&plan.table, column, "excluded"), "t")
}

/// Counts versions that compare-and-set keeps out, and those that miss a deadline.
pub(super) fn discarded(plan: &TablePlan, source: &str, filter: &str, target: &str) -> String {
    let Some(rules) = plan.table.rules() else { return String::new() };
    let deletion = Shape::DELETION;
    let keys: Vec<String> =
        plan.table.key_columns().map(|c| format!("t.{}", quote(c.name.as_str()))).collect();
    let same = keys
        .iter()
        .zip(key_values(&plan.table, "COALESCE(r.long_key, r.key)"))
        .map(|(column, key)| format!("{column} = {key}"));
    let same: Vec<String> = same.collect();
    let beaten = if rules.cas.is_empty() {
        "0".to_owned()
    } else {
        format!(
            "(SELECT COALESCE(sum(r.later + CASE WHEN NOT r.reborn AND EXISTS (SELECT 1 FROM {target} AS t WHERE {} \
             AND NOT {}) THEN 1 ELSE 0 END), 0) FROM ({}) AS r WHERE r.shape <> {deletion})",
            same.join(" AND "),
            greater(&plan.table, |number, _| format!("r.c{number}"), "t"),
            best(plan, source, filter),
        )
    };
    let late = format!(
        "(SELECT count(*) FROM ({}) AS x WHERE x.shape <> {deletion} AND x.deletions = 0 AND NOT x.fresh)",
        candidates(plan, rules, source, filter)
    );
    format!("SELECT {beaten}::INT8, {late}::INT8")
}
