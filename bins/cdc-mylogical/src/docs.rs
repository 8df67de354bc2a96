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
}
