//! `cdc-pglogical` with what `apply_config` says of tables.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::Signal;
use tests::harness::database::Database;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::{Pair, fingerprint};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_behaviours_shape_rows", NEEDS, shaped),
        scenario("pglogical_behaviours_must_be_usable", NEEDS, unusable),
    ]
}

const SOON: Duration = Duration::from_secs(20);

async fn configure(target: &Database, rows: &[(&str, &str, &str, &str)]) -> Result<()> {
    for (table, column, name, value) in rows {
        let sql = format!(
            "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, {name}) \
             VALUES (current_database(), 'public', '{table}', '{column}', $v${value}$v$) \
             ON CONFLICT (target_db, target_schema, target_table, target_column) DO UPDATE SET {name} = excluded.{name}"
        );
        target.execute(&sql).await?;
    }
    Ok(())
}

async fn shows(pair: &Pair, table: &str, expected: &[&str]) -> Result<()> {
    let found = fingerprint(&pair.target, &format!("public.{table}")).await?;
    ensure!(found == expected, "{table} has {found:?}, expected {expected:?}");
    Ok(())
}

/// A run that only makes the tables of the program.
async fn prepared(pair: &Pair) -> Result<()> {
    let mut process = pair.run().await?;
    let status = process.terminate(SOON).await?;
    ensure!(status == Some(0), "ended with {status:?}");
    Ok(())
}

async fn shaped(ctx: Ctx) -> Result<()> {
    let pair =
        Pair::start(&ctx, "CREATE TABLE versions (id int PRIMARY KEY, v int, doc text, own text)").await?;
    pair.publish("FOR ALL TABLES").await?;
    prepared(&pair).await?;
    pair.origin
        .execute(
            "CREATE TABLE people (id int PRIMARY KEY, title text, n int, yes bool, doc jsonb, big text, noise text); \
             ALTER TABLE people ALTER big SET STORAGE EXTERNAL; ALTER TABLE versions ALTER doc SET STORAGE EXTERNAL; \
             ALTER TABLE versions DROP COLUMN own; CREATE TABLE letters (code text PRIMARY KEY, n int)",
        )
        .await?;
    pair.target
        .execute(
            "CREATE TABLE people (id int PRIMARY KEY, name text, did bool, rest jsonb); \
             CREATE TABLE letters (code text PRIMARY KEY, n int)",
        )
        .await?;
    configure(
        &pair.target,
        &[
            ("people", "name", "src_name", "title"),
            ("people", "name", "expr", "upper($0)"),
            ("people", "did", "expr", "true"),
            ("people", "rest", "extras", "true"),
            ("people", "noise", "ignore", "true"),
            ("versions", "v", "cas_order", "1"),
            ("letters", "code", "expr", "lower($0)"),
        ],
    )
    .await?;
    work(&pair).await?;
    let mut process = pair.run().await?;
    pair.caught_up().await?;
    let x = "x".repeat(3000);
    let ann = format!(
        "(t,1,EVE,\"{{\"\"n\"\": 8, \"\"big\"\": \"\"{x}\"\", \"\"doc\"\": {{\"\"a\"\": [1]}}, \"\"yes\"\": true}}\")"
    );
    let bob =
        "(t,3,BOB,\"{\"\"n\"\": null, \"\"big\"\": \"\"y\"\", \"\"doc\"\": null, \"\"yes\"\": false}\")";
    shows(&pair, "people", &[&ann, bob]).await?;
    shows(&pair, "letters", &["(c,3)"]).await?;
    let versions = "SELECT string_agg(format('%s:%s', v, n), ' ' ORDER BY v) FROM \
                    (SELECT v, count(*) n FROM versions WHERE length(doc) = 3000 GROUP BY v) s";
    let mut target = pair.target.connect().await?;
    let found: String = sqlx::query_scalar(versions).fetch_one(&mut target).await?;
    ensure!(found == "5:50 7:48", "versions with their large value: {found}");
    let few: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s|%s|%s', id, v, doc) FROM versions WHERE length(doc) < 3000 ORDER BY id",
    )
    .fetch_all(&mut target)
    .await?;
    ensure!(few == ["3|9|more", "4|1|again"], "{few:?}");

    reconfigured(&pair, &mut process).await?;
    let status = process.terminate(SOON).await?;
    ensure!(status == Some(0), "ended with {status:?}");
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// Many changes of each row, which come in few batches.
async fn work(pair: &Pair) -> Result<()> {
    pair.origin
        .execute(
            "INSERT INTO people VALUES (1, 'ann', 7, true, '{\"a\": [1]}', repeat('x', 3000), '-'), \
             (2, 'bob', NULL, false, NULL, 'y', '-'); \
             INSERT INTO versions SELECT i, 5, repeat('x', 3000) FROM generate_series(1, 100) i; \
             INSERT INTO letters VALUES ('A', 1), ('B', 2), ('a', 3)",
        )
        .await?;
    pair.origin
        .execute("UPDATE people SET title = 'eve', n = 8 WHERE id = 1; UPDATE people SET id = 3 WHERE id = 2")
        .await?;
    for step in [4, 6, 3, 7, 7] {
        pair.origin.execute(&format!("UPDATE versions SET v = {step} WHERE id <= 50")).await?;
    }
    pair.origin
        .execute(
            "UPDATE versions SET v = 1, doc = 'less' WHERE id = 2; UPDATE versions SET v = 9, doc = 'more' WHERE id = 3; \
             DELETE FROM versions WHERE id = 4; INSERT INTO versions VALUES (4, 1, 'again'); \
             DELETE FROM letters WHERE code = 'B'; UPDATE letters SET code = 'C' WHERE code = 'a'",
        )
        .await?;
    Ok(())
}

/// A change of the configuration holds from the next transaction on.
async fn reconfigured(pair: &Pair, process: &mut ServiceProcess) -> Result<()> {
    configure(&pair.target, &[("people", "name", "expr", "lower($0)")]).await?;
    process.signal(Signal::Hup)?;
    wait::eventually(SOON, "the configuration to be in use", async || {
        pair.origin.execute("UPDATE people SET title = 'Zoe' WHERE id = 3").await?;
        pair.caught_up().await?;
        let name: String = sqlx::query_scalar("SELECT name FROM people WHERE id = 3")
            .fetch_one(&mut pair.target.connect().await?)
            .await?;
        ensure!(name == "zoe", "{name}");
        anyhow::Ok(())
    })
    .await?;
    Ok(())
}

/// With rules that cannot be used there is no way to write the table that was asked for.
async fn unusable(ctx: Ctx) -> Result<()> {
    let pair =
        Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY)")
            .await?;
    pair.publish("FOR ALL TABLES").await?;
    prepared(&pair).await?;
    configure(&pair.target, &[("t", "v", "cas_order", "2")]).await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 1); INSERT INTO u VALUES (1)").await?;
    let refused = ServiceProcess::start(pair.service(), pair.folder()).await.err().context("it started")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("without gaps") && said.contains("public.t"), "{said}");
    shows(&pair, "u", &[]).await?;
    configure(&pair.target, &[("t", "v", "cas_order", "1")]).await?;
    let mut process = pair.run().await?;
    pair.caught_up().await?;
    pair.same(&["public.t", "public.u"]).await?;
    process.terminate(SOON).await?;
    Ok(())
}
