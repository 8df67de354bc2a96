//! Temporary folders that a server started under another user can enter.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Debian's `nobody`: PostgreSQL refuses to run as root, and this account exists everywhere.
const NOBODY: u32 = 65_534;

/// Longest folder that leaves room for a socket's name within the kernel's limit of 107 bytes.
const SOCKET_FOLDER_LIMIT: usize = 85;

/// Whether this process may do everything.
pub(super) fn is_root() -> bool {
    // The owner of our own entry is our effective user.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The user a database server runs as, when it cannot be ours.
pub(super) fn server_user() -> Option<u32> {
    is_root().then_some(NOBODY)
}

/// Makes a command run as the server's user.
pub(super) fn as_server_user(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    if let Some(user) = server_user() {
        command.uid(user).gid(user);
    }
}

/// A new folder that belongs to the server's user.
pub(super) fn server_folder(prefix: &str) -> Result<TempDir> {
    let folder = folder_in(&reachable_parent(), prefix)?;
    if let Some(user) = server_user() {
        chown(folder.path(), Some(user), Some(user)).context("cannot give the folder to the server")?;
    }
    Ok(folder)
}

/// A new folder of our own, in which a socket can be made.
pub(super) fn socket_folder(prefix: &str) -> Result<TempDir> {
    let own = std::env::temp_dir();
    // Room for the characters that make the name unique.
    let fits = own.as_os_str().len() + prefix.len() < SOCKET_FOLDER_LIMIT;
    folder_in(if fits { &own } else { Path::new("/tmp") }, prefix)
}

/// A new folder of our own.
pub(super) fn folder(prefix: &str) -> Result<TempDir> {
    folder_in(&std::env::temp_dir(), prefix)
}

fn folder_in(parent: &Path, prefix: &str) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    made.with_context(|| format!("cannot create a folder in {}", parent.display()))
}

/// The temporary folder, unless the server's user could not reach into it.
fn reachable_parent() -> PathBuf {
    let own = std::env::temp_dir();
    let open = |folder: &Path| std::fs::metadata(folder).is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    if server_user().is_none() || own.ancestors().all(|part| part.as_os_str().is_empty() || open(part)) {
        return own;
    }
    "/tmp".into()
}
