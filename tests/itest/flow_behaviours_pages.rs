//! The pages about behaviours, for a log; and unique values in tables that have some.

use anyhow::{Context as _, Result, ensure};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::support::log::{Log, configure, lines, shows};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("flow_behaviours_do_what_the_pages_show", &[Need::Postgres], pages),
        scenario("flow_behaviours_move_unique_values", &[Need::Postgres], unique_values),
    ]
}

/// The examples of the pages, as a log has them, change by change and all at once.
async fn pages(ctx: Ctx) -> Result<()> {
    connect(ctx.target().url()).await?;
    for schema in ["single", "batch"] {
        let ddl = format!(
            "CREATE SCHEMA {schema}; SET search_path = {schema}; \
             CREATE TABLE versions (id int PRIMARY KEY, major int, minor int, patch int, step int); \
             CREATE TABLE late (id int PRIMARY KEY, updated_at timestamptz, step int); \
             CREATE TABLE exprs (id int8 PRIMARY KEY, value int8, twice text, did_migrate bool, city text, at timestamptz, \
             word text, dollar text); \
             CREATE TABLE extra (id int PRIMARY KEY, name text, overflow_data jsonb); \
             CREATE TABLE ignored (id int PRIMARY KEY, name text, note text); \
             CREATE TABLE renamed (id int PRIMARY KEY, here text)"
        );
        ctx.target().execute(&ddl).await?;
        let cas = [("major", "cas_order", "1"), ("minor", "cas_order", "2"), ("patch", "cas_order", "3")];
        configure(&ctx, schema, "versions", &cas).await?;
        configure(&ctx, schema, "late", &[("updated_at", "deadline", "1m")]).await?;
        let exprs = [
            ("value", "expr", "2 * $0"),
            ("twice", "expr", "$0 || $0"),
            ("did_migrate", "expr", "true"),
            ("city", "expr", "$0::jsonb->>'city'"),
            ("at", "expr", "to_timestamp($0::float8)"),
            ("word", "expr", "coalesce($0, 'none')"),
            ("dollar", "expr", "'$0'"),
        ];
        configure(&ctx, schema, "exprs", &exprs).await?;
        configure(&ctx, schema, "extra", &[("overflow_data", "extras", "true")]).await?;
        let ignored = [("dont_care", "ignore", "true"), ("note", "ignore", "true")];
        configure(&ctx, schema, "ignored", &ignored).await?;
        configure(&ctx, schema, "renamed", &[("here", "src_name", "there")]).await?;
        let mut log = Log::start(ctx.target().url(), schema).await?;
        played(&ctx, &mut log, schema == "single").await.with_context(|| schema)?;
    }
    Ok(())
}

async fn played(ctx: &Ctx, log: &mut Log, single: bool) -> Result<()> {
    let schema = log.schema.clone();
    log.bind("versions", &["id", "major", "minor", "patch", "step"]).await?;
    let steps = [["1", "2", "3"], ["1", "1", "9"], ["1", "3", "0"], ["1", "3", "0"], ["~", "9", "9"]];
    for (id, deleted) in [("1", false), ("2", true)] {
        for (at, [major, minor, patch]) in steps.into_iter().enumerate() {
            let step = (at + 1).to_string();
            let row = [id, major, minor, patch, &step];
            match at {
                0 => log.insert("versions", &row),
                4 if deleted => {
                    log.delete("versions", &[id]);
                    log.insert("versions", &row);
                }
                _ => log.update("versions", &row),
            }
            if single {
                log.commit().await?;
            }
        }
    }
    log.bind("late", &["id", "updated_at", "step"]).await?;
    let ago = |seconds: u32| format!("SELECT now() - interval '{seconds} s'");
    let mut times = Vec::new();
    for seconds in [30, 120, 90] {
        times.push(lines(ctx, &ago(seconds)).await?.remove(0));
    }
    log.insert("late", &["1", &times[0], "1"]);
    log.update("late", &["1", &times[1], "2"]);
    log.update("late", &["1", "~", "3"]);
    log.insert("late", &["2", &times[0], "1"]);
    log.delete("late", &["2"]);
    log.insert("late", &["2", &times[2], "6"]);
    log.bind("exprs", &["id", "value", "twice", "city", "at", "word", "dollar"]).await?;
    log.insert("exprs", &["7", "21", "ab", r#"{"city": "Ulm"}"#, "1714979289.5", "~", "x"]);
    log.bind("extra", &["id", "name", "hat:j", "shoe:n"]).await?;
    log.insert("extra", &["1", "a", r#"{"size": 58}"#, "42"]);
    if single {
        log.commit().await?;
    }
    log.bind("extra", &["id", "name"]).await?;
    log.insert("extra", &["2", "b"]);
    ensure!(
        log.bind("extra", &["id", "name", "overflow_data"]).await.is_err(),
        "the extras' own name was taken"
    );
    log.bind("ignored", &["id", "name", "dont_care", "note"]).await?;
    log.insert("ignored", &["1", "a", "5", "x"]);
    log.commit().await?;
    ctx.target().execute(&format!("UPDATE {schema}.ignored SET note = 'mine'")).await?;
    log.bind("ignored", &["id", "name"]).await?;
    log.update("ignored", &["1", "b"]);
    ensure!(log.bind("ignored", &["id", "name", "other"]).await.is_err(), "an unknown column was taken");
    log.bind("renamed", &["id", "there"]).await?;
    log.insert("renamed", &["1", "a"]);
    log.commit().await?;
    ensure!(log.bind("renamed", &["id", "here"]).await.is_err(), "a renamed column took its own name");
    for (query, expected) in [
        ("versions", &["(1,1,3,0,3)", "(2,,9,9,5)"][..]),
        ("exprs", &["(7,42,abab,t,Ulm,\"2024-05-06 07:08:09.5+00\",none,$0)"]),
        ("extra", &[r#"(1,a,"{""hat"": {""size"": 58}, ""shoe"": 42}")"#, "(2,b,{})"]),
        ("ignored", &["(1,b,mine)"]),
        ("renamed", &["(1,a)"]),
    ] {
        // The zone of the session decides how a timestamp is shown.
        let sql = format!("SELECT t FROM {schema}.{query} t ORDER BY t.id");
        shows(ctx, &sql, expected).await?;
    }
    shows(ctx, &format!("SELECT concat(id, ':', step) FROM {schema}.late ORDER BY id"), &["1:1"]).await
}

/// Values move between rows by way of a third; only the order of the source avoids to have one twice.
async fn unique_values(ctx: Ctx) -> Result<()> {
    connect(ctx.target().url()).await?;
    let ddl = "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, u int NOT NULL UNIQUE, v int, own text DEFAULT 'o'); \
               CREATE TABLE app.plain (id int PRIMARY KEY, n int)";
    ctx.target().execute(ddl).await?;
    configure(&ctx, "app", "t", &[("v", "cas_order", "1")]).await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    log.bind("t", &["id", "u", "v"]).await?;
    log.bind("plain", &["id", "n"]).await?;
    for id in ["1", "2", "3"] {
        log.insert("t", &[id, id, "1"]);
    }
    log.commit().await?;
    log.update("t", &["1", "9", "2"]);
    log.update("t", &["2", "1", "2"]);
    log.insert("plain", &["1", "1"]);
    log.update("t", &["1", "2", "3"]);
    log.update("t", &["1", "7", "3"]);
    log.rekey("t", &["3"], &["4", "-", "1"]);
    let written = log.commit().await?;
    ensure!(written.beaten.iter().sum::<u64>() == 1, "{written:?}");
    shows(&ctx, "SELECT t FROM app.t ORDER BY id", &["(1,2,3,o)", "(2,1,2,o)", "(4,3,1,o)"]).await?;
    shows(&ctx, "SELECT p FROM app.plain p", &["(1,1)"]).await?;
    // What is there twice is refused as ever, and nothing of it stays.
    log.insert("t", &["8", "1", "1"]);
    let error = log.commit().await.err().context("a value was taken twice")?;
    ensure!(format!("{error:#}").contains("23505"), "{error:#}");
    shows(&ctx, "SELECT count(*) FROM app.t", &["3"]).await
}
