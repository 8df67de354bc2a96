//! What the log sources count.

use std::time::Duration;

use metrics::{Unit, counter, gauge};

use super::list::{Kind, Metric, TABLE, describe_all, metric};
use super::table_labels;
use crate::flow::status::Phase;
use crate::model::TableId;

const FEED: &str = "feed";

/// Every metric of the log sources that both share.
pub const METRICS: &[Metric] = &[
    metric(
        "flow_phase",
        Kind::Gauge,
        Unit::Count,
        "feed, phase",
        "1 for what the feed is doing (connecting, standby, snapshot, streaming, stalled), 0 for the others.",
    ),
    metric(
        "flow_apart",
        Kind::Gauge,
        Unit::Count,
        FEED,
        "1 while transactions are not kept together (immediate or backfill mode), else 0.",
    ),
    metric(
        "flow_lag_seconds",
        Kind::Gauge,
        Unit::Seconds,
        FEED,
        "Age of the newest source transaction in the target; 0 while the target has everything that was received.",
    ),
    metric(
        "flow_transactions_total",
        Kind::Counter,
        Unit::Count,
        FEED,
        "Source transactions that are in the target.",
    ),
    metric("flow_changes_total", Kind::Counter, Unit::Count, FEED, "Changes of rows written to the target."),
    metric(
        "flow_batches_total",
        Kind::Counter,
        Unit::Count,
        FEED,
        "Target transactions, or parts of them, that carried changes.",
    ),
    metric(
        "flow_missing_rows_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Changes of rows that are not in the target, so that there was nothing to change: the target differs.",
    ),
    metric(
        "flow_connects_total",
        Kind::Counter,
        Unit::Count,
        "feed, outcome",
        "Attempts to open the source's stream.",
    ),
    metric(
        "snapshot_rows_total",
        Kind::Counter,
        Unit::Count,
        TABLE,
        "Rows committed by the initial snapshot; those of a copy that was broken off and begun anew count again.",
    ),
    metric("snapshot_bytes_total", Kind::Counter, Unit::Bytes, TABLE, "Text of these rows."),
    metric(
        "snapshot_consistent",
        Kind::Gauge,
        Unit::Count,
        FEED,
        "After a snapshot of MySQL or MariaDB: 0 until the stream is past where the copy ended, then 1: the target is as \
         the source was.",
    ),
];

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_all(METRICS);
}

/// Lets a feed's counters begin at zero.
pub(crate) fn begin(feed: &str) {
    for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Counter && metric.labels == FEED) {
        counter!(metric.name, FEED => feed.to_owned()).increment(0);
    }
    set_phase(feed, Phase::Connecting);
    lag(feed, Duration::ZERO);
}

pub(crate) fn set_phase(feed: &str, now: Phase) {
    let phases = [Phase::Connecting, Phase::Standby, Phase::Snapshot, Phase::Streaming, Phase::Stalled];
    for phase in phases {
        let value = if phase == now { 1.0 } else { 0.0 };
        gauge!("flow_phase", FEED => feed.to_owned(), "phase" => phase.as_str()).set(value);
    }
}

pub(crate) fn apart(feed: &str, apart: bool) {
    gauge!("flow_apart", FEED => feed.to_owned()).set(if apart { 1.0 } else { 0.0 });
}

pub(crate) fn consistent(feed: &str, consistent: bool) {
    gauge!("snapshot_consistent", FEED => feed.to_owned()).set(if consistent { 1.0 } else { 0.0 });
}

pub(crate) fn written(feed: &str, transactions: u64, changes: u64) {
    counter!("flow_transactions_total", FEED => feed.to_owned()).increment(transactions);
    counter!("flow_changes_total", FEED => feed.to_owned()).increment(changes);
    counter!("flow_batches_total", FEED => feed.to_owned()).increment(u64::from(changes > 0));
}

pub(crate) fn missing(table: &TableId, rows: u64) {
    counter!("flow_missing_rows_total", &table_labels(table)).increment(rows);
}

pub(crate) fn lag(feed: &str, lag: Duration) {
    gauge!("flow_lag_seconds", FEED => feed.to_owned()).set(lag.as_secs_f64());
}

pub(crate) fn connected(feed: &str, outcome: &'static str) {
    counter!("flow_connects_total", FEED => feed.to_owned(), "outcome" => outcome).increment(1);
}
