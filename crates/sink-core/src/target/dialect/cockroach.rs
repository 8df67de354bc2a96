//! CockroachDB 23.1 and later.
//!
//! Nothing here has run on a CockroachDB server yet: the statements keep to shapes whose syntax is documented
//! for v23.1, and the scenarios run them wherever a server is at hand.

use super::slice::{
    Answer, InputColumn, Param, Params, Rows, SliceOptions, Statement, Writes, mode_statement,
    newer_statement,
};
use super::{Dialect, Product, StagingArea, quote, quote_literal};
use crate::apply::plan::{Fold, ShapePlan, TablePlan};
use crate::model::{ColumnSchema, Shape, TableId, ValueClass};

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
            Rows::Input if options.fence => statements.push(mode_statement(area, "")),
            Rows::Staged | Rows::StagedKeys if options.fence => statements.push(builder.fence()),
            Rows::Input | Rows::Staged | Rows::StagedKeys => {}
        }
        if options.rows == Rows::Input && options.guard {
            let news =
                plans.iter().enumerate().map(|(at, plan)| newer_statement(area, at, &plan.guard_table));
            statements.extend(news);
        }
        if options.writes == Writes::FrontierOnly {
            return statements;
        }
        // Constraints are immediate: parents are written first and removed last. `plans` come parents first.
        if options.writes != Writes::Clear {
            for (at, plan) in plans.iter().enumerate() {
                statements.extend(plan.shapes.iter().flat_map(|shape| builder.upserts(at, plan, shape)));
            }
        }
        if options.writes != Writes::Upserts {
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
        if self.options.rows == Rows::Input {
            let columns = [InputColumn::Key, InputColumn::LongKey, InputColumn::Row, InputColumn::Shape];
            let [key, long_key, row, shape] =
                columns.map(|column| bind(params, Param::Input { table, column }));
            return format!(
                "(SELECT u.*, false AS reborn FROM unnest({key}, {long_key}, {row}, {shape}) \
                 AS u(key, long_key, mut, shape)) AS r"
            );
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
        let keys = match plan.fold {
            Fold::Text => "s.key".to_owned(),
            Fold::Value => key_values(plan, "COALESCE(s.long_key, s.key)"),
        };
        let reborn = if plan.has_partial_shape() {
            format!("bool_or(s.shape = {}) OVER (PARTITION BY {keys})", Shape::DELETION)
        } else {
            "false".into()
        };
        format!(
            "(SELECT DISTINCT ON ({keys}) s.key, s.long_key, s.mut, s.shape, {reborn} AS reborn FROM {} AS s \
             WHERE {filter} ORDER BY {keys}, s.nanos DESC, s.logical DESC) AS r",
            self.area.table(&plan.staging_table)
        )
    }

    fn delete(&self, table: usize, plan: &TablePlan) -> Statement {
        let mut params = Params::default();
        let newest = self.newest(&mut params, table, plan);
        let columns: Vec<String> = plan.table.key_columns().map(|c| quote(c.name.as_str())).collect();
        let sql = format!(
            "DELETE FROM {} WHERE ({}) IN (SELECT {} FROM {newest} WHERE r.shape = {})",
            self.dialect.table(&plan.table.id),
            columns.join(", "),
            key_values(plan, "COALESCE(r.long_key, r.key)"),
            Shape::DELETION,
        );
        Statement { sql, params: params.into_inner(), answer: Answer::Deletes(table) }
    }

    fn upserts(&self, table: usize, plan: &TablePlan, shape: &ShapePlan) -> Vec<Statement> {
        let columns: Vec<String> =
            shape.feeds.iter().map(|feed| quote(plan.table.columns[feed.column].name.as_str())).collect();
        let values: Vec<String> =
            shape.feeds.iter().map(|feed| value(&plan.table.columns[feed.column], &feed.member)).collect();
        let target = self.dialect.table(&plan.table.id);
        let statement = |verb: &str, filter: &str, conflict: &str| {
            let mut params = Params::default();
            let newest = self.newest(&mut params, table, plan);
            let sql = format!(
                "{verb} INTO {target} ({}) SELECT {} FROM (SELECT r.mut::JSONB AS j FROM {newest} \
                 WHERE r.shape = {}{filter}) AS v{conflict}",
                columns.join(", "),
                values.join(", "),
                shape.id
            );
            Statement { sql, params: params.into_inner(), answer: Answer::Upserts(table) }
        };
        if shape.complete {
            return vec![statement("UPSERT", "", "")];
        }
        let fed = |at: usize| shape.feeds.iter().any(|feed| feed.column == at);
        let keys = plan.table.primary_key.len();
        let sets = columns.iter().skip(keys).map(|name| format!("{name} = excluded.{name}")).chain(
            plan.table
                .writable()
                .filter(|(at, _)| !fed(*at))
                .map(|(_, column)| format!("{} = DEFAULT", quote(column.name.as_str()))),
        );
        let conflict = format!(
            " ON CONFLICT ({}) DO UPDATE SET {}",
            columns[..keys].join(", "),
            sets.collect::<Vec<_>>().join(", ")
        );
        let mut statements = vec![statement("UPSERT", " AND NOT r.reborn", "")];
        if self.options.rows != Rows::Input {
            statements.push(statement("INSERT", " AND r.reborn", &conflict));
        }
        statements
    }
}

/// The key values of a JSON array of key texts, cast to their types.
fn key_values(plan: &TablePlan, key: &str) -> String {
    let each = plan.table.key_columns().enumerate();
    let each = each.map(|(position, column)| format!("({key}::JSONB->>{position})::{}", column.sql_type));
    each.collect::<Vec<_>>().join(", ")
}

/// The value of a column from the row `v.j`.
fn value(column: &ColumnSchema, member: &str) -> String {
    let member = quote_literal(member);
    let sql_type = &column.sql_type;
    match column.class {
        ValueClass::Json { .. } => format!(
            "CASE WHEN v.j->{member} = '{{\"__crdb_json_null__\": true}}'::JSONB THEN 'null'::JSONB \
             ELSE NULLIF(v.j->{member}, 'null'::JSONB) END"
        ),
        ValueClass::Array => format!(
            "CASE WHEN jsonb_typeof(v.j->{member}) = 'array' THEN ARRAY(SELECT e.x::{} \
             FROM jsonb_array_elements_text(v.j->{member}) AS e(x)) END",
            sql_type.strip_suffix("[]").unwrap_or(sql_type)
        ),
        ValueClass::Geo { geography: false } => {
            format!("st_geomfromgeojson(NULLIF(v.j->{member}, 'null'::JSONB))")
        }
        ValueClass::Geo { geography: true } => {
            format!("st_geogfromgeojson(NULLIF(v.j->{member}, 'null'::JSONB))")
        }
        ValueClass::Integer(_)
        | ValueClass::Float
        | ValueClass::Numeric
        | ValueClass::Bool
        | ValueClass::Bytes
        | ValueClass::Text
        | ValueClass::Timestamp
        | ValueClass::Composite
        | ValueClass::Scalar => format!("(v.j->>{member})::{sql_type}"),
    }
}
