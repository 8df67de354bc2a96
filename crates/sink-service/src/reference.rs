//! Pages of the documentation that are made from the code of a program: its flags and its metrics.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Args, Command, ValueEnum};
use metrics::Unit;

use crate::exit::Exit;
use crate::telemetry;

/// Flags of `print-docs`.
#[derive(Debug, Clone, Args)]
pub struct PrintDocsArgs {
    /// Which page.
    #[arg(value_enum)]
    page: Page,
}

/// A page of a program's documentation.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    /// `metrics.md`.
    Metrics,
    /// `flags.md`.
    Flags,
}

impl PrintDocsArgs {
    /// Prints the page that is asked for.
    pub fn print(&self, metrics: impl FnOnce() -> String, flags: impl FnOnce() -> String) -> Exit {
        let text = match self.page {
            Page::Metrics => metrics(),
            Page::Flags => flags(),
        };
        print!("{text}");
        Exit::Success
    }
}

/// One metric as the page shows it: name, kind, unit, labels, help.
pub type MetricRow = (&'static str, String, String, &'static str, &'static str);

/// A metric's row.
pub fn metric_row(
    name: &'static str,
    kind: impl std::fmt::Debug,
    unit: Unit,
    labels: &'static str,
    help: &'static str,
) -> MetricRow {
    let unit = match unit {
        Unit::Count => "count".to_owned(),
        other => other.as_str().to_owned(),
    };
    (name, format!("{kind:?}"), unit, labels, help)
}

/// A program's metrics together with those of every process, by name.
pub fn with_service_metrics(ours: impl Iterator<Item = MetricRow>) -> Vec<MetricRow> {
    let service = telemetry::all_metrics().map(|m| metric_row(m.name, m.kind, m.unit, m.labels, m.help));
    let mut rows: Vec<MetricRow> = ours.chain(service).collect();
    rows.sort_unstable();
    rows
}

/// The table of these metrics.
#[must_use]
pub fn metrics_table(rows: &[MetricRow]) -> String {
    let mut page = String::from("\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for (name, kind, unit, labels, help) in rows {
        let kind = kind.to_lowercase();
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help} |");
    }
    page
}

/// The flags of a program, by command and heading, behind `head`.
#[must_use]
pub fn flags_page(head: &str, mut command: Command) -> String {
    command.build();
    let mut page = String::from(head);
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
