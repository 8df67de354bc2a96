//! What is measured of the source.

use metrics::{Unit, gauge};
use sink_core::metrics::{Kind, Metric, describe_all};

use crate::catalog::WalStatus;
use crate::watch::SlotHealth;

const FEED: &str = "feed";

/// Every metric of this source.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "slot_wal_status",
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: "feed, status",
        help: "1 for how the log stands that the slot needs (reserved, extended, unreserved, lost), 0 for the others; all \
               are 0 if there is no slot.",
    },
    Metric {
        name: "slot_safe_wal_bytes",
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: FEED,
        help: "Log that may be written until the slot is in danger of being lost, negative once it is; +Inf without a \
               limit (max_slot_wal_keep_size).",
    },
    Metric {
        name: "slot_retained_wal_bytes",
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: FEED,
        help: "Log that the source keeps for the slot.",
    },
];

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_all(METRICS);
}

/// Shows a slot's figures; none if there is no slot.
pub(crate) fn slot(feed: &str, health: Option<&SlotHealth>) {
    let now = health.map(|health| health.wal_status);
    for status in [WalStatus::Reserved, WalStatus::Extended, WalStatus::Unreserved, WalStatus::Lost] {
        let value = if now == Some(status) { 1.0 } else { 0.0 };
        gauge!("slot_wal_status", FEED => feed.to_owned(), "status" => status.as_str()).set(value);
    }
    let Some(health) = health else { return };
    // Beyond 2^53 bytes the last ones do not matter.
    let (safe, retained) =
        (health.safe_wal_bytes.map(|bytes| bytes as f64), health.retained_bytes.unwrap_or(0) as f64);
    gauge!("slot_safe_wal_bytes", FEED => feed.to_owned()).set(safe.unwrap_or(f64::INFINITY));
    gauge!("slot_retained_wal_bytes", FEED => feed.to_owned()).set(retained);
}
