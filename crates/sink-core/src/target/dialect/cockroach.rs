//! CockroachDB 23.1 and later.
//!
//! Nothing here has run on a CockroachDB server yet: the statements keep to shapes whose syntax is documented
//! for v23.1, and the scenarios run them wherever a server is at hand.

pub(super) mod definitions;
mod portable;
mod types;
mod values;
mod versions;

use self::values::{key_values, row_value};
use super::slice::{
    Answer, InputColumn, Param, Params, Rows, SliceOptions, Statement, Writes, mode_statement,
    newer_statement,
};
use super::{Dialect, Product, StagingArea, quote, quote_literal};
use crate::apply::plan::{Fold, ShapePlan, TablePlan};
use crate::model::{Deadline, Expression, Shape, TableId, TableSchema};

/// CockroachDB's SQL.
#[derive(Debug, Clone, Copy)]
pub struct Cockroach;

impl Dialect for Cockroach {
    fn product(&self) -> Product {
        Product::CockroachDb
    }

    fn table(&self, table: &TableId) -> String {
        format!(
            "{}.{}.{}",
            quote(table.schema.database.as_str()),
            quote(table.schema.schema.as_str()),
            quote(table.table.as_str())
        )
    }

    fn area_ddl(&self, area: &StagingArea) -> Vec<String> {
        super::area::tables(area)
    }

    fn check_expression(&self, table: &TableSchema, column: usize, expression: &Expression) -> String {
        values::check_expression(table, column, expression)
    }

    fn check_cas(&self, table: &TableSchema, column: usize) -> Vec<String> {
        let (name, target) = (quote(table.columns[column].name.as_str()), self.table(&table.id));
        let comparable = format!(
            "SELECT 1 FROM {target} AS a, {target} AS b WHERE a.{name} > b.{name} \
             AND a.{name} IS NOT DISTINCT FROM b.{name}"
        );
        vec![comparable]
    }

    fn check_deadline(&self, table: &TableSchema, deadline: &Deadline) -> String {
        let (name, target) = (quote(table.columns[deadline.column].name.as_str()), self.table(&table.id));
        let interval = quote_literal(&deadline.interval);
        format!("SELECT 1 FROM {target} AS t WHERE t.{name} > now() - {interval}::INTERVAL")
    }

    fn staging_ddl(&self, area: &StagingArea, staging_table: &str, guard_table: &str) -> Vec<String> {
        // Keys that start with a time would all land on one range: the shard column spreads them.
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {} (nanos INT8 NOT NULL, logical INT8 NOT NULL, key STRING NOT NULL, \
                 mut STRING NOT NULL, before STRING, long_key STRING, shape INT8 NOT NULL, \
                 PRIMARY KEY (nanos, logical, key) USING HASH WITH (bucket_count=8))",
                area.table(staging_table)
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (key STRING PRIMARY KEY, nanos INT8 NOT NULL, \
                 logical INT8 NOT NULL, written_at TIMESTAMPTZ NOT NULL DEFAULT now())",
                area.table(guard_table)
            ),
        ]
    }

    fn stage(&self, area: &StagingArea, staging_table: &str, replace: bool) -> String {
        let verb = if replace { "UPSERT" } else { "INSERT" };
        format!(
            "WITH touched AS (\n \
             INSERT INTO {windows} (target_db, target_schema, bucket, staging_table, shape)\n \
             SELECT $1::STRING, $2::STRING, w.bucket, $3::STRING, w.shape \
             FROM unnest($11::INT8[], $12::INT8[]) AS w(bucket, shape)\n \
             ON CONFLICT DO NOTHING RETURNING 1),\n\
             stored AS (\n \
             {verb} INTO {table} (nanos, logical, key, long_key, mut, before, shape)\n \
             SELECT * FROM unnest($4::INT8[], $5::INT8[], $6::STRING[], $7::STRING[], $8::STRING[], $9::STRING[], \
             $10::INT8[])\n \
             RETURNING 1)\n\
             SELECT count(*) AS inserted, 0::INT8 AS replaced FROM stored",
            windows = area.table("staged_windows"),
            table = area.table(staging_table),
        )
    }

    fn slice(&self, area: &StagingArea, plans: &[TablePlan], options: SliceOptions) -> Vec<Statement> {
        let builder = Builder { dialect: self, area, options };
        let mut statements = Vec::new();
        match options.rows {
            // Serialisable isolation keeps what was read true; no lock is needed.
            Rows::Input | Rows::Upserts if options.fence => statements.push(mode_statement(area, "")),
            Rows::Staged | Rows::StagedKeys if options.fence => statements.push(builder.fence()),
            Rows::Input | Rows::Upserts | Rows::Staged | Rows::StagedKeys => {}
        }
        if options.rows.handed_over() && options.guard {
            let news = plans
                .iter()
                .enumerate()
                .map(|(at, plan)| newer_statement(area, at, &plan.guard_table, " ORDER BY u.key"));
            statements.extend(news);
        }
        if options.writes == Writes::FrontierOnly {
            return statements;
        }
        // Constraints are immediate: parents are written first and removed last. `plans` come parents first.
        if options.writes != Writes::Clear {
            for (at, plan) in plans.iter().enumerate() {
                statements.extend(builder.discarded(at, plan));
                statements.extend(plan.shapes.iter().flat_map(|shape| builder.upserts(at, plan, shape)));
            }
        }
        if options.writes != Writes::Upserts && options.rows != Rows::Upserts {
            statements.extend(plans.iter().enumerate().rev().map(|(at, plan)| builder.delete(at, plan)));
        }
        statements
    }

    fn retire(&self, area: &StagingArea, staging_table: &str) -> String {
        format!(
            "DELETE FROM {} WHERE EXISTS (SELECT 1 FROM passed) AND (nanos, logical) > ($5::INT8, $6::INT8) \
             AND (nanos, logical) <= ($3::INT8, $4::INT8) ORDER BY nanos, logical LIMIT $7::INT8",
            area.table(staging_table)
        )
    }
}

struct Builder<'a> {
    dialect: &'a Cockroach,
    area: &'a StagingArea,
    options: SliceOptions,
}

/// A placeholder with the cast that CockroachDB wants on each.
fn bind(params: &mut Params, param: Param) -> String {
    let sql_type = match param {
        Param::Database | Param::Schema => "STRING",
        Param::Keys { .. } => "STRING[]",
        Param::Input { column: InputColumn::Nanos | InputColumn::Logical | InputColumn::Shape, .. } => {
            "INT8[]"
        }
        Param::Input { column: InputColumn::Key | InputColumn::LongKey | InputColumn::Row, .. } => "STRING[]",
        // Rows come here as JSON, so nobody asks for these.
        Param::Input { column: InputColumn::Value { form, .. }, .. } => {
            return format!("${}::{}[]", params.at(param), form.element());
        }
        Param::AfterNanos | Param::AfterLogical | Param::UptoNanos | Param::UptoLogical | Param::Epoch => {
            "INT8"
        }
    };
    format!("${}::{sql_type}", params.at(param))
}

impl Builder<'_> {
    fn fence(&self) -> Statement {
        let mut params = Params::default();
        let frontiers = self.area.table("frontiers");
        let mut at = |param| bind(&mut params, param);
        let sql = format!(
            "UPDATE {frontiers} SET applied_nanos = {}, applied_logical = {}, applied_at = now() \
             WHERE target_db = {} AND target_schema = {} AND applied_nanos = {} AND applied_logical = {} \
             AND epoch = {}",
            at(Param::UptoNanos),
            at(Param::UptoLogical),
            at(Param::Database),
            at(Param::Schema),
            at(Param::AfterNanos),
            at(Param::AfterLogical),
            at(Param::Epoch)
        );
        Statement { sql, params: params.into_inner(), answer: Answer::Fence }
    }

    /// The newest version of each key, as a subquery called `r`.
    fn newest(&self, params: &mut Params, table: usize, plan: &TablePlan) -> String {
        if plan.table.is_conditional() {
            let (source, filter) = self.versions(params, table, plan);
            return format!("({}) AS r", versions::best(plan, &source, &filter));
        }
        if self.options.rows.handed_over() {
            let columns = [InputColumn::Key, InputColumn::LongKey, InputColumn::Row, InputColumn::Shape];
            let [key, long_key, row, shape] =
                columns.map(|column| bind(params, Param::Input { table, column }));
            return format!(
                "(SELECT u.*, false AS reborn FROM unnest({key}, {long_key}, {row}, {shape}) \
                 AS u(key, long_key, mut, shape)) AS r"
            );
        }
        let (source, filter) = self.versions(params, table, plan);
        let keys = match plan.fold {
            Fold::Text => "s.key".to_owned(),
            Fold::Value => key_values(&plan.table, "COALESCE(s.long_key, s.key)").join(", "),
        };
        let reborn = if plan.tells_reborn() {
            format!("bool_or(s.shape = {}) OVER (PARTITION BY {keys})", Shape::DELETION)
        } else {
            "false".into()
        };
        format!(
            "(SELECT DISTINCT ON ({keys}) s.key, s.long_key, s.mut, s.shape, {reborn} AS reborn FROM {source} \
             WHERE {filter} ORDER BY {keys}, s.nanos DESC, s.logical DESC) AS r"
        )
    }

    /// Every version of the slice or of the rows handed over, as `s`, and which of them count.
    fn versions(&self, params: &mut Params, table: usize, plan: &TablePlan) -> (String, String) {
        if self.options.rows.handed_over() {
            use InputColumn::{Key, Logical, LongKey, Nanos, Row, Shape as ShapeId};
            let columns = [Nanos, Logical, Key, LongKey, Row, ShapeId];
            let columns = columns.map(|column| bind(params, Param::Input { table, column })).join(", ");
            let source = format!("unnest({columns}) AS s(nanos, logical, key, long_key, mut, shape)");
            return (source, "true".into());
        }
        let mut at = |param| bind(params, param);
        let mut filter = format!(
            "(s.nanos, s.logical) > ({}, {}) AND (s.nanos, s.logical) <= ({}, {})",
            at(Param::AfterNanos),
            at(Param::AfterLogical),
            at(Param::UptoNanos),
            at(Param::UptoLogical)
        );
        if self.options.rows == Rows::StagedKeys {
            filter.push_str(&format!(" AND s.key = ANY ({})", at(Param::Keys { table })));
        }
        if self.options.guard {
            filter.push_str(&format!(
                " AND NOT EXISTS (SELECT 1 FROM {} AS g WHERE g.key = s.key \
                 AND (g.nanos, g.logical) >= (s.nanos, s.logical))",
                self.area.table(&plan.guard_table)
            ));
        }
        (format!("{} AS s", self.area.table(&plan.staging_table)), filter)
    }

    /// Counts what the behaviours of a table keep out.
    fn discarded(&self, table: usize, plan: &TablePlan) -> Option<Statement> {
        if !plan.table.is_conditional() {
            return None;
        }
        let mut params = Params::default();
        let (source, filter) = self.versions(&mut params, table, plan);
        let target = self.dialect.table(&plan.table.id);
        let sql = versions::discarded(plan, &source, &filter, &target);
        Some(Statement { sql, params: params.into_inner(), answer: Answer::Discarded(table) })
    }

    fn delete(&self, table: usize, plan: &TablePlan) -> Statement {
        let mut params = Params::default();
        let newest = self.newest(&mut params, table, plan);
        let columns: Vec<String> = plan.table.key_columns().map(|c| quote(c.name.as_str())).collect();
        let sql = format!(
            "DELETE FROM {} WHERE ({}) IN (SELECT {} FROM {newest} WHERE r.shape = {})",
            self.dialect.table(&plan.table.id),
            columns.join(", "),
            key_values(&plan.table, "COALESCE(r.long_key, r.key)").join(", "),
            Shape::DELETION,
        );
        Statement { sql, params: params.into_inner(), answer: Answer::Deletes(table) }
    }

    fn upserts(&self, table: usize, plan: &TablePlan, shape: &ShapePlan) -> Vec<Statement> {
        let columns: Vec<String> =
            shape.feeds.iter().map(|feed| quote(plan.table.columns[feed.column].name.as_str())).collect();
        let values: Vec<String> =
            shape.feeds.iter().map(|feed| row_value(plan, shape, feed, "cdc_row.j")).collect();
        let target = self.dialect.table(&plan.table.id);
        let t = if plan.has_cas() { " AS t" } else { "" };
        let statement = |verb: &str, filter: &str, conflict: &str| {
            let mut params = Params::default();
            let newest = self.newest(&mut params, table, plan);
            let sql = format!(
                "{verb} INTO {target}{t} ({}) SELECT {} FROM (SELECT r.mut::JSONB AS j FROM {newest} \
                 WHERE r.shape = {}{filter}) AS cdc_row{conflict}",
                columns.join(", "),
                values.join(", "),
                shape.shape.id()
            );
            Statement { sql, params: params.into_inner(), answer: Answer::Upserts(table) }
        };
        if shape.complete && !plan.has_cas() {
            return vec![statement("UPSERT", "", "")];
        }
        let fed = |at: usize| shape.feeds.iter().any(|feed| feed.column == at);
        let keys = plan.table.primary_key.len();
        let given: Vec<String> =
            columns.iter().skip(keys).map(|name| format!("{name} = excluded.{name}")).collect();
        let lacking = plan
            .table
            .writable()
            .filter(|(at, _)| !fed(*at))
            .map(|(_, column)| format!("{} = DEFAULT", quote(column.name.as_str())));
        let conflict = |sets: Vec<String>, condition: String| {
            let action = if sets.is_empty() {
                "DO NOTHING".to_owned()
            } else {
                format!("DO UPDATE SET {}{condition}", sets.join(", "))
            };
            format!(" ON CONFLICT ({}) {action}", columns[..keys].join(", "))
        };
        let mut statements = if plan.has_cas() {
            let condition = format!(" WHERE {}", versions::overwrites(plan));
            vec![statement("INSERT", " AND NOT r.reborn", &conflict(given.clone(), condition))]
        } else {
            vec![statement("UPSERT", " AND NOT r.reborn", "")]
        };
        if !self.options.rows.handed_over() || plan.input_tells_reborn() {
            let sets = given.into_iter().chain(lacking).collect();
            statements.push(statement("INSERT", " AND r.reborn", &conflict(sets, String::new())));
        }
        statements
    }
}
