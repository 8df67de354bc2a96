//! Servers that are already installed on this machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Postgres;
use crate::cargo;

/// Folders in which distributions and installers put one version each; `*` is the version.
const PARENTS: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", "bin"),
    ("/usr/local", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// The installed PostgreSQL of this major version, or the newest one.
pub(super) fn postgres(version: Option<u32>) -> Option<Postgres> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link leads to the folder that also holds the other programs and their files.
    let real = |folder: PathBuf| folder.join("postgres").canonicalize().ok()?.parent().map(Path::to_owned);
    let folders: BTreeSet<_> = std::env::split_paths(&path).chain(usual()).filter_map(real).collect();
    let mut found: Vec<_> = folders.iter().filter_map(|bin| look(bin, "installed")).collect();
    found.retain(|(number, _)| version.is_none_or(|version| version == *number));
    found.into_iter().max_by_key(|(number, _)| *number).map(|(_, postgres)| postgres)
}

fn usual() -> impl Iterator<Item = PathBuf> {
    let versions = PARENTS.iter().flat_map(|(parent, bin)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries.map(move |entry| entry.path().join(bin))
    });
    versions.chain(["/usr/bin".into(), "/usr/local/bin".into(), "/usr/local/pgsql/bin".into()])
}

/// Major version and description of the server in a folder, if there is a whole one.
pub(super) fn look(bin: &Path, origin: &'static str) -> Option<(u32, Postgres)> {
    if !bin.join("initdb").is_file() || !bin.join("postgres").is_file() {
        return None;
    }
    let said = cargo::output(Command::new(bin.join("postgres")).arg("--version")).ok()?;
    let number = major(&said)?;
    Some((number, Postgres { bin: bin.to_owned(), version: said.trim().to_owned(), origin }))
}

/// Reads `postgres (PostgreSQL) 17.5 (Debian …)`.
fn major(said: &str) -> Option<u32> {
    let rest = said.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_releases_and_betas() {
        assert_eq!(major("postgres (PostgreSQL) 17.5 (Debian 17.5-1)\n"), Some(17));
        assert_eq!(major("postgres (PostgreSQL) 18beta2\n"), Some(18));
        assert_eq!(major("mysqld 9.1"), None);
    }
}
