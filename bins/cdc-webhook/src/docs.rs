//! Pages of the documentation that are made from the code: metrics and flags. `cargo xtask docs` writes them.

use clap::CommandFactory as _;
use sink_service::reference::{MetricRow, flags_page, metric_row, metrics_table, with_service_metrics};

use crate::Cli;

fn rows() -> Vec<MetricRow> {
    let ours = sink_core::metrics::METRICS.iter().chain(source_webhook::metrics::METRICS);
    with_service_metrics(ours.map(|m| metric_row(m.name, m.kind, m.unit, m.labels, m.help)))
}

/// The page of metrics.
pub(crate) fn metrics() -> String {
    let (head, tail) = (include_str!("docs/metrics-head.md"), include_str!("docs/metrics-original.md"));
    format!("{head}{}\n{tail}", metrics_table(&rows()))
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
        assert!(metrics() == include_str!("../../../docs/metrics.md"), "docs/metrics.md {HINT}");
    }

    #[test]
    fn the_page_of_flags_is_current() {
        assert!(flags() == include_str!("../../../docs/flags.md"), "docs/flags.md {HINT}");
    }

    #[test]
    fn every_metric_has_one_row() {
        let names: Vec<&str> = rows().iter().map(|row| row.0).collect();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
        assert!(rows().iter().all(|row| row.4.ends_with('.')), "a meaning is a sentence");
    }

    /// Words of PromQL that are no metrics, and the one metric that Prometheus adds itself.
    const PROMQL: &[&str] = &["by", "and", "or", "unless", "on", "ignoring", "bool", "offset", "up"];

    /// The metrics an expression names: identifiers outside of braces, brackets, quotes and groupings that are no
    /// functions.
    fn named(expression: &str) -> Vec<String> {
        let mut plain = String::new();
        let mut depth = 0;
        for c in expression.chars() {
            depth -= i32::from(matches!(c, '}' | ']'));
            plain.push(if depth == 0 { c } else { ' ' });
            depth += i32::from(matches!(c, '{' | '['));
        }
        let mut names = Vec::new();
        let mut rest = plain.as_str();
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            rest = &rest[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if word == "by" {
                rest = after.split_once(')').map_or("", |(_, rest)| rest);
            } else if !PROMQL.contains(&word)
                && !after.trim_start().starts_with('(')
                && !after.starts_with(" by ")
            {
                names.push(word.to_owned());
            }
        }
        names
    }

    #[test]
    fn expressions_are_taken_apart() {
        let expression = "max by (database) (lag_seconds{stage=\"applied\"}) > 3 and rate(up_total[5m]) == 0";
        assert_eq!(named(expression), ["lag_seconds", "up_total"]);
        assert_eq!(named("sum by (le) (rate(a_bucket{x=~\"$y\"}[5m]))"), ["a_bucket"]);
    }

    #[test]
    fn alerts_and_dashboard_name_metrics_that_exist() {
        let alerts = include_str!("../../../deploy/prometheus/alerts.yaml").replace("expr: >-\n", "expr: ");
        let alerts = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../../deploy/grafana/cdc-webhook.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
        let targets = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
        let mut seen = 0;
        for expression in alerts.chain(targets) {
            let names = named(&expression);
            assert!(!names.is_empty() || expression.starts_with("up"), "{expression}");
            for name in names {
                seen += 1;
                let known = |row: &MetricRow| match row.1.as_str() {
                    "Histogram" => {
                        ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{}{end}", row.0))
                    }
                    _ => name == row.0,
                };
                assert!(rows().iter().any(known), "{name} does not exist: {expression}");
            }
        }
        assert!(seen > 30, "{seen} names only");
    }

    #[test]
    fn no_secret_is_printed_as_a_default() {
        let page = flags();
        assert!(!page.contains("password="), "{page}");
        assert!(page.contains("`--metricsAddr HOST:PORT`") && page.contains("`CDC_METRICS_ADDR`"));
    }
}
