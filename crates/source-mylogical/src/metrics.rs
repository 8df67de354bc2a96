//! What is measured of the source.

use metrics::{Counter, Unit, counter};
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

/// What is counted of one feed, looked up once.
pub(crate) struct Counters {
    kinds: [Counter; KINDS.len()],
    bytes: Counter,
    schema_changes: Counter,
    changed: [Counter; REASONS.len()],
}

const KINDS: [&str; 8] =
    ["transaction", "rows", "table", "statement", "end", "compressed", "heartbeat", "other"];
const REASONS: [&str; 3] = ["zero_date", "nul", "long_time"];

impl Counters {
    /// Those of a feed.
    pub(crate) fn of(feed: &str) -> Self {
        Self {
            kinds: KINDS.map(|kind| counter!("binlog_events_total", FEED => feed.to_owned(), "kind" => kind)),
            bytes: counter!("binlog_bytes_total", FEED => feed.to_owned()),
            schema_changes: counter!("binlog_schema_changes_total", FEED => feed.to_owned()),
            changed: REASONS
                .map(|reason| counter!("values_changed_total", FEED => feed.to_owned(), "reason" => reason)),
        }
    }

    /// Counts an event.
    pub(crate) fn event(&self, event: &Event) {
        let header = event.header();
        let [transaction, rows, table, statement, end, compressed, heartbeat, other] = &self.kinds;
        let kind = match header.event_type_raw() {
            33 | 34 | 42 | 162 => transaction,
            23..=25 | 30..=32 | 39 | 166..=171 => rows,
            19 => table,
            2 | 165 => statement,
            16 | 38 => end,
            40 => compressed,
            27 | 41 => heartbeat,
            _ => other,
        };
        kind.increment(1);
        self.bytes.increment(u64::from(header.event_size()));
    }

    /// Counts a change of tables.
    pub(crate) fn schema_change(&self) {
        self.schema_changes.increment(1);
    }

    /// Counts values that became others.
    pub(crate) fn changed(&self, changed: Changed) {
        let counts = [changed.zero_dates, changed.nuls, changed.long_times];
        for (counter, count) in self.changed.iter().zip(counts).filter(|(_, count)| *count > 0) {
            counter.increment(count);
        }
    }
}
