//! Starts the programs that need database servers: the scenarios, the demo and the benchmarks.
//!
//! Servers and binaries are handed over in the environment, so that the programs can also be
//! started by hand.

use std::process::Command;

use anyhow::Result;

use crate::servers::{Servers, Wanted};
use crate::{RunArgs, ServerArgs, cargo};

/// Programs that a scenario may start; those that the workspace does not have yet are left out.
const PROGRAMS: &[&str] = &["cdc-webhook", "cdc-pglogical", "cdc-mylogical"];

/// Runs the scenarios and returns the runner's own summary line.
pub(crate) fn itest(args: &RunArgs, filter: &[String]) -> Result<Option<String>> {
    cargo::run(build(&[])?.args(["-p", "tests"]))?;
    let mut command = cargo::cargo();
    command.args(["test", "-p", "tests", "--test", "itest"]);
    if !filter.is_empty() {
        command.env("CDC_TEST_FILTER", filter.join(","));
    }
    let servers = Servers::get(&args.servers, wanted(filter, args.long)?)?;
    servers.print();
    environment(&mut command, &servers, "debug")?;
    if args.long {
        command.env("CDC_TEST_LONG", "1");
    }
    if !args.require.is_empty() {
        let names: Vec<_> = args.require.iter().map(|require| require.name()).collect();
        command.env("CDC_TEST_REQUIRE", names.join(","));
    }
    let mut summary = None;
    cargo::run_watched(&mut command, |line| {
        if let Some(rest) = line.strip_prefix("scenarios: ") {
            summary = Some(rest.to_owned());
        }
    })?;
    Ok(summary)
}

/// Which servers the scenarios of a run need; they are asked, since they know.
fn wanted(filter: &[String], long: bool) -> Result<Wanted> {
    let mut ask = cargo::cargo();
    ask.args(["test", "-q", "-p", "tests", "--test", "itest"]).env("CDC_TEST_TELL_NEEDS", "1");
    if !filter.is_empty() {
        ask.env("CDC_TEST_FILTER", filter.join(","));
    }
    if long {
        ask.env("CDC_TEST_LONG", "1");
    }
    let said = cargo::output(&mut ask)?;
    let needs = said.lines().find_map(|line| line.strip_prefix("needs: ")).unwrap_or_default();
    let needs = |name: &str| needs.split(',').any(|need| need == name);
    Ok(Wanted { mysql: needs("mysql"), mariadb: needs("mariadb") })
}

/// Builds and runs one of the programs of the package `tests`, optimised.
pub(crate) fn program(name: &str, servers: &ServerArgs, args: &[String]) -> Result<()> {
    let about_binlogs = args.iter().any(|arg| arg.contains("mylogical"));
    let wanted = if about_binlogs { Wanted::ALL } else { Wanted::default() };
    let servers = Servers::get(servers, wanted)?;
    servers.print();
    cargo::run(&mut build(&["--release"])?)?;
    let mut command = cargo::cargo();
    command.args(["run", "--release", "-p", "tests", "--bin", name, "--"]).args(args);
    environment(&mut command, &servers, "release")?;
    cargo::run(&mut command)
}

/// Writes the files that decoders of binary logs are tested with.
pub(crate) fn corpus(servers: &ServerArgs, args: &[String]) -> Result<()> {
    let servers = Servers::get(servers, Wanted::ALL)?;
    servers.print();
    let mut command = cargo::cargo();
    command.args(["run", "-q", "-p", "tests", "--bin", "corpus", "--"]).args(args);
    environment(&mut command, &servers, "debug")?;
    cargo::run(&mut command)
}

/// The command that builds what a scenario may start.
fn build(options: &[&str]) -> Result<Command> {
    let bins = cargo::root()?.join("bins");
    let mut command = cargo::cargo();
    command.arg("build").args(options);
    for program in PROGRAMS.iter().filter(|program| bins.join(program).is_dir()) {
        command.args(["-p", program]);
    }
    Ok(command)
}

/// What the package `tests` reads; `tests/src/harness/mod.rs` lists the names.
fn environment(command: &mut Command, servers: &Servers, profile: &str) -> Result<()> {
    command.env("CDC_TEST_BIN_DIR", cargo::target_dir()?.join(profile));
    command.envs(servers.environment());
    Ok(())
}
