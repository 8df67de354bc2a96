//! What only the server can judge: the schema stands still in front of the row, visibly, and moves on once the cause
//! is gone; or the row is moved aside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::operate::run;
use crate::posting::{Feed, SOON};

/// Longest wait until dead rows are removed and the space they took is known to be free.
const SHRUNK: Duration = Duration::from_secs(60);

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("stalls_are_visible_and_heal_with_their_cause", &[Need::Postgres], stop),
        scenario("stalls_end_with_the_process_that_saw_them", &[Need::Postgres], restart),
        scenario("stalls_quarantine_moves_only_the_refused_rows_aside", &[Need::Postgres], quarantine),
        scenario("stalls_staging_ends_at_its_limit_and_goes_on_after", &[Need::Postgres], full),
    ]
}

/// Why the server refuses a value: a column's type and constraint, the value, the SQLSTATE, and the cure.
struct Cause {
    schema: &'static str,
    column: &'static str,
    good: &'static str,
    bad: &'static str,
    sqlstate: &'static str,
    cure: &'static str,
}

const CAUSES: &[Cause] = &[
    Cause {
        schema: "s_check",
        column: "int CONSTRAINT few CHECK (v < 100)",
        good: "1",
        bad: "987654321",
        sqlstate: "23514",
        cure: "ALTER TABLE s_check.t DROP CONSTRAINT few",
    },
    Cause {
        schema: "s_null",
        column: "int NOT NULL",
        good: "1",
        bad: "null",
        sqlstate: "23502",
        cure: "ALTER TABLE s_null.t ALTER v DROP NOT NULL",
    },
    Cause {
        schema: "s_numeric",
        column: "numeric(3,0)",
        good: "1",
        bad: "987654321",
        sqlstate: "22003",
        cure: "ALTER TABLE s_numeric.t ALTER v TYPE numeric",
    },
    Cause {
        schema: "s_enum",
        column: "s_enum.e",
        good: r#""a""#,
        bad: r#""canary""#,
        sqlstate: "22P02",
        cure: "ALTER TYPE s_enum.e ADD VALUE 'canary'",
    },
    Cause {
        schema: "s_long",
        column: "varchar(3)",
        good: r#""a""#,
        bad: r#""canary""#,
        sqlstate: "22001",
        cure: "ALTER TABLE s_long.t ALTER v TYPE text",
    },
    Cause {
        schema: "s_date",
        column: "date",
        good: r#""2024-01-01""#,
        bad: r#""canary""#,
        sqlstate: "22007",
        cure: "ALTER TABLE s_date.t ALTER v TYPE text",
    },
    Cause {
        schema: "s_unique",
        column: "int CONSTRAINT one UNIQUE",
        good: "1",
        bad: "0",
        sqlstate: "23505",
        cure: "ALTER TABLE s_unique.t DROP CONSTRAINT one",
    },
];

fn ddl() -> String {
    let mut ddl = "CREATE SCHEMA s_enum; CREATE TYPE s_enum.e AS ENUM ('a');".to_owned();
    for Cause { schema, column, .. } in CAUSES {
        ddl.push_str(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {schema}.t (id int PRIMARY KEY, v {column});"
        ));
        ddl.push_str(&format!("CREATE TABLE {schema}.u (id int PRIMARY KEY);"));
    }
    ddl.push_str("INSERT INTO s_unique.t VALUES (0, 0);");
    ddl
}

/// A good row, then a bad one with others at its time, then a later one; promised. Answers the mark.
async fn provoke(feed: &mut Feed, cause: &Cause) -> Result<String> {
    feed.schema = cause.schema.into();
    feed.put("t", "[1]", &format!(r#"{{"id": 1, "v": {}}}"#, cause.good));
    feed.send().await?;
    feed.put("t", "[2]", &format!(r#"{{"id": 2, "v": {}}}"#, cause.bad));
    feed.put("u", "[2]", r#"{"id": 2}"#);
    feed.send().await?;
    feed.put("u", "[3]", r#"{"id": 3}"#);
    feed.send().await?;
    feed.mark().await
}

async fn stop(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, &ddl(), &[]).await?;
    let mut marks = Vec::new();
    for cause in CAUSES {
        marks.push(provoke(&mut feed, cause).await?);
    }
    let mut nameless = Vec::new();
    for cause in CAUSES {
        feed.schema = cause.schema.into();
        let reason = feed.stalled(&[cause.sqlstate]).await?;
        ensure!(!reason.contains("987654321") && !reason.contains("canary"), "the value is told: {reason}");
        if !reason.contains(&format!("{}.t", cause.schema)) {
            nameless.push(reason);
        }
        // Everything before is applied, nothing of that time or later; rows are still taken.
        feed.shows(&format!("SELECT id FROM {}.t WHERE id > 0", cause.schema), "(1)").await?;
        feed.shows(&format!("SELECT id FROM {}.u", cause.schema), "").await?;
        feed.put("u", "[4]", r#"{"id": 4}"#);
        feed.send().await?;
        let label = format!("schema=\"{}\"", cause.schema);
        ensure!(feed.metric("resolve_stalled", &label).await? == 1.0);
    }
    ensure!(nameless.is_empty(), "these do not name the table: {nameless:#?}");
    let (status, state) = feed.readyz().await?;
    ensure!(
        status == StatusCode::OK && state.matches("\"stalled\"").count() == CAUSES.len(),
        "{status} {state}"
    );
    let told = run(&ctx, &["status"], &[]).await?;
    ensure!(
        told.code == Some(1) && told.stdout.contains("stalled: ") && told.stdout.contains("23514"),
        "{told:?}"
    );

    for cause in CAUSES {
        feed.execute(cause.cure).await?;
    }
    for (cause, mark) in CAUSES.iter().zip(marks) {
        feed.schema = cause.schema.into();
        feed.applied(&mark).await?;
        feed.healed().await?;
        feed.shows(&format!("SELECT id FROM {}.t WHERE id > 0 ORDER BY 1", cause.schema), "(1) (2)").await?;
        feed.settle().await?;
        feed.shows(&format!("SELECT id FROM {}.u ORDER BY 1", cause.schema), "(2) (3) (4)").await?;
        let label = format!("schema=\"{}\"", cause.schema);
        ensure!(feed.metric("resolve_stalled", &label).await? == 0.0);
    }
    let told = run(&ctx, &["status"], &[]).await?;
    ensure!(told.code == Some(0), "{told:?}");
    let log = std::fs::read_to_string(feed.service.log())?;
    ensure!(!log.contains("987654321") && !log.contains("canary"), "a value is in the log");
    Ok(())
}

async fn restart(ctx: Ctx) -> Result<()> {
    let cause = &CAUSES[0];
    let mut feed = Feed::start(&ctx, &ddl(), &[]).await?;
    let mark = provoke(&mut feed, cause).await?;
    feed.stalled(&[cause.sqlstate]).await?;
    feed.service.terminate(SOON).await?;
    feed.execute(cause.cure).await?;
    feed.service.start_again().await?;
    feed.applied(&mark).await?;
    feed.healed().await?;
    let (_, state) = feed.readyz().await?;
    ensure!(!state.contains("\"stalled\""), "{state}");
    Ok(())
}

async fn quarantine(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, &ddl(), &["--onApplyError=quarantine"]).await?;
    for cause in CAUSES {
        let mark = provoke(&mut feed, cause).await?;
        feed.applied(&mark).await?;
        let Cause { schema, sqlstate, .. } = cause;
        feed.shows(&format!("SELECT id FROM {schema}.t WHERE id > 0"), "(1)").await?;
        feed.shows(&format!("SELECT id FROM {schema}.u ORDER BY 1"), "(2) (3)").await?;
        let sql = format!(
            "SELECT target_table, key, sqlstate FROM _cdc_sink.quarantine WHERE target_schema = '{schema}'"
        );
        feed.shows(&sql, &format!("(t,[2],{sqlstate})")).await?;
        let sql =
            format!("SELECT (mut::json->>'v') FROM _cdc_sink.quarantine WHERE target_schema = '{schema}'");
        let kept = feed.value(&sql).await?;
        ensure!(kept.as_deref().unwrap_or("null") == cause.bad.trim_matches('"'), "{kept:?}");
        // A later version of the row is no worse for it.
        feed.put("t", "[2]", &format!(r#"{{"id": 2, "v": {}}}"#, cause.good.replace('1', "2")));
        feed.gone("t", "[1]");
        feed.settle().await?;
        feed.shows(&format!("SELECT id FROM {schema}.t WHERE id > 0"), "(2)").await?;
        let label = format!("schema=\"{schema}\"");
        ensure!(feed.metric("apply_quarantined_total", &label).await? == 1.0, "{schema}");
        ensure!(feed.metric("resolve_stalled", &label).await? == 0.0, "{schema}");
    }
    let told = run(&ctx, &["status"], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("1 rows in quarantine"), "{told:?}");
    Ok(())
}

async fn full(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v text)";
    let mut feed = Feed::start(&ctx, ddl, &["--maxStagedBytes=1000000"]).await?;
    let mut id = 0;
    let text = "x".repeat(2_000);
    let mut offer = async |feed: &mut Feed| {
        for _ in 0..100 {
            id += 1;
            feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": "{id}{text}"}}"#));
        }
        let answer = feed.offer().await;
        feed.tick();
        answer
    };
    let advice = eventually(SOON, "a refusal", async || match offer(&mut feed).await {
        Ok((StatusCode::SERVICE_UNAVAILABLE, text)) => Ok(text),
        other => Err(format!("{other:?}")),
    });
    let advice = advice.await?;
    ensure!(advice.contains("--maxStagedBytes") && advice.contains("cdc-webhook status"), "{advice}");
    // Marks are taken, so what is staged is applied and goes away.
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    let taken = eventually(SHRUNK, "rows to be taken again", async || match offer(&mut feed).await {
        Ok((StatusCode::OK, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    taken.await.context("the staging tables did not shrink")?;
    feed.settle().await
}
