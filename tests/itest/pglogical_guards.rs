//! `cdc-pglogical` at the edges of its stream: where it must not go on, where it must wait, and that neither a slow
//! target nor an idle source costs the source anything.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use sqlx::PgConnection;
use tests::harness::Signal;
use tests::harness::postgres::{PostgresServer, Settings, Shutdown};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;
use tokio::time::sleep;

use crate::support::pair::Pair;
use crate::support::replication::{confirmed, end_of_log};
use crate::support::watch::{expect_phase, metric};
use crate::support::{expect_quiet, replication};

/// The source is a server of its own, as it is to be stopped and broken.
const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
/// Longest wait for something that happens by itself.
const SOON: Duration = Duration::from_secs(30);
/// Exit code: a person has to decide.
const REFUSED: Option<i32> = Some(4);
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)";

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("pglogical_never_goes_on_over_a_gap", NEEDS, gaps),
        scenario("pglogical_ends_when_its_source_fails_over", NEEDS, failover),
        scenario("pglogical_waits_for_a_busy_slot_and_frees_its_own", NEEDS, slots),
        scenario("pglogical_an_idle_source_moves_on_and_stops_quickly", NEEDS, idle),
        scenario("pglogical_a_silent_source_is_not_given_up", NEEDS, silent),
        scenario("pglogical_a_slow_target_does_not_cost_the_stream", NEEDS, slow_target),
        scenario("pglogical_a_refused_row_holds_up_what_follows_until_it_fits", NEEDS, refused),
        scenario("pglogical_conflicts_at_the_target_are_tried_again", NEEDS, conflicts),
    ]
}

async fn start(ctx: &Ctx) -> Result<Pair> {
    let pair = Pair::start(ctx, TABLE).await?;
    pair.publish("FOR TABLE t").await?;
    Ok(pair)
}

/// Starts the process, which has to refuse with this text and write nothing.
async fn refuses(pair: &Pair, name: &str, text: &str) -> Result<()> {
    let mut process = ServiceProcess::spawn(pair.service().named(name), pair.folder())?;
    let code = process.wait_for_exit(SOON).await?.code();
    let said = process.log_tail();
    ensure!(code == REFUSED && said.contains(text), "{name}: ended with {code:?}:\n{said}");
    let rows = rows(pair).await?;
    ensure!(rows == 1, "{name}: wrote {rows} rows");
    Ok(())
}

async fn rows(pair: &Pair) -> Result<i64> {
    let mut target = pair.target.connect().await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut target).await?)
}

async fn gaps(ctx: Ctx) -> Result<()> {
    let settings = Settings { fsync: false, ..Settings::default() }.with("wal_level", "logical");
    let source = PostgresServer::start(&settings.with("max_slot_wal_keep_size", "1MB")).await?;
    let pair = Pair::start_with(&ctx, source, ctx.target().clone(), TABLE).await?;
    pair.publish("FOR TABLE t").await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'before')").await?;
    pair.caught_up().await?;
    ensure!(process.terminate(SOON).await? == Some(0), "it did not end in good order");
    pair.origin.execute("INSERT INTO t VALUES (2, 'later')").await?;

    let stored = pair.stored_by("pglogical").await?;
    let store = async |position: &str| {
        pair.target.execute(&format!("UPDATE _cdc_sink.positions SET position = '{position}'")).await
    };
    store("FFFF/0").await?;
    refuses(&pair, "beyond", "beyond the source's log").await?;
    store("0/10").await?;
    refuses(&pair, "ahead", "beyond the stored position").await?;
    store(&stored.to_string()).await?;

    let identity =
        "UPDATE _cdc_sink.positions SET source_identity = jsonb_set(source_identity, '{system_id}', ";
    let mut origin = pair.origin.connect().await?;
    let own = "SELECT system_identifier::text FROM pg_control_system()";
    let own: String = sqlx::query_scalar(own).fetch_one(&mut origin).await?;
    pair.target.execute(&format!("{identity} '\"7\"')")).await?;
    refuses(&pair, "other", "belongs to").await?;
    pair.target.execute(&format!("{identity} '\"{own}\"')")).await?;

    // The source removes log that the slot needs.
    for _ in 0..4 {
        pair.origin.execute("INSERT INTO other SELECT coalesce(max(id), 0) + 1 FROM other").await?;
        pair.origin.execute("SELECT pg_switch_wal()").await?;
    }
    pair.origin.execute("CHECKPOINT").await?;
    refuses(&pair, "lost", "new snapshot").await?;
    pair.origin.execute("SELECT pg_drop_replication_slot('cdc_sink')").await?;
    refuses(&pair, "none", "SELECT pg_create_logical_replication_slot('cdc_sink'").await?;
    // A new slot of the same name begins too late.
    replication::create_slot(&mut origin, "cdc_sink").await?;
    refuses(&pair, "anew", "beyond the stored position").await
}

async fn failover(ctx: Ctx) -> Result<()> {
    let mut pair = start(&ctx).await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'before')").await?;
    pair.caught_up().await?;
    pair.source.fail_over().await?;
    pair.origin.execute("INSERT INTO t VALUES (2, 'on the new timeline')").await?;
    let code = process.wait_for_exit(SOON).await?.code();
    let said = process.log_tail();
    // It may have met the server before it was promoted.
    let told = said.contains("timeline") || said.contains("in recovery");
    ensure!(code == REFUSED && told, "ended with {code:?}:\n{said}");
    refuses(&pair, "again", "timeline 1, the source is on timeline 2").await
}

/// Whether somebody reads the slot, and who.
async fn reader(origin: &mut PgConnection) -> Result<Option<u32>> {
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'cdc_sink'";
    let pid: Option<i32> = sqlx::query_scalar(sql).fetch_one(origin).await?;
    Ok(pid.map(i32::unsigned_abs))
}

async fn slots(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let other = replication::stream(&replication::config(&pair.origin)?, "cdc_sink", &["my_pub"]).await?;
    let mut process = ServiceProcess::spawn(pair.service(), ctx.folder())?;
    let busy = async || {
        let state = expect_phase(&process, "connecting", StatusCode::SERVICE_UNAVAILABLE).await?;
        ensure!(state["problem"].as_str().is_some_and(|why| why.contains("is active for PID")), "{state}");
        Ok::<_, anyhow::Error>(())
    };
    wait::eventually(SOON, "the slot to be found busy", busy).await?;
    drop(other);
    process.wait_until_ready().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'a')").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;

    // Everything is there: nothing lags.
    expect_phase(&process, "streaming", StatusCode::OK).await?;
    let even = async || -> Result<()> {
        let lag = metric(&process, "flow_lag_seconds{feed=\"pglogical\"}").await?;
        ensure!(lag == 0.0, "lags {lag} s");
        Ok(())
    };
    wait::eventually(SOON, "no lag", even).await?;

    // The slot is free as soon as the process has ended.
    let since = Instant::now();
    ensure!(process.terminate(SOON).await? == Some(0), "it did not end in good order");
    let took = since.elapsed();
    let mut origin = pair.origin.connect().await?;
    ensure!(reader(&mut origin).await?.is_none(), "the slot is still read");
    ensure!(took < Duration::from_secs(3), "it took {took:?} to stop");
    expect_quiet(&[&process], &["the feed was interrupted; trying again"])
}

async fn idle(ctx: Ctx) -> Result<()> {
    let mut pair = start(&ctx).await?;
    let process = pair.run().await?;
    let mut origin = pair.origin.connect().await?;
    for round in 0..3 {
        let more = format!("INSERT INTO other SELECT generate_series({round} * 1000, {round} * 1000 + 999)");
        pair.origin.execute(&more).await?;
        let end = end_of_log(&mut origin).await?;
        let moved = async || -> Result<()> {
            let at = confirmed(&mut origin, "cdc_sink").await?;
            ensure!(at >= end, "the slot is at {at}, the log at {end}");
            ensure!(pair.stored_by("pglogical").await? >= at, "acknowledged and not stored");
            Ok(())
        };
        wait::eventually(SOON, "the slot to move over what is not published", moved).await?;
    }
    drop(origin);
    pair.origin.execute("INSERT INTO other VALUES (-1)").await?;
    let since = Instant::now();
    pair.source.stop(Shutdown::Fast).await?;
    ensure!(since.elapsed() < Duration::from_secs(5), "stopping took {:?}", since.elapsed());
    let away = async || expect_phase(&process, "connecting", StatusCode::SERVICE_UNAVAILABLE).await;
    wait::eventually(SOON, "the process to miss its source", away).await?;
    pair.source.start_again().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'a')").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    expect_quiet(&[&process], &["the feed was interrupted; trying again"])
}

/// How long the server says nothing: many times the pause between two signs of life of ours.
const SILENCE: Duration = Duration::from_secs(4);

async fn silent(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    let process = pair.run().await?;
    let mut origin = pair.origin.connect().await?;
    let session = reader(&mut origin).await?.context("nobody reads the slot")?;
    // As one that works through a transaction of which nothing is published: if it was given up it would begin anew.
    pair.source.signal_session(Signal::Stop, session)?;
    sleep(SILENCE).await;
    pair.source.signal_session(Signal::Cont, session)?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'a')").await?;
    pair.caught_up().await?;
    ensure!(reader(&mut origin).await? == Some(session), "it has connected anew");
    expect_quiet(&[&process], &[])
}

async fn slow_target(ctx: Ctx) -> Result<()> {
    let stall = if ctx.is_long() { Duration::from_secs(10) } else { Duration::from_secs(5) };
    let settings = Settings { fsync: false, ..Settings::default() }.with("wal_level", "logical");
    let source = PostgresServer::start(&settings.with("wal_sender_timeout", "2s")).await?;
    let pair = Pair::start_with(&ctx, source, ctx.target().clone(), TABLE).await?;
    pair.publish("FOR TABLE t").await?;
    // So little may be in flight that the stream backs up to the server.
    let service = pair.service().args(["--bytesInFlight", "65536"]);
    let process = ServiceProcess::start(service, ctx.folder()).await?;
    let mut origin = pair.origin.connect().await?;
    let session = reader(&mut origin).await?.context("nobody reads the slot")?;
    let mut held = pair.target.connect().await?;
    sqlx::raw_sql("BEGIN; LOCK TABLE t IN SHARE MODE").execute(&mut held).await?;
    for from in 0..10 {
        let more =
            format!("INSERT INTO t SELECT {from}000 + i, repeat('x', 500) FROM generate_series(1, 1000) i");
        pair.origin.execute(&more).await?;
    }
    sleep(stall).await;
    sqlx::raw_sql("COMMIT").execute(&mut held).await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    ensure!(reader(&mut origin).await? == Some(session), "the source has ended the stream");
    expect_quiet(&[&process], &[])
}

const BAD: i64 = 30;
const ALL: i64 = 60;

async fn refused(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    pair.target.execute(&format!("ALTER TABLE t ADD CONSTRAINT odd CHECK (id <> {BAD})")).await?;
    for id in 1..=ALL {
        pair.origin.execute(&format!("INSERT INTO t VALUES ({id}, 'a'); ")).await?;
    }
    // All of them are in one batch.
    let process = ServiceProcess::spawn(pair.service(), ctx.folder())?;
    let stalls = async || -> Result<()> {
        let state = expect_phase(&process, "stalled", StatusCode::SERVICE_UNAVAILABLE).await?;
        ensure!(state["problem"].as_str().is_some_and(|why| why.contains("odd")), "{state}");
        ensure!(rows(&pair).await? == BAD - 1, "{} rows", rows(&pair).await?);
        Ok(())
    };
    wait::eventually(SOON, "everything before the row, and nothing else", &stalls).await?;
    // Each attempt finds the same.
    let opened = "flow_connects_total{feed=\"pglogical\",outcome=\"opened\"}";
    let tries = metric(&process, opened).await?;
    let again = async || -> Result<()> {
        stalls().await?;
        let now = metric(&process, opened).await?;
        ensure!(now >= tries + 3.0, "{now} connections");
        Ok(())
    };
    while again().await.is_err() {
        // Never ready in between, and never beyond the row.
        stalls().await?;
        sleep(Duration::from_millis(20)).await;
    }
    let stalled = metric(&process, "flow_phase{feed=\"pglogical\",phase=\"stalled\"}").await?;
    let lag = metric(&process, "flow_lag_seconds{feed=\"pglogical\"}").await?;
    ensure!(stalled == 1.0 && lag > 0.0, "stalled is {stalled}, and it lags {lag} s");
    let log = std::fs::read_to_string(process.log())?;
    ensure!(log.matches("the feed stands still").count() == 1, "it should say so once:\n{log}");

    pair.target.execute("ALTER TABLE t DROP CONSTRAINT odd").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    expect_phase(&process, "streaming", StatusCode::OK).await?;
    expect_quiet(&[&process], &["the feed stands still"])
}

async fn conflicts(ctx: Ctx) -> Result<()> {
    let pair = start(&ctx).await?;
    // Serialization failures, as a trigger of the target may run into them; a sequence is not undone.
    pair.target
        .execute(
            "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('tries') <= 3 THEN RAISE EXCEPTION 'try again' USING ERRCODE = '40001'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER fail BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fail()",
        )
        .await?;
    let process = pair.run().await?;
    pair.origin.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 10) i").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;

    // A deadlock with a transaction that takes the same rows the other way around.
    let mut rival = pair.target.connect().await?;
    sqlx::raw_sql("BEGIN; UPDATE t SET v = v WHERE id = 9").execute(&mut rival).await?;
    pair.origin.execute("UPDATE t SET v = 'b'").await?;
    let mut target = pair.target.connect().await?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND wait_event_type = 'Lock' AND application_name = 'cdc-sink'";
    wait::eventually(SOON, "the statement to wait", async || -> Result<()> {
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&mut target).await?;
        ensure!(waiting > 0, "none waits");
        Ok(())
    })
    .await?;
    // Whoever loses is ended by the server; if it was the rival, it has made way.
    let closed = sqlx::raw_sql("UPDATE t SET v = v WHERE id = 1; COMMIT").execute(&mut rival).await;
    println!("the rival {}", if closed.is_ok() { "won" } else { "lost" });
    drop(rival);
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    expect_quiet(&[&process], &["the feed was interrupted; trying again"])
}
