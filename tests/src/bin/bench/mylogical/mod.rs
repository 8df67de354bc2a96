//! `cdc-mylogical` against the source's own product: the same backlog of a MariaDB server is drained by a MariaDB replica
//! and, into PostgreSQL, by us. After every drain source and target must hold the same rows; a drain that does not end so
//! is no figure but a failure.

mod backlog;
mod decode;
mod drain;
mod latency;
mod replica;
mod servers;
mod snapshot;
mod workload;

use anyhow::Result;

use crate::figure::Figure;
use crate::{Args, machine, report};
use replica::Replica;
use servers::Servers;

/// The groups of figures, in the order in which they run.
const GROUPS: [&str; 10] = [
    "insert-1",
    "insert-10",
    "insert-1000",
    "update-10",
    "update-1000",
    "latency",
    "snapshot",
    "decode",
    "rows",
    "large",
];

/// What this benchmark takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Args,
    /// Drain only against replicas like this; may be repeated. [default: serial and parallel]
    #[arg(long, value_enum)]
    replica: Vec<Replica>,
    /// Drain with the replica alone, to see how steady the machine is.
    #[arg(long)]
    rival_only: bool,
}

/// Measures what was asked for.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let args = &options.common;
    report::check_names(args, &GROUPS)?;
    let replicas = if options.replica.is_empty() {
        vec![Replica::Serial, Replica::Parallel]
    } else {
        options.replica.clone()
    };
    let servers = Servers::start(args.quick, args.pairs, options.rival_only, replicas).await?;
    let mut machine = machine::describe(&servers.target.url("postgres"), args.quick).await?;
    machine.extend(servers.describe().await?);
    for replica in &servers.replicas {
        machine.push((replica.title().to_owned(), replica.meaning().to_owned()));
    }
    report::report(args, &machine, &GROUPS, async |group| measure(&servers, group).await).await
}

async fn measure(servers: &Servers, group: &'static str) -> Result<Vec<Figure>> {
    match group {
        "latency" => latency::measure(servers).await,
        "snapshot" => snapshot::measure(servers).await,
        "decode" => decode::measure(servers).await,
        "rows" => decode::rows(servers).await,
        history => drain::measure(servers, history).await,
    }
}
