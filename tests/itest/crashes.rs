//! Proves that nothing is lost and nothing invented when processes, connections and the target itself come to a
//! sudden end, and that another process takes over in time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sink_testkit::feed::{Config, Faults};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::harness::Signal;
use tests::harness::http::Client;
use tests::harness::postgres::{PostgresServer, Settings, Shutdown};
use tests::harness::process::ServiceProcess;
use tests::harness::proxy::{Fault, Proxy};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;
use tokio::time::sleep;

use crate::posting::Feed;
use crate::support::{Driver, Poller, SCHEMA, Stage, expect_quiet, seeded, with_versions};

/// Time for a simulated run on a busy machine.
const RUN: Duration = Duration::from_secs(300);
/// Time for what is staged to be applied.
const APPLY: Duration = Duration::from_secs(60);
/// Time for a statement to come by.
const SOON: Duration = Duration::from_secs(30);
/// Longest time from the end of a leader to the next step of the frontier.
const TAKE_OVER: Duration = Duration::from_secs(15);
/// More rows than the scan of any workload here, so that marks can follow soon.
const SCAN: u64 = 3_000;
/// Part of the statement that stages rows.
const STAGING: &str = "WITH touched AS";
/// Part of every statement that writes rows of a slice.
const APPLYING: &str = " AS MATERIALIZED (SELECT DISTINCT ON";
/// How the statement that applies a slice begins, unless unique values have to be moved first.
const FENCE: &str = "WITH fence AS";

/// What a process logs when its connections break or its lease is taken.
const DISTURBED: [&str; 15] = [
    "space was not given back",
    // The driver's, after a pause of the target.
    "acquired connection, but time to acquire exceeded slow threshold",
    // A notice of the server's.
    "terminating connection due to immediate shutdown command",
    // The driver's own words about a connection that it gives up.
    "error occurred while testing the connection on-release",
    "applying failed; trying again",
    "cannot resolve",
    "cannot ask for the lease",
    "leases were not renewed",
    "leases were not released",
    "gave up a lease that could not be renewed",
    "applied rows were not removed from staging",
    "the target's schema was not read",
    "a delivery was refused",
    "the target does not answer; trying again",
    "cannot clear the stall",
];

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    let long = Duration::from_secs(420);
    vec![
        scenario("crashes_kill9_while_staging_and_applying_loses_nothing", &[Need::Postgres], |ctx| {
            seeded(ctx, kills)
        })
        .deadline(long),
        scenario("crashes_lost_answers_lose_nothing", &[Need::Postgres], |ctx| seeded(ctx, lost_answers))
            .deadline(long),
        scenario("crashes_another_process_takes_over_from_a_killed_one", &[Need::Postgres], |ctx| {
            seeded(ctx, killed)
        })
        .deadline(long),
        scenario("crashes_a_frozen_leader_is_fenced_when_it_thaws", &[Need::Postgres], |ctx| {
            seeded(ctx, frozen)
        })
        .deadline(long),
        scenario("crashes_a_restarted_target_is_met_again", &[Need::PostgresBinaries], |ctx| {
            seeded(ctx, restarts)
        })
        .deadline(long),
        scenario("crashes_a_stopped_process_answers_what_is_in_flight", &[Need::Postgres], drain),
    ]
}

/// A feed with all kinds of faults whose requests are tried often, so that not every crash restarts the job.
fn rough() -> Config {
    let faults = Faults { restart_earlier: 0.2, ..Faults::CHAOS };
    Config { faults, max_attempts: 30, ..Config::default() }
}

/// Runs a feed, and what happens to the processes meanwhile, while the poller reads.
async fn play(
    stage: &Stage,
    mut poller: Poller,
    driver: Driver,
    events: impl Future<Output = Result<()>>,
) -> Result<()> {
    let run = async {
        let (outcome, ()) = tokio::try_join!(Box::pin(driver.run(RUN)), events)?;
        stage.expect_end(APPLY).await.map(|()| outcome)
    };
    let outcome = tokio::select! {
        outcome = run => outcome?,
        broken = poller.broken() => return Err(broken),
    };
    println!("{outcome:?} {:?}", poller.finish().await?);
    Ok(())
}

/// Rows between two of so many events, so that they are spread over the feed: half of it, for waiting lets rows
/// through as well.
fn portion(driver: &Driver, events: usize) -> Result<u64> {
    Ok(driver.rows() / (2 * u64::try_from(events)? + 2))
}

/// Keeps every statement that writes to a table waiting; reading goes on.
async fn hold(stage: &Stage, table: &str) -> Result<PgConnection> {
    let mut connection = stage.target.connect().await?;
    let sql = format!("BEGIN; LOCK TABLE {table} IN SHARE MODE");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection)
}

const KILLS: usize = 27;
/// Every so many kills, the lease is left to expire by itself.
const PATIENT_EVERY: usize = 9;

async fn kills(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(40_000)).await?;
    let mut process = stage.start(stage.service("killed")).await?;
    let poller = Poller::start(&stage.target, false);
    let (driver, tap) = stage.driver(&[&process], rough()).tolerate(&[503]).with_tap();
    let rows = portion(&driver, KILLS)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let events = async {
        tap.pass(SCAN).await?;
        tap.until(stage.wait_for_tables()).await?;
        for kill in 0..KILLS {
            let moment = Duration::from_millis(rng.random_range(0..250));
            let killed = async {
                match kill % 3 {
                    0 => {
                        tap.pass(rows).await?;
                        sleep(moment).await;
                        process.kill9().await
                    }
                    1 => {
                        let table = stage.target.staging_table("accounts").await?;
                        kill_in(&stage, &mut process, &table, STAGING, rng.random()).await
                    }
                    _ => kill_in(&stage, &mut process, &parents(), APPLYING, rng.random()).await,
                }
            };
            if kill % 3 != 0 {
                tap.pass(rows).await?;
            }
            tap.until(killed).await.with_context(|| format!("kill {kill}"))?;
            if kill % PATIENT_EVERY != PATIENT_EVERY - 1 {
                // The next process would wait for the dead one's lease. A lease only saves work, so nothing may
                // depend on it; without it the two come closer together.
                stage
                    .target
                    .database()
                    .execute("UPDATE _cdc_sink.leases SET expires = now() - interval '1 s'")
                    .await?;
            }
            process.start_again().await.with_context(|| format!("after kill {kill}"))?;
        }
        tap.open();
        Ok(())
    };
    play(&stage, poller, driver, Box::pin(events)).await?;
    stage.expect_replay_changes_nothing(&[&process]).await?;
    expect_quiet(&[&process], &DISTURBED)
}

/// A table whose rows are in nearly every slice.
fn parents() -> String {
    format!("{SCHEMA}.parents")
}

/// Kills the process while one of its statements is under way, before or just after that can go on.
async fn kill_in(
    stage: &Stage,
    process: &mut ServiceProcess,
    table: &str,
    statement: &str,
    first: bool,
) -> Result<()> {
    let held = hold(stage, table).await?;
    stage.target.wait_blocked(statement, SOON).await?;
    if first {
        process.kill9().await?;
        return held.close().await.context("cannot let go");
    }
    held.close().await?;
    process.kill9().await
}

/// How often each kind of loss happens.
const ROUNDS: usize = 5;

async fn lost_answers(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(20_000)).await?;
    let proxy = Proxy::start(stage.target.database().address()?).await?;
    let url = stage.target.database().url_through(proxy.address());
    let process = stage.start(stage.service_through("cut", &url)).await?;
    let poller = Poller::start(&stage.target, false);
    let (driver, tap) = stage.driver(&[&process], rough()).tolerate(&[503]).with_tap();
    let faults = [
        // Several tables in a request: staged by a transaction.
        (Fault::LoseAnswer, "COMMIT"),
        (Fault::LoseAnswer, FENCE),
        (Fault::LoseAnswer, STAGING),
        (Fault::LoseRequest, FENCE),
        (Fault::LoseAnswer, "\"pending_timestamps\" (target_db"),
        (Fault::LoseRequest, "COMMIT"),
        (Fault::LoseAnswer, FENCE),
        (Fault::LoseRequest, STAGING),
    ];
    let all = faults.len() * ROUNDS;
    let rows = portion(&driver, all)?;
    let events = async {
        for (number, (fault, statement)) in faults.iter().cycle().take(all).enumerate() {
            if *statement == FENCE {
                // Only a slice that succeeds makes the pauses between attempts short again.
                let from = stage.target.applied().await?;
                tap.until(stage.wait_for_marks(from, 1)).await?;
            }
            let fired = proxy.fired() + 1;
            proxy.arm(*fault, statement);
            tap.pass(rows).await?;
            let happened = tap.until(proxy.wait_fired(fired, SOON)).await;
            happened.with_context(|| format!("{fault:?} {statement}"))?;
            if number % 10 == 9 {
                proxy.cut_all();
            }
        }
        tap.open();
        Ok(())
    };
    play(&stage, poller, driver, Box::pin(events)).await?;
    stage.expect_replay_changes_nothing(&[&process]).await?;
    expect_quiet(&[&process], &DISTURBED)
}

/// Two processes on one target; `lead` says which of them applies.
struct Pair {
    processes: [ServiceProcess; 2],
}

impl Pair {
    async fn start(stage: &Stage) -> Result<Pair> {
        let one = stage.start(stage.service("one")).await?;
        Ok(Pair { processes: [one, stage.start(stage.service("two")).await?] })
    }

    fn both(&self) -> [&ServiceProcess; 2] {
        self.processes.each_ref()
    }

    async fn leader(&mut self, stage: &Stage) -> Result<usize> {
        let mut connection = stage.target.connect().await?;
        let pids = [self.processes[0].pid()?, self.processes[1].pid()?];
        let leads = async || -> Result<usize> {
            let sql = "SELECT hostname FROM _cdc_sink.leases WHERE expires > clock_timestamp()";
            let holder: Option<String> = sqlx::query_scalar(sql).fetch_optional(&mut connection).await?;
            let holder = holder.context("nobody holds the lease")?;
            let by = |pid: &u32| holder.ends_with(&format!(":{pid}"));
            pids.iter().position(by).with_context(|| format!("the holder is {holder}"))
        };
        wait::eventually(SOON, "one of the processes to lead", leads).await
    }
}

/// Waits until somebody with a higher epoch has moved the frontier; answers that epoch.
async fn wait_for_successor(stage: &Stage, epoch: i64) -> Result<i64> {
    let since = Instant::now();
    let mut connection = stage.target.connect().await?;
    let before = stage.target.frontier(&mut connection).await?;
    let moved = async || -> Result<i64> {
        let now = stage.target.frontier(&mut connection).await?;
        ensure!(now.epoch > epoch && now.applied > before.applied, "{now:?} after {before:?}");
        Ok(now.epoch)
    };
    let epoch = wait::eventually(TAKE_OVER, "another process to take over", moved).await?;
    let taken = since.elapsed();
    println!("taken over after {taken:?}");
    ensure!(taken <= TAKE_OVER, "taking over took {taken:?}");
    Ok(epoch)
}

async fn epoch(stage: &Stage) -> Result<i64> {
    let mut connection = stage.target.connect().await?;
    Ok(stage.target.frontier(&mut connection).await?.epoch)
}

async fn killed(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(20_000)).await?;
    let mut pair = Pair::start(&stage).await?;
    let poller = Poller::start(&stage.target, false);
    let (driver, tap) = stage.driver(&pair.both(), rough()).tolerate(&[503]).with_tap();
    let rounds = 3;
    let rows = portion(&driver, rounds)?;
    let events = async {
        tap.pass(SCAN).await?;
        tap.until(stage.wait_for_tables()).await?;
        for round in 0..rounds {
            tap.pass(rows).await?;
            let leader = tap.until(pair.leader(&stage)).await?;
            let before = epoch(&stage).await?;
            let dead = &mut pair.processes[leader];
            let in_the_middle = round == 1;
            if in_the_middle {
                // Its statement holds the row of the frontier at that moment.
                tap.until(kill_in(&stage, dead, &parents(), APPLYING, true)).await?;
            } else {
                dead.kill9().await?;
            }
            tap.until(wait_for_successor(&stage, before)).await?;
            pair.processes[leader].start_again().await?;
        }
        tap.open();
        Ok(())
    };
    play(&stage, poller, driver, Box::pin(events)).await?;
    expect_quiet(&pair.both(), &DISTURBED)
}

async fn frozen(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(20_000)).await?;
    let mut pair = Pair::start(&stage).await?;
    let poller = Poller::start(&stage.target, false);
    let (driver, tap) = stage.driver(&pair.both(), rough()).tolerate(&[503]).with_tap();
    let rows = portion(&driver, 3)?;
    let events = async {
        tap.pass(SCAN).await?;
        tap.until(stage.wait_for_tables()).await?;
        let leader = tap.until(pair.leader(&stage)).await?;
        let before = epoch(&stage).await?;
        pair.processes[leader].freeze()?;
        let after = tap.until(wait_for_successor(&stage, before)).await?;
        pair.processes[leader].thaw()?;
        let applied = slices(&stage, &pair.processes[leader]).await?;
        // A lot more is applied now, and the thawed process gets its share of the requests, marks included.
        let from = stage.target.applied().await?;
        tap.pass(rows).await?;
        tap.until(stage.wait_for_marks(from, 5)).await?;
        let now = slices(&stage, &pair.processes[leader]).await?;
        ensure!(now == applied, "the thawed process applied {} slices", now - applied);
        ensure!(epoch(&stage).await? == after, "the thawed process took over although another one leads");

        // The fence itself: the leader believes in its lease, and somebody else has raised the epoch.
        stage.target.database().execute(&raise_epoch()).await?;
        let raised = epoch(&stage).await?;
        tap.pass(rows / 2).await?;
        tap.until(wait_for_successor(&stage, raised)).await?;
        let mut connection = stage.target.connect().await?;
        let sql = "SELECT count(*) FROM steps WHERE epoch = $1 AND applied";
        let stale: i64 = sqlx::query_scalar(sql).bind(raised).fetch_one(&mut connection).await?;
        ensure!(stale == 0, "a leader of an older epoch moved the frontier {stale} times");
        tap.open();
        Ok(())
    };
    play(&stage, poller, driver, Box::pin(events)).await?;
    expect_quiet(&pair.both(), &DISTURBED)
}

/// Raises the epoch behind the leader's back. From then on every change of the frontier is noted by a trigger, because
/// a look at the frontier now and then could miss a step.
fn raise_epoch() -> String {
    format!(
        "CREATE TABLE steps (epoch int8, applied bool);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.steps VALUES (NEW.epoch, NEW.applied_nanos <> OLD.applied_nanos); RETURN NULL;
         END $$;
         CREATE TRIGGER note AFTER UPDATE ON _cdc_sink.frontiers FOR EACH ROW EXECUTE FUNCTION note();
         UPDATE _cdc_sink.frontiers SET epoch = epoch + 1 WHERE target_schema = '{SCHEMA}'"
    )
}

/// Slices a process has applied since its start.
async fn slices(stage: &Stage, process: &ServiceProcess) -> Result<u64> {
    let count = stage.metric(process, "resolve_flush_success_total").await?;
    // A counter, printed without a fraction.
    Ok(format!("{count}").parse()?)
}

async fn restarts(ctx: Ctx, seed: u64) -> Result<()> {
    let mut server = PostgresServer::start(&Settings::default()).await?;
    let database = server.create_database("restarts").await?;
    let stage = Stage::set(&ctx, &database, seed, &with_versions(20_000)).await?;
    let process = stage.start(stage.service("restarted")).await?;
    let poller = Poller::start(&stage.target, true);
    let (driver, tap) = stage.driver(&[&process], rough()).tolerate(&[503]).with_tap();
    let mut rng = StdRng::seed_from_u64(seed);
    let rounds = 9;
    let rows = portion(&driver, rounds)?;
    let events = async {
        tap.pass(SCAN).await?;
        tap.until(stage.wait_for_tables()).await?;
        for round in 0..rounds {
            let moment = Duration::from_millis(rng.random_range(0..300));
            tap.pass(rows).await?;
            let moment = async {
                sleep(moment).await;
                Ok(())
            };
            tap.until(moment).await?;
            match round % 3 {
                0 => server.restart(Shutdown::Fast).await?,
                1 => server.restart(Shutdown::Immediate).await?,
                _ => {
                    server.kill9().await?;
                    server.start_again().await?;
                }
            }
        }
        tap.open();
        Ok(())
    };
    play(&stage, poller, driver, Box::pin(events)).await?;
    stage.expect_replay_changes_nothing(&[&process]).await?;
    expect_quiet(&[&process], &DISTURBED)
}

async fn drain(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int8 PRIMARY KEY, name text)", &[]).await?;
    feed.put("t", "[1]", r#"{"id": 1, "name": "a"}"#);
    feed.settle().await?;
    let staging =
        feed.value("SELECT staging_table FROM _cdc_sink.staged_tables").await?.context("nothing staged")?;
    let mut holder = ctx.target().connect().await?;
    let lock = format!("BEGIN; LOCK TABLE _cdc_sink.\"{staging}\" IN SHARE MODE");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await?;
    feed.put("t", "[2]", r#"{"id": 2, "name": "b"}"#);
    let (address, body) = (feed.service.address(), feed.take_body());
    let path = format!("/{}/public", ctx.target().name());
    let request = async {
        let mut client = Client::connect(address).await?;
        client.post(&path, &[], body).await
    };
    let stop = async {
        let blocked = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND datname = current_database()";
        let waits = async || (feed.value(blocked).await.ok().flatten().as_deref() == Some("1")).then_some(());
        wait::eventually(SOON, "the request to wait", waits).await?;
        feed.service.signal(Signal::Term)?;
        let closed = async || Client::connect(address).await.is_err().then_some(());
        wait::eventually(SOON, "new connections to be refused", closed).await?;
        ensure!(feed.service.exited()?.is_none(), "it did not wait for the request in flight");
        holder.close().await.context("cannot let go")
    };
    let ((status, _), ()) = tokio::try_join!(request, stop)?;
    ensure!(status == StatusCode::OK, "the request in flight was answered {status}");
    let ended = feed.service.wait_for_exit(SOON).await?;
    ensure!(ended.code() == Some(0), "it ended with {ended}");
    expect_quiet(&[&feed.service], &[])?;
    // What was answered is there.
    feed.service.start_again().await?;
    feed.client = Client::connect(address).await?;
    feed.tick();
    feed.settle().await?;
    feed.shows("SELECT id, name FROM t ORDER BY id", "(1,a) (2,b)").await
}
