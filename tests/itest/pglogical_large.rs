//! Transactions larger than memory: applied as one, whatever happens meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tests::harness::postgres::{PostgresServer, Settings};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;
use tokio::time::sleep;

use crate::support::expect_quiet;
use crate::support::pair::{Pair, stalled};
use crate::support::replication;

/// The source is a server of its own, as its log is decoded.
const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
const SOON: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text)";
/// Memory that the process may hold.
const MEMORY: u64 = 256 << 20;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(30);

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("pglogical_a_large_transaction_is_one_in_little_memory", NEEDS, large),
        scenario("pglogical_five_million_rows_are_one_transaction", NEEDS, large)
            .long()
            .deadline(Duration::from_secs(1_800)),
        scenario("pglogical_a_large_transaction_is_undone_and_done_again", NEEDS, interrupted),
        scenario("pglogical_parents_come_after_children_in_a_large_transaction", NEEDS, parents_last),
        scenario("pglogical_foreign_keys_too_far_apart_say_what_to_run", NEEDS, too_far),
        scenario("pglogical_a_backlog_is_not_one_transaction", NEEDS, backlog),
    ]
}

/// Little may be in flight, so that a transaction of some megabytes takes many statements.
fn in_parts(service: Service) -> Service {
    service.args(["--bytesInFlight", "65536"])
}

async fn large(ctx: Ctx) -> Result<()> {
    let rows = if ctx.is_long() { 5_000_000 } else { 100_000 };
    let pair = Pair::start(&ctx, TABLE).await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t VALUES (0, 'before')").await?;
    let since = Instant::now();
    let fill = "INSERT INTO t SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, $) i";
    pair.origin.execute(&fill.replace('$', &rows.to_string())).await?;
    println!("{rows} rows written within {:?}", since.elapsed());
    let (since, mut most) = (Instant::now(), 0);
    let mut target = pair.target.connect().await?;
    let all = loop {
        most = most.max(process.rss_bytes()?);
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut target).await?;
        ensure!(seen <= 1 || seen == rows + 1, "a part was seen: {seen} rows");
        if seen > 1 {
            break seen;
        }
        ensure!(since.elapsed() < Duration::from_secs(1_500), "it does not arrive");
        sleep(PAUSE).await;
    };
    println!("{all} rows there within {:?}, with at most {} MiB", since.elapsed(), most >> 20);
    ensure!(most < MEMORY, "it took {} MiB", most >> 20);
    pair.caught_up().await?;
    if !ctx.is_long() {
        pair.same(&["public.t"]).await?;
    }
    expect_quiet(&[&process], &[])
}

/// Waits until part of a transaction has been written and not committed.
async fn under_way(pair: &Pair) -> Result<()> {
    let mut target = pair.target.connect().await?;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL \
                AND application_name = 'cdc-sink' AND now() - xact_start > interval '200 ms'";
    wait::eventually(SOON, "part of the transaction to be written", async || -> Result<()> {
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut target).await?;
        ensure!(open > 0, "none is open");
        Ok(())
    })
    .await
}

async fn interrupted(ctx: Ctx) -> Result<()> {
    let mut server = PostgresServer::start(&Settings::default()).await?;
    let target = server.create_database("interrupted").await?;
    let pair = Pair::start_with(&ctx, replication::server().await?, target, TABLE).await?;
    pair.publish("FOR ALL TABLES").await?;
    pair.origin.execute("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 30000) i").await?;
    let mut process = ServiceProcess::start(in_parts(pair.service()), ctx.folder()).await?;
    let nothing = async || -> Result<()> {
        let mut target = pair.target.connect().await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut target).await?;
        ensure!(seen == 0, "{seen} rows of a transaction that was not finished");
        Ok(())
    };
    // The target goes down.
    under_way(&pair).await?;
    server.kill9().await?;
    server.start_again().await?;
    nothing().await?;
    // The process is told to stop: it does not wait for the end, and leaves nothing behind.
    under_way(&pair).await?;
    let since = Instant::now();
    ensure!(process.terminate(SOON).await? == Some(0), "it did not end in good order");
    ensure!(since.elapsed() < Duration::from_secs(6), "it took {:?} to stop", since.elapsed());
    nothing().await?;
    let mut origin = pair.origin.connect().await?;
    let reader = "SELECT active FROM pg_replication_slots";
    wait::eventually(Duration::from_secs(5), "the slot to be free", async || -> Result<()> {
        let active: bool = sqlx::query_scalar(reader).fetch_one(&mut origin).await?;
        ensure!(!active, "it is read");
        Ok(())
    })
    .await?;
    process.start_again().await?;
    // The process is killed.
    under_way(&pair).await?;
    process.kill9().await?;
    pair.target.execute("UPDATE _cdc_sink.leases SET expires = now() - interval '1 s'").await?;
    process.start_again().await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    expect_quiet(
        &[&process],
        &[
            "the feed was interrupted; trying again",
            "leases were not renewed",
            "error occurred while testing the connection on-release",
            "terminating connection due to",
        ],
    )
}

/// At the source foreign keys wait for the end of the transaction, at the target they do not.
const FAMILIES: &str = "
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (id int PRIMARY KEY, parent int, v text);
    CREATE TABLE tree (id int PRIMARY KEY, above int)";
const WAITING: &str = "
    ALTER TABLE child ADD CONSTRAINT c FOREIGN KEY (parent) REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
    ALTER TABLE tree ADD CONSTRAINT t FOREIGN KEY (above) REFERENCES tree DEFERRABLE INITIALLY DEFERRED";
const AT_ONCE: &str = "
    ALTER TABLE child ADD CONSTRAINT c FOREIGN KEY (parent) REFERENCES parent;
    ALTER TABLE tree ADD CONSTRAINT t FOREIGN KEY (above) REFERENCES tree";

async fn families(ctx: &Ctx) -> Result<Pair> {
    let pair = Pair::start(ctx, FAMILIES).await?;
    pair.origin.execute(WAITING).await?;
    pair.target.execute(AT_ONCE).await?;
    pair.publish("FOR ALL TABLES").await?;
    Ok(pair)
}

async fn parents_last(ctx: Ctx) -> Result<()> {
    let pair = families(&ctx).await?;
    let process = pair.run().await?;
    for transaction in [
        "INSERT INTO child SELECT i, i % 10000 + 1, 'c' FROM generate_series(1, 30000) i; \
         INSERT INTO parent SELECT i FROM generate_series(1, 10000) i; \
         INSERT INTO tree SELECT i, NULLIF(i, 30000) + 1 FROM generate_series(1, 30000) i",
        "INSERT INTO parent VALUES (0)",
        // The server removes the children behind all of the parents.
        "DELETE FROM parent WHERE id > 10; UPDATE child SET v = 'after'",
        "INSERT INTO child VALUES (0, 0, 'later')",
        "DELETE FROM tree",
    ] {
        pair.origin.execute(&format!("BEGIN; {transaction}; COMMIT")).await?;
    }
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.parent", "public.child", "public.tree"]).await?;
    let log = std::fs::read_to_string(process.log())?;
    ensure!(log.contains("trying larger parts"), "nothing was written in parts: {log}");
    expect_quiet(&[&process], &[])
}

/// More than is ever written at once; the statement that it names helps.
async fn too_far(ctx: Ctx) -> Result<()> {
    let pair = families(&ctx).await?;
    let mut process = pair.run().await?;
    pair.origin
        .execute(
            "BEGIN; INSERT INTO child SELECT i, 1, repeat('x', 700) FROM generate_series(1, 60000) i; \
             INSERT INTO parent VALUES (1); COMMIT",
        )
        .await?;
    let run = "ALTER TABLE \"public\".\"child\" ALTER CONSTRAINT \"c\" DEFERRABLE;";
    stalled(&process, &[run, "--bytesInFlight", "too large for one statement"]).await?;
    let most = process.rss_bytes()?;
    ensure!(most < MEMORY, "it took {} MiB", most >> 20);
    pair.target.execute(run).await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.parent", "public.child"]).await?;
    expect_quiet(&[&process], &["stands still"])
}

const TRANSACTIONS: i64 = 200;
/// Of rows that are about the size of a batch; the end of one hardly ever falls together with the end of the other.
const ROWS: i64 = 150;

async fn backlog(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, TABLE).await?;
    pair.publish("FOR ALL TABLES").await?;
    for number in 0..TRANSACTIONS {
        let from = number * ROWS;
        let fill =
            format!("INSERT INTO t SELECT {from} + i, repeat('x', 60) FROM generate_series(1, {ROWS}) i");
        pair.origin.execute(&fill).await?;
    }
    let process = ServiceProcess::spawn(pair.service().args(["--bytesInFlight", "65536"]), ctx.folder())?;
    let mut target = pair.target.connect().await?;
    let mut seen = Vec::new();
    while seen.last() != Some(&(TRANSACTIONS * ROWS)) {
        let now: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut target).await?;
        ensure!(now % ROWS == 0, "a transaction was torn: {now} rows");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        sleep(Duration::from_millis(2)).await;
    }
    // A transaction of the target that takes in one after the other of the source would hold all back to the end.
    println!("{} states", seen.len());
    let states = i64::try_from(seen.len()).context("that many")?;
    ensure!(states > TRANSACTIONS / 20, "only {states} states were seen");
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    expect_quiet(&[&process], &[])
}
