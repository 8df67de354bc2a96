//! The project's own rules, checked over the text of the tree.
//!
//! Every rule is a plain function from a [`Tree`] to findings, so that its tests can hand it a
//! small made-up tree on which it must fail.

mod deps;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use tree::Tree;

/// One thing a rule has to say about one place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Path and, where it helps, line.
    place: String,
    text: String,
    /// A warning is printed and does not fail the run.
    fatal: bool,
}

impl Finding {
    fn error(place: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { place: place.into(), text: text.into(), fatal: true }
    }

    fn warning(place: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { fatal: false, ..Finding::error(place, text) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fatal { "error" } else { "warning" };
        write!(f, "tidy: {kind}: {}: {}", self.place, self.text)
    }
}

const RULES: &[fn(&Tree) -> Vec<Finding>] =
    &[deps::packages, deps::drivers, text::sizes, text::headers, text::notes, text::driver_types];

/// Applies every rule to the tree under `root`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let findings: Vec<_> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.fatal).count();
    if errors > 0 {
        bail!("tidy found {errors} error(s)");
    }
    println!("tidy: {} files, {} warning(s)", tree.files().count(), findings.len());
    Ok(())
}
