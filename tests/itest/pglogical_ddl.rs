//! Tables that change while the feed runs: what goes on by itself, and what waits for a person, with the statement to run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::{CATCH_UP, Pair, stalled, state};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_columns_are_added_on_both_sides", BOTH, added),
        scenario("pglogical_missing_columns_wait_for_their_statement", BOTH, lacking),
        scenario("pglogical_missing_tables_wait_for_their_statement", BOTH, missing_table),
        scenario("pglogical_tables_change_in_the_middle_of_a_transaction", BOTH, in_the_middle),
        scenario("pglogical_the_target_changes_while_rows_arrive", BOTH, target_changes),
        scenario("pglogical_another_column_list_is_followed", BOTH, another_list),
    ]
}

async fn added(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = pair.run().await?;
    pair.origin.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i").await?;
    pair.caught_up().await?;
    for (at, column) in ["b int", "c numeric(10, 2) DEFAULT 1.5", "\"D d\" text[]"].iter().enumerate() {
        let add = format!("ALTER TABLE t ADD COLUMN {column}");
        pair.target.execute(&add).await?;
        // Rows of the former shape still come.
        pair.origin
            .execute(&format!(
                "UPDATE t SET a = 'before' WHERE id = {at}; INSERT INTO t (id, a) VALUES ({at} + 200, 'n')"
            ))
            .await?;
        pair.origin.execute(&add).await?;
        pair.origin.execute("UPDATE t SET a = a || '!' WHERE id % 10 = 0").await?;
        pair.origin.execute(&format!("INSERT INTO t VALUES ({at} + 300, 'new')")).await?;
        pair.caught_up().await.with_context(|| process.log_tail())?;
        pair.same(&["public.t"]).await?;
    }
    pair.origin.execute("UPDATE t SET b = id, c = NULL, \"D d\" = ARRAY['x', NULL] WHERE id % 2 = 0").await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// The statement in a problem: from here to the first semicolon.
fn statement<'a>(problem: &'a str, begin: &str) -> Result<&'a str> {
    let from = problem.find(begin).with_context(|| format!("no {begin} in {problem}"))?;
    let rest = &problem[from..];
    Ok(&rest[..=rest.find(';').context("no end")?])
}

async fn advised(process: &ServiceProcess, begin: &str) -> Result<String> {
    stalled(process, &[begin]).await?;
    let state = state(process).await?;
    Ok(statement(state["problem"].as_str().unwrap_or_default(), begin)?.to_owned())
}

async fn lacking(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'glad'); CREATE TABLE t (id int PRIMARY KEY, a text)";
    let pair = Pair::start(&ctx, ddl).await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = pair.run().await?;
    let pid = process.pid()?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'x')").await?;
    pair.origin.execute("ALTER TABLE t ADD COLUMN \"N n\" numeric(12, 3)[], ADD COLUMN m app.mood DEFAULT 'sad', ADD v varchar(7)").await?;
    pair.origin
        .execute(
            "INSERT INTO t VALUES (2, 'y', '{1.5,NULL}', 'glad', 'seven'); UPDATE t SET a = 'z' WHERE id = 1",
        )
        .await?;
    let run = advised(&process, "ALTER TABLE").await?;
    ensure!(
        run == r#"ALTER TABLE "public"."t" ADD COLUMN "N n" numeric(12,3)[], ADD COLUMN "m" app.mood, ADD COLUMN "v" character varying(7);"#,
        "{run}"
    );
    // What came before is there, and the source loses nothing meanwhile.
    ensure!(crate::support::pair::fingerprint(&pair.target, "public.t").await? == ["(x,1)"]);
    pair.target.execute(&run).await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t"]).await?;

    // A column with another name is one that is lacking, and one that nothing feeds.
    pair.origin.execute("ALTER TABLE t RENAME a TO \"A 2\"; UPDATE t SET \"A 2\" = 'renamed'").await?;
    stalled(&process, &["RENAME COLUMN \"a\" TO \"A 2\";"]).await?;
    pair.target.execute("ALTER TABLE t RENAME a TO \"A 2\"").await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t"]).await?;
    ensure!(process.pid()? == pid, "it was started again");
    ensure!(state(&process).await?["phase"] == "streaming");
    let said = process.unexpected_lines(&[])?;
    ensure!(said.len() == 2 && said.iter().all(|line| line.contains("stands still")), "{said:?}");
    Ok(())
}

async fn missing_table(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = pair.run().await?;
    pair.origin
        .execute("CREATE TABLE \"New\" (b text NOT NULL, a bigint, d timestamptz(3), PRIMARY KEY (b, a))")
        .await?;
    pair.origin.execute("CREATE TABLE made AS SELECT i AS id FROM generate_series(1, 3) i").await?;
    pair.origin.execute("INSERT INTO t VALUES (1); INSERT INTO \"New\" VALUES ('x', 1, now())").await?;
    let made = advised(&process, "CREATE TABLE").await?;
    ensure!(made == "CREATE TABLE \"public\".\"made\" (\"id\" integer);", "{made}");
    pair.target.execute(&made).await?;
    let new = wait::eventually(CATCH_UP, "the next table", async || {
        let run = advised(&process, "CREATE TABLE").await?;
        ensure!(run.contains("New"), "{run}");
        Ok::<_, anyhow::Error>(run)
    })
    .await?;
    ensure!(
        new == r#"CREATE TABLE "public"."New" ("b" text, "a" bigint, "d" timestamp(3) with time zone, PRIMARY KEY ("b", "a"));"#,
        "{new}"
    );
    pair.target.execute(&new).await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t", "public.made", "public.\"New\""]).await?;
    Ok(())
}

async fn in_the_middle(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text, b int)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = pair.run().await?;
    pair.origin.execute("INSERT INTO t SELECT i, 'x', i FROM generate_series(1, 10) i").await?;
    // The target has room for the state before, between and after.
    pair.target.execute("ALTER TABLE t ADD c int, ADD a2 text").await?;
    let steps = [
        "BEGIN; INSERT INTO t VALUES (11, 'y', 11); ALTER TABLE t ADD COLUMN c int; INSERT INTO t VALUES (12, 'y', 12, 12); \
         UPDATE t SET c = id WHERE id < 5; COMMIT",
        "BEGIN; UPDATE t SET a = 'before' WHERE id = 1; ALTER TABLE t RENAME a TO a2; UPDATE t SET a2 = 'after' WHERE id IN (1, 2); \
         INSERT INTO t VALUES (13, 'z', 13, 13); COMMIT",
        "BEGIN; UPDATE t SET b = 100 WHERE id = 3; ALTER TABLE t DROP COLUMN b; UPDATE t SET c = 7 WHERE id = 3; INSERT INTO t VALUES (14, 'd', 14); COMMIT",
        "BEGIN; ALTER TABLE t ALTER c TYPE bigint; INSERT INTO t VALUES (15, 'w', 5000000000); ROLLBACK",
        "BEGIN; CREATE TABLE gone (id int PRIMARY KEY, v numeric(3, 1)); INSERT INTO gone VALUES (1); DROP TABLE gone; \
         INSERT INTO t VALUES (16, 'k', 1); COMMIT",
    ];
    for step in steps {
        pair.origin.execute(step).await.with_context(|| step.to_owned())?;
    }
    // A table that came and went is as unknown to the target as one that stayed.
    let run = advised(&process, "CREATE TABLE").await?;
    ensure!(
        run == r#"CREATE TABLE "public"."gone" ("id" integer, "v" numeric(3,1), PRIMARY KEY ("id"));"#,
        "{run}"
    );
    pair.target.execute(&run).await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    let rows = crate::support::pair::fingerprint(&pair.target, "public.t").await?;
    // a, a2, b, c, id: what was written before a column was renamed or dropped stays in the column it was written to.
    for expected in [
        "(before,after,1,1,1)",
        "(x,after,2,2,2)",
        "(x,x,100,7,3)",
        "(,z,13,13,13)",
        "(,d,,14,14)",
        "(,k,,1,16)",
        "(y,,12,12,12)",
    ] {
        ensure!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:?}");
    }
    ensure!(rows.len() == 15, "{rows:?}");
    ensure!(process.unexpected_lines(&["stands still"])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

/// Statements are planned, and connections keep plans.
async fn target_changes(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a text, n int)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let process = pair.run().await?;
    let changes = [
        "ALTER TABLE t ADD extra text DEFAULT 'e'",
        "ALTER TABLE t ALTER n TYPE bigint",
        "CREATE INDEX t_a ON t (a)",
        "ALTER TABLE t DROP extra",
        "ALTER TABLE t ALTER a TYPE varchar(50), ALTER id TYPE bigint",
        "ALTER TABLE t RENAME TO t_old; ALTER TABLE t_old RENAME CONSTRAINT t_pkey TO t_old_pkey; CREATE TABLE t (LIKE t_old INCLUDING ALL); INSERT INTO t SELECT * FROM t_old; DROP TABLE t_old",
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (id)",
        "ALTER TABLE t ADD twice bigint GENERATED ALWAYS AS (n * 2) STORED",
        "ALTER TABLE t DROP twice",
    ];
    for (round, change) in changes.iter().enumerate() {
        let write = async |at: usize| {
            let sql = format!(
                "INSERT INTO t SELECT {round} * 1000 + {at} * 100 + i, 'r', i FROM generate_series(0, 49) i; \
                 UPDATE t SET a = 'u', n = n + 1 WHERE id % 9 = {at}; DELETE FROM t WHERE id % 31 = {at}; UPDATE t SET id = id + 500000 WHERE id % 77 = 5 AND id < 500000"
            );
            pair.origin.execute(&sql).await
        };
        for at in 0..4 {
            write(at).await?;
        }
        pair.caught_up().await.with_context(|| process.log_tail())?;
        pair.target.execute(change).await?;
        for at in 4..8 {
            write(at).await?;
        }
        pair.caught_up().await.with_context(|| format!("after {change}: {}", process.log_tail()))?;
    }
    pair.same(&["public.t"]).await?;
    // A dropped column stops the feed until it is there again.
    pair.target.execute("ALTER TABLE t DROP n").await?;
    pair.origin.execute("UPDATE t SET n = 0 WHERE id % 2 = 0").await?;
    let run = advised(&process, "ALTER TABLE").await?;
    ensure!(run == "ALTER TABLE \"public\".\"t\" ADD COLUMN \"n\" integer;", "{run}");
    pair.target.execute(&run).await?;
    pair.origin.execute("UPDATE t SET n = 1").await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t"]).await?;
    let said = process.unexpected_lines(&["stands still", "the feed was interrupted"])?;
    ensure!(said.is_empty(), "{said:?}");
    Ok(())
}

/// A publication's list may change while nobody reads; the columns are then found anew.
async fn another_list(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, a int, b int)").await?;
    pair.publish("FOR TABLE t (id, a)").await?;
    let mut process = pair.run().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 1, 1)").await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));
    pair.origin.execute("ALTER PUBLICATION my_pub SET TABLE t (id, b)").await?;
    pair.origin.execute("UPDATE t SET a = 2, b = 2; INSERT INTO t VALUES (2, 3, 3)").await?;
    process.change(|service| service.args(["--acceptPublicationChanges"]));
    process.start_again().await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    let rows = crate::support::pair::fingerprint(&pair.target, "public.t").await?;
    ensure!(rows == ["(,3,2)", "(1,2,1)"], "{rows:?}");
    Ok(())
}
