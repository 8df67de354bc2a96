//! Rows of a program's page of metrics.

use sink_core::metrics::{self, Metric};
use sink_service::reference::{MetricRow, metric_row, with_service_metrics};

/// Beginnings of the engine's metrics that log sources have as well; the others are about staging, marks and slices.
const SHARED: &[&str] = &["pool_", "apply_config", "apply_discarded", "apply_duration", "apply_errors"];

/// The metrics of a program that follows a log: the engine's as far as they are about logs, those of its `source`, and
/// the process's own; by name.
#[must_use]
pub fn metric_rows(source: &'static [Metric]) -> Vec<MetricRow> {
    let engine = metrics::METRICS.iter().filter(|m| SHARED.iter().any(|start| m.name.starts_with(start)));
    let ours = engine.chain(metrics::flow::METRICS).chain(source);
    with_service_metrics(ours.map(|m| metric_row(m.name, m.kind, m.unit, m.labels, m.help)))
}
