//! `cdc-webhook`: receives CockroachDB changefeeds over HTTP and applies them to CockroachDB or PostgreSQL.
//!
//! Only reads flags, builds the pieces, hands them to each other and waits.

mod admin;
mod args;
mod docs;
mod make_jwt;
mod operate;
mod start;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sink_service::exit::Exit;
use sink_service::layered::ConfigFileArgs;
use sink_service::logging::{self, LoggingArgs};
use sink_service::program;
use sink_service::reference::PrintDocsArgs;
use sink_service::settings::Setting;

use crate::args::{ResetArgs, StartArgs, StatusArgs};
use crate::make_jwt::MakeJwtArgs;

/// Receives CockroachDB changefeeds over HTTP and applies them to CockroachDB or PostgreSQL, so that the target
/// moves only between states that the source had.
#[derive(Debug, Parser)]
#[command(name = "cdc-webhook", version, max_term_width = 110)]
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
    /// Receive and apply changefeeds (what is done if no command is given).
    Start(Box<StartArgs>),
    /// Show where every schema stands.
    Status(StatusArgs),
    /// Repair the state of a schema, for instance before its changefeed is created anew.
    Reset(ResetArgs),
    /// Make the token with which a changefeed may write to some schemas.
    MakeJwt(MakeJwtArgs),
    /// Print a generated page of the documentation.
    #[command(hide = true)]
    PrintDocs(PrintDocsArgs),
}

fn main() -> ExitCode {
    program::run(run)
}

/// An error for people, with the code for machines.
type Failed = (Exit, anyhow::Error);

async fn run(cli: Cli, settings: Vec<Setting>) -> Result<Exit, Failed> {
    sink_service::tls::install_crypto_provider().map_err(|e| (Exit::Failure, e.into()))?;
    match cli.command {
        Command::Start(args) => {
            let log = logging::init(&cli.logging).map_err(|e| (Exit::Usage, e.into()))?;
            start::start(*args, &settings, log).await
        }
        Command::Status(args) => operate::status(args).await,
        Command::Reset(args) => operate::reset(args).await,
        Command::MakeJwt(args) => make_jwt::make_jwt(&args),
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
            "--bindAddr=:1",
            "--bind-addr=:1",
            "--metricsAddr=:1",
            "--metrics-addr=:1",
            "--conn=postgresql://x",
            "--targetConn=postgresql://x",
            "--target-conn=postgresql://x",
            "--stagingDB=s",
            "--staging-db=s",
            "--stagingCreateSchema",
            "--staging-create-schema=true",
            "--immediate",
            "--immediate=false",
            "--jwtAllowNoExpiry",
            "--jwtAllowNoExpiry=false",
            "--jwt-allow-no-expiry=false",
            "--disableAuthentication",
            "--disable-authentication",
            "--tlsCertificate=c",
            "--tlsPrivateKey=k",
            "--tlsSelfSigned",
            "--logDestination=f",
            "--logFormat=fluent",
            "-v",
            "-vv",
            "--maxBodyBytes=1",
            "--ndjsonBufferSize=65536",
            "--ndjson-buffer-size=65536",
            "--onApplyError=quarantine",
        ] {
            assert!(Cli::try_parse_from(["cdc-webhook", "start", flag]).is_ok(), "{flag}");
        }
    }
}
