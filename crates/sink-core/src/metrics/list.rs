//! Every metric of the engine: name, kind, unit, labels, meaning. `docs/metrics.md` is generated from this.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

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

/// Tells the recorder what these metrics mean.
pub fn describe_all(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

pub(super) const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static str,
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

pub(super) const TABLE: &str = "database, schema, table";
pub(super) const SCHEMA: &str = "database, schema";
pub(super) const HOST: &str = "host";
const POOL: &str = "host, database, pool";

/// Stands for the table where one statement serves several.
pub(super) const SEVERAL: &str = "*";

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
        "Failed attempts to apply a slice, an immediate request or a batch of a log; the table is * if the target names \
         none, the schema as well if there are several.",
    ),
    metric(
        "apply_duration_seconds",
        Kind::Histogram,
        Unit::Seconds,
        TABLE,
        "Time to apply one slice, one immediate request, or one batch of a log or part of it; the table is * if that is \
         one statement for several, the schema as well if they are in several.",
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
