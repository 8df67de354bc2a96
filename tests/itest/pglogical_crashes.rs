//! Nothing is lost, invented or torn when `cdc-pglogical`, its connections, its source or its target come to a sudden
//! end. Writers work at the source all the while, and a reader checks each state that the target shows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::harness::database::Database;
use tests::harness::postgres::{PostgresServer, Settings, Shutdown};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::proxy::{Fault, Proxy};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;
use tokio::time::sleep;

use crate::support::bank::{Auditor, Bank, DDL, TABLES, number};
use crate::support::pair::Pair;
use crate::support::{expect_quiet, replication, seeded};

/// The source is a server of its own, as it is to be stopped.
const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
/// Longest wait for something that happens by itself.
const SOON: Duration = Duration::from_secs(30);
/// Longest time from the end of a process to the next transaction in the target.
const TAKE_OVER: Duration = Duration::from_secs(15);
/// Different states that a run has to show, so that it proves something.
const STATES: u64 = 30;

/// What a process logs when its connections break or its lease is taken.
const DISTURBED: [&str; 9] = [
    "the feed was interrupted; trying again",
    "the target does not answer; trying again",
    "leases were not renewed",
    "leases were not released",
    "gave up a lease that could not be renewed",
    "the target's schema was not read",
    // The driver's own words about a connection that it gives up.
    "error occurred while testing the connection on-release",
    // Notices of the server's.
    "terminating connection due to",
    "the stream did not end in good order",
];

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    let long = Duration::from_secs(300);
    vec![
        scenario("pglogical_kill9_at_any_moment_loses_nothing", NEEDS, |ctx| seeded(ctx, kills))
            .deadline(long),
        scenario("pglogical_lost_answers_of_the_target_lose_nothing", NEEDS, |ctx| seeded(ctx, lost_answers))
            .deadline(long),
        scenario("pglogical_connections_cut_at_the_source_lose_nothing", NEEDS, |ctx| seeded(ctx, cuts))
            .deadline(long),
        scenario("pglogical_a_frozen_process_is_fenced_when_it_thaws", NEEDS, |ctx| seeded(ctx, frozen))
            .deadline(long),
        scenario("pglogical_a_restarted_target_is_met_again", NEEDS, |ctx| seeded(ctx, target_restarts))
            .deadline(long),
        scenario("pglogical_a_restarted_source_is_met_again", NEEDS, |ctx| seeded(ctx, source_restarts))
            .deadline(long),
    ]
}

/// A run: writers at the source, a reader at the target.
struct Run {
    pair: Pair,
    bank: Bank,
    auditor: Auditor,
    rng: StdRng,
}

impl Run {
    fn begin(pair: Pair, seed: u64) -> Run {
        let bank = Bank::start(&pair.origin, seed);
        let auditor = Auditor::start(&pair.target);
        Run { pair, bank, auditor, rng: StdRng::seed_from_u64(seed) }
    }

    /// Lets some transactions reach the target; answers the number of the newest.
    async fn progress(&mut self) -> Result<i64> {
        let target = self.pair.target.clone();
        self.auditor.during(further(&target, number(&target).await?, SOON)).await
    }

    /// Stops the writers and compares both sides.
    async fn end(self, processes: &[&ServiceProcess]) -> Result<()> {
        let Run { pair, bank, mut auditor, .. } = self;
        let committed = bank.finish().await?;
        auditor.during(pair.caught_up()).await?;
        pair.same(&TABLES).await?;
        println!("{committed} transactions, {:?}", auditor.finish(STATES).await?);
        expect_quiet(processes, &DISTURBED)
    }
}

/// Waits until the target shows something newer than `than`.
async fn further(target: &Database, than: i64, limit: Duration) -> Result<i64> {
    let newer = async || -> Result<i64> {
        let now = number(target).await?;
        ensure!(now > than, "transaction {now}");
        Ok(now)
    };
    wait::eventually(limit, &format!("the target to go beyond transaction {than}"), newer).await
}

async fn start(ctx: &Ctx) -> Result<Pair> {
    let pair = Pair::start(ctx, DDL).await?;
    pair.publish("FOR ALL TABLES").await?;
    Ok(pair)
}

/// Small batches: most transactions take several statements.
fn in_parts(service: Service) -> Service {
    service.env("CDC_BYTES_IN_FLIGHT", "65536")
}

fn as_wholes(service: Service) -> Service {
    service.env("CDC_BYTES_IN_FLIGHT", "10485760")
}

/// Lets the next process have the lease of a dead one at once. A lease only saves work, so nothing may depend on it;
/// without it the two come closer together.
async fn expire_lease(target: &Database) -> Result<()> {
    target.execute("UPDATE _cdc_sink.leases SET expires = now() - interval '1 s'").await
}

/// Keeps every statement that writes a table waiting; reading goes on.
async fn hold(target: &Database, table: &str) -> Result<PgConnection> {
    let mut connection = target.connect().await?;
    let sql = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection)
}

/// Waits until somebody waits for a lock.
async fn blocked(target: &Database) -> Result<()> {
    let mut connection = target.connect().await?;
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'cdc-sink'";
    wait::eventually(SOON, "a statement to wait for a lock", async || -> Result<()> {
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        ensure!(waiting > 0, "none waits");
        Ok(())
    })
    .await
}

const KILLS: usize = 26;
const LONG_KILLS: usize = 200;
/// After this kill the lease is left to expire by itself.
const PATIENT: usize = 7;

async fn kills(ctx: Ctx, seed: u64) -> Result<()> {
    let pair = start(&ctx).await?;
    let mut process = ServiceProcess::start(as_wholes(pair.service()), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    let target = run.pair.target.clone();
    for kill in 0..if ctx.is_long() { LONG_KILLS } else { KILLS } {
        run.progress().await.with_context(|| format!("before kill {kill}"))?;
        let moment = Duration::from_millis(run.rng.random_range(0..200));
        match kill % 4 {
            // While a statement waits, before or just after it can go on.
            3 => {
                let table = if run.rng.random() { "accounts" } else { "bulk" };
                let held = hold(&target, table).await?;
                run.auditor.during(blocked(&target)).await?;
                if run.rng.random() {
                    process.kill9().await?;
                    held.close().await?;
                } else {
                    held.close().await?;
                    process.kill9().await?;
                }
            }
            _ => {
                sleep(moment).await;
                process.kill9().await?;
            }
        }
        if kill != PATIENT {
            expire_lease(&target).await?;
        }
        process.change(if run.rng.random() { in_parts } else { as_wholes });
        let (dead, before) = (Instant::now(), number(&target).await?);
        process.start_again().await.with_context(|| format!("after kill {kill}"))?;
        if kill == PATIENT {
            run.auditor.during(further(&target, before, TAKE_OVER)).await?;
            println!("taken over after {:?}", dead.elapsed());
            ensure!(dead.elapsed() <= TAKE_OVER, "taking over took {:?}", dead.elapsed());
        }
    }
    run.end(&[&process]).await
}

/// Begins every statement that writes rows together with the position.
const APPLY: &str = "WITH fence AS (UPDATE";
/// Writes rows of a transaction that takes several statements.
const PART: &str = "WITH fence AS (SELECT 1)";
/// Moves the position alone, or at the end of such a transaction.
const ADVANCE: &str = "UPDATE \"_cdc_sink\".\"positions\" p SET";
const ROUNDS: usize = 2;

async fn lost_answers(ctx: Ctx, seed: u64) -> Result<()> {
    let pair = start(&ctx).await?;
    let proxy = Proxy::start(pair.target.address()?).await?;
    let service = pair.service_to(&pair.target.url_through(proxy.address()));
    let mut process = ServiceProcess::start(as_wholes(service), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    let whole = [(Fault::LoseAnswer, APPLY), (Fault::LoseRequest, APPLY), (Fault::LoseAnswer, APPLY)];
    let parts = [
        (Fault::LoseAnswer, "COMMIT"),
        (Fault::LoseRequest, "COMMIT"),
        (Fault::LoseAnswer, PART),
        (Fault::LoseAnswer, ADVANCE),
        (Fault::LoseRequest, PART),
        (Fault::LoseAnswer, "FOR NO KEY UPDATE"),
    ];
    let rounds = if ctx.is_long() { 20 * ROUNDS } else { ROUNDS };
    for faults in [&whole[..], &parts[..]] {
        for (fault, statement) in faults.iter().cycle().take(faults.len() * rounds) {
            run.progress().await?;
            let fired = proxy.fired() + 1;
            proxy.arm(*fault, statement);
            let happened = run.auditor.during(proxy.wait_fired(fired, SOON)).await;
            happened.with_context(|| format!("{fault:?} {statement}"))?;
        }
        run.progress().await?;
        proxy.cut_all();
        run.progress().await?;
        ensure!(process.terminate(SOON).await? == Some(0), "it did not end in good order");
        process.change(in_parts);
        process.start_again().await?;
    }
    // The target is away for a while.
    proxy.refuse();
    proxy.cut_all();
    sleep(Duration::from_secs(1)).await;
    let missed = number(&run.pair.target).await?;
    proxy.allow();
    further(&run.pair.target, missed, SOON).await?;
    run.end(&[&process]).await
}

const CUTS: usize = 14;

async fn cuts(ctx: Ctx, seed: u64) -> Result<()> {
    let pair = start(&ctx).await?;
    let proxy = Proxy::start(pair.source.address()).await?;
    let source = pair.origin.url_through(proxy.address());
    let service = pair.service_between(&source, pair.target.url());
    let process = ServiceProcess::start(in_parts(service), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    for cut in 0..if ctx.is_long() { 20 * CUTS } else { CUTS } {
        run.progress().await.with_context(|| format!("before cut {cut}"))?;
        sleep(Duration::from_millis(run.rng.random_range(0..150))).await;
        match cut % 7 {
            // On the way to a stream.
            3 => {
                proxy.arm(Fault::LoseRequest, "START_REPLICATION");
                proxy.cut_all();
            }
            5 => {
                proxy.arm(Fault::LoseAnswer, "IDENTIFY_SYSTEM");
                proxy.cut_all();
            }
            6 => {
                proxy.refuse();
                proxy.cut_all();
                sleep(Duration::from_millis(500)).await;
                proxy.allow();
            }
            _ => proxy.cut_all(),
        }
    }
    run.progress().await?;
    run.end(&[&process]).await
}

/// The connection of the process to the source ends with this; a frozen process would hold the slot for a minute else.
const SENDER_TIMEOUT: &str = "2s";

async fn frozen(ctx: Ctx, seed: u64) -> Result<()> {
    let settings = Settings { fsync: false, ..Settings::default() };
    let settings = settings.with("wal_level", "logical").with("wal_sender_timeout", SENDER_TIMEOUT);
    let source = PostgresServer::start(&settings).await?;
    let pair = Pair::start_with(&ctx, source, ctx.target().clone(), DDL).await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut one = ServiceProcess::start(in_parts(pair.service().named("one")), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    run.progress().await?;
    // The second waits for the lease, and is ready to take over.
    let mut two = ServiceProcess::start(in_parts(run.pair.service().named("two")), ctx.folder()).await?;
    let target = run.pair.target.clone();
    for round in 0..if ctx.is_long() { 4 } else { 1 } {
        let before = run.progress().await?;
        // With a statement under way, and without.
        let held = if round % 2 == 0 { Some(hold(&target, "bulk").await?) } else { None };
        if held.is_some() {
            run.auditor.during(blocked(&target)).await?;
        }
        one.freeze()?;
        let since = Instant::now();
        drop(held);
        let before = before.max(number(&target).await?);
        run.auditor.during(further(&target, before, TAKE_OVER + SOON)).await?;
        run.progress().await?;
        println!("taken over after {:?}", since.elapsed());
        let epoch = epoch(&target).await?;
        one.thaw()?;
        for _ in 0..5 {
            run.progress().await?;
        }
        ensure!(
            self::epoch(&target).await? == epoch,
            "the thawed process took over although another one leads"
        );
        std::mem::swap(&mut one, &mut two);
    }
    // In good order, the other one takes over at once.
    ensure!(one.terminate(SOON).await? == Some(0), "it did not end in good order");
    let before = number(&target).await?;
    run.auditor.during(further(&target, before, Duration::from_secs(5))).await?;
    run.end(&[&one, &two]).await
}

async fn epoch(target: &Database) -> Result<i64> {
    let mut connection = target.connect().await?;
    Ok(sqlx::query_scalar("SELECT epoch FROM _cdc_sink.positions").fetch_one(&mut connection).await?)
}

async fn target_restarts(ctx: Ctx, seed: u64) -> Result<()> {
    let mut server = PostgresServer::start(&Settings::default()).await?;
    let target = server.create_database("restarts").await?;
    let pair = Pair::start_with(&ctx, replication::server().await?, target.clone(), DDL).await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = ServiceProcess::start(in_parts(pair.service()), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    for round in 0..if ctx.is_long() { 24 } else { 4 } {
        run.progress().await?;
        sleep(Duration::from_millis(run.rng.random_range(0..300))).await;
        if round % 2 == 1 {
            // In the middle of a statement, most often one of a transaction that takes several.
            let held = hold(&target, "bulk").await?;
            run.auditor.during(blocked(&target)).await?;
            drop(held);
        }
        match round % 3 {
            0 => server.restart(Shutdown::Fast).await?,
            1 => server.restart(Shutdown::Immediate).await?,
            _ => {
                server.kill9().await?;
                server.start_again().await?;
            }
        }
    }
    run.progress().await?;
    run.end(&[&process]).await
}

async fn source_restarts(ctx: Ctx, seed: u64) -> Result<()> {
    let pair = start(&ctx).await?;
    let process = ServiceProcess::start(as_wholes(pair.service()), ctx.folder()).await?;
    let mut run = Run::begin(pair, seed);
    for round in 0..if ctx.is_long() { 24 } else { 6 } {
        run.progress().await?;
        sleep(Duration::from_millis(run.rng.random_range(0..300))).await;
        match round % 3 {
            0 => run.pair.source.restart(Shutdown::Immediate).await?,
            1 => {
                let since = Instant::now();
                run.pair.source.stop(Shutdown::Fast).await?;
                println!("stopped within {:?}", since.elapsed());
                ensure!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
                run.pair.source.start_again().await?;
            }
            _ => {
                run.pair.source.kill9().await?;
                run.pair.source.start_again().await?;
            }
        }
    }
    run.progress().await?;
    run.end(&[&process]).await
}
