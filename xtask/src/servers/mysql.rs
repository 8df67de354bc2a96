//! MySQL and MariaDB: which program to start, from the cache, the archive or this machine.
//!
//! Packages come before what is installed: the scenarios are about certain versions, and an
//! installed server may be confined to its own folders.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian;
use super::release::{self, Product};
use crate::cargo;

/// A server as it was unpacked or installed.
#[derive(Debug, Clone)]
pub(super) struct Base {
    /// What the servers call `basedir`: it holds `sbin` or `bin`, and `share`.
    pub(super) folder: PathBuf,
    /// What the program prints for `--version`.
    pub(super) version: String,
    /// How we came by it, for people.
    pub(super) origin: &'static str,
}

/// The environment variable that names the folder, for the scenarios and for who wants another server.
pub(super) fn variable(product: &Product) -> &'static str {
    if is_mariadb(product) { "CDC_TEST_MARIADB_BASE" } else { "CDC_TEST_MYSQL_BASE" }
}

fn is_mariadb(product: &Product) -> bool {
    product.folder == release::MARIADB.folder
}

/// The server of this version, or of the newest that packages are known for.
pub(super) fn get(product: &'static Product, version: Option<&str>) -> Result<Base> {
    if version.is_none()
        && let Some(folder) = std::env::var_os(variable(product)).filter(|folder| !folder.is_empty())
    {
        let found = look(product, Path::new(&folder), "from the environment");
        return found.with_context(|| format!("{} does not start", variable(product)));
    }
    let newest = release::of(product).next().map_or("", |release| release.version);
    let version_or_newest = version.unwrap_or(newest);
    let Some(release) = release::find(product, version_or_newest) else {
        bail!("no packages are known for {} {version_or_newest}", product.name);
    };
    let cache = debian::Cache::open()?;
    let cached =
        cache.cached(release).and_then(|root| look(product, &root.join("usr"), "cached packages").ok());
    if let Some(cached) = cached {
        return Ok(cached);
    }
    match fetch(&cache, release) {
        // What is installed is better than nothing, unless a version was asked for.
        Err(error) if version.is_none() => installed(product).ok_or(error),
        other => other,
    }
}

/// Asks the archive for a release, even if it is cached.
pub(super) fn fetch(cache: &debian::Cache, release: &release::Release) -> Result<Base> {
    let root = cache.fetch(release)?;
    look(release.product, &root.join("usr"), "fetched packages")
}

/// A server that this machine's search path leads to.
fn installed(product: &Product) -> Option<Base> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/mysql/bin".into()]);
    // A link leads to the folder that also holds the other files.
    let real =
        |folder: PathBuf| programs(product).iter().find_map(|name| folder.join(name).canonicalize().ok());
    let mut bases =
        folders.filter_map(real).filter_map(|program| program.parent()?.parent().map(Path::to_owned));
    bases.find_map(|base| look(product, &base, "installed").ok())
}

/// The server under a folder, if it is one of this product and starts.
fn look(product: &Product, folder: &Path, origin: &'static str) -> Result<Base> {
    let places = ["sbin", "bin", "libexec"].into_iter();
    let mut all = places.flat_map(|place| programs(product).iter().map(move |name| (place, name)));
    let program = all.find_map(|(place, name)| {
        let program = folder.join(place).join(name);
        program.is_file().then_some(program)
    });
    let program = program.with_context(|| format!("{} holds no server", folder.display()))?;
    let said = cargo::output(Command::new(program).arg("--version"))?;
    if said.contains("MariaDB") != is_mariadb(product) {
        bail!("{} holds another product: {}", folder.display(), said.trim());
    }
    Ok(Base { folder: folder.to_owned(), version: version(&said), origin })
}

fn programs(product: &Product) -> &'static [&'static str] {
    if is_mariadb(product) { &["mariadbd", "mysqld"] } else { &["mysqld"] }
}

/// Reads the version out of `/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`.
fn version(said: &str) -> String {
    let version = said.split("Ver ").nth(1).and_then(|rest| rest.split_whitespace().next());
    version.unwrap_or(said.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_both_products_print() {
        assert_eq!(version("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))\n"), "9.7.4-2");
        let said =
            "/usr/sbin/mariadbd  Ver 11.8.6-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on x86_64";
        assert_eq!(version(said), "11.8.6-MariaDB-0+deb13u1");
    }
}
