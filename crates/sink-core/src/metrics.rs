//! Names, labels and units of everything the engine counts. The names of the original keep their labels.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::model::{Batch, HlcTimestamp, SchemaId, TableId};
use crate::staging::StageCounts;

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
        SCHEMA,
        "Failed attempts to stage a request.",
    ),
    metric(
        "stage_store_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        SCHEMA,
        "Time to stage the rows of a request.",
    ),
    metric("apply_upserts_total", Kind::Counter, Unit::Count, TABLE, "Rows written to target tables."),
    metric("apply_deletes_total", Kind::Counter, Unit::Count, TABLE, "Rows removed from target tables."),
    metric(
        "apply_errors_total",
        Kind::Counter,
        Unit::Count,
        SCHEMA,
        "Failed attempts to apply a slice or a request.",
    ),
    metric(
        "apply_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        SCHEMA,
        "Time to apply one slice or one immediate request.",
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
    metric("resolve_flush_success_total", Kind::Counter, Unit::Count, SCHEMA, "Slices applied."),
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

/// Sets a gauge of a schema.
pub(crate) fn set_schema(name: &'static str, schema: &SchemaId, value: f64) {
    gauge!(name, &schema_labels(schema)).set(value);
}

/// Records a duration of a schema.
pub fn observe_schema(name: &'static str, schema: &SchemaId, elapsed: std::time::Duration) {
    histogram!(name, &schema_labels(schema)).record(elapsed.as_secs_f64());
}

/// Records a time of a schema as seconds since 1970.
pub(crate) fn set_time(name: &'static str, schema: &SchemaId, at: HlcTimestamp) {
    set_schema(name, schema, std::time::Duration::from_nanos(at.nanos().unsigned_abs()).as_secs_f64());
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

    #[test]
    fn names_say_their_kind() {
        for metric in METRICS {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
