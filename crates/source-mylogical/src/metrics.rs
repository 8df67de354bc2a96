//! What is measured of the source.

use metrics::{Unit, counter};
use mysql_async::binlog::events::Event;
use sink_core::metrics::{Kind, Metric, describe_all};

use crate::policy::Changed;

const FEED: &str = "feed";

/// Every metric of this source.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "binlog_events_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "feed, kind",
        help: "Events of the source's log: transaction, rows, table, statement, end, compressed, heartbeat, other.",
    },
    Metric {
        name: "binlog_bytes_total",
        kind: Kind::Counter,
        unit: Unit::Bytes,
        labels: FEED,
        help: "Bytes of the events.",
    },
    Metric {
        name: "binlog_schema_changes_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: FEED,
        help: "Statements of the source's log that changed tables which are carried.",
    },
    Metric {
        name: "values_changed_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "feed, reason",
        help: "Values that the target cannot hold and that became others: zero_date (--zeroDates), nul (--nulBytes), \
               long_time.",
    },
];

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_all(METRICS);
}

/// Counts an event.
pub(crate) fn event(feed: &str, event: &Event) {
    let header = event.header();
    let kind = match header.event_type_raw() {
        33 | 34 | 42 | 162 => "transaction",
        23..=25 | 30..=32 | 39 | 166..=171 => "rows",
        19 => "table",
        2 | 165 => "statement",
        16 | 38 => "end",
        40 => "compressed",
        27 | 41 => "heartbeat",
        _ => "other",
    };
    counter!("binlog_events_total", FEED => feed.to_owned(), "kind" => kind).increment(1);
    counter!("binlog_bytes_total", FEED => feed.to_owned()).increment(u64::from(header.event_size()));
}

/// Counts a change of tables.
pub(crate) fn ddl(feed: &str) {
    counter!("binlog_schema_changes_total", FEED => feed.to_owned()).increment(1);
}

/// Counts values that became others.
pub(crate) fn changed(feed: &str, changed: Changed) {
    let counted =
        [("zero_date", changed.zero_dates), ("nul", changed.nuls), ("long_time", changed.long_times)];
    for (reason, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
        counter!("values_changed_total", FEED => feed.to_owned(), "reason" => reason).increment(count);
    }
}
