//! Starts the programs that need database servers: the scenarios, the demo and the benchmarks.
//!
//! Servers and binaries are handed over in the environment, so that the programs can also be
//! started by hand.

use std::process::Command;

use anyhow::Result;

use crate::servers::Servers;
use crate::{RunArgs, ServerArgs, cargo};

/// Runs the scenarios and returns the runner's own summary line.
pub(crate) fn itest(args: &RunArgs, filter: &[String]) -> Result<Option<String>> {
    let servers = Servers::get(&args.servers)?;
    servers.print();
    cargo::run(cargo::cargo().args(["build", "-p", "cdc-webhook", "-p", "cdc-pglogical", "-p", "tests"]))?;

    let mut command = cargo::cargo();
    command.args(["test", "-p", "tests", "--test", "itest"]);
    environment(&mut command, &servers, "debug")?;
    if args.long {
        command.env("CDC_TEST_LONG", "1");
    }
    if !args.require.is_empty() {
        let names: Vec<_> = args.require.iter().map(|require| require.name()).collect();
        command.env("CDC_TEST_REQUIRE", names.join(","));
    }
    if !filter.is_empty() {
        command.env("CDC_TEST_FILTER", filter.join(","));
    }
    let mut summary = None;
    cargo::run_watched(&mut command, |line| {
        if let Some(rest) = line.strip_prefix("scenarios: ") {
            summary = Some(rest.to_owned());
        }
    })?;
    Ok(summary)
}

/// Builds and runs one of the programs of the package `tests`, optimised.
pub(crate) fn program(name: &str, servers: &ServerArgs, args: &[String]) -> Result<()> {
    let servers = Servers::get(servers)?;
    servers.print();
    cargo::run(cargo::cargo().args(["build", "--release", "-p", "cdc-webhook", "-p", "cdc-pglogical"]))?;
    let mut command = cargo::cargo();
    command.args(["run", "--release", "-p", "tests", "--bin", name, "--"]).args(args);
    environment(&mut command, &servers, "release")?;
    cargo::run(&mut command)
}

/// What the package `tests` reads; `tests/src/harness/mod.rs` lists the names.
fn environment(command: &mut Command, servers: &Servers, profile: &str) -> Result<()> {
    command.env("CDC_TEST_BIN_DIR", cargo::target_dir()?.join(profile));
    command.envs(servers.environment());
    Ok(())
}
