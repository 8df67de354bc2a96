//! Servers in containers, for machines that have an engine and prefer it.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo;

/// Our containers; dropping it removes them and their data.
pub(super) struct Compose {
    postgres: String,
    cockroach: String,
}

impl Compose {
    /// Starts the containers and waits until they are healthy.
    pub(super) fn up() -> Result<Compose> {
        let version = cargo::output(command()?.arg("version"));
        version.context("docker compose does not work here")?;
        // Made first, so that containers of a failed start are removed too.
        let mut compose = Compose { postgres: String::new(), cockroach: String::new() };
        cargo::run(command()?.args(["up", "--detach", "--wait"])).context("cannot start the containers")?;
        compose.postgres = address("postgres", "5432")?;
        compose.cockroach = address("cockroach", "26257")?;
        Ok(compose)
    }

    /// Connection string of PostgreSQL's default database.
    pub(super) fn postgres_url(&self) -> String {
        format!("postgresql://postgres@{}/postgres?sslmode=disable", self.postgres)
    }

    /// Connection string of CockroachDB's default database.
    pub(super) fn cockroach_url(&self) -> String {
        format!("postgresql://root@{}/defaultdb?sslmode=disable", self.cockroach)
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let down = command().and_then(|mut command| cargo::run(command.args(["down", "--volumes"])));
        if let Err(error) = down {
            eprintln!("warning: containers may be left behind: {error:#}");
        }
    }
}

fn command() -> Result<Command> {
    let mut command = Command::new("docker");
    command.args(["compose", "--file"]).arg(cargo::root()?.join("deploy/itest/compose.yaml"));
    Ok(command)
}

/// Where the engine published a container's port.
fn address(service: &str, port: &str) -> Result<String> {
    let said = cargo::output(command()?.args(["port", service, port]))?;
    Ok(said.lines().next().context("the port is not published")?.trim().to_owned())
}
