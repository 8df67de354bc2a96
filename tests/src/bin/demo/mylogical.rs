//! `cdc-mylogical`: a throw-away MySQL or MariaDB server and a PostgreSQL server, a shop that stays open while it moves
//! from one to the other, a crash on the way, and the comparison at the end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use source_mylogical::gtid::{GtidSet, LogPosition};
use tests::harness::database::Database;
use tests::harness::fingerprint::across;
use tests::harness::mysql::{Flavor, MySqlServer, Settings, SourceDatabase};
use tests::harness::postgres::{self, PostgresServer};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::wait;

use crate::migration::{
    Checks, DATABASE, Following, LOOP, Migration, PATIENCE, SESSIONS, Work, command, keep, stored, verdict,
};
use crate::{binlog_shop, shop};

const PROGRAM: &str = "cdc-mylogical";

/// What this demo takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the shop moves from.
    #[arg(long, value_enum, default_value = "mariadb")]
    source: Source,
    #[command(flatten)]
    common: Following,
}

/// A product to move from.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Source {
    /// A MariaDB server.
    Mariadb,
    /// A MySQL server.
    Mysql,
}

impl Source {
    fn flavor(self) -> Flavor {
        match self {
            Self::Mariadb => Flavor::MariaDb,
            Self::Mysql => Flavor::MySql,
        }
    }
}

/// Runs the demo; whether source and target are equal at the end.
pub(crate) async fn run(args: &Args) -> Result<bool> {
    let (flavor, rows) = (args.source.flavor(), args.common.rows);
    introduce(flavor);
    let logs = tempfile::tempdir().context("no temporary folder")?;
    println!("Starting {flavor} and PostgreSQL, and filling the first with about {rows} rows ...");
    let source = MySqlServer::start(flavor, &Settings::default()).await?;
    let target = PostgresServer::start(&postgres::Settings::default()).await?;
    let (from, to) = (source.create_database(DATABASE).await?, target.create_database(DATABASE).await?);
    binlog_shop::build(&source, &from, rows).await?;
    let shop = Shop { from, to, work: Work::default() };
    let service = Service::new(PROGRAM).bind_flag("--metricsAddr").args(["start"]).args(flags(&shop));
    println!("Opening the shop, then starting {PROGRAM}:\n\n  {}\n", command(PROGRAM, flags(&shop)));
    let mut process = ServiceProcess::spawn(service, logs.path())?;
    let passed = match migrate(&shop, &mut process, Duration::from_secs(args.common.seconds)).await {
        Ok(passed) => passed,
        Err(error) => {
            println!("\nThe end of {PROGRAM}'s log:\n{}\n\nFAIL: {error:#}\n", process.log_tail());
            false
        }
    };
    if args.common.keep {
        let address = source.address();
        let client =
            format!("mysql --host={} --port={} --user=root {DATABASE}", address.ip(), address.port());
        keep(&client, &shop.to, &mut process).await?;
    } else {
        println!("Everything was thrown away again; --keep leaves it running to look around.");
    }
    Ok(passed)
}

fn introduce(flavor: Flavor) {
    println!(
        "\
A shop moves from {flavor} to PostgreSQL while it is open: four sessions place, pay, change and cancel orders and move
money, all the time. cdc-mylogical first makes the tables and copies the rows that are there (the \"snapshot\"), then
follows the binary log (\"streaming\"). In the middle of that it is killed and started again. Once it has passed the
point up to which the copy was made, two invariants of the shop are checked in the target again and again: half a
transaction would break them. At the end the shop closes for a moment, the target catches up, and both sides are
compared. The lines below show:

  source    transactions that the shop has committed
  phase     what cdc-mylogical is doing
  copied    rows of the snapshot
  applied   changes of rows written to the target since
  lag       how far the target is behind
  checks    how often the invariants were checked, and how often one was broken (must be 0)
"
    );
}

/// Both sides, and what goes on at the source.
struct Shop {
    from: SourceDatabase,
    to: Database,
    work: Work,
}

fn flags(shop: &Shop) -> Vec<String> {
    let (source, target) = (shop.from.url(), shop.to.url().to_owned());
    let pairs = [
        ("--sourceConn", source.as_str()),
        ("--targetConn", target.as_str()),
        ("--targetDB", DATABASE),
        ("--loopName", LOOP),
        ("--snapshotMode", "initial"),
        ("--standbyTimeout", "1s"),
    ];
    let pairs = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
    pairs.chain(["--createTables".to_owned(), "--stagingCreateSchema".to_owned()]).collect()
}

async fn migrate(shop: &Shop, process: &mut ServiceProcess, seconds: Duration) -> Result<bool> {
    let checks = Checks::default();
    let mut migration = Migration::new(PROGRAM, process, &shop.to, &shop.work, &checks);
    let sessions = (0..SESSIONS).map(|_| binlog_shop::work(&shop.from, &shop.work));
    let open = futures::future::try_join_all(sessions);
    let moved = async {
        // Whatever happens, the sessions come to an end.
        let moved = migration.follow(seconds).await;
        shop.work.stop.store(true, Ordering::Relaxed);
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
    Ok(verdict(&across::compare(&mut source, &mut target, &shop::TABLES).await?, &checks))
}

/// Waits until the target's position is beyond everything that the source has committed.
async fn catch_up(shop: &Shop) -> Result<()> {
    let flavor = match shop.from.flavor() {
        Flavor::MySql => source_mylogical::Flavor::MySql,
        Flavor::MariaDb => source_mylogical::Flavor::MariaDb,
    };
    let end = GtidSet::parse(flavor, &shop.from.position().await?)?;
    let mut target = shop.to.connect().await?;
    wait::eventually(PATIENCE, "the target to catch up", async || {
        let stored = LogPosition::parse(flavor, &stored(&mut target).await?)?.applied();
        ensure!(stored.has_passed(&end), "it is at {stored}, the source at {end}");
        anyhow::Ok(())
    })
    .await
}
