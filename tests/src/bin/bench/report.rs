//! Runs groups of figures one after the other, prints them, and writes them down.

use anyhow::{Context, Result, bail, ensure};

use crate::figure::{self, Figure};
use crate::{Args, machine};

/// Fails on a name that is not a group.
pub(crate) fn check_names(args: &Args, groups: &[&str]) -> Result<()> {
    if let Some(unknown) = args.only.iter().find(|name| !groups.contains(&name.as_str())) {
        bail!("there is no figure {unknown:?}; there are {groups:?}");
    }
    Ok(())
}

/// Measures the groups that were asked for. One that fails does not keep the others from being measured.
pub(crate) async fn report(
    args: &Args,
    machine: &[(String, String)],
    groups: &[&'static str],
    mut measure: impl AsyncFnMut(&'static str) -> Result<Vec<Figure>>,
) -> Result<()> {
    for (name, value) in machine {
        println!("{name:<18} {value}");
    }
    println!();
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == group) {
            continue;
        }
        match measure(group).await {
            Ok(measured) => {
                measured.iter().for_each(Figure::print);
                figures.extend(measured);
            }
            // The other figures are worth having.
            Err(error) => {
                println!("{group:<44} FAILED: {error:#}");
                failed.push(*group);
            }
        }
    }
    println!("\nload of the machine at the end: {}", machine::load_average());
    if let Some(file) = &args.json {
        let text = figure::json(machine, &figures);
        std::fs::write(file, format!("{text:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(failed.is_empty(), "these could not be measured: {}", failed.join(", "));
    Ok(())
}
