//! The initial snapshot of MySQL and MariaDB: copied in chunks while the source is written, consistent once the stream is
//! past where the copy ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::Row as _;
use tests::harness::http::Client;
use tests::harness::mysql::SourceDatabase;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;
use tokio::task::JoinSet;

use crate::support::mylogical::MyPair;

const NEEDS: &[Need] = &[Need::Source, Need::Postgres];
const LIMIT: Duration = Duration::from_secs(90);
/// Writers at the same time.
const WRITERS: u64 = 3;

/// The scenarios of this file, for both products.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("mylogical_snapshot_under_load_is_equal_when_consistent", NEEDS, under_load),
        scenario("mylogical_snapshot_goes_on_behind_the_last_chunk", NEEDS, resumed),
        scenario("mylogical_snapshot_refuses_tables_without_a_key", NEEDS, keyless),
        scenario("mylogical_snapshot_of_tables_made_and_dropped_meanwhile", NEEDS, made_and_dropped),
    ]
}

/// Rows of 2 KB, so that there are many chunks; a key of texts that differ in case only; negative and huge numbers.
const TABLES: &str = "
    CREATE TABLE wide (id bigint PRIMARY KEY, version int NOT NULL, note text, u varchar(40), UNIQUE KEY (u));
    INSERT INTO wide WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 999)
        SELECT (a.n * 20 + b.n) * 2 - 20000, 0, repeat('x', 2000), concat('u', a.n * 20 + b.n) FROM s a JOIN s b ON b.n < 20
        WHERE a.n < 900;
    CREATE TABLE words (w varchar(30) NOT NULL, n bigint unsigned NOT NULL, version int NOT NULL, PRIMARY KEY (w, n));
    INSERT INTO words WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 999)
        SELECT concat(char(65 + n % 26), n % 10), 18446744073709551615 - n, 0 FROM s;
    CREATE TABLE nothing_yet (id binary(4) PRIMARY KEY, version int NOT NULL)";

/// A target that takes some seconds for the wide rows, so that there is a middle to be met in.
const SLOW: &str = "
    CREATE TABLE wide (id bigint PRIMARY KEY, version int NOT NULL, note text, u varchar(40));
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON wide FOR EACH ROW WHEN (NEW.id % 200 = 0) EXECUTE FUNCTION slow();";

const NAMES: [&str; 3] = ["wide", "words", "nothing_yet"];

/// One change at random.
fn change(random: &mut StdRng) -> String {
    let id = random.random_range(-20_000..20_000_i64);
    let word = format!("{}{}", char::from(random.random_range(b'A'..=b'Z')), random.random_range(0..10));
    let other = random.random_range(-20_000..20_000_i64);
    match random.random_range(0..9) {
        0 => format!("REPLACE INTO wide VALUES ({id}, 1, 'new', NULL)"),
        1 => format!(
            "UPDATE wide SET version = version + 1, note = repeat('y', 300) WHERE id BETWEEN {id} AND {id} + 40"
        ),
        2 => format!("DELETE FROM wide WHERE id BETWEEN {id} AND {id} + 6"),
        3 => format!("UPDATE IGNORE wide SET id = {other}, version = version + 1 WHERE id = {id}"),
        4 => format!("UPDATE words SET version = version + 1 WHERE w = '{word}'"),
        5 => format!("UPDATE words SET w = lower(w) WHERE w = '{word}'"),
        6 => format!(
            "UPDATE IGNORE words SET n = n - 5000, w = concat(w, 'z') WHERE w = '{word}' AND n % 7 = 0 AND n > 5000"
        ),
        7 => format!("INSERT IGNORE INTO words VALUES ('{word}', {}, 5)", id.unsigned_abs()),
        _ => format!("REPLACE INTO nothing_yet VALUES (unhex(lpad(hex({}), 8, '0')), 1)", id.unsigned_abs()),
    }
}

/// Writers that change rows at random until they are stopped.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<()>>,
}

impl Writers {
    fn start(origin: &SourceDatabase) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let (origin, stop) = (origin.clone(), Arc::clone(&stop));
            tasks.spawn(async move { write(&origin, number, &stop).await });
        }
        Writers { stop, tasks }
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(writer) = self.tasks.join_next().await {
            writer??;
        }
        Ok(())
    }
}

/// Changes rows at random until told to stop.
async fn write(origin: &SourceDatabase, seed: u64, stop: &AtomicBool) -> Result<()> {
    let mut connection = origin.connect().await?;
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::SeqCst) {
        let sql = change(&mut random);
        if let Err(error) = connection.query_drop(&sql).await {
            // Two of them waited for each other, or gave one value to two rows.
            let usual =
                matches!(&error, mysql_async::Error::Server(e) if matches!(e.code, 1062 | 1205 | 1213));
            anyhow::ensure!(usual, "{sql}: {error}");
        }
    }
    Ok(())
}

fn start(pair: &MyPair, name: &str, more: &[&str]) -> Result<ServiceProcess> {
    let flags = ["--snapshotMode", "initial", "--createTables"].iter().chain(more).copied();
    ServiceProcess::spawn(pair.service().named(name).args(flags), pair.folder())
}

/// Waits until the program says that the target is consistent.
async fn consistent(process: &ServiceProcess) -> Result<()> {
    wait::eventually(LIMIT, "the target to be consistent", async || {
        let (_, body) = Client::connect(process.address()).await?.get("/_/readyz").await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        ensure!(body.contains("\"consistent_since_snapshot\": true"), "{body}");
        Ok::<_, anyhow::Error>(())
    })
    .await
    .with_context(|| process.log_tail())
}

async fn under_load(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, TABLES, "").await?;
    let writers = Writers::start(&pair.origin);
    let process = start(&pair, "loaded", &[])?;
    consistent(&process).await?;
    // And it goes on from there.
    tokio::time::sleep(Duration::from_millis(300)).await;
    writers.stop().await?;
    pair.caught_up().await?;
    pair.same(&NAMES).await?;
    ensure!(process.log_tail().contains("the target is consistent from here on"), "{}", process.log_tail());
    // What had to wait for that is there.
    let mut target = pair.target.connect().await?;
    let unique = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'wide'::regclass AND contype = 'u'";
    wait::eventually(LIMIT, "the unique constraint", async || {
        let found: i64 = sqlx::query_scalar(unique).fetch_one(&mut target).await?;
        ensure!(found == 1, "{found} unique constraints");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

/// Rows in the middle of a range that are noted as copied, and when the table's copy began.
async fn progress(pair: &MyPair) -> Result<(i64, String)> {
    let mut target = pair.target.connect().await?;
    let row = sqlx::query(
        "SELECT sum(r.rows)::int8, max(s.started_at)::text FROM _cdc_sink.snapshot_ranges r JOIN _cdc_sink.snapshots s \
         USING (feed, source_schema, source_table) WHERE r.source_table = 'wide' AND s.state = 'copying' \
         HAVING bool_or(r.reached IS NOT NULL AND NOT r.done)",
    );
    let row = row.fetch_one(&mut target).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn resumed(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(&ctx, TABLES, SLOW).await?;
    let writers = Writers::start(&pair.origin);
    let mut process = start(&pair, "killed", &["--snapshotWorkers", "1"])?;
    let mut before = None;
    for _ in 0..2 {
        let found = wait::eventually(LIMIT, "the copy to be in the middle", async || progress(&pair).await);
        let (rows, began) = found.await.with_context(|| process.log_tail())?;
        process.kill9().await?;
        if let Some((rows_before, began_before)) = &before {
            ensure!(
                rows >= *rows_before && began == *began_before,
                "{rows} rows after {rows_before}, {began}"
            );
        }
        if before.replace((rows, began)).is_some() {
            pair.target.execute("DROP TRIGGER slow ON wide").await?;
        }
        process = start(&pair, "killed", &["--snapshotWorkers", "1"])?;
    }
    writers.stop().await?;
    consistent(&process).await?;
    pair.caught_up().await?;
    pair.same(&NAMES).await?;
    let mut target = pair.target.connect().await?;
    let began: String =
        sqlx::query_scalar("SELECT started_at::text FROM _cdc_sink.snapshots WHERE source_table = 'wide'")
            .fetch_one(&mut target)
            .await?;
    ensure!(before.is_some_and(|(_, before)| before == began), "the table was begun anew at {began}");
    // A start after that has nothing to copy, and says at once that the target is consistent.
    process.kill9().await?;
    let process = start(&pair, "again", &[])?;
    consistent(&process).await?;
    ensure!(!process.log_tail().contains("copying tables"), "{}", process.log_tail());
    Ok(())
}

async fn keyless(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE no_key (a int, b int, UNIQUE KEY (a));
        CREATE TABLE beginnings (a varchar(200) NOT NULL, PRIMARY KEY (a(10)));
        CREATE TABLE good (a int PRIMARY KEY)";
    let pair = MyPair::start(&ctx, ddl, "").await?;
    let mut process = start(&pair, "keyless", &["--preflight", "report"])?;
    process.wait_for_exit(LIMIT).await?;
    let said = process.log_tail();
    let names = ["no_key", "beginnings"].iter().filter(|name| said.contains(**name)).count();
    ensure!(names > 0 && said.contains("--tables"), "{said}");
    // Left out, the rest is copied.
    let process = start(&pair, "rest", &["--preflight", "report", "--tables", "good,itest_marker"])?;
    consistent(&process).await?;
    pair.execute("INSERT INTO good VALUES (1)").await?;
    pair.caught_up().await?;
    pair.same(&["good"]).await
}

async fn made_and_dropped(ctx: Ctx) -> Result<()> {
    let made = "CREATE TABLE made (id int PRIMARY KEY, v int)";
    let pair = MyPair::start(&ctx, TABLES, &format!("{SLOW}{made}")).await?;
    pair.execute("CREATE TABLE zz_dropped (id int PRIMARY KEY); INSERT INTO zz_dropped VALUES (1), (2)")
        .await?;
    let process = start(&pair, "meanwhile", &["--snapshotWorkers", "1", "--onTruncate", "ignore"])?;
    wait::eventually(LIMIT, "the copy to be in the middle", async || progress(&pair).await)
        .await
        .with_context(|| process.log_tail())?;
    pair.execute(&format!("{made}; INSERT INTO made VALUES (1, 1), (2, 2); UPDATE made SET v = 3")).await?;
    pair.execute("DROP TABLE zz_dropped").await?;
    pair.target.execute("DROP TRIGGER slow ON wide").await?;
    consistent(&process).await?;
    pair.caught_up().await?;
    pair.same(&["made", "wide"]).await
}
