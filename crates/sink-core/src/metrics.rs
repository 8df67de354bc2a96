//! Names, labels and units of everything the engine counts. The names of the original keep their labels.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::clock::{Clock as _, SystemClock};
use crate::failure::Failure;
use crate::model::{Batch, HlcTimestamp, SchemaId, TableId};
use crate::staging::StageCounts;
use crate::target::pool::PoolState;

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A metric as documented.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Its labels.
    pub labels: &'static str,
    /// What it tells.
    pub help: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

const TABLE: &str = "database, schema, table";
const SCHEMA: &str = "database, schema";
const HOST: &str = "host";
const POOL: &str = "host, database, pool";

/// Stands for the table where one statement serves several.
const SEVERAL: &str = "*";

/// Every metric of the engine.
pub const METRICS: &[Metric] = &[
    metric(
        "stage_store_mutations_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows staged that were not staged before.",
    ),
    metric(
        "stage_duplicates_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows received that were staged already, with the same content.",
    ),
    metric(
        "stage_conflicts_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows received again at the same time and key with other content; the later arrival replaced the earlier.",
    ),
    metric(
        "stage_late_rows_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows received at or below the applied time: legal redeliveries, never applied again.",
    ),
    metric(
        "stage_store_errors_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Failed attempts to stage a request; the table is * if it has rows of several.",
    ),
    metric(
        "stage_store_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        TABLE,
        "Time to stage the rows of a request; the table is * if it has rows of several.",
    ),
    metric(
        "stage_pending_rows",
        Kind::Gauge,
        Unit::Count,
        SCHEMA,
        "Rows staged and not applied; beyond ten thousand an estimate of the server's statistics.",
    ),
    metric(
        "stage_oldest_pending_seconds",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "Age of the oldest row that is staged and not applied, by the target's clock; 0 if none is.",
    ),
    metric(
        "lag_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "database, schema, stage",
        "How far behind the target's clock the newest time is that was received by this process, that is staged, and \
         that is applied (the labels received, staged, applied).",
    ),
    metric("apply_upserts_total", Kind::Counter, Unit::Count, TABLE, "Rows written to target tables."),
    metric("apply_deletes_total", Kind::Counter, Unit::Count, TABLE, "Rows removed from target tables."),
    metric(
        "apply_errors_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Failed attempts to apply a slice or an immediate request; the table is * if the target names none.",
    ),
    metric(
        "apply_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        TABLE,
        "Time to apply one slice, or one immediate request; the table is * if that is one statement for several.",
    ),
    metric(
        "apply_quarantined_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows moved aside because the target refused them.",
    ),
    metric(
        "apply_discarded_total",
        Kind::Counter,
        Unit::Count,
        "database, schema, table, reason",
        "Versions of rows that a behaviour in apply_config kept from the target: reason `cas` or `deadline`.",
    ),
    metric(
        "apply_config_rejected",
        Kind::Gauge,
        Unit::Count,
        "",
        "Tables whose rows in apply_config cannot be used; see /_/config/apply.",
    ),
    metric(
        "apply_config_reads_total",
        Kind::Counter,
        Unit::Count,
        "",
        "Times that apply_config and the target's schema were read again, each minute and on SIGHUP.",
    ),
    metric(
        "apply_config_errors_total",
        Kind::Counter,
        Unit::Count,
        "",
        "Failed attempts to read apply_config.",
    ),
    metric(
        "resolve_resolved_hlc_seconds",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "Newest resolved mark, as seconds since 1970.",
    ),
    metric(
        "resolve_applied_hlc_seconds",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "Applied time, as seconds since 1970.",
    ),
    metric(
        "resolve_last_check_secondns",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "When this process last looked for marks to apply, as seconds since 1970; spelled as in the original.",
    ),
    metric("resolve_flush_success_total", Kind::Counter, Unit::Count, SCHEMA, "Slices applied."),
    metric(
        "resolve_flush_success_seconds",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "When this process last applied a slice, as seconds since 1970.",
    ),
    metric(
        "resolve_flush_errors_total",
        Kind::Counter,
        Unit::Count,
        SCHEMA,
        "Slices that failed and were or will be tried again.",
    ),
    metric(
        "resolve_mark_to_visible_seconds",
        Kind::Histogram,
        Unit::Seconds,
        SCHEMA,
        "From seeing a mark to all of its rows being visible.",
    ),
    metric(
        "resolve_stalled",
        Kind::Gauge,
        Unit::Count,
        SCHEMA,
        "1 while the target refuses the next rows of the schema.",
    ),
    metric("resolve_leader", Kind::Gauge, Unit::Count, SCHEMA, "1 while this process applies the schema."),
    metric(
        "checkpoint_backwards_total",
        Kind::Counter,
        Unit::Count,
        SCHEMA,
        "Marks received at or below the applied time, or repeated.",
    ),
    metric(
        "timekeeper_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        "",
        "Time to store a resolved mark.",
    ),
    metric(
        "timekeeper_errors_total",
        Kind::Counter,
        Unit::Count,
        "",
        "Failed attempts to store a resolved mark.",
    ),
    metric(
        "timekeeper_schema_resolved_seconds",
        Kind::Gauge,
        Unit::Seconds,
        SCHEMA,
        "The last mark that this process stored, as seconds since 1970.",
    ),
    metric(
        "retry_actions_total",
        Kind::Counter,
        Unit::Count,
        "",
        "Pieces of work that are tried again if they fail: deliveries, marks, passes of a resolver.",
    ),
    metric(
        "retry_retried_total",
        Kind::Counter,
        Unit::Count,
        "code",
        "Failures after which such work was tried again, by SQLSTATE (none: no answer of the server).",
    ),
    metric(
        "retry_aborted_total",
        Kind::Counter,
        Unit::Count,
        "code",
        "Failures after which such work was given up, by SQLSTATE (none: no answer of the server).",
    ),
    metric(
        "pool_acquire_wait_count",
        Kind::Counter,
        Unit::Count,
        HOST,
        "Times that work waited because --targetDBConns connections were busy.",
    ),
    metric(
        "pool_acquire_wait_seconds",
        Kind::Histogram,
        Unit::Seconds,
        HOST,
        "Time to get a connection for work, a new one if need be.",
    ),
    metric(
        "pool_acquired_connection_count",
        Kind::Gauge,
        Unit::Count,
        POOL,
        "Connections in use, those being made included.",
    ),
    metric("pool_idle_connection_count", Kind::Gauge, Unit::Count, POOL, "Connections open and not in use."),
    metric(
        "pool_max_connection_count",
        Kind::Gauge,
        Unit::Count,
        POOL,
        "Most connections that the pool may have; all work pools together have at most --targetDBConns.",
    ),
    metric("pool_dial_success_count", Kind::Counter, Unit::Count, HOST, "Connections made to the target."),
    metric(
        "pool_dial_error_count",
        Kind::Counter,
        Unit::Count,
        HOST,
        "Times that no connection for work could be had: unreachable, refused, or all busy for too long.",
    ),
];

/// Tells the recorder what each metric means.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
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
