//! `cdc-pglogical` against PostgreSQL's own logical replication (`CREATE SUBSCRIPTION`): both drain the same backlog,
//! made once, between the same two servers, into the same start state. After every drain source and target must hold
//! the same rows; a drain that does not end so is no figure but a failure.

mod backlog;
mod commits;
mod decode;
mod drain;
mod latency;
mod servers;
mod snapshot;
mod workload;

use anyhow::Result;
use clap::ValueEnum as _;

use crate::figure::Figure;
use crate::{Args, machine, report};
use commits::Commits;
use servers::Servers;

/// The groups of figures, in the order in which they run.
const GROUPS: [&str; 11] = [
    "insert-1",
    "insert-10",
    "insert-1000",
    "update-1",
    "update-1000",
    "delete-1000",
    "tpcb",
    "latency",
    "snapshot",
    "decode",
    "large",
];

/// What this benchmark takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Args,
    /// Drain only with commits like this; may be repeated.
    #[arg(long, value_enum)]
    commits: Vec<Commits>,
    /// Drain with PostgreSQL's own replication alone, to see how steady the machine is.
    #[arg(long)]
    rival_only: bool,
}

/// Measures what was asked for.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let args = &options.common;
    report::check_names(args, &GROUPS)?;
    let commits = if options.commits.is_empty() { Commits::value_variants() } else { &options.commits };
    let servers = Servers::start(args.quick, args.pairs, options.rival_only, commits.to_vec()).await?;
    let mut machine = machine::describe(&servers.source.url("postgres"), args.quick).await?;
    for commits in &servers.commits {
        machine.push((format!("commits, {}", commits.title()), commits.meaning().to_owned()));
    }
    report::report(args, &machine, &GROUPS, async |group| measure(&servers, group).await).await
}

async fn measure(servers: &Servers, group: &'static str) -> Result<Vec<Figure>> {
    match group {
        "latency" => latency::measure(servers).await,
        "snapshot" => snapshot::measure(servers).await,
        "decode" => decode::measure(servers).await,
        history => drain::measure(servers, history).await,
    }
}
