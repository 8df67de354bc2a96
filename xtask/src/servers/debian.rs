//! PostgreSQL from Debian packages, unpacked into a cache folder; nothing is installed.
//!
//! `apt-get` resolves and downloads with its state kept in the cache, so no privilege is needed
//! and the machine's own packages do not matter. A filled cache is used without any network.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Postgres, found, unpack};
use crate::cargo;

/// Which release carries which version. 16 was in none of them.
const SUITES: &[(u32, &str)] = &[(15, "bookworm"), (17, "trixie"), (18, "sid")];

/// Libraries the closure names and a server never opens: other languages, just-in-time
/// compilation, translations. They are most of its size.
const UNUSED: &[&str] = &["libperl", "libllvm", "libz3", "libc-l10n", "libc-bin", "libsystemd-shared"];

/// Where unpacked servers are kept: `postgresql-<version>/<key>/root`.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the cache: `$CDC_SERVER_CACHE`, else a folder under cargo's target folder.
    pub(super) fn open() -> Result<Cache> {
        let folder = match std::env::var_os("CDC_SERVER_CACHE") {
            Some(folder) => PathBuf::from(folder),
            None => default_folder(&cargo::target_dir()?)?,
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.canonicalize().context("cannot resolve the cache folder")?;
        Ok(Cache { folder })
    }

    /// The cached server of this version, or the newest one.
    pub(super) fn postgres(&self, version: Option<u32>) -> Option<Postgres> {
        let wanted = |number: &u32| version.is_none_or(|version| version == *number);
        let mut numbers: Vec<_> = SUITES.iter().map(|(number, _)| *number).filter(wanted).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers.into_iter().find_map(|number| {
            let entries = std::fs::read_dir(self.home(number)).ok()?.flatten();
            let complete = entries.filter(|entry| !is_partial(&entry.path()));
            let newest = complete.max_by_key(|entry| entry.metadata().and_then(|it| it.modified()).ok())?;
            found::look(&bin(&newest.path(), number), "cached packages").map(|(_, postgres)| postgres)
        })
    }

    /// Resolves, downloads and unpacks a version, unless the resolved packages are cached already.
    pub(super) fn fetch_postgres(&self, version: u32) -> Result<Postgres> {
        let suite = SUITES.iter().find(|(number, _)| *number == version).map(|(_, suite)| *suite);
        let Some(suite) = suite else {
            bail!("PostgreSQL {version} is not installed and no Debian release has it");
        };
        for tool in ["apt-get", "dpkg-deb"] {
            if cargo::which(tool).is_none() {
                bail!("PostgreSQL {version} is not installed, and without {tool} it cannot be fetched");
            }
        }
        println!("servers: fetching PostgreSQL {version} ({suite} packages)");
        let home = self.home(version);
        // A folder of our own, so that two runs at once do not disturb each other.
        let work = home.join(format!("{}.partial", std::process::id()));
        let result = fetch(&work, suite, version).and_then(|packages| {
            let done = home.join(key(&packages));
            if !done.exists() {
                unpack::unpack(&work, &packages, version)?;
                found::look(&bin(&work, version), "").context("the unpacked server does not start")?;
                // Only a complete server gets its final name; losing a race to one is fine too.
                if let Err(error) = std::fs::rename(&work, &done)
                    && !done.exists()
                {
                    return Err(error).context("cannot name the unpacked server");
                }
            }
            let found = found::look(&bin(&done, version), "fetched packages");
            found.map(|(_, postgres)| postgres).context("the cached server does not start")
        });
        // A leftover would only cost space.
        let _ = std::fs::remove_dir_all(&work);
        result.with_context(|| format!("cannot fetch PostgreSQL {version}"))
    }

    fn home(&self, version: u32) -> PathBuf {
        self.folder.join(format!("postgresql-{version}"))
    }
}

fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "partial")
}

fn bin(folder: &Path, version: u32) -> PathBuf {
    folder.join(format!("root/usr/lib/postgresql/{version}/bin"))
}

/// A server started by root runs as another user, who must be able to reach the files.
fn default_folder(target: &Path) -> Result<PathBuf> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let open = |folder: &Path| {
        std::fs::metadata(folder).map_or(true, |folder| folder.permissions().mode() & 0o001 != 0)
    };
    if !root || target.ancestors().all(open) {
        return Ok(target.join("servers"));
    }
    let folder = PathBuf::from("/var/cache/cdc-sink-servers");
    std::fs::create_dir_all(&folder).context("cannot create a cache folder that other users can read")?;
    Ok(folder)
}

/// Resolves the closure of a server's packages and downloads the useful part into `work/debs`.
fn fetch(work: &Path, suite: &str, version: u32) -> Result<Vec<String>> {
    for folder in ["lists/partial", "cache/archives/partial", "debs", "root"] {
        std::fs::create_dir_all(work.join(folder)).context("cannot create the cache")?;
    }
    // With no package installed, the whole closure is resolved, down to the C library.
    std::fs::write(work.join("status"), "")?;
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !keyring.exists() {
        bail!("{} is missing (package debian-archive-keyring)", keyring.display());
    }
    let source = format!("deb [signed-by={}] {} {suite} main\n", keyring.display(), mirror()?);
    std::fs::write(work.join("sources.list"), source)?;

    cargo::output(apt(work).args(["-qq", "update"])).context("cannot read the package lists")?;
    let main = format!("postgresql-{version}");
    let plan = cargo::output(apt(work).args(["-s", "--no-install-recommends", "install", &main]))?;
    let packages: Vec<_> = plan.lines().filter_map(planned).filter(|name| is_used(name, &main)).collect();
    if !packages.iter().any(|package| package.starts_with(&format!("{main}="))) {
        bail!("{suite} has no package {main}");
    }
    Ok(packages)
}

/// The archive this machine is set up for, unless told otherwise: it is the one sure to be reachable.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var("CDC_DEBIAN_MIRROR") {
        return Ok(mirror);
    }
    let mut list = Command::new("apt-get");
    let sites = cargo::output(list.args(["indextargets", "--format", "$(SITE)", "Created-By: Packages"]))?;
    let site = sites.lines().find(|site| site.trim_end_matches('/').ends_with("/debian"));
    let site = site.context("apt has no Debian archive; set CDC_DEBIAN_MIRROR to the address of one")?;
    Ok(site.to_owned())
}

/// `apt-get` with all of its state under `work`.
pub(super) fn apt(work: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let folder = |name: &str| work.join(name).display().to_string();
    for option in [
        format!("Dir::State::Lists={}", folder("lists")),
        format!("Dir::State::status={}", folder("status")),
        format!("Dir::Cache={}", folder("cache")),
        format!("Dir::Etc::sourcelist={}", folder("sources.list")),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        "Acquire::Languages=none".to_owned(),
        // Without this, root's apt drops to a user that cannot write here.
        "APT::Sandbox::User=".to_owned(),
    ] {
        command.arg("-o").arg(option);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

/// Reads `Inst libc6 (2.41-12 Debian:13/stable [amd64])` as `libc6=2.41-12`.
fn planned(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("Inst ")?.split_whitespace();
    let name = words.next()?;
    let version = words.find_map(|word| word.strip_prefix('('))?;
    Some(format!("{name}={}", version.trim_end_matches(')')))
}

/// The server, its client programs and libraries; not the tools around the installed package.
fn is_used(package: &str, main: &str) -> bool {
    let name = package.split('=').next().unwrap_or_default();
    let client = main.replace("postgresql-", "postgresql-client-");
    let library = name.starts_with("lib") && !name.ends_with("-perl");
    let unused = UNUSED.iter().any(|unused| name.starts_with(unused));
    name == main || name == client || name == "zlib1g" || (library && !unused)
}

/// A folder name for a list of packages: readable version, then FNV-1a over all of them.
fn key(packages: &[String]) -> String {
    let mut sorted = packages.to_vec();
    sorted.sort_unstable();
    let hash = sorted.join("\n").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let server = sorted.iter().find(|name| name.starts_with("postgresql-") && !name.contains("client"));
    let version = server.and_then(|name| name.split('=').nth(1)).unwrap_or("unknown");
    format!("{}-{hash:016x}", version.replace([':', '~', '/'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_apt_is_read() {
        let line = "Inst libc6 (2.41-12+deb13u1 Debian:13.1/stable [amd64]) [gcc-14-base:amd64 ]";
        assert_eq!(planned(line).as_deref(), Some("libc6=2.41-12+deb13u1"));
        let upgrade = "Inst tzdata [2024a-0] (2025b-0 Debian:13.1/stable [all])";
        assert_eq!(planned(upgrade).as_deref(), Some("tzdata=2025b-0"));
        assert_eq!(planned("Conf libc6 (2.41-12 Debian:13.1/stable [amd64])"), None);
    }

    #[test]
    fn only_what_a_server_opens_is_downloaded() {
        let used = |name: &str| is_used(&format!("{name}=1"), "postgresql-17");
        for name in ["postgresql-17", "postgresql-client-17", "libc6", "libicu76", "zlib1g", "libpq5"] {
            assert!(used(name), "{name}");
        }
        for name in ["perl", "libperl5.40", "libllvm19", "postgresql-common", "passwd", "libjson-perl"] {
            assert!(!used(name), "{name}");
        }
    }

    #[test]
    fn the_key_follows_the_list_and_not_its_order() {
        let list = |names: &[&str]| key(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let one = list(&["postgresql-17=17.5-1", "libc6=2.41"]);
        assert_eq!(one, list(&["libc6=2.41", "postgresql-17=17.5-1"]));
        assert_ne!(one, list(&["libc6=2.42", "postgresql-17=17.5-1"]));
        assert!(one.starts_with("17.5-1-"), "{one}");
    }
}
