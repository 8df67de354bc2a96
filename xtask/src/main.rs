//! The project's own commands, run as `cargo xtask <command>`.
//!
//! This file reads the command line and hands over; it knows no step and no server itself.

mod cargo;
mod docs;
mod scenarios;
mod servers;
mod steps;
mod tidy;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Checks, tests, demo and benchmarks of this project.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check and every test, ending with the scenarios against real servers.
    Test(RunArgs),
    /// The same list as `test`; this is what CI runs.
    Ci(RunArgs),
    /// Run the scenarios against real servers; FILTER picks those whose name contains it.
    Itest(ItestArgs),
    /// Start a target server and show replication at work.
    Demo(PassOnArgs),
    /// Measure, for example `bench webhook`; arguments go to the benchmark.
    Bench(PassOnArgs),
    /// Check the parsers with random inputs, for example `fuzz --seconds 60 webhook`.
    Fuzz(FuzzArgs),
    /// Write the corpus of binary logs again, from real servers: `corpus temporal`.
    Corpus(PassOnArgs),
    /// Check the project's own rules: dependencies, file sizes, headers, bare notes, driver types.
    Tidy,
    /// Write the pages of the documentation that are made from the code.
    Docs,
    /// Show which database servers are used, fetching what is missing.
    Servers(ServersArgs),
}

/// Where database servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// Binaries of this machine, else unpacked distribution packages.
    Auto,
    /// Containers, through `docker compose`.
    Docker,
}

#[derive(Debug, Clone, Args)]
struct ServerArgs {
    /// Where database servers come from.
    #[arg(long, value_enum, default_value = "auto")]
    servers: Origin,
    /// Major version of PostgreSQL (15 to 18); without it, whatever is found.
    #[arg(long, value_parser = clap::value_parser!(u32).range(15..=18))]
    postgres: Option<u32>,
    /// Version of MySQL, where one is needed; without it, the newest there are packages for.
    #[arg(long, value_parser = ["9.7"])]
    mysql: Option<String>,
    /// Version of MariaDB, where one is needed; without it, the newest there are packages for.
    #[arg(long, value_parser = ["10.11", "11.8"])]
    mariadb: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct RunArgs {
    #[command(flatten)]
    servers: ServerArgs,
    /// Also run the full-size loops.
    #[arg(long)]
    long: bool,
    /// Fail, rather than skip, a scenario that needs this server and does not find it
    /// (postgres, cockroach, mysql, mariadb); may be repeated.
    #[arg(long, value_name = "NAME")]
    require: Vec<Requirement>,
}

/// A server that a run can insist on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Requirement {
    /// PostgreSQL.
    Postgres,
    /// CockroachDB.
    Cockroach,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Requirement {
    /// The word by which the scenario runner knows it.
    fn name(self) -> &'static str {
        match self {
            Requirement::Postgres => "postgres",
            Requirement::Cockroach => "cockroach",
            Requirement::Mysql => "mysql",
            Requirement::Mariadb => "mariadb",
        }
    }
}

#[derive(Debug, Args)]
struct ItestArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Part of a scenario's name; several widen the choice.
    filter: Vec<String>,
}

#[derive(Debug, Args)]
struct PassOnArgs {
    #[command(flatten)]
    servers: ServerArgs,
    /// Arguments of the program itself.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Debug, Args)]
struct FuzzArgs {
    /// Arguments of the program itself.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Debug, Args)]
struct ServersArgs {
    #[command(flatten)]
    servers: ServerArgs,
    /// Ask the distribution again, even if a version is cached.
    #[arg(long)]
    refresh: bool,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(args) | Command::Ci(args) => return steps::run(&args),
        Command::Itest(args) => scenarios::itest(&args.run, &args.filter).map(|_| ()),
        Command::Demo(args) => scenarios::program("demo", &args.servers, &args.args),
        Command::Bench(args) => scenarios::program("bench", &args.servers, &args.args),
        // Without optimisation, so that overflows are found.
        Command::Fuzz(args) => {
            cargo::run(cargo::cargo().args(["run", "-p", "tests", "--bin", "fuzz", "--"]).args(&args.args))
        }
        Command::Corpus(args) => scenarios::corpus(&args.servers, &args.args),
        Command::Tidy => cargo::root().and_then(|root| tidy::run(&root)),
        Command::Docs => docs::write(),
        Command::Servers(args) => servers::show(&args.servers, args.refresh),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn arguments_of_a_program_are_passed_on_untouched() {
        let cli = Cli::try_parse_from(["xtask", "bench", "--postgres", "17", "webhook", "--rows", "5"]);
        let Command::Bench(args) = cli.unwrap().command else { panic!("another command") };
        assert_eq!(args.servers.postgres, Some(17));
        assert_eq!(args.args, ["webhook", "--rows", "5"]);
        let cli = Cli::try_parse_from(["xtask", "demo", "--keep"]);
        let Command::Demo(args) = cli.unwrap().command else { panic!("another command") };
        assert_eq!(args.args, ["--keep"]);
    }

    #[test]
    fn only_versions_that_packages_are_known_for_can_be_asked_for() {
        let cli =
            Cli::try_parse_from(["xtask", "itest", "--mariadb", "10.11", "--require", "mysql", "mylogical"]);
        let Command::Itest(args) = cli.unwrap().command else { panic!("another command") };
        assert_eq!(args.run.servers.mariadb.as_deref(), Some("10.11"));
        assert_eq!(args.run.require, [Requirement::Mysql]);
        assert!(Cli::try_parse_from(["xtask", "itest", "--mysql", "5.7"]).is_err());
    }
}
