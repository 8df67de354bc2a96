//! PostgreSQL 15 to 18.

mod array;
pub mod changes;
pub(super) mod definitions;
mod input;
mod keyless;
mod logged;
mod rows;
mod slice;
mod steps;
mod value;
mod versions;

use super::slice::{SliceOptions, Statement, Writes, mode_statement, newer_statement};
use super::{Dialect, Product, StagingArea, quote, quote_literal};
use crate::apply::plan::TablePlan;
use crate::model::{Deadline, Expression, TableId, TableSchema};

/// PostgreSQL's SQL.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

impl Dialect for Postgres {
    fn product(&self) -> Product {
        Product::PostgreSql
    }

    fn table(&self, table: &TableId) -> String {
        format!("{}.{}", quote(table.schema.schema.as_str()), quote(table.table.as_str()))
    }

    fn area_ddl(&self, area: &StagingArea) -> Vec<String> {
        super::area::tables(area)
    }

    fn check_expression(&self, table: &TableSchema, column: usize, expression: &Expression) -> String {
        rows::check_expression(table, column, expression)
    }

    fn check_cas(&self, table: &TableSchema, column: usize) -> Vec<String> {
        let (name, target) = (quote(table.columns[column].name.as_str()), self.table(&table.id));
        let comparable = format!(
            "SELECT 1 FROM {target} a, {target} b WHERE a.{name} > b.{name} AND a.{name} IS NOT DISTINCT FROM b.{name}"
        );
        vec![comparable]
    }

    fn check_deadline(&self, table: &TableSchema, deadline: &Deadline) -> String {
        let (name, target) = (quote(table.columns[deadline.column].name.as_str()), self.table(&table.id));
        let interval = quote_literal(&deadline.interval);
        format!("SELECT 1 FROM {target} t WHERE t.{name} > now() - {interval}::interval")
    }

    fn staging_ddl(&self, area: &StagingArea, staging_table: &str, guard_table: &str) -> Vec<String> {
        // Keys are compared as bytes: a database's own collation is many times slower and may call them equal.
        // The table is a queue: dead rows come in bulk and at one end, so vacuum must not wait for a share of it.
        let queue = "WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000, \
                     autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0)";
        // Entries of the guard are updated over and over: half a page of room keeps an update off the index.
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {} (nanos int8 NOT NULL, logical int8 NOT NULL, \
                 key text COLLATE \"C\" NOT NULL, mut text NOT NULL, before text, long_key text, shape int8 NOT NULL, \
                 PRIMARY KEY (nanos, logical, key)) {queue}",
                area.table(staging_table)
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (key text COLLATE \"C\" PRIMARY KEY, nanos int8 NOT NULL, logical int8 NOT NULL, \
                 written_at timestamptz NOT NULL DEFAULT now()) WITH (fillfactor = 50)",
                area.table(guard_table)
            ),
        ]
    }

    fn stage(&self, area: &StagingArea, staging_table: &str, replace: bool) -> String {
        let table = area.table(staging_table);
        let on_conflict = if replace {
            "\n ON CONFLICT (nanos, logical, key) DO UPDATE SET mut = excluded.mut, before = excluded.before, \
             long_key = excluded.long_key, shape = excluded.shape \
             WHERE s.mut IS DISTINCT FROM excluded.mut"
        } else {
            ""
        };
        format!(
            "WITH touched AS (\n \
             INSERT INTO {windows} (target_db, target_schema, bucket, staging_table, shape)\n \
             SELECT $1, $2, w.bucket, $3, w.shape FROM unnest($11::int8[], $12::int8[]) AS w(bucket, shape)\n \
             ON CONFLICT DO NOTHING),\n\
             stored AS (\n \
             INSERT INTO {table} AS s (nanos, logical, key, long_key, mut, before, shape)\n \
             SELECT * FROM unnest($4::int8[], $5::int8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::int8[])\
             {on_conflict}\n \
             RETURNING (s.xmax = 0) AS fresh)\n\
             SELECT count(*) FILTER (WHERE fresh) AS inserted, count(*) FILTER (WHERE NOT fresh) AS replaced FROM stored",
            windows = area.table("staged_windows"),
        )
    }

    fn slice(&self, area: &StagingArea, plans: &[TablePlan], options: SliceOptions) -> Vec<Statement> {
        if !options.rows.handed_over() || options.writes != Writes::FrontierOnly {
            return vec![slice::statement(self, area, plans, options)];
        }
        let mut statements = vec![mode_statement(area, " FOR SHARE")];
        if options.guard {
            let news =
                plans.iter().enumerate().map(|(at, plan)| newer_statement(area, at, &plan.guard_table, ""));
            statements.extend(news);
        }
        statements
    }

    fn retire(&self, area: &StagingArea, staging_table: &str) -> String {
        let table = area.table(staging_table);
        format!(
            "DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM passed) AND ctid = ANY (ARRAY(SELECT ctid FROM {table} \
             WHERE (nanos, logical) > ($5, $6) AND (nanos, logical) <= ($3, $4) \
             ORDER BY nanos, logical LIMIT $7))"
        )
    }
}
