//! The files the rules look at, held in memory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Folders that hold what we write ourselves.
const FOLDERS: &[&str] = &["crates", "bins", "xtask", "tests", "deploy", ".ci"];
/// Kinds of files the rules can read.
const KINDS: &[&str] = &["rs", "toml", "sh", "yaml", "yml", "sql"];

/// Text files by path, with `/` between the parts.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads our own files under `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        for folder in FOLDERS {
            tree.add(root, folder)?;
        }
        // A wrong root would otherwise pass every rule.
        if tree.rust().next().is_none() {
            bail!("no Rust file under {}", root.display());
        }
        Ok(tree)
    }

    fn add(&mut self, root: &Path, folder: &str) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return Ok(()) };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {folder}"))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().with_context(|| path.clone())?;
            if kind.is_dir() && !path.ends_with("/target") {
                self.add(root, &path)?;
            } else if kind.is_file() && (folder == ".ci" || has_kind(&path)) {
                let bytes = std::fs::read(entry.path()).with_context(|| path.clone())?;
                self.files.insert(path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }

    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Only Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// Only manifests.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with("/Cargo.toml"))
    }

    /// A made-up tree.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Tree { files }
    }
}

fn has_kind(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind))
}
