//! Which version of a row is written where that depends on more than time: compare-and-set and deadlines.
//!
//! The result is that of applying all versions one after the other, however they are cut into slices:
//!
//! * what came before a key's last deletion has no effect;
//! * of the versions after it, those that miss a deadline are dropped;
//! * of the rest, the greatest version tuple wins, the earliest among equals (without tuples: the newest);
//! * it is written if the key was deleted in the slice, is absent, or is less than it at the target;
//! * if nothing is left and the key was deleted, the deletion stands.
//!
//! Tuples are compared column by column. NULL and NaN are below every value, on both sides; a plain comparison of rows
//! would call them unknown, and the row would never change again.

use super::super::compare::{comparable, greater, without_nan};
use super::super::quote_literal;
use super::rows::{Records, column_value, fold_keys, same_key};
use super::value;
use crate::apply::plan::{Fold, ShapePlan, TablePlan};
use crate::model::{Shape, TableRules};

/// Name of the CTE with the winners of table number `at`. With `exact`, those that the target's row beats are left out
/// in a further step.
pub(super) fn winners(at: usize, exact: bool) -> String {
    format!("{}{at}", if exact { "x" } else { "r" })
}

/// The CTEs that end in `r<n>`: one row per key whose change takes effect. `source` is what follows `FROM`, with the
/// versions as `s`; `filter` is its `WHERE`, if any. With `target`, rows that compare-and-set keeps out are left out
/// here already, not only when they are written.
pub(super) fn effective(
    at: usize,
    plan: &TablePlan,
    source: &str,
    filter: &str,
    target: Option<&str>,
) -> Vec<String> {
    let Some(rules) = plan.table.rules() else { return Vec::new() };
    let (keys, _) = fold_keys(plan, "s");
    let key_names = |alias: &str| fold_keys(plan, alias).1.join(", ");
    let mut records = Records::default();
    let mut columns = vec!["s.key, s.long_key, s.mut, s.shape, s.nanos, s.logical".to_owned()];
    columns.extend(keys);
    columns.extend(tuple(plan, rules, &mut records));
    columns.push(format!("{} AS fresh", fresh(plan, rules, &mut records)));
    // Of NULL every field is NULL; of an object without the member, that would have to be a value of the field's type.
    let json = format!("(CASE WHEN s.shape = {} THEN NULL ELSE s.mut END)::json", Shape::DELETION);
    let versions = format!("SELECT {} FROM {source}{}{filter}", columns.join(", "), records.join(&json));
    let mut ctes = match plan.fold {
        // Nearly always a key has one version, and finding the few that have more is cheaper than sorting them all.
        Fold::Text => vec![
            format!("p{at} AS MATERIALIZED ({versions})"),
            format!("m{at} AS MATERIALIZED (SELECT p.key FROM p{at} p GROUP BY p.key HAVING count(*) > 1)"),
            history(at, &key_names, &format!("p{at} w WHERE {}", has_several(at, "w"))),
        ],
        Fold::Value => vec![history(at, &key_names, &format!("({versions}) w"))],
    };
    ctes.push(best(at, plan, rules, &key_names, target.is_some()));
    if let Some(target) = target {
        ctes.push(format!(
            "r{at} AS MATERIALIZED (SELECT x.* FROM x{at} x WHERE x.shape = {} OR x.reborn \
             OR NOT EXISTS (SELECT 1 FROM {target} t WHERE {} AND NOT {}))",
            Shape::DELETION,
            same_key(plan, "x"),
            greater(&plan.table, |number, _| format!("x.c{number}"), "t"),
        ));
    }
    ctes
}

/// Whether a key of `p<n>` has several versions. The hashed subplan behind IS TRUE stays linear; a join would be planned
/// as a nested loop here.
fn has_several(at: usize, row: &str) -> String {
    format!("({row}.key IN (SELECT m.key FROM m{at} m)) IS TRUE")
}

/// `y<n>`: versions (`w`) with the number of deletions after each, and whether there is any deletion of the key.
fn history(at: usize, key_names: &dyn Fn(&str) -> String, versions: &str) -> String {
    format!(
        "y{at} AS MATERIALIZED (SELECT w.*, count(*) FILTER (WHERE w.shape = {deletion}) OVER (PARTITION BY {keys} \
         ORDER BY w.nanos DESC, w.logical DESC, (w.shape = {deletion}) ROWS UNBOUNDED PRECEDING) AS deletions, \
         bool_or(w.shape = {deletion}) OVER (PARTITION BY {keys}) AS reborn FROM {versions})",
        keys = key_names("w"),
        deletion = Shape::DELETION,
    )
}

/// The best version of each key, or the deletion that stands because there is none.
fn best(
    at: usize,
    plan: &TablePlan,
    rules: &TableRules,
    key_names: &dyn Fn(&str) -> String,
    exact: bool,
) -> String {
    let candidate = format!("y.shape <> {} AND y.fresh AND y.deletions = 0", Shape::DELETION);
    let keys = key_names("x");
    let listed = match plan.fold {
        Fold::Text => String::new(),
        Fold::Value => format!(", {keys}"),
    };
    let tuple: String = (0..rules.cas.len()).map(|number| format!(", x.c{number}")).collect();
    let (later, order) = if rules.cas.is_empty() {
        (String::new(), "x.nanos DESC, x.logical DESC".to_owned())
    } else {
        let greatest: String =
            (0..rules.cas.len()).map(|number| format!("x.c{number} DESC NULLS LAST, ")).collect();
        let later = format!(
            ", count(*) FILTER (WHERE {candidate}) OVER (PARTITION BY {} ORDER BY y.nanos DESC, y.logical DESC \
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later",
            key_names("y")
        );
        (later, format!("{greatest}x.nanos, x.logical"))
    };
    let kept = if rules.cas.is_empty() { "" } else { ", x.later" };
    let lone = match plan.fold {
        Fold::Text => lone(at, rules),
        Fold::Value => String::new(),
    };
    format!(
        "{name} AS MATERIALIZED ({lone}(SELECT DISTINCT ON ({keys}) x.key, x.long_key, \
         CASE WHEN x.candidate THEN x.mut ELSE 'null' END AS mut, \
         CASE WHEN x.candidate THEN x.shape ELSE {deletion} END AS shape{listed}{tuple}, x.reborn{kept} \
         FROM (SELECT y.*, ({candidate}) AS candidate{later} FROM y{at} y) x WHERE x.candidate OR x.reborn \
         ORDER BY {keys}, x.candidate DESC, {order}))",
        name = winners(at, exact),
        deletion = Shape::DELETION,
    )
}

/// The keys with one version, which wins unless it is too old. What follows is to have the same columns.
fn lone(at: usize, rules: &TableRules) -> String {
    let tuple: String = (0..rules.cas.len()).map(|number| format!(", p.c{number}")).collect();
    let later = if rules.cas.is_empty() { "" } else { ", 0::int8 AS later" };
    format!(
        "SELECT p.key, p.long_key, p.mut, p.shape{tuple}, p.shape = {deletion} AS reborn{later} FROM p{at} p \
         WHERE NOT ({}) AND (p.shape = {deletion} OR p.fresh) UNION ALL ",
        has_several(at, "p"),
        deletion = Shape::DELETION,
    )
}

/// How many versions each behaviour kept out, as expressions: compare-and-set, then deadlines. `written` counts the
/// rows that were written. Of a key's versions that lost to an earlier one, each counts; those that lost to a later one
/// were merely overtaken.
pub(super) fn discarded(at: usize, plan: &TablePlan, exact: bool, written: &str) -> (String, String) {
    let Some(rules) = plan.table.rules().filter(|rules| rules.is_conditional()) else {
        return ("0".into(), "0".into());
    };
    let deletion = Shape::DELETION;
    let beaten = if rules.cas.is_empty() {
        "0".into()
    } else {
        let winners = winners(at, exact);
        format!(
            "((SELECT count(*) + COALESCE(sum(later), 0) FROM {winners} WHERE shape <> {deletion}) - {written})::int8"
        )
    };
    let late = if rules.deadlines.is_empty() {
        "0".into()
    } else {
        let late =
            format!("(SELECT count(*) FROM y{at} WHERE shape <> {deletion} AND deletions = 0 AND NOT fresh)");
        match plan.fold {
            Fold::Text => format!(
                "({late} + (SELECT count(*) FROM p{at} p WHERE p.shape <> {deletion} AND NOT p.fresh AND NOT ({})))",
                has_several(at, "p")
            ),
            Fold::Value => late,
        }
    };
    (beaten, late)
}

/// The condition under which `ON CONFLICT DO UPDATE` may overwrite row `t`; it sees the newest version of that row,
/// whatever the statement's snapshot is. `from` holds the incoming values.
pub(super) fn overwrites(plan: &TablePlan, from: &str) -> String {
    greater(&plan.table, |_, column| comparable(&plan.table, column, from), "t")
}

/// `c0`, `c1`, …: the version tuple of each staged version.
fn tuple(plan: &TablePlan, rules: &TableRules, records: &mut Records) -> Vec<String> {
    let each = rules.cas.iter().enumerate().map(|(number, column)| {
        let schema = &plan.table.columns[*column];
        let value = without_nan(schema.class, &in_any_shape(plan, *column, records));
        // Ordered as the target orders the stored values.
        let collate = schema.collation.as_ref().map(|collation| format!(" COLLATE {collation}"));
        format!("{value}{} AS c{number}", collate.unwrap_or_default())
    });
    each.collect()
}

/// Whether a version is young enough in every column that has a deadline. The clock is the target's.
fn fresh(plan: &TablePlan, rules: &TableRules, records: &mut Records) -> String {
    if rules.deadlines.is_empty() {
        return "true".into();
    }
    let each: Vec<String> = rules
        .deadlines
        .iter()
        .map(|deadline| {
            let value = in_any_shape(plan, deadline.column, records);
            format!("{value} > now() - {}::interval", quote_literal(&deadline.interval))
        })
        .collect();
    format!("COALESCE({}, false)", each.join(" AND "))
}

/// The value of a column in a version of any shape; shapes may spell its member differently.
fn in_any_shape(plan: &TablePlan, column: usize, records: &mut Records) -> String {
    let value = |shape: &ShapePlan, records: &mut Records| {
        let feed = shape.feeds.iter().find(|feed| feed.column == column)?;
        Some((shape.shape.id(), column_value(plan, shape, feed, records)))
    };
    let values: Vec<(i64, String)> = plan.shapes.iter().filter_map(|shape| value(shape, records)).collect();
    let sql_type = value::cast_type(&plan.table.columns[column].sql_type);
    match values.as_slice() {
        [] => format!("NULL::{sql_type}"),
        [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => first.clone(),
        several => {
            let cases: String =
                several.iter().map(|(shape, value)| format!(" WHEN {shape} THEN {value}")).collect();
            format!("(CASE s.shape{cases} END)")
        }
    }
}
