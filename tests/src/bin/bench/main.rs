//! The benchmarks. `webhook` measures `cdc-webhook` against the best that the same machine does by hand, `pglogical`
//! measures `cdc-pglogical` against PostgreSQL's own logical replication, `mylogical` measures `cdc-mylogical` against a
//! MariaDB server's own replica; each in one run, with both sides on the same servers. See [`figure`] for what is printed.

mod apply;
mod behaviours;
mod context;
mod figure;
mod idle;
mod immediate;
mod ingest;
mod latency;
mod load;
mod machine;
mod memory;
mod mylogical;
mod path;
mod pglogical;
mod report;
mod rows;
mod tokens;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use context::Bench;
use figure::Figure;

/// Measures the products on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    product: Product,
}

#[derive(Debug, Subcommand)]
enum Product {
    /// `cdc-webhook`: ingest, tokens, apply, behaviours, latency, path, immediate, memory, idle.
    Webhook(Args),
    /// `cdc-pglogical`: insert-1, insert-10, insert-1000, update-1, update-1000, delete-1000, tpcb, latency,
    /// snapshot, decode, large.
    Pglogical(pglogical::Options),
    /// `cdc-mylogical`: insert-1, insert-10, insert-1000, update-10, update-1000, latency, snapshot, decode,
    /// rows, large.
    Mylogical(mylogical::Options),
}

/// What all benchmarks take.
#[derive(Debug, clap::Args)]
struct Args {
    /// Smaller sizes: a few minutes instead of half an hour, with more noise.
    #[arg(long)]
    quick: bool,
    /// Only these figures, by the names that the list of products gives; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Alternating pairs per ratio.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pairs: u32,
    /// Also writes the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The groups of figures of `cdc-webhook`, in the order in which they run.
const WEBHOOK: [&str; 9] =
    ["ingest", "tokens", "apply", "behaviours", "latency", "path", "immediate", "memory", "idle"];

// Threads are for the load generator; this one waits and reads counters.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let done = match Cli::parse().product {
        Product::Webhook(args) => webhook(&args).await,
        Product::Pglogical(options) => pglogical::run(&options).await,
        Product::Mylogical(options) => mylogical::run(&options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn webhook(args: &Args) -> Result<()> {
    report::check_names(args, &WEBHOOK)?;
    let bench = Bench::start(args.quick, args.pairs).await?;
    let machine = machine::describe(&bench.server.url("postgres"), args.quick).await?;
    report::report(args, &machine, &WEBHOOK, async |group| measure(&bench, group).await).await
}

async fn measure(bench: &Bench, group: &str) -> Result<Vec<Figure>> {
    match group {
        "ingest" => ingest::measure(bench).await,
        "tokens" => tokens::measure(bench).await,
        "apply" => apply::measure(bench).await,
        "behaviours" => behaviours::measure(bench).await,
        "latency" => latency::measure(bench).await,
        "path" => path::measure(bench).await,
        "immediate" => immediate::measure(bench).await,
        "memory" => memory::measure(bench).await,
        _ => idle::measure(bench).await,
    }
}
