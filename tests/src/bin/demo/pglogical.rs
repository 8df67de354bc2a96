//! `cdc-pglogical`: two throw-away servers, a shop that stays open while it moves from one to the other, a crash on the
//! way, and the comparison at the end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use source_pglogical::Lsn;
use tests::harness::database::Database;
use tests::harness::fingerprint;
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::wait;

pub(crate) use crate::migration::Following as Args;
use crate::migration::{
    Checks, DATABASE, LOOP, Migration, PATIENCE, SESSIONS, Work, command, keep, stored, verdict,
};
use crate::shop;

const PROGRAM: &str = "cdc-pglogical";

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
    let shop = Shop { from, to, work: Work::default() };
    let service = service(&shop);
    println!("Opening the shop, then starting {PROGRAM}:\n\n  {}\n", command(PROGRAM, flags(&shop)));
    let mut process = ServiceProcess::spawn(service, logs.path())?;
    let passed = match migrate(&shop, &mut process, Duration::from_secs(args.seconds)).await {
        Ok(passed) => passed,
        Err(error) => {
            println!("\nThe end of {PROGRAM}'s log:\n{}\n\nFAIL: {error:#}\n", process.log_tail());
            false
        }
    };
    if args.keep {
        keep(&format!("psql '{}'", shop.from.url()), &shop.to, &mut process).await?;
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
    work: Work,
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
    Service::new(PROGRAM).bind_flag("--metricsAddr").args(["start"]).args(flags(shop))
}

async fn migrate(shop: &Shop, process: &mut ServiceProcess, seconds: Duration) -> Result<bool> {
    let checks = Checks::default();
    let mut migration = Migration::new(PROGRAM, process, &shop.to, &shop.work, &checks);
    let (stop, committed) = (&shop.work.stop, &shop.work.committed);
    let sessions = (0..SESSIONS).map(|_| shop::work(&shop.from, stop, committed));
    let open = futures::future::try_join_all(sessions);
    let moved = async {
        // Whatever happens, the sessions come to an end.
        let moved = migration.follow(seconds).await;
        stop.store(true, Ordering::Relaxed);
        moved
    };
    let (open, moved) = tokio::join!(open, moved);
    moved?;
    open.context("the shop had to close")?;
    println!("\nThe shop is closed. Waiting for the target to catch up ...");
    let begin = Instant::now();
    catch_up(shop).await?;
    migration.show().await?;
    println!("It took {:.1} s.", begin.elapsed().as_secs_f64());
    let (mut source, mut target) = (shop.from.connect().await?, shop.to.connect().await?);
    Ok(verdict(&fingerprint::compare(&mut source, &mut target, &shop::TABLES).await?, &checks))
}

/// Waits until the target's position is beyond everything that the source has committed.
async fn catch_up(shop: &Shop) -> Result<()> {
    let (mut source, mut target) = (shop.from.connect().await?, shop.to.connect().await?);
    let end: String =
        sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(&mut source).await?;
    let end: Lsn = end.parse()?;
    wait::eventually(PATIENCE, "the target to catch up", async || {
        let stored: Lsn = stored(&mut target).await?.parse().context("the stored position")?;
        ensure!(stored >= end, "it is at {stored}, the source at {end}");
        anyhow::Ok(())
    })
    .await
}
