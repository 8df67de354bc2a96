//! Writes the generated pages. The programs print them, so that this crate need not know the others; tests of those
//! programs fail when a page is not current.

use anyhow::{Context, Result};

use crate::cargo;

/// Program, page and file.
const PAGES: &[(&str, &str, &str)] = &[
    ("cdc-webhook", "metrics", "docs/metrics.md"),
    ("cdc-webhook", "flags", "docs/flags.md"),
    ("cdc-pglogical", "metrics", "docs/pglogical/metrics.md"),
    ("cdc-pglogical", "flags", "docs/pglogical/flags.md"),
    ("cdc-mylogical", "metrics", "docs/mylogical/metrics.md"),
    ("cdc-mylogical", "flags", "docs/mylogical/flags.md"),
];

/// Builds the programs and writes every page.
pub(crate) fn write() -> Result<()> {
    for (program, page, file) in PAGES {
        cargo::run(cargo::cargo().args(["build", "--quiet", "-p", program]))?;
        let binary = cargo::target_dir()?.join("debug").join(program);
        let text = cargo::output(std::process::Command::new(&binary).args(["print-docs", page]))?;
        std::fs::write(cargo::root()?.join(file), text).with_context(|| format!("cannot write {file}"))?;
        println!("wrote {file}");
    }
    Ok(())
}
