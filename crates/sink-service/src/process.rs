//! What the operating system knows of this process: memory, open files, since when it runs.
//!
//! Read from `/proc`; elsewhere than on Linux there is nothing to tell.

use std::sync::OnceLock;

use metrics::Unit;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::telemetry::{Kind, Metric};

const RESIDENT: &str = "process_resident_memory_bytes";
const OPEN_FILES: &str = "process_open_fds";
const STARTED: &str = "process_start_time_seconds";

/// The metrics of this module, named as Prometheus' own client libraries name them.
pub const METRICS: &[Metric] = &[
    Metric {
        name: RESIDENT,
        kind: Kind::Gauge,
        unit: Unit::Bytes,
        labels: "",
        help: "Memory that the process holds.",
    },
    Metric {
        name: OPEN_FILES,
        kind: Kind::Gauge,
        unit: Unit::Count,
        labels: "",
        help: "Files and sockets that the process has open.",
    },
    Metric {
        name: STARTED,
        kind: Kind::Gauge,
        unit: Unit::Seconds,
        labels: "",
        help: "When the process started, as seconds since 1970.",
    },
];

static STARTED_AT: OnceLock<OffsetDateTime> = OnceLock::new();

/// When the process started, as far as this module knows: the first call decides.
#[must_use]
pub fn started_at() -> OffsetDateTime {
    *STARTED_AT.get_or_init(OffsetDateTime::now_utc)
}

/// When the process started, as RFC 3339 writes it.
#[must_use]
pub fn started_text() -> String {
    crate::logging::rfc3339(started_at())
}

/// Seconds since the process started.
#[must_use]
pub fn uptime_seconds() -> f64 {
    (OffsetDateTime::now_utc() - started_at()).as_seconds_f64().max(0.0)
}

/// Memory that the process holds, in bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Files and sockets that the process has open.
#[must_use]
pub fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// What support asks of the process, as JSON.
#[must_use]
pub fn to_json() -> Value {
    json!({
        "pid": std::process::id(),
        "started": started_text(),
        "uptime_seconds": uptime_seconds(),
        "resident_bytes": resident_bytes(),
        "open_files": open_files(),
    })
}

/// The host and process, as shown to operators as the holder of leases.
#[must_use]
pub fn holder() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let name = if name.is_empty() { "unknown" } else { name };
    format!("{name}:{}", std::process::id())
}

/// Sets the gauges.
pub(crate) fn sample() {
    if let Some(bytes) = resident_bytes() {
        // Exact in steps of a page.
        metrics::gauge!(RESIDENT).set(f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) * 1024.0);
    }
    if let Some(files) = open_files() {
        metrics::gauge!(OPEN_FILES).set(f64::from(u32::try_from(files).unwrap_or(u32::MAX)));
    }
    metrics::gauge!(STARTED).set((started_at() - OffsetDateTime::UNIX_EPOCH).as_seconds_f64());
}

/// Reads `VmRSS:     1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_described() {
        assert!(resident_bytes().unwrap() > 1_000_000);
        assert!(open_files().unwrap() >= 3);
        let first = started_at();
        assert_eq!(started_at(), first);
        assert!(uptime_seconds() >= 0.0 && uptime_seconds() < 3_600.0);
        assert!(started_text().ends_with('Z'));
    }

    #[test]
    fn memory_is_read_in_kibibytes_and_nonsense_is_nothing() {
        assert_eq!(resident("Name: x\nVmRSS:\t  12 kB\n"), Some(12 * 1024));
        for text in ["", "VmRSS: many kB", "VmRSS: 12", "VmRSS: 99999999999999999999 kB"] {
            assert_eq!(resident(text), None, "{text}");
        }
    }
}
