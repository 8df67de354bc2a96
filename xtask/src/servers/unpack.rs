//! Makes unpacked packages runnable on any Linux: programs start through the loader and the C
//! library that came with them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::apt;
use super::release::Release;
use crate::cargo;

/// Starts a program by the name the script has. PostgreSQL finds its other files relative to
/// `argv[0]`, and `initdb` starts `postgres` from its own folder, so both must look as if the
/// script were the program. `exec` keeps the process id.
const WRAPPER: &str = r#"#!/bin/sh
root=${0%/*}/@UP@
exec "$root/@LOADER@" --library-path "$root/@LIBS@:$root/@MORE@" --argv0 "$0" "$0.bin" "$@"
"#;

/// What no server reads, whoever made it.
const SURPLUS: &[&str] = &["usr/share/doc", "usr/share/lintian", "usr/share/locale", "usr/share/man"];

/// Downloads the packages, unpacks them into `work/root` and puts the wrappers in place.
pub(super) fn unpack(work: &Path, packages: &[String], release: &Release) -> Result<()> {
    let debs = work.join("debs");
    cargo::output(apt(work).current_dir(&debs).arg("-qq").arg("download").args(packages))
        .context("cannot download the packages")?;
    let root = work.join("root");
    for entry in std::fs::read_dir(&debs)? {
        let deb = entry?.path();
        cargo::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root))
            .with_context(|| format!("cannot unpack {}", deb.display()))?;
    }
    prune(&root, release)?;
    for folder in release.programs() {
        wrap(&root, &folder)?;
    }
    // What apt needed to get here.
    for folder in ["debs", "lists", "cache"] {
        std::fs::remove_dir_all(work.join(folder))?;
    }
    std::fs::write(work.join("packages"), packages.join("\n") + "\n")?;
    // The server may run as another user than the one who unpacked it.
    std::fs::set_permissions(work, std::fs::Permissions::from_mode(0o755))?;
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Removes what a server does not open.
fn prune(root: &Path, release: &Release) -> Result<()> {
    let surplus = release.surplus();
    for path in SURPLUS.iter().copied().chain(surplus.iter().map(String::as_str)) {
        remove(&root.join(path))?;
    }
    for (folder, kept) in release.product.kept {
        // Where a product keeps its files differs from version to version.
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for entry in entries.flatten() {
            if !kept.iter().any(|name| entry.file_name() == *name) {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes a file or a whole folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if found.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.with_context(|| format!("cannot remove {}", path.display()))
}

/// Replaces every program of a folder by a script and keeps the program as `<name>.bin`.
fn wrap(root: &Path, folder: &str) -> Result<()> {
    let (triplet, name) = platform()?;
    let loader = ["usr/lib64", "lib64", "usr/lib", "lib"]
        .iter()
        .map(|folder| format!("{folder}/{name}"))
        .chain([format!("usr/lib/{triplet}/{name}"), format!("lib/{triplet}/{name}")])
        .find(|path| root.join(path).exists())
        .context("the packages contain no loader")?;
    let script = WRAPPER
        .replace("@UP@", &vec![".."; folder.split('/').count()].join("/"))
        .replace("@LOADER@", &loader)
        .replace("@LIBS@", &format!("usr/lib/{triplet}"))
        .replace("@MORE@", &format!("lib/{triplet}"));
    let bin = root.join(folder);
    let mut wrapped = 0;
    for entry in std::fs::read_dir(&bin).context("the packages contain no server")? {
        let program = entry?.path();
        if !is_elf(&program)? {
            continue;
        }
        let mut real = program.clone().into_os_string();
        real.push(".bin");
        std::fs::rename(&program, PathBuf::from(real))?;
        std::fs::write(&program, &script)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        wrapped += 1;
    }
    if wrapped == 0 {
        bail!("{} holds no program", bin.display());
    }
    Ok(())
}

fn is_elf(path: &Path) -> Result<bool> {
    let is_file = std::fs::symlink_metadata(path)?.is_file();
    Ok(is_file && std::fs::read(path)?.starts_with(b"\x7fELF"))
}

/// Folder of libraries and name of the loader on this machine's kind of processor.
fn platform() -> Result<(&'static str, &'static str)> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(("x86_64-linux-gnu", "ld-linux-x86-64.so.2")),
        "aarch64" => Ok(("aarch64-linux-gnu", "ld-linux-aarch64.so.1")),
        other => bail!("packages cannot be unpacked for {other} yet"),
    }
}
