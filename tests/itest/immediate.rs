//! Immediate mode: every key ends at its newest version, whatever comes again, late, or in the other mode.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use tests::harness::http::Client;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::{Feed, body, row};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("immediate_older_versions_never_overwrite_newer_ones", &[Need::Postgres], guard),
        scenario("immediate_feeds_choose_their_mode", &[Need::Postgres], choice),
        scenario("immediate_mode_switches_keep_the_newest_version", &[Need::Postgres], switches),
        scenario("immediate_children_wait_for_their_parents", &[Need::Postgres], parents),
        scenario("immediate_without_guard_rows_are_written_as_they_come", &[Need::Postgres], unguarded)
            .only_postgres(),
    ]
}

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v int, d text DEFAULT 'd'); CREATE TABLE n (k numeric PRIMARY KEY, v int)";

/// A row of `t` at a time.
fn version(time: &str, id: i32, v: i32) -> String {
    row("t", time, &format!("[{id}]"), Some(&format!(r#"{{"id": {id}, "v": {v}}}"#)), None)
}

fn deletion(time: &str, id: i32) -> String {
    row("t", time, &format!("[{id}]"), None, None)
}

async fn taken(feed: &mut Feed, rows: &[String]) -> Result<()> {
    let answer = feed.post(&body(rows)).await?;
    ensure!(answer.0 == StatusCode::OK, "{rows:?}: {answer:?}");
    Ok(())
}

async fn guard(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &["--immediate"]).await?;
    let t: Vec<String> = (0..10).map(|_| feed.tick()).collect();
    // Visible at once, without a mark; of several versions in one request the newest.
    taken(
        &mut feed,
        &[version(&t[1], 1, 1), version(&t[3], 1, 3), version(&t[2], 1, 2), version(&t[1], 2, 1)],
    )
    .await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,3) (2,1)").await?;
    taken(&mut feed, &[version(&t[2], 1, 2)]).await?;
    taken(&mut feed, &[deletion(&t[2], 1), version(&t[3], 1, 3)]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,3) (2,1)").await?;
    // A deletion is remembered as well.
    taken(&mut feed, &[deletion(&t[4], 1)]).await?;
    taken(&mut feed, &[version(&t[3], 1, 3), version(&t[2], 2, 2)]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(2,2)").await?;
    // Deleting what was never there, then an older version of it.
    taken(&mut feed, &[deletion(&t[5], 9)]).await?;
    taken(&mut feed, &[version(&t[4], 9, 9)]).await?;
    taken(&mut feed, &[version(&t[6], 1, 6)]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,6) (2,2)").await?;
    // Two spellings of one key.
    taken(&mut feed, &[row("n", &t[2], "[1.0]", Some(r#"{"k": 1.0, "v": 2}"#), None)]).await?;
    taken(&mut feed, &[row("n", &t[3], "[1.00]", Some(r#"{"k": 1.00, "v": 3}"#), None)]).await?;
    taken(&mut feed, &[row("n", &t[2], "[1.000]", Some(r#"{"k": 1.000, "v": 2}"#), None)]).await?;
    feed.shows("SELECT v FROM n", "(3)").await?;

    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    // What the mark covers is a redelivery, known to the guard or not.
    taken(&mut feed, &[version(&t[7], 1, 7), version(&t[7], 7, 7), deletion(&t[8], 2)]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,6) (2,2)").await?;
    let now = feed.tick();
    taken(&mut feed, &[version(&now, 1, 10)]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,10) (2,2)").await
}

async fn choice(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY, v int); CREATE TABLE t (id int PRIMARY KEY, v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    feed.query = "?immediate=true".into();
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.send().await?;
    feed.shows("SELECT id FROM t", "(1)").await?;
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT mode FROM _cdc_sink.frontiers", "(immediate)").await?;
    (feed.schema, feed.query) = ("other".into(), "?immediate=false".into());
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.send().await?;
    feed.shows("SELECT id FROM other.t", "").await?;
    feed.settle().await?;
    feed.shows("SELECT id FROM other.t", "(1)").await?;
    let (_, state) = feed.readyz().await?;
    ensure!(state.contains("\"immediate\"") && state.contains("\"consistent\""), "{state}");
    Ok(())
}

async fn switches(ctx: Ctx) -> Result<()> {
    const IMMEDIATE: &str = "?immediate=true";
    let mut feed = Feed::start(&ctx, TABLE, &[]).await?;
    let t: Vec<String> = (0..12).map(|_| feed.tick()).collect();
    feed.query = IMMEDIATE.into();
    taken(&mut feed, &[version(&t[3], 1, 3), version(&t[3], 2, 3), deletion(&t[3], 3)]).await?;
    // To consistent: older versions that come again are staged, promised, and still older.
    feed.query = String::new();
    taken(&mut feed, &[version(&t[2], 1, 2), deletion(&t[2], 2), version(&t[1], 3, 1), version(&t[4], 4, 4)])
        .await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,3) (2,3)").await?;
    let (status, _) = feed.post(&format!(r#"{{"resolved":"{}"}}"#, t[5])).await?;
    ensure!(status == StatusCode::OK);
    feed.applied(&t[5]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,3) (2,3) (4,4)").await?;
    // Back to immediate while rows are staged: nothing overtakes them in the wrong direction.
    taken(&mut feed, &[version(&t[6], 1, 6), deletion(&t[6], 2)]).await?;
    feed.query = IMMEDIATE.into();
    taken(&mut feed, &[version(&t[7], 1, 7), version(&t[7], 5, 7)]).await?;
    let (status, _) = feed.post(&format!(r#"{{"resolved":"{}"}}"#, t[8])).await?;
    ensure!(status == StatusCode::OK);
    feed.applied(&t[8]).await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,7) (4,4) (5,7)").await?;
    // And to consistent once more, with a row that came in immediate mode after the mark.
    taken(&mut feed, &[version(&t[10], 1, 10)]).await?;
    feed.query = String::new();
    taken(&mut feed, &[version(&t[9], 1, 9), version(&t[9], 6, 9)]).await?;
    feed.settle().await?;
    feed.shows("SELECT id, v FROM t ORDER BY 1", "(1,10) (4,4) (5,7) (6,9)").await
}

async fn parents(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p)";
    let mut feed = Feed::start(&ctx, ddl, &["--immediate", "--applyTimeout=1s"]).await?;
    let began = Instant::now();
    feed.put("c", "[1]", r#"{"id": 1, "p": 1}"#);
    feed.refused(StatusCode::SERVICE_UNAVAILABLE, &["23503", "public.c"]).await?;
    ensure!(began.elapsed() > Duration::from_millis(400), "it was not tried again");
    feed.shows("SELECT * FROM c", "").await?;
    // In one request the parent comes first, wherever it stands.
    feed.put("c", "[2]", r#"{"id": 2, "p": 2}"#);
    feed.put("p", "[2]", r#"{"id": 2}"#);
    feed.send().await?;
    feed.shows("SELECT * FROM c", "(2,2)").await?;
    // In two requests side by side the child waits.
    feed.put("c", "[1]", r#"{"id": 1, "p": 1}"#);
    let child = feed.take_body();
    feed.put("p", "[1]", r#"{"id": 1}"#);
    let path = format!("/{}/public", feed.database);
    let mut second = Client::connect(feed.service.address()).await?;
    // Whichever is first, both are taken.
    let parent = feed.send();
    let (child, parent) = tokio::join!(second.post(&path, &[], child), parent);
    parent?;
    let (status, said) = child.context("the child's request")?;
    ensure!(status == StatusCode::OK, "{said:?}");
    feed.shows("SELECT * FROM c ORDER BY 1", "(1,1) (2,2)").await
}

async fn unguarded(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLE, &["--immediate", "--assumeIdempotent"]).await?;
    for v in [1, 2] {
        for id in [1, 2] {
            feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": {v}}}"#));
        }
        feed.send().await?;
    }
    feed.gone("t", "[2]");
    feed.send().await?;
    feed.shows("SELECT id, v FROM t", "(1,2)").await?;
    let sql = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               JOIN _cdc_sink.staged_tables t ON t.guard_table = c.relname WHERE n.nspname = '_cdc_sink' AND c.reltuples > 0";
    feed.shows(sql, "").await
}
