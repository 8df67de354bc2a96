//! The two products, and where their programs are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::harness::setting;

/// Which product a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavor::MySql => "MySQL",
            Flavor::MariaDb => "MariaDB",
        })
    }
}

impl Flavor {
    /// Both.
    pub const ALL: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

    /// Its name in names: of scenarios, folders and files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Flavor::MySql => "mysql",
            Flavor::MariaDb => "mariadb",
        }
    }

    /// The folder that its files are under, if the environment names one.
    #[must_use]
    pub fn base(self) -> Option<PathBuf> {
        let name = match self {
            Flavor::MySql => "CDC_TEST_MYSQL_BASE",
            Flavor::MariaDb => "CDC_TEST_MARIADB_BASE",
        };
        setting(name).map(PathBuf::from)
    }

    /// The server's program.
    pub(super) fn server(self, base: &Path) -> Result<PathBuf> {
        let names: &[&str] = match self {
            Flavor::MySql => &["mysqld"],
            Flavor::MariaDb => &["mariadbd", "mysqld"],
        };
        let places = ["sbin", "bin", "libexec"].map(|place| base.join(place));
        let all = places.iter().flat_map(|place| names.iter().map(move |name| place.join(name)));
        let found = all.into_iter().find(|program| program.is_file());
        found.with_context(|| format!("{} holds no {self} server", base.display()))
    }

    /// A client program by the name it has at MySQL.
    pub(super) fn client(self, base: &Path, name: &str) -> Result<Command> {
        let own = match (self, name) {
            (Flavor::MariaDb, "mysql") => "mariadb".to_owned(),
            (Flavor::MariaDb, name) => name.replacen("mysql", "mariadb-", 1),
            (Flavor::MySql, name) => name.to_owned(),
        };
        let program = base.join("bin").join(&own);
        let found = program.is_file().then_some(program);
        Ok(Command::new(found.with_context(|| format!("{} holds no {own}", base.display()))?))
    }
}
