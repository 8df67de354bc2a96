//! Proves that a target shows every source transaction as a whole, at the mark and never before, whatever a feed
//! repeats, delays or reorders; and that staging gives its space back.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use sink_testkit::feed::{Config, Encoding, Faults};
use sqlx::AssertSqlSafe;
use tests::harness::database::{Database, Product};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::posting::Feed;
use crate::support::{Poller, SCHEMA, Stage, expect_quiet, seeded, with_versions};

/// Time for a simulated run on a busy machine.
const RUN: Duration = Duration::from_secs(200);
/// Time for what is staged to be applied.
const APPLY: Duration = Duration::from_secs(60);
/// A staging table below this size is not worth giving back.
const LEFT_PER_TABLE_BYTES: i64 = 1 << 20;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("consistency_nothing_shows_before_its_mark_and_all_of_it_after", &[Need::Postgres], marks),
        scenario(
            "consistency_chaos_never_breaks_an_invariant_and_replays_change_nothing",
            &[Need::Postgres],
            |ctx| seeded(ctx, chaos),
        )
        .deadline(Duration::from_secs(400)),
        scenario("consistency_two_processes_share_a_feed", &[Need::Postgres], |ctx| seeded(ctx, shared))
            .deadline(Duration::from_secs(300)),
        scenario("consistency_other_forms_of_a_feed_say_the_same", &[Need::Postgres], |ctx| {
            seeded(ctx, forms)
        })
        .deadline(Duration::from_secs(300)),
        scenario("consistency_staging_returns_to_its_base_line", &[Need::Postgres], |ctx| seeded(ctx, space))
            .deadline(Duration::from_secs(300))
            .only_postgres(),
    ]
}

const FAMILY: &str = "CREATE TABLE parents (id int8 PRIMARY KEY, name text);
    CREATE TABLE children (id int8 PRIMARY KEY, parent int8 NOT NULL REFERENCES parents, name text)";

/// Rows of both tables as one text.
const SHOWN: &str =
    "SELECT concat_ws(';', (SELECT string_agg(id || '=' || name, ',' ORDER BY id) FROM parents),
    (SELECT string_agg(id || '<' || parent || '=' || name, ',' ORDER BY id) FROM children))";

async fn marks(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, FAMILY, &[]).await?;
    let before = feed.mark().await?;
    // A child comes before its parent, in an earlier request of the same transaction.
    feed.put("children", "[1]", r#"{"id": 1, "parent": 10, "name": "a"}"#);
    let (child, family) = (feed.take_body(), feed.now());
    feed.put("parents", "[10]", r#"{"id": 10, "name": "p"}"#);
    let parent = feed.take_body();
    feed.tick();
    feed.put("parents", "[10]", r#"{"id": 10, "name": "q"}"#);
    let (renamed, later) = (feed.take_body(), feed.now());
    for body in [&renamed, &child, &parent] {
        ensure!(feed.post(body).await?.0 == StatusCode::OK);
    }
    // A mark below them all is applied, and shows none of them.
    let (nanos, _) = family.split_once('.').context("not a time")?;
    let low = format!("{}.2147483647", nanos.parse::<u64>()? - 1);
    for (at, expected) in [(&before, ""), (&low, ""), (&family, "10=p;1<10=a"), (&later, "10=q;1<10=a")] {
        ensure!(feed.post(&format!(r#"{{"resolved":"{at}"}}"#)).await?.0 == StatusCode::OK);
        feed.applied(at).await?;
        wait_for_frontier(&mut feed, at).await?;
        let shown = feed.value(SHOWN).await?.unwrap_or_default();
        ensure!(shown == expected, "at {at}: {shown:?} instead of {expected:?}");
    }
    wait_for_empty_staging(&mut feed).await?;
    // What is at or below the applied time is a redelivery: taken, and without effect. The newer name is not sent again,
    // so the older one would win if it were applied.
    for body in [&parent, &child] {
        ensure!(feed.post(body).await?.0 == StatusCode::OK);
    }
    feed.settle().await?;
    let shown = feed.value(SHOWN).await?.unwrap_or_default();
    ensure!(shown == "10=q;1<10=a", "a redelivery had an effect: {shown:?}");
    expect_quiet(&[&feed.service], &[])
}

/// A newer version that is still there would hide that an older one is applied again.
async fn wait_for_empty_staging(feed: &mut Feed) -> Result<()> {
    let each = "SELECT string_agg(format('SELECT 1 FROM _cdc_sink.%I', staging_table), ' UNION ALL ') \
                FROM _cdc_sink.staged_tables";
    let all = feed.value(each).await?.context("nothing was staged")?;
    let count = format!("SELECT count(*)::text FROM ({all}) a");
    wait::eventually(APPLY, "applied rows to be removed", async || {
        let left = feed.value(&count).await?;
        ensure!(left.as_deref() == Some("0"), "{left:?}");
        anyhow::Ok(())
    })
    .await
}

/// To the counter: `Feed::applied` looks at the nanoseconds only.
async fn wait_for_frontier(feed: &mut Feed, at: &str) -> Result<()> {
    let sql = "SELECT applied_nanos || '.' || lpad(applied_logical::text, 10, '0') FROM _cdc_sink.frontiers";
    wait::eventually(APPLY, "the frontier", async || {
        let applied = feed.value(sql).await?.unwrap_or_default();
        // Both have nineteen digits before the dot, so texts compare as times do.
        ensure!(applied.as_str() >= at, "{applied}");
        anyhow::Ok(())
    })
    .await
}

async fn chaos(ctx: Ctx, seed: u64) -> Result<()> {
    let versions = if ctx.is_long() { 400_000 } else { 100_000 };
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(versions)).await?;
    let process = stage.start(stage.service("chaos")).await?;
    let mut poller = Poller::start(&stage.target, false);
    let driver =
        stage.driver(&[&process], Config { faults: Faults::CHAOS, self_check: false, ..Config::default() });
    ensure!(driver.rows() >= 100_000, "only {} rows", driver.rows());
    let run = async {
        let outcome = driver.run(RUN).await?;
        stage.expect_end(APPLY).await.map(|()| outcome)
    };
    let outcome = tokio::select! {
        outcome = run => outcome?,
        broken = poller.broken() => return Err(broken),
    };
    let report = poller.finish().await?;
    ensure!(
        report.snapshots >= 5 && report.moments >= 3,
        "too little was read to prove anything: {report:?}"
    );
    println!("{outcome:?} {report:?}");
    stage.expect_replay_changes_nothing(&[&process]).await?;
    expect_quiet(&[&process], &[])
}

async fn shared(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(20_000)).await?;
    let mut one = stage.start(stage.service("one")).await?;
    let mut two = stage.start(stage.service("two")).await?;
    let mut poller = Poller::start(&stage.target, false);
    let driver = stage.driver(&[&one, &two], Config { faults: Faults::CHAOS, ..Config::default() });
    let run = async {
        driver.run(RUN).await?;
        stage.expect_end(APPLY).await
    };
    tokio::select! {
        done = run => done?,
        broken = poller.broken() => return Err(broken),
    }
    poller.finish().await?;
    for process in [&one, &two] {
        let rows = stage.metric(process, "mutations_received_total").await?;
        ensure!(rows > 1_000.0, "a process received {rows} rows: they did not share the feed");
    }
    stage.expect_replay_changes_nothing(&[&one, &two]).await?;
    for process in [&mut one, &mut two] {
        ensure!(process.terminate(Duration::from_secs(30)).await? == Some(0), "not a clean end");
    }
    expect_quiet(&[&one, &two], &[])
}

/// The same history in every form a feed may have, each into a target of its own name.
async fn forms(ctx: Ctx, seed: u64) -> Result<()> {
    let prefix = Some(format!("source.{SCHEMA}"));
    let encodings = [
        Encoding { diff: true, mvcc_timestamp: true, ..Encoding::default() },
        Encoding { compact: true, topic_prefix: prefix, ..Encoding::default() },
    ];
    for (number, encoding) in encodings.into_iter().enumerate() {
        let name = format!("{}_{number}", &ctx.name()[..30]);
        let database = Database::create(ctx.target().url(), Product::Postgres, &name).await?;
        let stage = Stage::set(&ctx, &database, seed, &with_versions(4_000)).await?;
        let process = stage.start(stage.service(&format!("form-{number}"))).await?;
        let config = Config { faults: Faults::CHAOS, encoding: encoding.clone(), ..Config::default() };
        let done = stage.driver(&[&process], config).run(RUN).await;
        done.with_context(|| format!("{encoding:?}"))?;
        stage.expect_end(APPLY).await.with_context(|| format!("{encoding:?}"))?;
        expect_quiet(&[&process], &[])?;
    }
    Ok(())
}

async fn space(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(60_000)).await?;
    let process = stage.start(stage.service("space")).await?;
    // Only one mark, at the end: until then everything waits in staging.
    let config = Config { resolved_every: 0, flush_messages: 100, self_check: false, ..Config::default() };
    let (driver, tap) = stage.driver(&[&process], config).with_tap();
    let rows = driver.rows();
    let peek = async {
        let wanted = i64::try_from(rows)? / 2;
        let seen = async || {
            let (staged, bytes) = stage.target.staging().await?;
            ensure!(staged > wanted, "{staged} of {wanted}");
            anyhow::Ok(bytes)
        };
        let staged = wait::eventually(RUN, "half of the rows to be staged", seen);
        tap.pass(rows / 10 * 9).await?;
        let bytes = tap.until(staged).await?;
        let status = status(&stage).await?;
        ensure!(
            status["pending_rows"].as_i64() > Some(wanted),
            "status does not count what is pending: {status}"
        );
        tap.open();
        anyhow::Ok(bytes)
    };
    let (_, peak) = tokio::try_join!(driver.run(RUN), peek)?;
    stage.expect_end(APPLY).await?;
    let tables = i64::try_from(stage.workload.source().tables().len())?;
    ensure!(
        2 * peak > 3 * tables * LEFT_PER_TABLE_BYTES,
        "only {peak} bytes were staged: nothing to give back"
    );
    let back = async || {
        let (rows, bytes) = stage.target.staging().await?;
        ensure!(rows == 0 && bytes <= tables * LEFT_PER_TABLE_BYTES, "{rows} rows, {bytes} bytes of {peak}");
        let status = status(&stage).await?;
        let shown = (status["pending_rows"].as_i64(), status["staging_bytes"].as_i64());
        ensure!(
            shown.0 == Some(0) && shown.1 <= Some(tables * LEFT_PER_TABLE_BYTES),
            "status shows {shown:?}"
        );
        anyhow::Ok(())
    };
    wait::eventually(APPLY, "staging to return to its base line", back).await?;
    // Late duplicates are removed as well, by the next mark.
    stage.expect_replay_changes_nothing(&[&process]).await?;
    stage.mark_the_end(&process).await?;
    wait::eventually(APPLY, "the replayed rows to be removed", back).await?;
    leftovers(&stage).await?;
    expect_quiet(&[&process], &[])
}

/// Marks and index entries are removed too, but for the newest.
async fn leftovers(stage: &Stage) -> Result<()> {
    let mut connection = stage.target.connect().await?;
    for (table, most) in [("pending_timestamps", 2), ("staged_windows", 50)] {
        let sql = format!("SELECT count(*) FROM _cdc_sink.{table}");
        let few = async || -> Result<()> {
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&mut connection).await?;
            ensure!(count <= most, "{count} rows are left in {table}");
            Ok(())
        };
        wait::eventually(APPLY, "marks and index entries to be removed", few).await?;
    }
    Ok(())
}

/// What `cdc-webhook status --json` says of the schema.
async fn status(stage: &Stage) -> Result<Value> {
    let mut command = Command::new(stage.service("status").path()?);
    command.args(["status", "--json", "--conn", stage.target.database().url()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("cannot run status")?;
    ensure!(output.status.success(), "status failed: {}", String::from_utf8_lossy(&output.stderr));
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).context("status prints no JSON")?;
    all.into_iter().next().context("status shows no schema")
}
