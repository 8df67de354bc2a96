//! The demos: throw-away servers, one of the products, and a source that is kept busy; at the end the target is compared
//! with the source.

mod binlog_shop;
mod migration;
mod mylogical;
mod pglogical;
mod shop;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See one of the products at work; without a name, `webhook`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    product: Option<Product>,
    #[command(flatten)]
    webhook: webhook::Args,
}

#[derive(Debug, Subcommand)]
enum Product {
    /// See a simulated CockroachDB changefeed arrive in PostgreSQL.
    Webhook(webhook::Args),
    /// See a busy PostgreSQL database being copied and followed to another server.
    Pglogical(pglogical::Args),
    /// See a busy MariaDB or MySQL database being copied and followed to PostgreSQL.
    Mylogical(mylogical::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.product.unwrap_or(Product::Webhook(cli.webhook)) {
        Product::Webhook(args) => webhook::run(&args).await,
        Product::Pglogical(args) => pglogical::run(&args).await,
        Product::Mylogical(args) => mylogical::run(&args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nthe demo could not be finished: {error:#}");
            ExitCode::FAILURE
        }
    }
}
