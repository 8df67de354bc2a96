//! Collects the process's metrics and prints them for Prometheus.
//!
//! Which metrics there are is said by the crates that count. This module decides how histograms are
//! divided, by the ending of their name, so that a new metric needs no entry here.

use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{http_server, process, tls};

/// Upper bounds in seconds of histograms named `…_seconds`: 1 to 9 times each power of ten, from a
/// millisecond to a minute, as the original program has them.
pub const LATENCY_BUCKETS: [f64; 42] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, //
    0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, //
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, //
    1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, //
    10.0, 20.0, 30.0, 40.0, 50.0, 60.0,
];

/// Upper bounds in bytes of histograms named `…_bytes` or `…_bytes_total` (a name the original gave
/// a histogram): 1 KiB to 10 MiB.
pub const SIZE_BUCKETS: [f64; 13] = [
    1_024.0,
    2_048.0,
    5_120.0,
    10_240.0,
    20_480.0,
    51_200.0,
    102_400.0,
    204_800.0,
    512_000.0,
    1_048_576.0,
    2_097_152.0,
    5_242_880.0,
    10_485_760.0,
];

/// Time between two rounds of upkeep. Samples of histograms wait in a list until then, so this bounds
/// memory also when nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

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
    /// Its labels, separated by commas.
    pub labels: &'static str,
    /// What it tells.
    pub help: &'static str,
}

/// Gauge: which program this is.
const INFO: &str = "cdc_sink_info";

const OWN: &[Metric] = &[Metric {
    name: INFO,
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: "program, version",
    help: "Always 1; its labels say which program this is.",
}];

/// Every metric of this crate.
pub fn all_metrics() -> impl Iterator<Item = &'static Metric> {
    OWN.iter().chain(process::METRICS).chain(http_server::METRICS).chain(tls::METRICS)
}

/// Shows which program this is.
pub fn announce(program: &'static str, version: &'static str) {
    metrics::gauge!(INFO, "program" => program, "version" => version).set(1.0);
}

/// Tells the recorder what the metrics of this crate mean, and lets counters without labels begin at zero.
fn describe() {
    for metric in all_metrics() {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            metrics::counter!(metric.name).increment(0);
        }
    }
}

/// Why metrics can't be collected.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The buckets above were refused, which only an empty list would be.
    #[error("can't set up the metrics recorder")]
    Build(#[source] metrics_exporter_prometheus::BuildError),
    /// There is one recorder per process.
    #[error("a metrics recorder is installed already")]
    Installed,
}

/// Prints the metrics collected so far.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// The media type of what [`MetricsHandle::render`] returns.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Runs the upkeep until `stop` is cancelled.
    async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.0.run_upkeep();
            process::sample();
        }
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

/// Makes a recorder without installing it, for tests with `metrics::with_local_recorder`. Whoever
/// keeps one for long must scrape it, since nothing runs its upkeep.
///
/// # Errors
/// See [`TelemetryError::Build`].
pub fn recorder() -> Result<(PrometheusRecorder, MetricsHandle), TelemetryError> {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &LATENCY_BUCKETS)
        .and_then(|b| b.set_buckets_for_metric(suffix("_bytes"), &SIZE_BUCKETS))
        .and_then(|b| b.set_buckets_for_metric(suffix("_bytes_total"), &SIZE_BUCKETS))
        .map_err(TelemetryError::Build)?
        .build_recorder();
    let handle = MetricsHandle(recorder.handle());
    Ok((recorder, handle))
}

/// Makes the recorder, makes it the process's, and keeps its memory bounded by a task of `tasks`,
/// which ends when `stop` is cancelled. Needs a tokio runtime.
///
/// # Errors
/// See [`TelemetryError`].
pub fn install(tasks: &TaskTracker, stop: CancellationToken) -> Result<MetricsHandle, TelemetryError> {
    let (recorder, handle) = recorder()?;
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Installed)?;
    describe();
    process::sample();
    tasks.spawn(handle.clone().upkeep(stop));
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_divided_by_the_ending_of_their_name() {
        let (recorder, handle) = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("apply_duration_seconds", "table" => "t").record(0.0035);
            metrics::histogram!("http_payload_in_bytes_total").record(3_000.0);
            metrics::counter!("apply_upserts_total").increment(2);
        });
        let text = handle.render();
        for line in [
            "apply_duration_seconds_bucket{table=\"t\",le=\"0.003\"} 0",
            "apply_duration_seconds_bucket{table=\"t\",le=\"0.004\"} 1",
            "apply_duration_seconds_bucket{table=\"t\",le=\"60\"} 1",
            "http_payload_in_bytes_total_bucket{le=\"2048\"} 0",
            "http_payload_in_bytes_total_bucket{le=\"10485760\"} 1",
            "apply_upserts_total 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing from:\n{text}");
        }
    }

    #[test]
    fn bounds_rise() {
        assert!(LATENCY_BUCKETS.is_sorted() && SIZE_BUCKETS.is_sorted());
    }

    #[tokio::test(start_paused = true)]
    async fn one_recorder_is_installed_and_its_upkeep_ends_with_the_process() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let handle = install(&tasks, stop.clone()).unwrap();
        metrics::counter!("installed_total").increment(1);
        assert!(handle.render().contains("installed_total 1"));
        assert!(matches!(install(&tasks, stop.clone()), Err(TelemetryError::Installed)));
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
