//! The list of checks behind `test` and `ci`, in order, and how its verdict is told.
//!
//! A step stops the run at its first failure; what it cannot do for want of a tool it reports as
//! skipped, never silently.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{RunArgs, cargo, scenarios, tidy};

/// What a step that did not fail has to say.
enum Outcome {
    Done,
    /// Done, with something worth repeating at the end.
    Told(String),
    Skipped(String),
}

/// One check.
struct Step {
    name: &'static str,
    /// What a person types to repeat only this step.
    alone: &'static str,
    run: fn(&RunArgs) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "fmt", alone: "cargo fmt --all --check", run: fmt },
    Step { name: "tidy", alone: "cargo xtask tidy", run: own_rules },
    Step { name: "clippy", alone: "cargo clippy --workspace --all-targets -- -D warnings", run: clippy },
    Step { name: "tests", alone: "cargo test --workspace --exclude tests", run: unit_tests },
    Step { name: "harness", alone: "cargo test -p tests --lib --bins", run: harness_tests },
    Step { name: "doc", alone: "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps", run: doc },
    Step { name: "deny", alone: "cargo deny check", run: deny },
    Step { name: "itest", alone: "cargo xtask itest", run: itest },
];

/// Runs every step and prints the verdict last.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let begin = Instant::now();
    let mut notes = Vec::new();
    for (index, step) in STEPS.iter().enumerate() {
        println!("==> [{}/{}] {}: {}", index + 1, STEPS.len(), step.name, step.alone);
        let started = Instant::now();
        let outcome = (step.run)(args);
        let took = started.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Done) => println!("<== {} ok ({took:.1} s)\n", step.name),
            Ok(Outcome::Told(text)) => {
                println!("<== {} ok ({took:.1} s): {text}\n", step.name);
                notes.push(format!("{}: {text}", step.name));
            }
            Ok(Outcome::Skipped(why)) => {
                println!("<== {} skipped: {why}\n", step.name);
                notes.push(format!("{}: skipped: {why}", step.name));
            }
            Err(error) => {
                println!("<== {} FAILED ({took:.1} s): {error:#}\n", step.name);
                println!("FAILED at step \"{}\". To run it alone: {}", step.name, step.alone);
                return ExitCode::FAILURE;
            }
        }
    }
    for note in notes {
        println!("    {note}");
    }
    println!("PASSED: {} steps in {:.0} s", STEPS.len(), begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn fmt(_: &RunArgs) -> Result<Outcome> {
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Done)
}

fn own_rules(_: &RunArgs) -> Result<Outcome> {
    tidy::run(&cargo::root()?)?;
    Ok(Outcome::Done)
}

fn clippy(_: &RunArgs) -> Result<Outcome> {
    cargo::run(cargo::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(Outcome::Done)
}

fn unit_tests(args: &RunArgs) -> Result<Outcome> {
    counted(&["test", "--workspace", "--exclude", "tests"], args)
}

fn harness_tests(args: &RunArgs) -> Result<Outcome> {
    counted(&["test", "-p", "tests", "--lib", "--bins"], args)
}

fn doc(_: &RunArgs) -> Result<Outcome> {
    let mut command = cargo::cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    cargo::run(command.args(["doc", "--workspace", "--no-deps"]))?;
    Ok(Outcome::Done)
}

fn deny(_: &RunArgs) -> Result<Outcome> {
    if cargo::which("cargo-deny").is_none() {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    cargo::run(cargo::cargo().args(["deny", "check"]))?;
    Ok(Outcome::Done)
}

fn itest(args: &RunArgs) -> Result<Outcome> {
    let summary = scenarios::itest(args, &[])?;
    summary.map(Outcome::Told).context("the scenario runner gave no summary")
}

/// Runs tests and counts them: a run that tested nothing has not passed.
fn counted(command: &[&str], args: &RunArgs) -> Result<Outcome> {
    let (mut passed, mut ignored) = (0, 0);
    let mut cargo = cargo::cargo();
    cargo.args(command);
    if args.long {
        cargo.env("CDC_TEST_LONG", "1");
    }
    cargo::run_watched(&mut cargo, |line| {
        if let Some((more_passed, more_ignored)) = counts(line) {
            passed += more_passed;
            ignored += more_ignored;
        }
    })?;
    if passed == 0 {
        bail!("no test was run");
    }
    Ok(Outcome::Told(format!("{passed} passed, {ignored} ignored")))
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = rest.split(word).next()?;
        before.rsplit([' ', '.', ';']).find(|part| !part.is_empty())?.parse().ok()
    };
    Some((number(" passed")?, number(" ignored")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_line_of_a_test_run_is_understood() {
        let line = "test result: ok. 13 passed; 0 failed; 2 ignored; 0 measured; 1 filtered out";
        assert_eq!(counts(line), Some((13, 2)));
        assert_eq!(counts("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured"), Some((0, 0)));
        assert_eq!(counts("test a::b ... ok"), None);
    }

    #[test]
    fn scenarios_come_last_and_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.last(), Some(&"itest"));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
