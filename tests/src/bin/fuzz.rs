//! Checks the properties of `tests::properties` with random changes of the committed inputs, for a given time. Needs
//! nothing but a stable compiler; cargo-fuzz, where it is installed, also looks at coverage (`tests/fuzz/README.md`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests::properties::{PROPERTIES, Property, corpus, mutate};

/// Checks parsers with random inputs.
#[derive(Debug, Parser)]
struct Cli {
    /// Time for each property.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Repeats an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Which properties; all, unless some are named.
    names: Vec<String>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let unknown: Vec<_> =
        cli.names.iter().filter(|name| PROPERTIES.iter().all(|known| known.name != name.as_str())).collect();
    ensure!(unknown.is_empty(), "no such property: {unknown:?}");
    let seed = cli.seed.unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    let chosen = |property: &&Property| cli.names.is_empty() || cli.names.iter().any(|n| n == property.name);
    for property in PROPERTIES.iter().filter(chosen) {
        let tried = run(property, seed, Duration::from_secs(cli.seconds))?;
        println!("{}: {tried} inputs", property.name);
    }
    Ok(())
}

/// Checks one property until the time is over; answers how many inputs that were.
fn run(property: &Property, seed: u64, time: Duration) -> Result<u64> {
    let inputs = corpus::inputs(property.name)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let (end, mut tried) = (Instant::now() + time, 0);
    while Instant::now() < end {
        let input = mutate::changed(&inputs, &mut rng);
        if catch_unwind(AssertUnwindSafe(|| (property.check)(&input))).is_err() {
            let file = keep(property, &input)?;
            bail!("{} does not hold for the input in {}", property.name, file.display());
        }
        tried += 1;
    }
    Ok(tried)
}

/// Writes down an input that fails, where cargo-fuzz would put it.
fn keep(property: &Property, input: &[u8]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/artifacts").join(property.name);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let file = folder.join(format!("input-{}", std::process::id()));
    std::fs::write(&file, input).with_context(|| file.display().to_string())?;
    Ok(file)
}
