//! Servers from Debian packages, unpacked into a cache folder; nothing is installed.
//!
//! `apt-get` resolves and downloads with its state kept in the cache, so no privilege is needed
//! and the machine's own packages do not matter. A filled cache is used without any network.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::release::Release;
use super::unpack;
use crate::cargo;

/// Where unpacked servers are kept: `<product>-<version>/<key>/root`.
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

    /// The newest cached server of a release: the folder that its files are under.
    pub(super) fn cached(&self, release: &Release) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.home(release)).ok()?.flatten();
        let complete = entries.filter(|entry| !is_partial(&entry.path()));
        let newest = complete.max_by_key(|entry| entry.metadata().and_then(|it| it.modified()).ok())?;
        Some(newest.path().join("root"))
    }

    /// Resolves, downloads and unpacks a release, unless the resolved packages are cached already.
    pub(super) fn fetch(&self, release: &Release) -> Result<PathBuf> {
        for tool in ["apt-get", "dpkg-deb"] {
            if cargo::which(tool).is_none() {
                bail!("{release} is not installed, and without {tool} it cannot be fetched");
            }
        }
        println!("servers: fetching {release} ({} packages)", release.suite);
        let home = self.home(release);
        // A folder of our own, so that two runs at once do not disturb each other.
        let work = home.join(format!("{}.partial", std::process::id()));
        let result = download_list(&work, release).and_then(|packages| {
            let done = home.join(key(&packages, release));
            if !done.exists() {
                unpack::unpack(&work, &packages, release)?;
                let server = release.server(&work.join("root"));
                cargo::output(Command::new(server).arg("--version"))
                    .context("the unpacked server does not start")?;
                // Only a complete server gets its final name; losing a race to one is fine too.
                if let Err(error) = std::fs::rename(&work, &done)
                    && !done.exists()
                {
                    return Err(error).context("cannot name the unpacked server");
                }
            }
            Ok(done.join("root"))
        });
        // A leftover would only cost space.
        let _ = std::fs::remove_dir_all(&work);
        result.with_context(|| format!("cannot fetch {release}"))
    }

    fn home(&self, release: &Release) -> PathBuf {
        self.folder.join(format!("{}-{}", release.product.folder, release.version))
    }
}

fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "partial")
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

/// Resolves the closure of a server's packages; answers those to download, as `name=version`.
fn download_list(work: &Path, release: &Release) -> Result<Vec<String>> {
    for folder in ["lists/partial", "cache/archives/partial", "debs", "root"] {
        std::fs::create_dir_all(work.join(folder)).context("cannot create the cache")?;
    }
    // With no package installed, the whole closure is resolved, down to the C library.
    std::fs::write(work.join("status"), "")?;
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !keyring.exists() {
        bail!("{} is missing (package debian-archive-keyring)", keyring.display());
    }
    let source = format!("deb [signed-by={}] {} {} main\n", keyring.display(), mirror()?, release.suite);
    std::fs::write(work.join("sources.list"), source)?;

    cargo::output(apt(work).args(["-qq", "update"])).context("cannot read the package lists")?;
    let wanted = release.packages();
    let plan = cargo::output(apt(work).args(["-s", "--no-install-recommends", "install"]).args(&wanted))?;
    let planned: Vec<_> = plan.lines().filter_map(planned).collect();
    let Some(server) = planned.iter().find(|package| name(package) == wanted[0]) else {
        bail!("{} has no package {}", release.suite, wanted[0]);
    };
    if !release.is_of_version(server) {
        bail!("{} has {server} by now; name another archive in CDC_DEBIAN_MIRROR", release.suite);
    }
    // The same source package makes them, so they have the server's version.
    let version = server.split_once('=').map_or("", |(_, version)| version);
    let alone: Vec<_> = release.product.alone.iter().map(|name| format!("{name}={version}")).collect();
    let used = planned.into_iter().filter(|package| release.uses(name(package)));
    Ok(used.chain(alone).collect())
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

/// The name in `name=version`.
fn name(package: &str) -> &str {
    package.split('=').next().unwrap_or_default()
}

/// A folder name for a list of packages: readable version, then FNV-1a over all of them.
fn key(packages: &[String], release: &Release) -> String {
    let mut sorted = packages.to_vec();
    sorted.sort_unstable();
    let hash = sorted.join("\n").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let wanted = release.packages();
    let server = sorted.iter().find(|package| name(package) == wanted[0]);
    let version = server.and_then(|name| name.split('=').nth(1)).unwrap_or("unknown");
    format!("{}-{hash:016x}", version.replace([':', '~', '/'], "_"))
}

#[cfg(test)]
mod tests {
    use super::super::release;
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
    fn the_key_follows_the_list_and_not_its_order() {
        let release = release::find(&release::POSTGRES, "17").unwrap();
        let list =
            |names: &[&str]| key(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), release);
        let one = list(&["postgresql-17=17.5-1", "libc6=2.41"]);
        assert_eq!(one, list(&["libc6=2.41", "postgresql-17=17.5-1"]));
        assert_ne!(one, list(&["libc6=2.42", "postgresql-17=17.5-1"]));
        assert!(one.starts_with("17.5-1-"), "{one}");
    }
}
