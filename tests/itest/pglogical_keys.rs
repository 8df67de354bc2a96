//! How rows are found again in the target: replica identities, keys that change, values that were not sent.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::pair::{Pair, Story, stalled};
use crate::support::watch::metric;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_values_stored_out_of_line_stay", BOTH, out_of_line),
        scenario("pglogical_keys_change_in_any_order", BOTH, keys),
        scenario("pglogical_values_move_once_in_immediate_mode", BOTH, moved_once),
        scenario("pglogical_unique_values_are_swapped", BOTH, unique),
        scenario("pglogical_what_is_rolled_back_leaves_no_trace", BOTH, rolled_back),
        scenario("pglogical_rows_without_identity_are_inserted", BOTH, inserts_only),
        scenario("pglogical_keys_unlike_the_identity_are_refused_or_replaced", BOTH, other_identity),
    ]
}

async fn out_of_line(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE plain (id int PRIMARY KEY, big text, v int, other bytea);
            CREATE TABLE whole (id int PRIMARY KEY, big text, v int, n text);
            ALTER TABLE whole REPLICA IDENTITY FULL;
            CREATE TABLE long_key (k text PRIMARY KEY, big text, v int);
            ALTER TABLE plain ALTER big SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL;
            ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
            ALTER TABLE long_key ALTER big SET STORAGE EXTERNAL, ALTER k SET STORAGE EXTERNAL;
        ",
        published: "",
        steps: &[
            "INSERT INTO plain SELECT i, repeat('b' || i, 3000), i, decode(repeat('0a', 4000), 'hex') FROM generate_series(1, 20) i",
            "UPDATE plain SET v = -v",
            // The key and nothing else that is large: the new row lacks what only the old row has.
            "UPDATE plain SET id = id + 100",
            "UPDATE plain SET id = id + 100 WHERE id % 2 = 0; UPDATE plain SET v = 7 WHERE id > 200; UPDATE plain SET big = 'short' WHERE id = 202",
            "BEGIN; UPDATE plain SET id = -id WHERE id = 101; UPDATE plain SET v = 1 WHERE id = -101; UPDATE plain SET other = NULL WHERE id = -101; \
             UPDATE plain SET id = 500 WHERE id = -101; COMMIT",
            "BEGIN; UPDATE plain SET id = 1000 WHERE id = 103; UPDATE plain SET id = 103 WHERE id = 105; UPDATE plain SET id = 105 WHERE id = 1000; COMMIT",
            "BEGIN; DELETE FROM plain WHERE id = 107; UPDATE plain SET id = 107 WHERE id = 109; INSERT INTO plain VALUES (109, 'fresh'); COMMIT",
            "INSERT INTO whole SELECT i, repeat('w' || i, 3000), i FROM generate_series(1, 20) i",
            "UPDATE whole SET v = -v; UPDATE whole SET id = id + 100 WHERE id % 2 = 0; UPDATE whole SET n = 'set' WHERE n IS NULL AND id % 3 = 0",
            "UPDATE whole SET v = NULL WHERE id > 110; DELETE FROM whole WHERE v IS NULL AND id % 4 = 0; UPDATE whole SET v = 0 WHERE v IS NULL",
            "INSERT INTO long_key SELECT repeat(md5(i::text), 70), repeat('x' || i, 3000), i FROM generate_series(1, 9) i",
            "UPDATE long_key SET v = -v; UPDATE long_key SET k = 'short' || v WHERE v % 2 = 0; DELETE FROM long_key WHERE v % 3 = 0",
        ],
        compared: &["plain", "whole", "long_key"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

/// A transaction in several parts, whose last row the target refuses: what is written of it is written again with each try,
/// and what made room for a row must not remove the row itself then.
async fn moved_once(ctx: Ctx) -> Result<()> {
    let ddl = "
        CREATE TABLE t (id int PRIMARY KEY, v int, big text);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
        CREATE TABLE filler (id int PRIMARY KEY, v text);
        CREATE TABLE last (id int PRIMARY KEY)";
    let pair = Pair::start(&ctx, ddl).await?;
    pair.target.execute("ALTER TABLE last ADD CONSTRAINT refused CHECK (id < 0)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let service = pair.service().args(["--immediate", "--bytesInFlight", "65536", "--fanShards", "3"]);
    let process = ServiceProcess::start(service, pair.folder()).await?;
    pair.origin
        .execute("INSERT INTO t SELECT i, i, repeat('b' || i, 3000) FROM generate_series(1, 6) i")
        .await?;
    pair.caught_up().await?;
    let filled = |from: i32| {
        format!("INSERT INTO filler SELECT {from} + i, repeat('f', 50) FROM generate_series(1, 5000) i")
    };
    let (first, second, third) = (filled(10_000), filled(20_000), filled(30_000));
    // One takes the place of a removed row, one that of a row that moved itself.
    let transaction = format!(
        "BEGIN; DELETE FROM t WHERE id = 2; UPDATE t SET id = 40, v = 0 WHERE id = 4; {first}; \
         UPDATE t SET id = 2 WHERE id = 1; {second}; UPDATE t SET id = 4 WHERE id = 3; UPDATE t SET v = -5 WHERE id = 5; \
         {third}; INSERT INTO last VALUES (1); COMMIT"
    );
    pair.origin.execute(&transaction).await?;
    stalled(&process, &["refused"]).await?;
    // Tried again and again.
    tests::harness::wait::eventually(Duration::from_secs(60), "more tries", async || {
        let tries = metric(&process, "flow_connects_total{feed=\"pglogical\",outcome=\"opened\"}").await?;
        ensure!(tries >= 5.0, "{tries}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    pair.target.execute("ALTER TABLE last DROP CONSTRAINT refused").await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t", "public.filler", "public.last"]).await
}

async fn keys(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'default', w int);
            CREATE TABLE two (a int, b int, v text, PRIMARY KEY (a, b));
            CREATE TABLE parent (id int PRIMARY KEY);
            CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent ON UPDATE CASCADE ON DELETE CASCADE);
            CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, UNIQUE (up, id));
            CREATE TABLE circle_a (id int PRIMARY KEY, b int NOT NULL);
            CREATE TABLE circle_b (id int PRIMARY KEY, a int NOT NULL REFERENCES circle_a DEFERRABLE INITIALLY DEFERRED);
            ALTER TABLE circle_a ADD FOREIGN KEY (b) REFERENCES circle_b DEFERRABLE INITIALLY DEFERRED;
        ",
        published: "",
        steps: &[
            "BEGIN; INSERT INTO t VALUES (1, 'a'); UPDATE t SET v = 'b' WHERE id = 1; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 'c', 3); COMMIT",
            "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1); UPDATE t SET w = 5; DELETE FROM t; COMMIT",
            "INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 100) i",
            // Everything moves by one: each key is left and taken in one transaction.
            "UPDATE t SET id = id + 1000; UPDATE t SET id = id - 999",
            "BEGIN; UPDATE t SET id = 0 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = 0; COMMIT",
            "BEGIN; DELETE FROM t WHERE id = 10; UPDATE t SET id = 10 WHERE id = 11; UPDATE t SET w = -1 WHERE id = 10; \
             INSERT INTO t (id) VALUES (11); UPDATE t SET id = 9999 WHERE id = 10; COMMIT",
            "INSERT INTO two SELECT i % 10, i / 10, 'x' || i FROM generate_series(0, 99) i",
            "BEGIN; UPDATE two SET a = a + 100; UPDATE two SET a = b, b = a WHERE a > 104; DELETE FROM two WHERE b = 3; COMMIT",
            "INSERT INTO parent SELECT generate_series(1, 5); INSERT INTO child SELECT i, i % 5 + 1 FROM generate_series(1, 20) i",
            "UPDATE parent SET id = id + 10; DELETE FROM parent WHERE id = 12; INSERT INTO parent VALUES (2); UPDATE child SET parent = 2 WHERE parent = 13",
            "INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3); UPDATE tree SET up = 1 WHERE id = 4; DELETE FROM tree WHERE id = 3",
            "INSERT INTO tree SELECT i, i - 1 FROM generate_series(5, 50) i",
            "DELETE FROM tree WHERE id > 20",
            "BEGIN; INSERT INTO circle_a VALUES (1, 1); INSERT INTO circle_b VALUES (1, 1); COMMIT",
            "BEGIN; UPDATE circle_a SET id = 2, b = 2; UPDATE circle_b SET id = 2, a = 2; COMMIT",
            "BEGIN; DELETE FROM circle_a; DELETE FROM circle_b; COMMIT",
        ],
        compared: &["t", "two", "parent", "child", "tree", "circle_a", "circle_b"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

async fn unique(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE, v int);
            CREATE TABLE n (id int PRIMARY KEY, code text UNIQUE DEFERRABLE INITIALLY DEFERRED, a int, b int, UNIQUE (a, b));
        ",
        published: "",
        steps: &[
            "INSERT INTO t SELECT i, 'c' || i, i FROM generate_series(1, 20) i",
            // Two plain updates on the wire, the first of which alone would be a violation.
            "UPDATE t SET code = CASE code WHEN 'c1' THEN 'c2' ELSE 'c1' END WHERE id IN (1, 2)",
            "UPDATE t SET code = 'c' || (id % 20 + 1)",
            "BEGIN; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (103, 'c4', 1); COMMIT",
            "BEGIN; UPDATE t SET id = 200 WHERE id = 5; INSERT INTO t VALUES (5, 'new', 1); COMMIT",
            "INSERT INTO n SELECT i, 'c' || i, i, i FROM generate_series(1, 10) i",
            "UPDATE n SET code = 'c' || (11 - id)",
            "BEGIN; UPDATE n SET a = -1 WHERE id = 1; UPDATE n SET a = 1, b = 1 WHERE id = 2; UPDATE n SET a = 2, b = 2 WHERE id = 1; COMMIT",
        ],
        compared: &["t", "n"],
    };
    // The target checks at once.
    let mut pair = Pair::start(&ctx, "").await?;
    for schema in ["backlog", "live"] {
        let ddl = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {}", story.tables);
        pair.origin.execute(&ddl).await?;
        let strict =
            ddl.replace("DEFERRABLE INITIALLY IMMEDIATE", "").replace("DEFERRABLE INITIALLY DEFERRED", "");
        pair.target.execute(&strict).await?;
    }
    story.happens_in(&mut pair, &[]).await.map(drop)
}

async fn rolled_back(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "CREATE TABLE t (id int PRIMARY KEY, v text)",
        published: "",
        steps: &[
            "BEGIN; INSERT INTO t VALUES (1, 'kept'); SAVEPOINT a; INSERT INTO t VALUES (2, 'lost'); UPDATE t SET v = 'lost'; SAVEPOINT b; \
             DELETE FROM t; ROLLBACK TO b; INSERT INTO t VALUES (3, 'lost'); ROLLBACK TO a; INSERT INTO t VALUES (4, 'kept'); COMMIT",
            "BEGIN; DELETE FROM t; TRUNCATE t; INSERT INTO t VALUES (9, 'lost'); ROLLBACK",
            "DO $$ BEGIN FOR i IN 10..200 LOOP BEGIN INSERT INTO t VALUES (i, 'x'); IF i % 3 = 0 THEN RAISE 'no'; END IF; \
             EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$",
        ],
        compared: &["t"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

async fn inserts_only(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "CREATE TABLE nothing (id int PRIMARY KEY, v text); ALTER TABLE nothing REPLICA IDENTITY NOTHING",
        published: "",
        steps: &[
            "INSERT INTO nothing SELECT i, 'x' FROM generate_series(1, 10) i",
            "INSERT INTO nothing VALUES (11, NULL)",
        ],
        compared: &["nothing"],
    };
    let (pair, _process) = story.happens(&ctx, &[]).await?;
    // The source itself refuses what could not be carried.
    let refused = pair.origin.execute("UPDATE live.nothing SET v = 'y'").await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("replica identity")));
    Ok(())
}

/// The source's old rows hold another key than the target's primary key.
async fn other_identity(ctx: Ctx) -> Result<()> {
    let source = "
        CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, v int);
        CREATE UNIQUE INDEX t_code ON t (code);
        ALTER TABLE t REPLICA IDENTITY USING INDEX t_code;
    ";
    let pair = Pair::start(&ctx, "").await?;
    pair.origin.execute(source).await?;
    pair.target.execute("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, v int)").await?;
    pair.publish("FOR ALL TABLES").await?;
    let mut process = ServiceProcess::spawn(pair.service(), pair.folder())?;
    let refused = process.wait_for_exit(Duration::from_secs(30)).await?;
    ensure!(refused.code() == Some(4), "{refused:?}");
    ensure!(process.log_tail().contains("source_key_changes_unseen"), "{}", process.log_tail());
    // Who starts it all the same is told when it matters.
    process.change(|service| service.args(["--preflight", "report"]));
    process.start_again().await?;
    pair.origin.execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1)").await?;
    stalled(&process, &["public.t", "replica identity", "REPLICA IDENTITY DEFAULT"]).await?;

    // With the same key in the target, rows are found by it, and their primary key may change unseen.
    pair.target.execute("CREATE UNIQUE INDEX t_code ON t (code)").await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.origin.execute("UPDATE t SET id = id + 10; UPDATE t SET code = 'c', v = 2 WHERE code = 'a'").await?;
    pair.origin
        .execute("DELETE FROM t WHERE code = 'b'; INSERT INTO t VALUES (12, 'd', 3), (1, 'b', 4)")
        .await?;
    pair.origin
        .execute("BEGIN; UPDATE t SET id = 99 WHERE id = 1; INSERT INTO t VALUES (1, 'e', 5); COMMIT")
        .await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    pair.same(&["public.t"]).await?;
    let announced = ["stands still", "preflight"];
    ensure!(process.unexpected_lines(&announced)?.is_empty(), "{:?}", process.unexpected_lines(&announced)?);
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));
    // And with that key in the target nothing is to be said.
    process.change(|_| pair.service());
    process.start_again().await
}
