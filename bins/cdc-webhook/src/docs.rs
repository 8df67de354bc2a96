//! Pages of the documentation that are made from the code: metrics and flags. `cargo xtask docs` writes them.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Args, Command, CommandFactory as _, ValueEnum};
use sink_service::exit::Exit;
use sink_service::telemetry;

use crate::Cli;

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
    /// `docs/metrics.md`.
    Metrics,
    /// `docs/flags.md`.
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

/// One row of the table: name, kind, unit, labels, help.
type Row = (&'static str, String, String, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let ours = sink_core::metrics::METRICS.iter().chain(source_webhook::metrics::METRICS);
    let ours = ours.map(|m| (m.name, format!("{:?}", m.kind), unit(m.unit), m.labels, m.help));
    let service = telemetry::all_metrics();
    let service = service.map(|m| (m.name, format!("{:?}", m.kind), unit(m.unit), m.labels, m.help));
    let mut rows: Vec<Row> = ours.chain(service).collect();
    rows.sort_unstable();
    rows
}

fn unit(unit: ::metrics::Unit) -> String {
    match unit {
        ::metrics::Unit::Count => "count".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn metrics() -> String {
    let mut page = String::from(include_str!("docs/metrics-head.md"));
    page.push_str("\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (name, kind, unit, labels, help) in rows() {
        let labels = if labels.is_empty() { "" } else { labels };
        let kind = kind.to_lowercase();
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    page.push('\n');
    page.push_str(include_str!("docs/metrics-original.md"));
    page
}

fn flags() -> String {
    let mut command = Cli::command();
    command.build();
    let mut page = String::from(include_str!("docs/flags-head.md"));
    let everywhere: Vec<&Arg> = command.get_arguments().filter(|arg| is_listed(arg)).collect();
    page.push_str("\n## With every command\n");
    list(&mut page, everywhere.iter().copied());
    for subcommand in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = write!(page, "\n## `{}`\n\n{about}\n", subcommand.get_name());
        let known = |arg: &&Arg| everywhere.iter().any(|one| one.get_id() == arg.get_id());
        list(&mut page, of(subcommand).filter(|arg| !known(arg)));
    }
    page
}

fn of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_listed(arg))
}

fn is_listed(arg: &Arg) -> bool {
    let asks = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !asks && !arg.is_hide_set()
}

/// Flags under their headings, in the order of `--help`.
fn list<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let mut heading = None;
    for arg in args {
        let under = arg.get_help_heading().unwrap_or("Options");
        if heading.replace(under) != Some(under) {
            let _ = write!(
                page,
                "\n### {under}\n\n| flag | also | environment | default | meaning |\n|---|---|---|---|---|\n"
            );
        }
        page.push_str(&row(arg));
    }
}

fn row(arg: &Arg) -> String {
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
    let value = value.map(|names| names.iter().map(|name| format!(" {name}")).collect::<String>());
    let mut names: Vec<String> = arg.get_short().map(|short| format!("`-{short}`")).into_iter().collect();
    names.extend(arg.get_all_aliases().into_iter().flatten().map(|alias| format!("`--{alias}`")));
    let flag = arg.get_long().map_or_else(
        || format!("`{}`", arg.get_id()),
        |long| format!("`--{long}{}`", value.unwrap_or_default()),
    );
    let environment = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let defaults: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .filter(|_| arg.get_action().takes_values())
        .collect();
    let mut help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|choice| !choice.is_hide_set())
        .map(|choice| {
            let about = choice.get_help().map(|help| format!(": {help}")).unwrap_or_default();
            format!("`{}`{about}", choice.get_name())
        })
        .collect();
    let is_switch = choices == ["`true`", "`false`"];
    if !choices.is_empty() && !is_switch {
        let _ = write!(help, ". Values: {}", choices.join("; "));
    }
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    format!("| {flag} | {} | {environment} | {} | {help} |\n", names.join(", "), defaults.join(", "))
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
                let known = |row: &Row| match row.1.as_str() {
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
