//! Pages of the documentation that are made from the code: metrics and flags. `cargo xtask docs` writes them.

use clap::{Args, CommandFactory as _, ValueEnum};
use sink_core::metrics;
use sink_service::exit::Exit;
use sink_service::reference::{MetricRow, flags_page, metric_row, metrics_table};
use sink_service::telemetry;

use crate::Cli;

/// Beginnings of the engine's metrics that log sources have as well; the others are about staging, marks and slices.
const SHARED: &[&str] = &["pool_", "apply_config", "apply_discarded"];

/// Flags of `print-docs`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PrintDocsArgs {
    /// Which page.
    #[arg(value_enum)]
    page: Page,
}

/// A page.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    /// `docs/pglogical/metrics.md`.
    Metrics,
    /// `docs/pglogical/flags.md`.
    Flags,
}

/// Prints a page.
pub(crate) fn print(args: &PrintDocsArgs) -> Exit {
    let text = match args.page {
        Page::Metrics => metrics(),
        Page::Flags => flags(),
    };
    print!("{text}");
    Exit::Success
}

fn rows() -> Vec<MetricRow> {
    let engine = metrics::METRICS.iter().filter(|m| SHARED.iter().any(|start| m.name.starts_with(start)));
    let ours = engine.chain(metrics::flow::METRICS).chain(source_pglogical::metrics::METRICS);
    let ours = ours.map(|m| metric_row(m.name, m.kind, m.unit, m.labels, m.help));
    let service = telemetry::all_metrics().map(|m| metric_row(m.name, m.kind, m.unit, m.labels, m.help));
    let mut rows: Vec<MetricRow> = ours.chain(service).collect();
    rows.sort_unstable();
    rows
}

fn metrics() -> String {
    format!("{}{}", include_str!("docs/metrics-head.md"), metrics_table(&rows()))
}

fn flags() -> String {
    flags_page(include_str!("docs/flags-head.md"), Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: &str = "is not what the code says; run: cargo xtask docs";

    #[test]
    fn the_page_of_metrics_is_current() {
        assert!(metrics() == include_str!("../../../docs/pglogical/metrics.md"), "metrics.md {HINT}");
    }

    #[test]
    fn the_page_of_flags_is_current() {
        assert!(flags() == include_str!("../../../docs/pglogical/flags.md"), "flags.md {HINT}");
    }

    #[test]
    fn every_metric_has_one_row_and_a_sentence() {
        let names: Vec<&str> = rows().iter().map(|row| row.0).collect();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
        assert!(rows().iter().all(|row| row.4.ends_with('.')));
    }

    #[test]
    fn no_secret_is_printed_as_a_default() {
        let page = flags();
        assert!(page.contains("`--sourceConn URL`") && page.contains("`CDC_SOURCE_CONN`"));
        assert!(!page.contains("password="), "{page}");
    }
}
