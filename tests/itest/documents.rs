//! What the documents print works: every command line is understood by the program it names, every query runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use sqlx::{AssertSqlSafe, Executor as _};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("documents::every_printed_command_is_understood", &[], commands),
        scenario("documents::the_demo_ends_with_its_verdict", &[Need::PostgresBinaries], demo),
        scenario("documents::every_printed_query_runs", &[Need::Postgres], queries),
    ]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where the programs are.
fn folder() -> PathBuf {
    std::env::var("CDC_TEST_BIN_DIR").map_or_else(|_| root().join("target/debug"), PathBuf::from)
}

/// Every document: those at the top and all under `docs`.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    ensure!(found.len() > 10, "only {} documents were found", found.len());
    Ok(found)
}

/// The fenced blocks of one language in all documents.
fn blocks(language: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for document in documents()? {
        let text = std::fs::read_to_string(&document).with_context(|| document.display().to_string())?;
        let fence = format!("```{language}\n");
        found.extend(
            text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()),
        );
    }
    Ok(found)
}

/// Splits a line as a shell does, single quotes included; the documents need no more.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// With `--help` behind it, a command line is parsed whole and nothing is done.
async fn commands(_: Ctx) -> Result<()> {
    let mut tried = 0;
    for block in blocks("bash")? {
        for line in block.lines() {
            let words = words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (program, rest) = match words.as_slice() {
                ["cdc-webhook", rest @ ..] => ("cdc-webhook", rest),
                ["cdc-pglogical", rest @ ..] => ("cdc-pglogical", rest),
                ["cdc-mylogical", rest @ ..] => ("cdc-mylogical", rest),
                // xtask hands the arguments of these on, so they are asked themselves.
                ["cargo", "xtask", "demo", rest @ ..] => ("demo", rest),
                ["cargo", "xtask", "bench", rest @ ..] => ("bench", rest),
                ["cargo", "xtask", rest @ ..] => ("xtask", rest),
                _ => continue,
            };
            let output =
                Command::new(folder().join(program)).args(rest).arg("--help").output().context(program)?;
            ensure!(
                output.status.success(),
                "the documents print `{line}`, but: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            tried += 1;
        }
    }
    ensure!(tried >= 10, "only {tried} commands were found in the documents");
    Ok(())
}

/// The same program that `cargo xtask demo` starts, with fewer rows and without optimisation.
async fn demo(_: Ctx) -> Result<()> {
    let output =
        tokio::process::Command::new(folder().join("demo")).args(["--rows", "3000"]).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && text.contains("PASS"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn queries(ctx: Ctx) -> Result<()> {
    let config = TargetConfig {
        url: ctx.target().url().to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        max_connections: 2,
    };
    let target = Target::connect(config).await?;
    let mut connection = ctx.target().connect().await?;
    let mut tried = 0;
    for query in blocks("sql")?.into_iter().filter(|sql| sql.trim_start().starts_with("SELECT")) {
        connection.execute(AssertSqlSafe(query.clone())).await.with_context(|| query.clone())?;
        tried += 1;
    }
    ensure!(tried >= 1, "no query was found in the documents");
    target.close().await;
    Ok(())
}
