//! The database servers a run uses: found on this machine, unpacked from packages, or containers.
//!
//! PostgreSQL is only located here; the scenarios start clusters themselves, since they also kill
//! them. CockroachDB and containers are started once and live as long as [`Servers`].

mod cockroach;
mod compose;
mod debian;
mod found;
mod unpack;

use anyhow::{Result, bail};

use crate::{Origin, ServerArgs};

/// Version taken when nothing is installed, cached or asked for.
const DEFAULT_POSTGRES: u32 = 17;

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
struct Postgres {
    bin: std::path::PathBuf,
    /// What `postgres --version` prints.
    version: String,
    /// How we came by it, for people.
    origin: &'static str,
}

/// What a run can use.
pub(crate) struct Servers {
    postgres: Result<Postgres, String>,
    cockroach: Result<cockroach::Cockroach, String>,
    compose: Option<compose::Compose>,
}

impl Servers {
    /// Finds or fetches the servers. A missing one is not an error here unless a version of it
    /// was asked for: the scenarios say what they skip.
    pub(crate) fn get(args: &ServerArgs) -> Result<Servers> {
        if args.servers == Origin::Docker {
            if args.postgres.is_some() {
                bail!("--postgres chooses among binaries; the containers' versions are in deploy/itest");
            }
            let none = "containers were asked for".to_owned();
            let compose = Some(compose::Compose::up()?);
            return Ok(Servers { postgres: Err(none.clone()), cockroach: Err(none), compose });
        }
        let postgres = match postgres(args.postgres) {
            Err(error) if args.postgres.is_some() => return Err(error),
            found => found.map_err(|error| format!("{error:#}")),
        };
        let cockroach = cockroach::Cockroach::get().map_err(|error| format!("{error:#}"));
        Ok(Servers { postgres, cockroach, compose: None })
    }

    /// One line per server.
    pub(crate) fn print(&self) {
        if let Some(compose) = &self.compose {
            println!("servers: postgres: {}", compose.postgres_url());
            println!("servers: cockroach: {}", compose.cockroach_url());
            return;
        }
        match &self.postgres {
            Ok(it) => println!("servers: postgres: {} in {} ({})", it.version, it.bin.display(), it.origin),
            Err(why) => println!("servers: postgres: none: {why}"),
        }
        match &self.cockroach {
            Ok(it) => println!("servers: cockroach: {} ({})", it.url(), it.origin()),
            Err(why) => println!("servers: cockroach: none: {why}"),
        }
    }

    /// How the package `tests` learns of them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = Vec::new();
        if let Some(compose) = &self.compose {
            environment.push(("CDC_TEST_POSTGRES_URL", compose.postgres_url()));
            environment.push(("CDC_TEST_COCKROACH_URL", compose.cockroach_url()));
        }
        if let Ok(postgres) = &self.postgres {
            environment.push(("CDC_TEST_POSTGRES_BIN", postgres.bin.display().to_string()));
        }
        if let Ok(cockroach) = &self.cockroach {
            environment.push(("CDC_TEST_COCKROACH_URL", cockroach.url().to_owned()));
        }
        environment
    }
}

/// Finds PostgreSQL: installed, else cached, else fetched.
fn postgres(version: Option<u32>) -> Result<Postgres> {
    if let Some(installed) = found::postgres(version) {
        return Ok(installed);
    }
    let cache = debian::Cache::open()?;
    if let Some(cached) = cache.postgres(version) {
        return Ok(cached);
    }
    cache.fetch_postgres(version.unwrap_or(DEFAULT_POSTGRES))
}

/// The command `servers`.
pub(crate) fn show(args: &ServerArgs, refresh: bool) -> Result<()> {
    if refresh {
        let cache = debian::Cache::open()?;
        cache.fetch_postgres(args.postgres.unwrap_or(DEFAULT_POSTGRES))?;
    }
    let servers = Servers::get(args)?;
    servers.print();
    if let Err(why) = &servers.postgres
        && servers.compose.is_none()
    {
        bail!("no PostgreSQL: {why}");
    }
    Ok(())
}
