//! What holds within a window: foreign keys of every shape, unique values that move, slices, late rows, and a
//! schema that changes in between.

use anyhow::{Result, ensure};
use http::StatusCode;
use sqlx::AssertSqlSafe;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON, body, row};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("windows_foreign_keys_of_every_shape_hold", &[Need::Postgres], foreign_keys),
        scenario("windows_unique_values_move_between_rows", &[Need::Postgres], unique_values),
        scenario("windows_a_parent_in_another_feed_is_waited_for", &[Need::Postgres], other_feed),
        scenario("windows_small_slices_end_like_large_ones", &[Need::Postgres], small_slices),
        scenario("windows_one_timestamp_is_never_torn", &[Need::Postgres], one_timestamp),
        scenario("windows_rows_of_two_shapes_mix", &[Need::Postgres], two_shapes),
        scenario("windows_late_rows_are_counted_and_never_applied", &[Need::Postgres], late_rows),
    ]
}

const FOREIGN: &str = "
CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE c_none (id int PRIMARY KEY, p int NOT NULL REFERENCES parent);
CREATE TABLE c_restrict (id int PRIMARY KEY, p int NOT NULL REFERENCES parent ON DELETE RESTRICT);
CREATE TABLE c_cascade (id int PRIMARY KEY, p int NOT NULL REFERENCES parent ON DELETE CASCADE);
CREATE TABLE c_null (id int PRIMARY KEY, p int REFERENCES parent ON DELETE SET NULL);
CREATE TABLE c_later (id int PRIMARY KEY, p int NOT NULL REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
";

const CHILDREN: [&str; 5] = ["c_none", "c_restrict", "c_cascade", "c_null", "c_later"];

async fn foreign_keys(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, FOREIGN, &[]).await?;
    // Children come first, each in a request of its own.
    feed.put("egg", "[1]", r#"{"hen": 1, "id": 1}"#);
    feed.put("node", "[3]", r#"{"id": 3, "parent": 2}"#);
    feed.send().await?;
    feed.put("node", "[2]", r#"{"id": 2, "parent": 1}"#);
    for child in CHILDREN {
        feed.put(child, "[1]", r#"{"id": 1, "p": 1}"#);
    }
    feed.send().await?;
    feed.put("hen", "[1]", r#"{"egg": 1, "id": 1}"#);
    feed.put("node", "[1]", r#"{"id": 1, "parent": null}"#);
    feed.put("parent", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT h.id, e.id FROM hen h JOIN egg e ON e.hen = h.id AND h.egg = e.id", "(1,1)").await?;
    feed.shows("SELECT * FROM node ORDER BY 1", "(1,) (2,1) (3,2)").await?;

    // The parent goes away, its children are pointed at a new one, in one transaction and in any order.
    feed.gone("parent", "[1]");
    feed.put("parent", "[2]", r#"{"id": 2}"#);
    for child in CHILDREN {
        feed.put(child, "[1]", r#"{"id": 1, "p": 2}"#);
    }
    feed.gone("node", "[1]");
    feed.put("node", "[2]", r#"{"id": 2, "parent": 3}"#);
    feed.put("node", "[3]", r#"{"id": 3, "parent": 3}"#);
    // The cycle is replaced by another.
    feed.gone("hen", "[1]");
    feed.gone("egg", "[1]");
    feed.put("hen", "[2]", r#"{"egg": 2, "id": 2}"#);
    feed.put("egg", "[2]", r#"{"hen": 2, "id": 2}"#);
    feed.settle().await?;
    for child in CHILDREN {
        feed.shows(&format!("SELECT * FROM {child}"), "(1,2)").await?;
    }
    feed.shows("SELECT * FROM node ORDER BY 1", "(2,3) (3,3)").await?;
    feed.shows("SELECT h.id, e.id FROM hen h JOIN egg e ON e.hen = h.id AND h.egg = e.id", "(2,2)").await?;

    // A parent is deleted and written again in one window while children point at it.
    feed.gone("parent", "[2]");
    feed.send().await?;
    feed.put("parent", "[2]", r#"{"id": 2}"#);
    feed.settle().await?;
    for child in CHILDREN {
        feed.shows(&format!("SELECT * FROM {child}"), "(1,2)").await?;
    }
    // Parent and children go together.
    feed.gone("parent", "[2]");
    for child in CHILDREN {
        feed.gone(child, "[1]");
    }
    feed.settle().await?;
    feed.shows("SELECT * FROM parent", "").await
}

const UNIQUE: &str = "
CREATE TABLE alone (id int PRIMARY KEY, u int UNIQUE, v int);
CREATE TABLE parent (id int PRIMARY KEY, u int UNIQUE);
CREATE TABLE child (id int PRIMARY KEY, p int NOT NULL REFERENCES parent);
CREATE TABLE cascade_parent (id int PRIMARY KEY, u int UNIQUE);
CREATE TABLE cascade_child (id int PRIMARY KEY, p int NOT NULL REFERENCES cascade_parent ON DELETE CASCADE);
CREATE TABLE by_code (id int PRIMARY KEY, code int UNIQUE);
CREATE TABLE uses_code (id int PRIMARY KEY, code int REFERENCES by_code (code));
";

async fn unique_values(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, UNIQUE, &[]).await?;
    for id in [1, 2, 3] {
        feed.put("alone", &format!("[{id}]"), &format!(r#"{{"id": {id}, "u": {}, "v": 0}}"#, id * 10));
        for (parent, child) in [("parent", "child"), ("cascade_parent", "cascade_child")] {
            feed.put(parent, &format!("[{id}]"), &format!(r#"{{"id": {id}, "u": {}}}"#, id * 10));
            feed.put(child, &format!("[{id}]"), &format!(r#"{{"id": {id}, "p": {id}}}"#));
        }
    }
    feed.settle().await?;
    // A swap and a move onto the value of a deleted row.
    feed.put("alone", "[1]", r#"{"id": 1, "u": 20, "v": 1}"#);
    feed.put("alone", "[2]", r#"{"id": 2, "u": 10, "v": 1}"#);
    feed.gone("alone", "[3]");
    feed.put("alone", "[4]", r#"{"id": 4, "u": 30, "v": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM alone ORDER BY 1", "(1,20,1) (2,10,1) (4,30,1)").await?;
    // A chain through three rows, over two timestamps of one window.
    feed.put("alone", "[4]", r#"{"id": 4, "u": 99, "v": 2}"#);
    feed.send().await?;
    feed.put("alone", "[1]", r#"{"id": 1, "u": 30, "v": 2}"#);
    feed.send().await?;
    feed.put("alone", "[2]", r#"{"id": 2, "u": 20, "v": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM alone ORDER BY 1", "(1,30,2) (2,20,2) (4,99,2)").await?;
    // The same where children point at the rows.
    feed.put("parent", "[1]", r#"{"id": 1, "u": 20}"#);
    feed.put("parent", "[2]", r#"{"id": 2, "u": 10}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM parent ORDER BY 1", "(1,20) (2,10) (3,30)").await?;
    feed.shows("SELECT * FROM child ORDER BY 1", "(1,1) (2,2) (3,3)").await?;
    feed.put("cascade_parent", "[1]", r#"{"id": 1, "u": 30}"#);
    feed.gone("cascade_parent", "[3]");
    feed.gone("cascade_child", "[3]");
    feed.settle().await?;
    feed.shows("SELECT * FROM cascade_parent ORDER BY 1", "(1,30) (2,20)").await?;
    feed.shows("SELECT * FROM cascade_child ORDER BY 1", "(1,1) (2,2)").await
}

async fn other_feed(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.parent (id int PRIMARY KEY);
               CREATE TABLE b.child (id int PRIMARY KEY, p int REFERENCES a.parent)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    feed.schema = "b".into();
    feed.put("child", "[1]", r#"{"id": 1, "p": 1}"#);
    feed.send().await?;
    let waits = feed.mark().await?;
    feed.stalled(&["23503", "child"]).await?;
    ensure!(feed.metric("resolve_stalled", "schema=\"b\"").await? == 1.0);
    let (status, state) = feed.readyz().await?;
    ensure!(status == StatusCode::OK && state.contains("\"stalled\""), "{state}");
    feed.schema = "a".into();
    feed.put("parent", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    feed.schema = "b".into();
    feed.applied(&waits).await?;
    feed.healed().await?;
    feed.shows("SELECT * FROM b.child", "(1,1)").await?;
    ensure!(feed.metric("resolve_stalled", "schema=\"b\"").await? == 0.0);
    Ok(())
}

/// The same history through slices of two rows and through one large slice.
async fn small_slices(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text DEFAULT 'd');
               CREATE TABLE c (id int PRIMARY KEY, t int NOT NULL REFERENCES t)";
    let history = |feed: &mut Feed| {
        for round in 0..30 {
            let (id, next) = (round % 7, (round + 1) % 7);
            feed.put("c", &format!("[{id}]"), &format!(r#"{{"id": {id}, "t": {id}}}"#));
            feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "u": {round}, "v": "{round}"}}"#));
            feed.tick();
            if round % 5 == 4 {
                feed.gone("c", &format!("[{id}]"));
                feed.gone("t", &format!("[{id}]"));
                feed.tick();
            }
            if round % 4 == 3 {
                feed.put("t", &format!("[{next}]"), &format!(r#"{{"id": {next}, "u": {}}}"#, round + 100));
                feed.tick();
            }
        }
    };
    let mut ends = Vec::new();
    for flags in [["--sliceRows=2"], ["--sliceRows=100000"]] {
        ctx.target()
            .execute(
                "DROP SCHEMA IF EXISTS _cdc_sink CASCADE; DROP TABLE IF EXISTS c; DROP TABLE IF EXISTS t",
            )
            .await?;
        let mut feed = Feed::start(&ctx, ddl, &flags).await?;
        history(&mut feed);
        feed.settle().await?;
        let end = feed.rows("SELECT t.*, c.id FROM t LEFT JOIN c ON c.t = t.id ORDER BY t.id").await?;
        let slices = feed.metric("resolve_flush_success_total", "").await?;
        ensure!((slices > 20.0) == (flags == ["--sliceRows=2"]), "{slices} slices with {flags:?}");
        ends.push(end);
    }
    ensure!(ends[0] == ends[1] && !ends[0].is_empty(), "{ends:#?}");
    Ok(())
}

async fn one_timestamp(ctx: Ctx) -> Result<()> {
    const ROWS: i64 = 5_000;
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int)";
    let mut feed = Feed::start(&ctx, ddl, &["--sliceRows=10"]).await?;
    let mut reader = ctx.target().connect().await?;
    for version in 0..3_i64 {
        let at = feed.tick();
        for part in 0..10 {
            for id in part * ROWS / 10..(part + 1) * ROWS / 10 {
                feed.push(row(
                    "t",
                    &at,
                    &format!("[{id}]"),
                    Some(&format!(r#"{{"id": {id}, "v": {version}}}"#)),
                    None,
                ));
            }
            let body = feed.take_body();
            ensure!(feed.post(&body).await?.0 == StatusCode::OK);
        }
        let mark = feed.mark().await?;
        let look = async {
            let sql = "SELECT count(*), count(DISTINCT v), coalesce(max(v), -1)::int8 FROM t";
            loop {
                let seen: (i64, i64, i64) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut reader).await?;
                ensure!(
                    seen == (if version == 0 { 0 } else { ROWS }, i64::from(version > 0), version - 1)
                        || seen == (ROWS, 1, version),
                    "torn: {seen:?}"
                );
                if seen.2 == version {
                    return Ok(());
                }
            }
        };
        let (looked, applied) = tokio::join!(look, feed.applied(&mark));
        looked?;
        applied?;
    }
    Ok(())
}

async fn two_shapes(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TABLE u (id int PRIMARY KEY, a text)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    for id in [1, 2, 3, 4] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"a": "old", "id": {id}}}"#));
    }
    feed.send().await?;
    // The source's schema change reaches the target first, as it should.
    feed.execute("ALTER TABLE t ADD b int DEFAULT 5").await?;
    feed.put("t", "[1]", r#"{"a": "new", "b": 1, "id": 1}"#);
    feed.put("t", "[5]", r#"{"a": "new", "b": 1, "id": 5}"#);
    feed.put("u", "[1]", r#"{"a": "x", "id": 1}"#);
    feed.insist().await?;
    // Versions of one key with the new column, without it, with it; and a deletion between.
    feed.put("t", "[2]", r#"{"a": "new", "b": 2, "id": 2}"#);
    feed.put("t", "[3]", r#"{"a": "new", "b": 3, "id": 3}"#);
    feed.send().await?;
    feed.put("t", "[2]", r#"{"a": "newer", "id": 2}"#);
    feed.gone("t", "[3]");
    feed.send().await?;
    feed.put("t", "[3]", r#"{"a": "newer", "id": 3}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(1,new,1) (2,newer,2) (3,newer,5) (4,old,5) (5,new,1)").await?;
    // The column goes again: the source drops it first, then the target.
    feed.put("t", "[1]", r#"{"a": "end", "id": 1}"#);
    feed.settle().await?;
    feed.execute("ALTER TABLE t DROP COLUMN b").await?;
    feed.put("t", "[2]", r#"{"a": "end", "id": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(1,end) (2,end) (3,newer) (4,old) (5,new)").await
}

async fn late_rows(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int)", &[]).await?;
    let first = feed.tick();
    let old = row("t", &first, "[1]", Some(r#"{"id": 1, "v": 1}"#), None);
    feed.push(old.clone());
    feed.settle().await?;
    let marked = feed.mark().await?;
    feed.put("t", "[1]", r#"{"id": 1, "v": 2}"#);
    feed.settle().await?;
    // A redelivery, a row that was never seen but is promised, and one at exactly the time of a mark.
    let unseen = row("t", &marked, "[9]", Some(r#"{"id": 9, "v": 9}"#), None);
    let deleted = row("t", &first, "[1]", None, None);
    // What the process knows of the applied time may be a moment old, so it may count them late.
    let late = body(&[old, unseen, deleted]);
    eventually(SOON, "late rows to be counted", async || {
        ensure!(feed.post(&late).await?.0 == StatusCode::OK);
        let counted = feed.metric("stage_late_rows_total", "table=\"t\"").await?;
        ensure!(counted >= 3.0, "{counted} late rows");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    feed.put("t", "[2]", r#"{"id": 2, "v": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(1,2) (2,2)").await?;
    // Marks that repeat or go back change nothing.
    for at in [&marked, &first] {
        ensure!(feed.post(&format!(r#"{{"resolved":"{at}"}}"#)).await?.0 == StatusCode::OK);
    }
    ensure!(feed.metric("checkpoint_backwards_total", "").await? >= 2.0);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(1,2) (2,2)").await
}
