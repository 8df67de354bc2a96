//! What the webhook counts; the names of the original.

use metrics::{Unit, counter, gauge, histogram};
use sink_core::metrics::{Kind, Metric, describe_all};

/// Every metric of the webhook.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "http_status_codes_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "code",
        help: "Answers by status.",
    },
    Metric {
        name: "http_latency_seconds",
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        labels: "",
        help: "Time from a request's head to its answer.",
    },
    Metric {
        name: "http_payload_in_bytes_total",
        kind: Kind::Histogram,
        unit: Unit::Bytes,
        labels: "",
        help: "Size of request bodies as received.",
    },
    Metric {
        name: "mutations_received_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "database, schema",
        help: "Rows received in well-formed requests, before duplicates are told apart.",
    },
    Metric {
        name: "jwt_last_refresh_time",
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        labels: "",
        help: "When keys and revoked ids of tokens were last read, in seconds since 1970.",
    },
    Metric {
        name: "checkpoint_interleaved_total",
        kind: Kind::Counter,
        unit: Unit::Count,
        labels: "database, schema",
        help: "Marks that came as if two changefeeds fed one schema.",
    },
];

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_all(METRICS);
}

pub(crate) fn answered(status: http::StatusCode, elapsed: std::time::Duration) {
    counter!("http_status_codes_total", "code" => status.as_str().to_owned()).increment(1);
    histogram!("http_latency_seconds").record(elapsed.as_secs_f64());
}

pub(crate) fn received(bytes: usize) {
    // Exact up to 2^53 bytes.
    histogram!("http_payload_in_bytes_total").record(f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)));
}

pub(crate) fn refreshed(at: std::time::Duration) {
    gauge!("jwt_last_refresh_time").set(at.as_secs_f64());
}
