//! The benchmarks. `webhook` measures `cdc-webhook` against the best that the same machine does by hand, in one run,
//! with both sides on the same server; see [`figure`] for what is printed.

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
mod path;
mod rows;
mod tokens;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
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
    /// `cdc-webhook`: ingest, apply, behaviours, latency, whole path, immediate mode, memory, idle cost.
    Webhook(Args),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// Smaller sizes: a few minutes instead of half an hour, with more noise.
    #[arg(long)]
    quick: bool,
    /// Only these figures (ingest, tokens, apply, behaviours, latency, path, immediate, memory, idle); may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Alternating pairs per ratio.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pairs: u32,
    /// Also writes the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The groups of figures, in the order in which they run.
const GROUPS: [&str; 9] =
    ["ingest", "tokens", "apply", "behaviours", "latency", "path", "immediate", "memory", "idle"];

// Threads are for the load generator; this one waits and reads counters.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Product::Webhook(args) = Cli::parse().product;
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.only.iter().find(|name| !GROUPS.contains(&name.as_str())) {
        bail!("there is no figure {unknown:?}; there are {GROUPS:?}");
    }
    let bench = Bench::start(args.quick, args.pairs).await?;
    let machine = machine::describe(&bench).await?;
    for (name, value) in &machine {
        println!("{name:<18} {value}");
    }
    println!();
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for group in GROUPS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == group) {
            continue;
        }
        match measure(&bench, group).await {
            Ok(measured) => {
                measured.iter().for_each(Figure::print);
                figures.extend(measured);
            }
            // The other figures are worth having.
            Err(error) => {
                println!("{group:<34} FAILED: {error:#}");
                failed.push(group);
            }
        }
    }
    println!("\nload of the machine at the end: {}", machine::load_average());
    if let Some(file) = &args.json {
        let text = figure::json(&machine, &figures);
        std::fs::write(file, format!("{text:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(failed.is_empty(), "these could not be measured: {}", failed.join(", "));
    Ok(())
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
