//! `cdc-pglogical`: two throw-away servers, a shop that stays open while it moves from one to the other, a crash on the
//! way, and the comparison at the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use serde_json::Value;
use source_pglogical::Lsn;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::driver::observe::Varz;
use tests::harness::database::Database;
use tests::harness::fingerprint;
use tests::harness::http::Client;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::wait;

use crate::shop;

/// Name of the database on both servers.
const DATABASE: &str = "shop";
const LOOP: &str = "demo";
/// Sessions that work at the source.
const SESSIONS: usize = 4;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
const REFRESH: Duration = Duration::from_secs(1);
/// How long the product stays dead.
const DOWN: Duration = Duration::from_secs(2);
const CHECK_PAUSE: Duration = Duration::from_millis(100);

/// What this demo takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows that are there before the migration begins, about.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1_000..=20_000_000))]
    rows: i64,
    /// Seconds for which changes are followed, after the first copy.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(4..=3_600))]
    seconds: u64,
    /// Leave the servers running afterwards, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo; whether source and target are equal at the end.
pub(crate) async fn run(args: &Args) -> Result<bool> {
    introduce();
    let logs = tempfile::tempdir().context("no temporary folder")?;
    println!("Starting two PostgreSQL servers, and filling the first with about {} rows ...", args.rows);
    let source = PostgresServer::start(&Settings::default().with("wal_level", "logical")).await?;
    let target = PostgresServer::start(&Settings::default()).await?;
    let (from, to) = (source.create_database(DATABASE).await?, target.create_database(DATABASE).await?);
    shop::build(&from, args.rows).await?;
    from.execute(&format!("CREATE PUBLICATION {DATABASE} FOR TABLE {}", shop::TABLES.join(", "))).await?;
    let shop = Shop { from, to, stop: AtomicBool::new(false), committed: AtomicU64::new(0) };
    let service = service(&shop);
    println!("Opening the shop, then starting cdc-pglogical:\n\n  {}\n", command(&shop));
    let mut process = ServiceProcess::spawn(service, logs.path())?;
    let passed = match migrate(&shop, &mut process, Duration::from_secs(args.seconds)).await {
        Ok(passed) => passed,
        Err(error) => {
            println!("\nThe end of cdc-pglogical's log:\n{}\n\nFAIL: {error:#}\n", process.log_tail());
            false
        }
    };
    if args.keep {
        keep(&shop, &mut process).await?;
    } else {
        println!("Everything was thrown away again; --keep leaves it running to look around.");
    }
    Ok(passed)
}

fn introduce() {
    println!(
        "\
A shop moves from one PostgreSQL server to another while it is open: four sessions place, pay, change and cancel
orders and move money, all the time. cdc-pglogical first makes the tables and copies the rows that are there (the
\"snapshot\"), then follows the changes (\"streaming\"). In the middle of that it is killed and started again. While it
streams, two invariants of the shop are checked in the target again and again: half a transaction would break them.
At the end the shop closes for a moment, the target catches up, and both sides are compared. The lines below show:

  source    transactions that the shop has committed
  phase     what cdc-pglogical is doing
  copied    rows of the snapshot
  applied   changes of rows written to the target since
  lag       how far the target is behind
  checks    how often the invariants were checked, and how often one was broken (must be 0)
"
    );
}

/// Both sides, and what goes on at the source.
struct Shop {
    from: Database,
    to: Database,
    stop: AtomicBool,
    committed: AtomicU64,
}

fn flags(shop: &Shop) -> Vec<String> {
    let pairs = [
        ("--sourceConn", shop.from.url()),
        ("--targetConn", shop.to.url()),
        ("--targetDB", DATABASE),
        ("--publicationName", DATABASE),
        ("--slotName", LOOP),
        ("--loopName", LOOP),
        ("--snapshotMode", "initial"),
        ("--standbyTimeout", "1s"),
    ];
    let pairs = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
    pairs.chain(["--createTables".to_owned(), "--stagingCreateSchema".to_owned()]).collect()
}

fn service(shop: &Shop) -> Service {
    Service::new("cdc-pglogical").bind_flag("--metricsAddr").args(["start"]).args(flags(shop))
}

fn command(shop: &Shop) -> String {
    let words =
        flags(shop).into_iter().map(|word| if word.contains('?') { format!("'{word}'") } else { word });
    let text = words.collect::<Vec<_>>().join(" ").replace(" --", " \\\n    --");
    format!("cdc-pglogical start {text}")
}

/// Looks at the invariants.
#[derive(Debug, Default)]
struct Checks {
    done: AtomicU64,
    broken: AtomicU64,
}

async fn migrate(shop: &Shop, process: &mut ServiceProcess, seconds: Duration) -> Result<bool> {
    let checks = Checks::default();
    let mut screen = Screen::new();
    let sessions = (0..SESSIONS).map(|_| shop::work(&shop.from, &shop.stop, &shop.committed));
    let open = futures::future::try_join_all(sessions);
    let moved = async {
        // Whatever happens, the sessions come to an end.
        let moved = follow(shop, process, &checks, &mut screen, seconds).await;
        shop.stop.store(true, Ordering::Relaxed);
        moved
    };
    let (open, moved) = tokio::join!(open, moved);
    moved?;
    open.context("the shop had to close")?;
    println!("\nThe shop is closed. Waiting for the target to catch up ...");
    let begin = Instant::now();
    catch_up(shop, process, &checks, &mut screen).await?;
    println!("It took {:.1} s.", begin.elapsed().as_secs_f64());
    compare(shop, &checks).await
}

/// The snapshot, some seconds of changes, a crash, some seconds more.
async fn follow(
    shop: &Shop,
    process: &mut ServiceProcess,
    checks: &Checks,
    screen: &mut Screen,
    seconds: Duration,
) -> Result<()> {
    until_streaming(shop, process, checks, screen).await?;
    let stop = AtomicBool::new(false);
    let changes = async {
        let done = crash(shop, process, checks, screen, seconds).await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (changes, checked) = tokio::join!(changes, check(&shop.to, checks, &stop));
    changes.and(checked)
}

async fn until_streaming(
    shop: &Shop,
    process: &mut ServiceProcess,
    checks: &Checks,
    screen: &mut Screen,
) -> Result<()> {
    let begin = Instant::now();
    while screen.show(shop, process, checks).await? != "streaming" {
        ensure!(begin.elapsed() < PATIENCE, "cdc-pglogical does not stream after {PATIENCE:?}");
        alive(process)?;
        tokio::time::sleep(REFRESH).await;
    }
    Ok(())
}

async fn crash(
    shop: &Shop,
    process: &mut ServiceProcess,
    checks: &Checks,
    screen: &mut Screen,
    seconds: Duration,
) -> Result<()> {
    watch(shop, process, checks, screen, seconds / 2).await?;
    println!("\nkill -9: cdc-pglogical is gone in the middle of its work; the shop goes on ...");
    screen.lost();
    process.kill9().await?;
    tokio::time::sleep(DOWN).await;
    println!(
        "... and it is started again. It stands by until the dead one can no longer be at work (10 s), then goes on where \
         the target says it was.\n"
    );
    process.start_again().await?;
    until_streaming(shop, process, checks, screen).await?;
    watch(shop, process, checks, screen, seconds / 2).await
}

async fn watch(
    shop: &Shop,
    process: &mut ServiceProcess,
    checks: &Checks,
    screen: &mut Screen,
    time: Duration,
) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        tokio::time::sleep(REFRESH).await;
        alive(process)?;
        screen.show(shop, process, checks).await?;
    }
    Ok(())
}

fn alive(process: &mut ServiceProcess) -> Result<()> {
    match process.exited()? {
        None => Ok(()),
        Some(status) => bail!("cdc-pglogical ended with {status}"),
    }
}

/// Checks one invariant after the other, each in one statement.
async fn check(target: &Database, checks: &Checks, stop: &AtomicBool) -> Result<()> {
    let mut connection = target.connect().await?;
    while !stop.load(Ordering::Relaxed) {
        for invariant in shop::invariants() {
            let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(invariant.sql));
            let holds = query.fetch_one(&mut connection).await.context(invariant.name)?;
            checks.done.fetch_add(1, Ordering::Relaxed);
            if !holds {
                println!("broken: {}", invariant.name);
                checks.broken.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(CHECK_PAUSE).await;
        }
    }
    Ok(())
}

/// Waits until the target's position is beyond everything that the source has committed.
async fn catch_up(
    shop: &Shop,
    process: &mut ServiceProcess,
    checks: &Checks,
    screen: &mut Screen,
) -> Result<()> {
    let (mut source, mut target) = (shop.from.connect().await?, shop.to.connect().await?);
    let end: String =
        sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(&mut source).await?;
    let end: Lsn = end.parse()?;
    wait::eventually(PATIENCE, "the target to catch up", async || {
        let stored = stored(&mut target).await?;
        ensure!(stored >= end, "it is at {stored}, the source at {end}");
        Ok(())
    })
    .await?;
    alive(process)?;
    screen.show(shop, process, checks).await.map(drop)
}

async fn stored(target: &mut PgConnection) -> Result<Lsn> {
    let sql = "SELECT position FROM _cdc_sink.positions WHERE feed = $1";
    let position: String = sqlx::query_scalar(sql).bind(LOOP).fetch_one(target).await?;
    position.parse().context("the stored position")
}

/// Prints the comparison; whether all is well.
async fn compare(shop: &Shop, checks: &Checks) -> Result<bool> {
    let (mut source, mut target) = (shop.from.connect().await?, shop.to.connect().await?);
    let compared = fingerprint::compare(&mut source, &mut target, &shop::TABLES).await?;
    println!("\nBoth sides by fingerprint (number of rows, and hashes over all of their values):");
    for table in &compared {
        println!("  {:<12} source {:<36}", table.table, table.source.to_string());
        let verdict = if table.equal() { "equal" } else { "DIFFERENT" };
        println!("  {:<12} target {:<36} {verdict}", "", table.target.to_string());
    }
    let (done, broken) = (checks.done.load(Ordering::Relaxed), checks.broken.load(Ordering::Relaxed));
    println!("  invariants   checked {done} times, broken {broken} times");
    let passed = compared.iter().all(fingerprint::Compared::equal) && done > 0 && broken == 0;
    let meaning = if passed {
        "the target holds exactly what the source does, and never showed half a transaction."
    } else {
        "the target differs from the source, or showed half a transaction; this is a bug. Please report it."
    };
    println!("\n{}: {meaning}\n", if passed { "PASS" } else { "FAIL" });
    Ok(passed)
}

/// A line a second.
struct Screen {
    begin: Instant,
    /// Rows copied and changes applied by processes that are gone; a process counts from zero.
    before: [f64; 2],
    last: [f64; 2],
}

impl Screen {
    fn new() -> Screen {
        Screen { begin: Instant::now(), before: [0.0; 2], last: [0.0; 2] }
    }

    /// The process is about to be gone, and its counts with it.
    fn lost(&mut self) {
        for (before, last) in self.before.iter_mut().zip(&mut self.last) {
            *before += std::mem::take(last);
        }
    }

    /// Prints a line and answers the phase.
    async fn show(&mut self, shop: &Shop, process: &ServiceProcess, checks: &Checks) -> Result<String> {
        let look = Look::at(process).await.unwrap_or_default();
        self.last = look.counts;
        println!(
            "{:5.1} s   source {:>7}   {:<10} copied {:>7.0}   applied {:>7.0}   lag {:>7}   checks {} ({} broken)",
            self.begin.elapsed().as_secs_f64(),
            shop.committed.load(Ordering::Relaxed),
            look.phase,
            self.before[0] + self.last[0],
            self.before[1] + self.last[1],
            look.lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
            checks.done.load(Ordering::Relaxed),
            checks.broken.load(Ordering::Relaxed),
        );
        Ok(look.phase)
    }
}

/// What the process says of itself.
struct Look {
    phase: String,
    counts: [f64; 2],
    /// Seconds; known while it streams.
    lag: Option<f64>,
}

impl Default for Look {
    fn default() -> Look {
        Look { phase: "starting".to_owned(), counts: [0.0; 2], lag: None }
    }
}

impl Look {
    async fn at(process: &ServiceProcess) -> Result<Look> {
        let mut client = Client::connect(process.address()).await?;
        let varz = Varz::get(&mut client).await?;
        let (status, body) = client.get("/_/readyz").await?;
        ensure!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        let state: Value = serde_json::from_slice(&body)?;
        let phase = state["phase"].as_str().context("no phase")?.to_owned();
        Ok(Look {
            counts: [varz.sum("snapshot_rows_total"), varz.sum("flow_changes_total")],
            lag: state["lag_seconds"].as_f64().filter(|_| phase == "streaming"),
            phase,
        })
    }
}

async fn keep(shop: &Shop, process: &mut ServiceProcess) -> Result<()> {
    println!("Still running:");
    println!("  source     psql '{}'", shop.from.url());
    println!("  target     psql '{}'", shop.to.url());
    println!("             (cdc-pglogical's own tables are in schema _cdc_sink)");
    println!("  state      http://{}/_/readyz", process.address());
    println!("  metrics    http://{}/_/varz", process.address());
    println!("  log        {}", process.log().display());
    println!("Change something at the source and see it arrive. Ctrl-C ends everything and removes it.");
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    println!("\nStopping ...");
    process.terminate(Duration::from_secs(20)).await?;
    Ok(())
}
