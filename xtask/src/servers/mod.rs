//! The database servers a run uses: found on this machine, unpacked from packages, or containers.
//!
//! PostgreSQL, MySQL and MariaDB are only located here; the scenarios start servers themselves, since
//! they also kill them. CockroachDB and containers are started once and live as long as [`Servers`].

mod cockroach;
mod compose;
mod debian;
mod found;
mod mysql;
mod release;
mod unpack;

use anyhow::{Context, Result, bail};

use crate::{Origin, ServerArgs};

/// Version taken when nothing is installed, cached or asked for.
const DEFAULT_POSTGRES: &str = "17";

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
struct Postgres {
    bin: std::path::PathBuf,
    /// What `postgres --version` prints.
    version: String,
    /// How we came by it, for people.
    origin: &'static str,
}

/// Servers that are only looked for, and fetched, where a run needs them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// MySQL.
    pub(crate) mysql: bool,
    /// MariaDB.
    pub(crate) mariadb: bool,
}

impl Wanted {
    /// All of them.
    pub(crate) const ALL: Wanted = Wanted { mysql: true, mariadb: true };
}

/// A server that was looked for, or nothing where the run does not need it.
type Looked<T> = Option<Result<T, String>>;

/// What a run can use.
pub(crate) struct Servers {
    postgres: Result<Postgres, String>,
    cockroach: Result<cockroach::Cockroach, String>,
    mysql: Looked<mysql::Base>,
    mariadb: Looked<mysql::Base>,
    compose: Option<compose::Compose>,
}

impl Servers {
    /// Finds or fetches the servers. A missing one is not an error here unless a version of it
    /// was asked for: the scenarios say what they skip.
    pub(crate) fn get(args: &ServerArgs, wanted: Wanted) -> Result<Servers> {
        if args.servers == Origin::Docker {
            if args.postgres.is_some() || args.mysql.is_some() || args.mariadb.is_some() {
                bail!("a version chooses among binaries; the containers' versions are in deploy/itest");
            }
            let none = "containers were asked for".to_owned();
            let (mysql, mariadb) =
                (wanted.mysql.then(|| Err(none.clone())), wanted.mariadb.then(|| Err(none.clone())));
            let compose = Some(compose::Compose::up()?);
            return Ok(Servers {
                postgres: Err(none.clone()),
                cockroach: Err(none),
                mysql,
                mariadb,
                compose,
            });
        }
        let postgres = match postgres(args.postgres) {
            Err(error) if args.postgres.is_some() => return Err(error),
            found => found.map_err(|error| format!("{error:#}")),
        };
        let mysql = binlog_source(wanted.mysql, &release::MYSQL, args.mysql.as_deref())?;
        let mariadb = binlog_source(wanted.mariadb, &release::MARIADB, args.mariadb.as_deref())?;
        let cockroach = cockroach::Cockroach::get().map_err(|error| format!("{error:#}"));
        Ok(Servers { postgres, cockroach, mysql, mariadb, compose: None })
    }

    /// One line per server.
    pub(crate) fn print(&self) {
        if let Some(compose) = &self.compose {
            println!("servers: postgres: {}", compose.postgres_url());
            println!("servers: cockroach: {}", compose.cockroach_url());
        } else {
            match &self.postgres {
                Ok(it) => {
                    println!("servers: postgres: {} in {} ({})", it.version, it.bin.display(), it.origin)
                }
                Err(why) => println!("servers: postgres: none: {why}"),
            }
            match &self.cockroach {
                Ok(it) => println!("servers: cockroach: {} ({})", it.url(), it.origin()),
                Err(why) => println!("servers: cockroach: none: {why}"),
            }
        }
        for (name, looked) in [("mysql", &self.mysql), ("mariadb", &self.mariadb)] {
            match looked {
                Some(Ok(it)) => {
                    println!("servers: {name}: {} in {} ({})", it.version, it.folder.display(), it.origin);
                }
                Some(Err(why)) => println!("servers: {name}: none: {why}"),
                None => {}
            }
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
        for (product, looked) in [(&release::MYSQL, &self.mysql), (&release::MARIADB, &self.mariadb)] {
            if let Some(Ok(base)) = looked {
                environment.push((mysql::variable(product), base.folder.display().to_string()));
            }
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
    let version = version.map(|version| version.to_string());
    let mut releases = release::of(&release::POSTGRES)
        .filter(|release| version.as_deref().is_none_or(|version| version == release.version));
    let cached = releases.find_map(|release| {
        let server = release.server(&cache.cached(release)?);
        found::look(server.parent()?, "cached packages")
    });
    match cached {
        Some((_, postgres)) => Ok(postgres),
        None => fetch_postgres(&cache, version.as_deref()),
    }
}

fn fetch_postgres(cache: &debian::Cache, version: Option<&str>) -> Result<Postgres> {
    let version = version.unwrap_or(DEFAULT_POSTGRES);
    let Some(release) = release::find(&release::POSTGRES, version) else {
        bail!("PostgreSQL {version} is not installed and no Debian release has it");
    };
    let server = release.server(&cache.fetch(release)?);
    let found = server.parent().and_then(|bin| found::look(bin, "fetched packages"));
    found.map(|(_, postgres)| postgres).context("the cached server does not start")
}

/// Finds MySQL or MariaDB where it is wanted. Its absence is an error if a version was asked for.
fn binlog_source(
    wanted: bool,
    product: &'static release::Product,
    version: Option<&str>,
) -> Result<Looked<mysql::Base>> {
    if !wanted {
        return Ok(None);
    }
    match mysql::get(product, version) {
        Err(error) if version.is_some() => Err(error),
        found => Ok(Some(found.map_err(|error| format!("{error:#}")))),
    }
}

/// The command `servers`.
pub(crate) fn show(args: &ServerArgs, refresh: bool) -> Result<()> {
    if refresh {
        let cache = debian::Cache::open()?;
        let version = args.postgres.map(|version| version.to_string());
        fetch_postgres(&cache, version.as_deref())?;
        for (product, version) in [(&release::MYSQL, &args.mysql), (&release::MARIADB, &args.mariadb)] {
            let mut releases = release::of(product)
                .filter(|release| version.as_deref().is_none_or(|version| version == release.version));
            mysql::fetch(&cache, releases.next().context("no packages are known for this version")?)?;
        }
    }
    let servers = Servers::get(args, Wanted::ALL)?;
    servers.print();
    if let Err(why) = &servers.postgres
        && servers.compose.is_none()
    {
        bail!("no PostgreSQL: {why}");
    }
    Ok(())
}
