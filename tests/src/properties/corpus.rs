//! The committed inputs: small files, one folder per property.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of a property's inputs; of all of them for an empty name.
#[must_use]
pub fn folder(property: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(property)
}

/// A property's inputs, in the order of their names.
///
/// # Errors
/// If the folder cannot be read.
pub fn inputs(property: &str) -> Result<Vec<Vec<u8>>> {
    let folder = folder(property);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("no inputs in {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(|file| std::fs::read(file).with_context(|| file.display().to_string())).collect()
}
