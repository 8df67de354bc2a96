//! `cdc-mylogical`: follows a MySQL or MariaDB server by its binary log and applies its transactions to CockroachDB or
//! PostgreSQL.
//!
//! Only reads flags, builds the pieces, hands them to each other and waits.

mod args;
mod docs;
mod preflight;
mod snapshot;
mod start;

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

/// Follows a MySQL or MariaDB server by its binary log and applies its transactions to CockroachDB or PostgreSQL, so that
/// the target moves only between states that the source had.
#[derive(Debug, Parser)]
#[command(name = "cdc-mylogical", version, max_term_width = 110)]
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
            "--allowUnloggedCascades",
            "--allow-unlogged-cascades=false",
            "--applyTimeout=30s",
            "--apply-timeout=30s",
            "--backfillWindow=1h",
            "--backfill-window=1h",
            "--bytesInFlight=10485760",
            "--bytes-in-flight=10485760",
            "--createTables",
            "--create-tables",
            "--databases=shop,crm=customers",
            "--defaultGTIDSet=6fa7e6ef-c49a-11ec-950a-0242ac120002:1-8",
            "--default-gtid-set=0-1-1",
            "--dryRun",
            "--dry-run=true",
            "--fanShards=16",
            "--fan-shards=16",
            "--immediate",
            "--immediate=false",
            "--loopName=mylogical",
            "--loop-name=mylogical",
            "--metricsAddr=127.0.0.1:13013",
            "--metrics-addr=127.0.0.1:13013",
            "--nulBytes=strip",
            "--onTruncate=apply",
            "--outOfRangeTimes=null",
            "--replicationProcessID=10",
            "--replication-process-id=10",
            "--retryDelay=10s",
            "--retry-delay=10s",
            "--snapshotMode=initial",
            "--snapshot-mode=only",
            "--snapshotWorkers=2",
            "--sourceConn=mysql://x",
            "--source-conn=mysql://x",
            "--stagingDB=_cdc_sink",
            "--staging-db=_cdc_sink",
            "--standbyTimeout=5s",
            "--standby-timeout=5s",
            "--tables=a,b.c",
            "--targetConn=postgresql://x",
            "--target-conn=postgresql://x",
            "--targetDB=d",
            "--target-db=d",
            "--targetDBConns=1024",
            "--target-db-conns=1024",
            "--zeroDates=epoch",
            "--zero-dates=text",
            "--logDestination=f",
            "--logFormat=fluent",
            "-v",
            "-vv",
        ] {
            assert!(Cli::try_parse_from(["cdc-mylogical", "start", flag]).is_ok(), "{flag}");
        }
    }
}
