//! The statement that applies a slice: one for all tables, so that it runs in its own implicit transaction.
//!
//! ```text
//! WITH fence AS (UPDATE frontiers … RETURNING …)      the step; no row means that somebody else took it
//!    , r0 AS (newest version per key, read through the fence)      one per table
//!    , d0 AS (DELETE …), u0 AS (INSERT … ON CONFLICT DO UPDATE …)  …
//! SELECT counts
//! ```
//!
//! Immediate foreign keys are checked at the end of the statement, so cycles, self-references and re-pointed
//! children need no order. All CTEs see one snapshot and never touch a row twice, because `r0` has one version
//! per key.

use std::collections::BTreeMap;

use super::super::slice::{Answer, Param, Params, Rows, SliceOptions, Statement, Writes};
use super::super::{Dialect, StagingArea, quote};
use super::input::arrays_fit;
use super::rows::{fold_keys, same_key};
use super::{Postgres, versions};
use crate::apply::plan::{Fold, ShapePlan, TablePlan};
use crate::model::{Shape, TableSchema, UniqueKey};

/// Writes the statement.
pub(super) fn statement(
    dialect: &Postgres,
    area: &StagingArea,
    plans: &[TablePlan],
    options: SliceOptions,
) -> Statement {
    let (params, arrays) = (Params::default(), arrays_fit(plans));
    let mut builder =
        Builder { dialect, area, options, arrays, params, ctes: Vec::new(), counted: Vec::new() };
    if options.fence {
        builder.fence();
    }
    for (at, plan) in plans.iter().enumerate() {
        if options.writes != Writes::FrontierOnly {
            builder.table(at, plan);
        }
    }
    builder.finish(plans)
}

pub(super) struct Builder<'a> {
    dialect: &'a Postgres,
    pub(super) area: &'a StagingArea,
    pub(super) options: SliceOptions,
    /// Rows handed over may travel as arrays.
    pub(super) arrays: bool,
    params: Params,
    pub(super) ctes: Vec<String>,
    /// CTEs whose rows are what was written to a table, where only they know.
    counted: Vec<(usize, String)>,
}

impl Builder<'_> {
    /// `$n`, for where the type is known from the context.
    pub(super) fn param(&mut self, param: Param) -> String {
        format!("${}", self.params.at(param))
    }

    fn fence(&mut self) {
        let frontiers = self.area.table("frontiers");
        let (database, schema) = (self.param(Param::Database), self.param(Param::Schema));
        if self.options.rows.handed_over() {
            // The share lock keeps a change of mode, and a slice, waiting until this statement is done.
            self.ctes.push(format!(
                "fence AS (SELECT f.applied_nanos, f.applied_logical FROM {frontiers} f \
                 WHERE f.target_db = {database} AND f.target_schema = {schema} AND f.mode = 'immediate' FOR SHARE)"
            ));
            return;
        }
        let [after_nanos, after_logical, upto_nanos, upto_logical, epoch] =
            [Param::AfterNanos, Param::AfterLogical, Param::UptoNanos, Param::UptoLogical, Param::Epoch]
                .map(|param| self.param(param));
        self.ctes.push(format!(
            "fence AS (UPDATE {frontiers} f SET applied_nanos = {upto_nanos}, applied_logical = {upto_logical}, \
             applied_at = clock_timestamp() \
             WHERE f.target_db = {database} AND f.target_schema = {schema} AND f.applied_nanos = {after_nanos} \
             AND f.applied_logical = {after_logical} AND f.epoch = {epoch} RETURNING f.epoch)"
        ));
    }

    fn table(&mut self, at: usize, plan: &TablePlan) {
        match self.options.rows {
            Rows::Staged | Rows::StagedKeys => self.newest_staged(at, plan),
            Rows::Input | Rows::Upserts => self.newest_input(at, plan),
        }
        match self.options.writes {
            Writes::FrontierOnly => {}
            Writes::Clear => self.clear(at, plan),
            Writes::All | Writes::Upserts => {
                if self.options.rows != Rows::Upserts {
                    self.delete(at, plan);
                }
                for (number, shape) in plan.shapes.iter().enumerate() {
                    self.upsert(at, number, plan, shape);
                }
            }
        }
    }

    /// Frees unique values that the slice moves. Nothing else happens yet: a parent whose children go to another one
    /// in this slice cannot be removed before they are written.
    fn clear(&mut self, at: usize, plan: &TablePlan) {
        if plan.table.unique_keys.is_empty() {
            return;
        }
        match free_all(&plan.table) {
            Some(sets) => {
                let target = self.dialect.table(&plan.table.id);
                let doomed = doomed(plan);
                self.ctes
                    .push(format!("d{at} AS (UPDATE {target} t SET {sets} FROM r{at} r WHERE {doomed})"));
            }
            // A delete that changes other tables waits until their rows are written.
            None if plan.table.delete_has_effects => {}
            None => self.delete(at, plan),
        }
        self.displace(at, plan);
    }

    /// `r<n>`: the newest version of each key in the slice.
    fn newest_staged(&mut self, at: usize, plan: &TablePlan) {
        let [an, al, un, ul] = [Param::AfterNanos, Param::AfterLogical, Param::UptoNanos, Param::UptoLogical]
            .map(|param| self.param(param));
        let staging = self.area.table(&plan.staging_table);
        let from = if self.options.fence { format!("fence, {staging} s") } else { format!("{staging} s") };
        let mut filter =
            format!("(s.nanos, s.logical) > ({an}, {al}) AND (s.nanos, s.logical) <= ({un}, {ul})");
        if self.options.rows == Rows::StagedKeys {
            let keys = self.param(Param::Keys { table: at });
            filter.push_str(&format!(" AND s.key = ANY ({keys}::text[])"));
        }
        if self.options.guard {
            let guard = self.area.table(&plan.guard_table);
            filter.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {guard} g WHERE g.key = s.key \
                 AND (g.nanos, g.logical) >= (s.nanos, s.logical))"
            ));
        }
        if plan.table.is_conditional() {
            let target = self.exact_target(plan);
            let filter = format!(" WHERE {filter}");
            self.ctes.extend(versions::effective(at, plan, &from, &filter, target.as_deref()));
            return;
        }
        let (keys, distinct) = fold_keys(plan, "s");
        // A key deleted and written again takes the defaults of columns its row lacks.
        let reborn = if plan.has_partial_shape() {
            format!(
                ", bool_or(s.shape = {}) OVER (PARTITION BY {}) AS reborn",
                Shape::DELETION,
                distinct.join(", ")
            )
        } else {
            String::new()
        };
        let inner = match plan.fold {
            Fold::Text => format!(
                "SELECT DISTINCT ON (s.key) s.key, s.long_key, s.mut, s.shape{reborn} FROM {from} WHERE {filter} \
                 ORDER BY s.key, s.nanos DESC, s.logical DESC"
            ),
            Fold::Value => format!(
                "SELECT DISTINCT ON ({d}) s.key, s.long_key, s.mut, s.shape, {d}{reborn} FROM \
                 (SELECT s.*, {keys} FROM {from} WHERE {filter}) s ORDER BY {d}, s.nanos DESC, s.logical DESC, (s.shape = 0)",
                d = distinct.join(", "),
                keys = keys.join(", ")
            ),
        };
        self.ctes.push(format!("r{at} AS MATERIALIZED ({inner})"));
    }

    /// The target table, if rows that compare-and-set keeps out must be left out before they are written: they must not
    /// free unique values, for instance.
    pub(super) fn exact_target(&self, plan: &TablePlan) -> Option<String> {
        let exact = plan.has_cas() && self.options.writes != Writes::All;
        exact.then(|| self.dialect.table(&plan.table.id))
    }

    /// `d<n>`: removes rows whose newest version is a deletion.
    fn delete(&mut self, at: usize, plan: &TablePlan) {
        let target = self.dialect.table(&plan.table.id);
        self.ctes.push(format!("d{at} AS (DELETE FROM {target} t USING r{at} r WHERE {})", doomed(plan)));
    }

    /// `c<n>_<m>`: makes rows that are about to be written again with other values in a secondary unique key give up
    /// the old ones, so that values can be moved or swapped between rows. Where each such key has a column that can
    /// hold something else meanwhile, the rows stay (children may point at them); else they are removed.
    fn displace(&mut self, at: usize, plan: &TablePlan) {
        for (number, shape) in plan.shapes.iter().enumerate() {
            let table = &plan.table;
            let mut unique: Vec<usize> =
                table.unique_keys.iter().flat_map(|key| key.columns.clone()).collect();
            unique.sort_unstable();
            unique.dedup();
            let differ = differences(table, shape, &unique);
            if differ.is_empty() {
                continue;
            }
            let same =
                table.key_columns().map(|column| format!("t.{0} = v.{0}", quote(column.name.as_str())));
            let matches = format!("{} AND ({})", same.collect::<Vec<_>>().join(" AND "), differ.join(" OR "));
            let target = self.dialect.table(&table.id);
            let rows = self.rows_of(at, plan, shape, "");
            let write = match free_moving(table, shape) {
                Some(sets) => format!("UPDATE {target} t SET {sets} FROM ({rows}) v WHERE {matches}"),
                // A delete that changes other tables would lose their rows; one of a row that is not written whole, its
                // other columns.
                None if table.delete_has_effects || !shape.complete => continue,
                None => format!("DELETE FROM {target} t USING ({rows}) v WHERE {matches}"),
            };
            self.ctes.push(format!("c{at}_{number} AS ({write})"));
        }
    }

    /// `u<n>_<m>`: writes the rows of one shape.
    fn upsert(&mut self, at: usize, number: usize, plan: &TablePlan, shape: &ShapePlan) {
        if !plan.has_cas() && (shape.complete || !self.has_reborn(plan)) {
            let rows = self.rows_of(at, plan, shape, "");
            self.write(at, &format!("u{at}_{number}"), plan, shape, &rows, false);
            return;
        }
        let rows = self.rows_of(at, plan, shape, " AND NOT r.reborn");
        self.write(at, &format!("u{at}_{number}"), plan, shape, &rows, false);
        if self.has_reborn(plan) {
            let rows = self.rows_of(at, plan, shape, " AND r.reborn");
            self.write(at, &format!("b{at}_{number}"), plan, shape, &rows, true);
        }
    }

    /// Whether a key may have been deleted and written again; handed-over rows have one version per text of a key.
    fn has_reborn(&self, plan: &TablePlan) -> bool {
        !self.options.rows.handed_over() || plan.input_tells_reborn()
    }

    /// One INSERT … ON CONFLICT. With `reborn`, what is stored has been deleted meanwhile: columns that the shape lacks
    /// are set to their defaults, and nothing is compared.
    fn write(&mut self, at: usize, cte: &str, plan: &TablePlan, shape: &ShapePlan, rows: &str, reborn: bool) {
        let table = &plan.table;
        let target = self.dialect.table(&table.id);
        let names: Vec<String> =
            shape.feeds.iter().map(|feed| quote(table.columns[feed.column].name.as_str())).collect();
        let key: Vec<&String> = names.iter().take(table.primary_key.len()).collect();
        let source = if table.key_deferrable { "v" } else { "excluded" };
        let mut sets: Vec<String> = shape
            .feeds
            .iter()
            .zip(&names)
            .skip(key.len())
            .filter(|(feed, _)| !table.columns[feed.column].identity_always)
            .map(|(_, name)| format!("{name} = {source}.{name}"))
            .collect();
        if reborn {
            let fed = |at: usize| shape.feeds.iter().any(|feed| feed.column == at);
            let lacking = table.writable().filter(|(at, column)| !fed(*at) && !column.identity_always);
            sets.extend(lacking.map(|(_, column)| format!("{} = DEFAULT", quote(column.name.as_str()))));
        }
        let overriding =
            if table.columns.iter().any(|c| c.identity_always) { " OVERRIDING SYSTEM VALUE" } else { "" };
        let order = (1..=key.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        let key_list = key.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let columns = names.join(", ");
        let condition = |from: &str| {
            if plan.has_cas() && !reborn {
                format!(" WHERE {}", versions::overwrites(plan, from))
            } else {
                String::new()
            }
        };
        let returning = if plan.has_cas() { " RETURNING 1" } else { "" };
        if plan.has_cas() {
            self.counted.push((at, cte.to_owned()));
        }
        if table.key_deferrable {
            let same =
                key.iter().map(|name| format!("t.{name} = v.{name}")).collect::<Vec<_>>().join(" AND ");
            if !sets.is_empty() {
                let (sets, condition) = (sets.join(", "), condition("v"));
                if plan.has_cas() {
                    self.counted.push((at, format!("e{cte}")));
                }
                self.ctes.push(format!(
                    "e{cte} AS (UPDATE {target} t SET {sets} FROM ({rows}) v WHERE {same}{}{returning})",
                    condition.replacen(" WHERE", " AND", 1)
                ));
            }
            self.ctes.push(format!(
                "{cte} AS (INSERT INTO {target} ({columns}){overriding} SELECT {columns} FROM ({rows}) v \
                 WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE {same}) ORDER BY {order}{returning})"
            ));
            return;
        }
        let action = if sets.is_empty() {
            "DO NOTHING".into()
        } else {
            format!("DO UPDATE SET {}{}", sets.join(", "), condition("excluded"))
        };
        let t = if plan.has_cas() { " AS t" } else { "" };
        self.ctes.push(format!(
            "{cte} AS (INSERT INTO {target}{t} ({columns}){overriding} {rows} ORDER BY {order} \
             ON CONFLICT ({key_list}) {action}{returning})"
        ));
    }

    fn finish(self, plans: &[TablePlan]) -> Statement {
        let with =
            if self.ctes.is_empty() { String::new() } else { format!("WITH {}\n", self.ctes.join(",\n")) };
        let fence = if self.options.fence { "(SELECT count(*) FROM fence)" } else { "1::int8" };
        let each = |count: &dyn Fn(usize, &TablePlan) -> String| {
            let nothing = self.options.writes == Writes::FrontierOnly;
            let counts = plans.iter().enumerate();
            let counts = counts.map(|(at, plan)| if nothing { "0".into() } else { count(at, plan) });
            format!("ARRAY[{}]::int8[]", counts.collect::<Vec<_>>().join(", "))
        };
        let deletes = |at: usize, _: &TablePlan| match self.options.rows {
            Rows::Upserts => "0".into(),
            _ => format!("(SELECT count(*) FROM r{at} WHERE shape = {})", Shape::DELETION),
        };
        let exact = |plan: &TablePlan| self.exact_target(plan).is_some();
        let discarded =
            |at: usize, plan: &TablePlan| versions::discarded(at, plan, exact(plan), &self.written(at, plan));
        let sql = format!(
            "{with}SELECT {fence} AS fence, {} AS upserts, {} AS deletes, {} AS beaten, {} AS late",
            each(&|at, plan| self.written(at, plan)),
            each(&deletes),
            each(&|at, plan| discarded(at, plan).0),
            each(&|at, plan| discarded(at, plan).1),
        );
        Statement { sql, params: self.params.into_inner(), answer: Answer::Counts }
    }

    /// How many rows of a table are written. What compare-and-set lets through is known only when it is done.
    fn written(&self, at: usize, plan: &TablePlan) -> String {
        if self.passes_through(plan) {
            let source = if self.options.guard { "g" } else { "i" };
            return format!("(SELECT count(*) FROM {source}{at})");
        }
        if !plan.has_cas() {
            return format!("(SELECT count(*) FROM r{at} WHERE shape <> {})", Shape::DELETION);
        }
        let ours = self.counted.iter().filter(|(table, _)| *table == at);
        let counts: Vec<String> = ours.map(|(_, cte)| format!("(SELECT count(*) FROM {cte})")).collect();
        if counts.is_empty() { "0".into() } else { format!("({})", counts.join(" + ")) }
    }
}

/// Which rows `t` have a deletion `r` as their newest version.
fn doomed(plan: &TablePlan) -> String {
    format!("r.shape = {} AND {}", Shape::DELETION, same_key(plan, "r"))
}

/// A column that can hold something else for a moment, so that a value of its unique key is free.
pub(super) struct StandIn<'a> {
    unique: &'a UniqueKey,
    pub(super) column: usize,
    pub(super) value: &'static str,
}

/// One stand-in for every secondary unique key: NULL where that is no value, or a value that nobody else has. `None`
/// if some key has no such column. Columns whose change would change other tables are none.
pub(super) fn stand_ins(table: &TableSchema) -> Option<Vec<StandIn<'_>>> {
    let each = table.unique_keys.iter().map(|unique| {
        unique.columns.iter().find_map(|at| {
            let column = &table.columns[*at];
            let fixed = column.generated || column.identity_always || column.update_has_effects;
            // What decides whether the row is written must not change before that is decided.
            let compared = table.rules().is_some_and(|rules| rules.cas.contains(at));
            if fixed || compared || table.primary_key.contains(at) {
                return None;
            }
            let value = match column.sql_type.as_str() {
                _ if column.nullable && !unique.nulls_equal => "NULL",
                text if has_room(text) => "'moving-' || gen_random_uuid()",
                "uuid" => "gen_random_uuid()",
                _ => return None,
            };
            Some(StandIn { unique, column: *at, value })
        })
    });
    each.collect()
}

/// `SET` clauses that free all unique values of a row.
fn free_all(table: &TableSchema) -> Option<String> {
    let mut sets: Vec<String> = stand_ins(table)?
        .iter()
        .map(|stand_in| {
            format!("{} = {}", quote(table.columns[stand_in.column].name.as_str()), stand_in.value)
        })
        .collect();
    sets.sort();
    sets.dedup();
    Some(sets.join(", "))
}

/// `SET` clauses that free those unique values of `t` that differ in `v`, and keep the others. None if a column would
/// not be written again.
fn free_moving(table: &TableSchema, shape: &ShapePlan) -> Option<String> {
    let mut moving: BTreeMap<usize, (&str, Vec<String>)> = BTreeMap::new();
    for stand_in in stand_ins(table)? {
        let differ = moving.entry(stand_in.column).or_insert((stand_in.value, Vec::new()));
        differ.1.extend(differences(table, shape, &stand_in.unique.columns));
    }
    moving.retain(|_, (_, differ)| !differ.is_empty());
    if moving.is_empty() || moving.keys().any(|column| shape.source_of(*column).is_none()) {
        return None;
    }
    let sets = moving.into_iter().map(|(column, (value, differ))| {
        let name = quote(table.columns[column].name.as_str());
        format!("{name} = CASE WHEN {} THEN {value} ELSE t.{name} END", differ.join(" OR "))
    });
    Some(sets.collect::<Vec<_>>().join(", "))
}

/// Conditions under which a row changes in one of these columns, as far as the shape feeds them.
fn differences(table: &TableSchema, shape: &ShapePlan, columns: &[usize]) -> Vec<String> {
    let fed = columns.iter().filter(|at| shape.feeds.iter().any(|feed| feed.column == **at));
    let each = fed.map(|at| {
        let name = quote(table.columns[*at].name.as_str());
        format!("t.{name} IS DISTINCT FROM v.{name}")
    });
    each.collect()
}

/// Whether a column of this type takes 43 characters of text.
fn has_room(sql_type: &str) -> bool {
    let length = sql_type.strip_prefix("character varying(").and_then(|rest| rest.strip_suffix(')'));
    matches!(sql_type, "text" | "character varying")
        || length.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|length| length >= 43)
}
