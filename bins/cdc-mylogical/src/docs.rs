//! Pages of the documentation that are made from the code: metrics and flags. `cargo xtask docs` writes them.

use clap::CommandFactory as _;
use sink_feed::docs::metric_rows;
use sink_service::reference::{flags_page, metrics_table};

use crate::Cli;

/// The page of metrics.
pub(crate) fn metrics() -> String {
    format!(
        "{}{}",
        include_str!("docs/metrics-head.md"),
        metrics_table(&metric_rows(source_mylogical::metrics::METRICS))
    )
}

/// The page of flags.
pub(crate) fn flags() -> String {
    flags_page(include_str!("docs/flags-head.md"), Cli::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: &str = "is not what the code says; run: cargo xtask docs";

    #[test]
    fn the_page_of_metrics_is_current() {
        assert!(metrics() == include_str!("../../../docs/mylogical/metrics.md"), "metrics.md {HINT}");
    }

    #[test]
    fn the_page_of_flags_is_current() {
        assert!(flags() == include_str!("../../../docs/mylogical/flags.md"), "flags.md {HINT}");
    }

    #[test]
    fn every_metric_has_one_row_and_a_sentence() {
        let rows = metric_rows(source_mylogical::metrics::METRICS);
        let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
        assert!(rows.iter().all(|row| row.4.ends_with('.')));
    }

    #[test]
    fn no_secret_is_printed_as_a_default() {
        let page = flags();
        assert!(page.contains("`--sourceConn URL`") && page.contains("`CDC_SOURCE_CONN`"));
        assert!(!page.contains("password="), "{page}");
    }

    #[test]
    fn alerts_name_metrics_that_exist() {
        let known: Vec<&str> = sink_core::metrics::flow::METRICS
            .iter()
            .chain(source_mylogical::metrics::METRICS)
            .map(|metric| metric.name)
            .collect();
        let alerts = include_str!("../../../deploy/prometheus/alerts-mylogical.yaml");
        let expressions = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
        let words = expressions.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        let named: Vec<&str> =
            words.filter(|word| word.starts_with("flow_") || word.starts_with("values_")).collect();
        assert!(named.len() >= 5, "{named:?}");
        for name in named {
            assert!(known.contains(&name), "{name}");
        }
    }
}
