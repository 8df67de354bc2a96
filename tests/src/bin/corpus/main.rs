//! Writes the files that the decoder of binary logs is tested with: what a server logged for a script, and what it then
//! shows itself. Run it with `cargo xtask corpus`; the corpus has a page about its form.

mod events;
mod script;
mod shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tests::harness::mysql::{Flavor, MySqlServer, Settings, SourceDatabase};

use script::{Part, Script};

/// Every script runs in a database of this name; it may make others.
const DATABASE: &str = "corpus";

/// Runs the scripts of the corpus on real servers and keeps what they log.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask corpus")]
struct Cli {
    /// Only scripts whose name contains this; several widen the choice.
    filter: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/source-mylogical/tests/corpus");
    let mut scripts: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(corpus.join("scripts")).context("no scripts")? {
        scripts.push(entry?.path());
    }
    scripts.sort();
    let (mut written, mut failed) = (0, 0);
    for flavor in Flavor::ALL.into_iter().filter(|flavor| flavor.base().is_some()) {
        for path in &scripts {
            let name = path.file_stem().and_then(|name| name.to_str()).context("a script without a name")?;
            if !cli.filter.is_empty() && !cli.filter.iter().any(|part| name.contains(part.as_str())) {
                continue;
            }
            let script = Script::parse(&std::fs::read_to_string(path)?).with_context(|| name.to_owned())?;
            match capture(flavor, name, &script, &corpus).await {
                Ok(Some(folder)) => {
                    println!("{flavor}: {name} in {}", folder.display());
                    written += 1;
                }
                Ok(None) => {}
                Err(error) => {
                    eprintln!("error: {flavor}: {name}: {error:#}");
                    failed += 1;
                }
            }
        }
    }
    ensure!(failed == 0, "{failed} scripts failed");
    ensure!(written > 0, "nothing was written; are there servers, and does the filter match?");
    Ok(())
}

/// Runs one script on a server of its own and writes its files, unless there is nothing in it for this server.
async fn capture(flavor: Flavor, name: &str, script: &Script, corpus: &Path) -> Result<Option<PathBuf>> {
    if !script.is_for(flavor) {
        return Ok(None);
    }
    let settings = script.options().fold(Settings::default(), |settings, option| settings.with(option));
    let server = MySqlServer::start(flavor, &settings).await?;
    let version = server.database("").value("SELECT version()").await?.context("no version")?;
    let version = version.split('.').take(2).collect::<Vec<_>>().join(".");
    if script.parts(flavor, &version).next().is_none() {
        return Ok(None);
    }
    let database = server.create_database(DATABASE).await?;
    database.execute("FLUSH BINARY LOGS").await?;
    let first = logs(&database).await?.pop().context("no log")?;
    execute(&database, script.parts(flavor, &version)).await?;
    database.execute("FLUSH BINARY LOGS").await?;
    let mut files = logs(&database).await?;
    // The last one is the one that the flush began.
    files.pop();
    let files: Vec<_> = files.into_iter().skip_while(|file| *file != first).collect();

    let folder = corpus.join(format!("{}-{version}", flavor.word()));
    std::fs::create_dir_all(&folder).context("cannot make a folder")?;
    let events = events::of(&server.data(), &files)?;
    std::fs::write(folder.join(format!("{name}.events")), events)?;
    std::fs::write(folder.join(format!("{name}.shown")), shown::of(&server).await?)?;
    Ok(Some(folder))
}

async fn logs(database: &SourceDatabase) -> Result<Vec<String>> {
    let mut connection = database.connect().await?;
    let rows: Vec<mysql_async::Row> = connection.query("SHOW BINARY LOGS").await?;
    connection.disconnect().await?;
    rows.iter().map(|row| row.get::<String, _>(0).context("a log without a name")).collect()
}

async fn execute<'a>(database: &SourceDatabase, parts: impl Iterator<Item = &'a Part>) -> Result<()> {
    let mut connection: Option<Conn> = None;
    for part in parts {
        match part {
            Part::Connection => {
                if let Some(old) = connection.take() {
                    old.disconnect().await?;
                }
            }
            Part::Statement(sql) => {
                if connection.is_none() {
                    connection = Some(database.connect().await?);
                }
                let open = connection.as_mut().context("no connection")?;
                open.query_drop(sql).await.with_context(|| sql.clone())?;
            }
        }
    }
    if let Some(open) = connection {
        open.disconnect().await?;
    }
    Ok(())
}
