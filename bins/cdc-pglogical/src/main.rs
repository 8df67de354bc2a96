//! `cdc-pglogical`: follows a PostgreSQL database by logical replication and applies its transactions to CockroachDB or
//! PostgreSQL.
//!
//! Only reads flags, builds the pieces, hands them to each other and waits.

mod args;
mod docs;
mod preflight;
mod snapshot;
mod start;
mod tables;
mod watching;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sink_feed::Failed;
use sink_service::exit::Exit;
use sink_service::layered::ConfigFileArgs;
use sink_service::logging::{self, LoggingArgs};
use sink_service::program;
use sink_service::reference::PrintDocsArgs;
use sink_service::settings::Setting;

use crate::args::StartArgs;
use crate::preflight::PreflightArgs;

/// Follows a PostgreSQL database by logical replication and applies its transactions to CockroachDB or PostgreSQL, so
/// that the target moves only between states that the source had.
#[derive(Debug, Parser)]
#[command(name = "cdc-pglogical", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    logging: LoggingArgs,
    #[command(flatten)]
    config_file: ConfigFileArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry changes from the source to the target (what is done if no command is given).
    Start(Box<StartArgs>),
    /// Look for everything that would keep `start` from working or from keeping its promises, print it with the statements
    /// that mend it, and change nothing. Ends with 0 if nothing is an error, with 4 otherwise.
    Preflight(Box<PreflightArgs>),
    /// Print a generated page of the documentation.
    #[command(hide = true)]
    PrintDocs(PrintDocsArgs),
}

fn main() -> ExitCode {
    program::run(run)
}

async fn run(cli: Cli, settings: Vec<Setting>) -> Result<Exit, Failed> {
    sink_service::tls::install_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;
    match cli.command {
        Command::Start(args) => {
            let log = logging::init(&cli.logging).map_err(|e| (Exit::Usage, e.into()))?;
            Box::pin(start::start(*args, &settings, log)).await
        }
        Command::Preflight(args) => preflight::run(*args).await,
        Command::PrintDocs(args) => Ok(args.print(docs::metrics, docs::flags)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_documents_is_understood_in_both_spellings() {
        for flag in [
            "--acceptPublicationChanges",
            "--accept-publication-changes=false",
            "--applyTimeout=30s",
            "--apply-timeout=30s",
            "--backfillWindow=1h",
            "--backfill-window=1h",
            "--bytesInFlight=10485760",
            "--bytes-in-flight=10485760",
            "--fanShards=16",
            "--fan-shards=16",
            "--immediate",
            "--immediate=false",
            "--loopName=pglogical",
            "--loop-name=pglogical",
            "--metricsAddr=127.0.0.1:13013",
            "--metrics-addr=127.0.0.1:13013",
            "--publicationName=my_pub",
            "--publication-name=my_pub",
            "--retryDelay=10s",
            "--retry-delay=10s",
            "--skipOrigins=any",
            "--skip-origins=a,b",
            "--replicationOrigin=n",
            "--replication-origin=n",
            "--slotName=cdc_sink",
            "--snapshotMode=initial",
            "--snapshot-mode=only",
            "--snapshotWorkers=2",
            "--snapshot-workers=2",
            "--snapshotSlotTimeout=5m",
            "--snapshot-slot-timeout=5m",
            "--tables=a,b.c",
            "--slot-name=cdc_sink",
            "--sourceConn=postgres://x",
            "--source-conn=postgres://x",
            "--stagingDB=_cdc_sink",
            "--staging-db=_cdc_sink",
            "--standbyTimeout=5s",
            "--standby-timeout=5s",
            "--targetConn=postgresql://x",
            "--target-conn=postgresql://x",
            "--targetDB=d",
            "--target-db=d",
            "--targetDBConns=1024",
            "--target-db-conns=1024",
            "--createTables",
            "--createTables=false",
            "--create-tables",
            "--dryRun",
            "--dry-run=true",
            "--logDestination=f",
            "--logFormat=fluent",
            "-v",
            "-vv",
        ] {
            assert!(Cli::try_parse_from(["cdc-pglogical", "start", flag]).is_ok(), "{flag}");
        }
    }
}
