//! Names, labels and units of everything the engine counts. The names of the original keep their labels.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};

pub mod flow;
mod list;

use list::{HOST, SCHEMA, SEVERAL, TABLE};
pub use list::{Kind, METRICS, Metric, describe_all};

use crate::clock::{Clock as _, SystemClock};
use crate::failure::Failure;
use crate::model::{Batch, HlcTimestamp, Ident, SchemaId, TableId};
use crate::staging::StageCounts;
use crate::target::pool::PoolState;

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_all(METRICS);
    begin_process();
}

/// Lets a schema's counters begin at zero, so that the first event already shows as a rise.
pub(crate) fn begin_schema(schema: &SchemaId) {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels == SCHEMA) {
        counter!(metric.name, &schema_labels(schema)).increment(0);
    }
}

/// As [`begin_schema`], for a table's counters.
pub(crate) fn begin_table(table: &TableId) {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels == TABLE) {
        counter!(metric.name, &table_labels(table)).increment(0);
    }
}

/// As [`begin_schema`], for the counters of a target server.
pub(crate) fn begin_host(host: &Arc<str>) {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels == HOST) {
        counter!(metric.name, "host" => Arc::clone(host)).increment(0);
    }
}

/// Lets the counters without labels begin at zero.
fn begin_process() {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter) {
        match metric.labels {
            "" => counter!(metric.name).increment(0),
            "code" => counter!(metric.name, "code" => NO_CODE).increment(0),
            _ => {}
        }
    }
}

fn table_labels(table: &TableId) -> [(&'static str, String); 3] {
    [
        ("database", table.schema.database.to_string()),
        ("schema", table.schema.schema.to_string()),
        ("table", table.table.to_string()),
    ]
}

/// Labels of a schema's metrics.
#[must_use]
pub fn schema_labels(schema: &SchemaId) -> [(&'static str, String); 2] {
    [("database", schema.database.to_string()), ("schema", schema.schema.to_string())]
}

/// Adds to a counter of a table.
pub(crate) fn count_table(name: &'static str, table: &TableId, rows: u64) {
    if rows > 0 {
        counter!(name, &table_labels(table)).increment(rows);
    }
}

/// Counts what a first copy committed.
pub(crate) fn count_copied(table: &TableId, rows: u64, bytes: u64) {
    count_table("snapshot_rows_total", table, rows);
    count_table("snapshot_bytes_total", table, bytes);
}

/// Counts versions of rows that a behaviour kept out.
pub(crate) fn count_discarded(table: &TableId, reason: &'static str, rows: u64) {
    if rows > 0 {
        let [database, schema, table] = table_labels(table);
        counter!("apply_discarded_total", &[database, schema, table, ("reason", reason.to_owned())])
            .increment(rows);
    }
}

/// Says how many tables have a configuration that cannot be used.
pub(crate) fn set_rejected_configurations(tables: usize) {
    gauge!("apply_config_rejected").set(f64::from(u32::try_from(tables).unwrap_or(u32::MAX)));
}

/// Counts a look at the configuration and the target's schema.
pub(crate) fn count_reload() {
    counter!("apply_config_reads_total").increment(1);
}

/// Counts a failed attempt to read the configuration.
pub(crate) fn count_configuration_error() {
    counter!("apply_config_errors_total").increment(1);
}

/// Counts rows that arrived at or below the applied time.
pub fn count_late(table: &TableId, rows: u64) {
    count_table("stage_late_rows_total", table, rows);
}

/// Adds to a counter of a schema.
pub fn count_schema(name: &'static str, schema: &SchemaId, by: u64) {
    counter!(name, &schema_labels(schema)).increment(by);
}

/// The labels of work on one table, or on several of a schema.
fn tables_labels<'a>(
    schema: &SchemaId,
    tables: impl IntoIterator<Item = &'a TableId>,
) -> [(&'static str, String); 3] {
    let mut tables = tables.into_iter();
    match (tables.next(), tables.next()) {
        (Some(table), None) => table_labels(table),
        _ => {
            let [database, schema] = schema_labels(schema);
            [database, schema, ("table", SEVERAL.to_owned())]
        }
    }
}

/// As [`tables_labels`], of tables that may be in several schemas of the database.
fn batch_labels<'a>(
    database: &Ident,
    tables: impl IntoIterator<Item = &'a TableId>,
) -> [(&'static str, String); 3] {
    let (mut schema, mut table) = (None, None);
    for id in tables {
        let (one, name) = (id.schema.schema.as_str(), id.table.as_str());
        table = Some(if table.is_none_or(|seen| seen == name) && schema.is_none_or(|seen| seen == one) {
            name
        } else {
            SEVERAL
        });
        schema = Some(if schema.is_none_or(|seen| seen == one) { one } else { SEVERAL });
    }
    let label = |name: Option<&str>| name.unwrap_or(SEVERAL).to_owned();
    [("database", database.to_string()), ("schema", label(schema)), ("table", label(table))]
}

/// Records how long a batch of a log took, or that it failed, and at which table if that is known.
pub(crate) fn applied_batch<'a>(
    database: &Ident,
    tables: impl IntoIterator<Item = &'a TableId>,
    took: Result<Duration, Option<&TableId>>,
) {
    match took {
        Ok(elapsed) => {
            let labels = batch_labels(database, tables);
            histogram!("apply_duration_seconds", &labels).record(elapsed.as_secs_f64());
        }
        Err(table) => counter!("apply_errors_total", &batch_labels(database, table)).increment(1),
    }
}

/// Adds one to a counter of tables, for work that concerns all of them at once.
pub fn count_tables<'a>(
    name: &'static str,
    schema: &SchemaId,
    tables: impl IntoIterator<Item = &'a TableId>,
) {
    counter!(name, &tables_labels(schema, tables)).increment(1);
}

/// Records a duration of work that concerns all of these tables at once.
pub fn observe_tables<'a>(
    name: &'static str,
    schema: &SchemaId,
    tables: impl IntoIterator<Item = &'a TableId>,
    elapsed: Duration,
) {
    histogram!(name, &tables_labels(schema, tables)).record(elapsed.as_secs_f64());
}

/// Sets one stage of a schema's lag.
pub(crate) fn set_lag(schema: &SchemaId, stage: &'static str, lag: Duration) {
    let [database, schema] = schema_labels(schema);
    gauge!("lag_seconds", &[database, schema, ("stage", stage.to_owned())]).set(lag.as_secs_f64());
}

/// Sets a gauge of a schema to this machine's time. For people and dashboards: nothing is decided by it.
pub(crate) fn set_now(name: &'static str, schema: &SchemaId) {
    set_schema(name, schema, SystemClock.wall().as_secs_f64());
}

/// Stands for the SQLSTATE where the server gave none.
const NO_CODE: &str = "none";

/// Work begins that is tried again if it fails.
pub fn retry_begins() {
    counter!("retry_actions_total").increment(1);
}

/// Such work failed, and is tried again or given up.
pub fn retry_failed(failure: &Failure, again: bool) {
    let name = if again { "retry_retried_total" } else { "retry_aborted_total" };
    counter!(name, "code" => failure.sqlstate().unwrap_or(NO_CODE).to_owned()).increment(1);
}

/// Sets a gauge of a schema.
pub(crate) fn set_schema(name: &'static str, schema: &SchemaId, value: f64) {
    gauge!(name, &schema_labels(schema)).set(value);
}

/// Records a duration of a schema.
pub fn observe_schema(name: &'static str, schema: &SchemaId, elapsed: Duration) {
    histogram!(name, &schema_labels(schema)).record(elapsed.as_secs_f64());
}

/// Records a time of a schema as seconds since 1970.
pub(crate) fn set_time(name: &'static str, schema: &SchemaId, at: HlcTimestamp) {
    set_schema(name, schema, Duration::from_nanos(at.nanos().unsigned_abs()).as_secs_f64());
}

/// Work got a connection, or could not.
pub(crate) fn acquired(host: &Arc<str>, elapsed: Duration, had: bool) {
    histogram!("pool_acquire_wait_seconds", "host" => Arc::clone(host)).record(elapsed.as_secs_f64());
    if !had {
        counter!("pool_dial_error_count", "host" => Arc::clone(host)).increment(1);
    }
}

/// Work has to wait until others give a connection back.
pub(crate) fn waited_for_connection(host: &Arc<str>) {
    counter!("pool_acquire_wait_count", "host" => Arc::clone(host)).increment(1);
}

/// A connection was made.
pub(crate) fn connected(host: &Arc<str>) {
    counter!("pool_dial_success_count", "host" => Arc::clone(host)).increment(1);
}

/// Shows a pool.
pub(crate) fn set_pool(host: &str, pool: &PoolState) {
    let labels =
        [("host", host.to_owned()), ("database", pool.database.to_string()), ("pool", pool.pool.to_owned())];
    gauge!("pool_max_connection_count", &labels).set(pool.max);
    gauge!("pool_idle_connection_count", &labels).set(pool.idle);
    gauge!("pool_acquired_connection_count", &labels).set(pool.size.saturating_sub(pool.idle));
}

/// A mark was stored, or was not.
pub(crate) fn marked(schema: &SchemaId, at: HlcTimestamp, elapsed: Duration, stored: bool) {
    histogram!("timekeeper_duration_seconds").record(elapsed.as_secs_f64());
    if stored {
        set_time("timekeeper_schema_resolved_seconds", schema, at);
    } else {
        counter!("timekeeper_errors_total").increment(1);
    }
}

/// Counts what staging a request did. Duplicates and replacements are known per request, so they are counted at its
/// first table; requests of one table, the usual kind, are exact.
pub(crate) fn staged(schema: &SchemaId, batches: &[Batch<'_>], counts: StageCounts) {
    debug_assert!(batches.iter().all(|batch| batch.table.id.schema == *schema), "a request is of one schema");
    let mut uncounted = counts.duplicates + counts.replaced;
    for batch in batches {
        let rows = u64::try_from(batch.rows.len()).unwrap_or(u64::MAX);
        let old = uncounted.min(rows);
        uncounted -= old;
        count_table("stage_store_mutations_total", &batch.table.id, rows - old);
    }
    if let Some(first) = batches.first() {
        count_table("stage_duplicates_total", &first.table.id, counts.duplicates);
        count_table("stage_conflicts_total", &first.table.id, counts.replaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that the original gave to counters, although they do not end in `_total`.
    const COUNTERS_OF_THE_ORIGINAL: &[&str] =
        &["pool_acquire_wait_count", "pool_dial_success_count", "pool_dial_error_count"];

    #[test]
    fn names_say_their_kind() {
        for metric in METRICS {
            let counter = metric.name.ends_with("_total") || COUNTERS_OF_THE_ORIGINAL.contains(&metric.name);
            assert_eq!(counter, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
