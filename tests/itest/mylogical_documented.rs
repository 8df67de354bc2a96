//! What the pages about MySQL and MariaDB print, run as it is printed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::database::Database;
use tests::harness::mysql::{Flavor, MySqlServer, Settings, SourceDatabase};
use tests::harness::postgres::{self, PostgresServer};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

/// The scenarios of this file, for both products.
pub(crate) fn all() -> Vec<Scenario> {
    const OWN: &[Need] = &[Need::SourceBinaries, Need::PostgresBinaries];
    vec![
        scenario("mylogical_documented_privileges_are_enough", OWN, privileges),
        scenario("mylogical_documented_dump_shows_its_position", &[Need::SourceBinaries], dump),
        scenario("mylogical_demo_ends_with_its_verdict", OWN, demo),
    ]
}

const SOON: Duration = Duration::from_secs(60);
/// Longest run of a program; the demo's is the longest.
const PATIENCE: Duration = Duration::from_secs(110);

/// What a program says and how it ends.
async fn program(name: &str, args: &[&str]) -> Result<(i32, String, String)> {
    let mut command = tokio::process::Command::new(Service::new(name).path()?);
    let output = tokio::time::timeout(PATIENCE, command.args(args).output()).await??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().context("killed")?;
    Ok((code, text(&output.stdout), text(&output.stderr)))
}

/// A page.
fn page(name: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")?;
    let file = root.join("docs/mylogical").join(name);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// The block of the page on privileges that begins with this line.
fn printed(place: &str) -> Result<String> {
    let text = page("privileges.md")?;
    let begin = format!("```sql\n-- {place}\n");
    let (_, rest) = text.split_once(&begin).with_context(|| format!("nothing is printed {place}"))?;
    Ok(rest.split("```").next().unwrap_or_default().to_owned())
}

async fn privileges(ctx: Ctx) -> Result<()> {
    let server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let target = PostgresServer::start(&postgres::Settings::default()).await?;
    let (source, target) = (server.create_database("app").await?, target.create_database("app").await?);
    // Nobody but its owner may use it.
    let tables = "REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE TABLE customers (id int PRIMARY KEY, name text); \
                  CREATE TABLE orders (id int PRIMARY KEY, customer int)";
    target.execute(tables).await?;
    source
        .execute(
            "CREATE TABLE customers (id int PRIMARY KEY, name varchar(40)); \
             CREATE TABLE orders (id int PRIMARY KEY, customer int); INSERT INTO customers VALUES (1, 'before'); \
             CREATE USER cdc_nobody",
        )
        .await?;
    source.execute(&printed("at the source")?).await?;
    target.execute(&printed("at the target")?).await?;
    let as_writer = target.url().replacen("postgres@", "cdc_writer@", 1);
    let flags = |source: &str, mode: &str| {
        ["--sourceConn", source, "--targetConn", &as_writer, "--snapshotMode", mode].map(str::to_owned)
    };
    let look = async |source: &str| -> Result<String> {
        let flags = flags(source, "initial");
        let args: Vec<&str> = ["preflight"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let (code, printed, said) = program("cdc-mylogical", &args).await?;
        Ok(format!("{code} {printed} {said}"))
    };
    let reader = source.url_as("cdc_reader");
    let said = look(&reader).await?;
    ensure!(said.starts_with("0 "), "{said}");
    // Without these rights the log is not sent. What such a start leaves behind is no position to copy from.
    let flags_of_nobody = flags(&source.url_as("cdc_nobody"), "never");
    let args: Vec<&str> = ["start"].into_iter().chain(flags_of_nobody.iter().map(String::as_str)).collect();
    let (code, _, said) = program("cdc-mylogical", &args).await?;
    ensure!(code == 4 && said.contains("REPLICATION SLAVE"), "{code}: {said}");

    let service = Service::new("cdc-mylogical").bind_flag("--metricsAddr").args(["start"]);
    let service = service.args(flags(&reader, "initial"));
    let mut process = ServiceProcess::start(service, ctx.folder()).await?;
    let followed = follow(&source, &target).await;
    followed.with_context(|| format!("its log ends with:\n{}", process.log_tail()))?;
    let status = process.terminate(SOON).await?;
    ensure!(status == Some(0), "{status:?}");
    Ok(())
}

/// What is copied and what is changed afterwards arrives.
async fn follow(source: &SourceDatabase, target: &Database) -> Result<()> {
    arrives(target, "SELECT count(*) FROM customers WHERE name = 'before'", 1).await?;
    let rows = (1..=100).map(|id| format!("({id}, 1)")).collect::<Vec<_>>().join(", ");
    source.execute(&format!("INSERT INTO orders VALUES {rows}; UPDATE customers SET name = 'after'")).await?;
    source.execute("DELETE FROM orders WHERE id > 90").await?;
    arrives(target, "SELECT count(*) FROM customers WHERE name = 'after'", 1).await?;
    arrives(target, "SELECT count(*) FROM orders", 90).await
}

async fn arrives(target: &Database, count: &'static str, expected: i64) -> Result<()> {
    let mut target = target.connect().await?;
    wait::eventually(SOON, count, async || {
        let found: i64 = sqlx::query_scalar(count).fetch_one(&mut target).await?;
        ensure!(found == expected, "{found}, not {expected}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// The printed command shows what the page says, in the form that the page shows.
async fn dump(ctx: Ctx) -> Result<()> {
    let page = page("README.md")?;
    let line = page.lines().find(|line| line.starts_with("mysqldump ")).context("no dump is printed")?;
    let (line, _) = line.split_once(" > ").context("the dump goes nowhere")?;
    let server = MySqlServer::start(ctx.flavor(), &Settings::default()).await?;
    let source = server.create_database("db_name").await?;
    source.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (4711)").await?;
    let mut command = server.client("mysqldump")?;
    command.args(["--no-defaults", "--user=root", "--host=127.0.0.1"]);
    command.arg(format!("--port={}", server.address().port()));
    if ctx.flavor() == Flavor::MariaDb {
        ensure!(page.contains("On MariaDB, add `--master-data`"));
        command.arg("--master-data");
    }
    let output =
        tokio::process::Command::from(command).args(line.split_whitespace().skip(1)).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let begin = match ctx.flavor() {
        Flavor::MySql => "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '",
        Flavor::MariaDb => "SET GLOBAL gtid_slave_pos='",
    };
    let position = server.position().await?;
    ensure!(page.contains(begin) && said.contains(begin), "no {begin:?} in: {said}");
    ensure!(said.contains("(4711)") && said.contains(&position), "no {position} in: {said}");
    Ok(())
}

/// The same program that `cargo xtask demo mylogical` starts, with fewer rows and without optimisation.
async fn demo(ctx: Ctx) -> Result<()> {
    let args = ["mylogical", "--source", ctx.flavor().word(), "--rows", "3000", "--seconds", "4"];
    let (code, printed, said) = program("demo", &args).await?;
    ensure!(code == 0 && printed.contains("PASS"), "{printed}\n{said}");
    Ok(())
}
