//! What is published of which table, and where it goes: TRUNCATE, partitions, column lists, row filters, tables without a
//! key, tables that the target lacks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::pair::{Pair, Story, fingerprint, stalled, state};
use crate::support::replication::create_slot;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const BOTH: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_truncates_are_applied", BOTH, truncates),
        scenario("pglogical_truncates_stop_the_feed_or_are_ignored", BOTH, truncates_refused),
        scenario("pglogical_partitions_go_to_partitions", BOTH, leaves),
        scenario("pglogical_partitions_go_to_their_root", BOTH, roots),
        scenario("pglogical_column_lists_and_row_filters_hold", BOTH, lists),
        scenario("pglogical_rows_without_a_key_are_counted", BOTH, keyless),
        scenario("pglogical_rows_without_a_key_need_whole_transactions", BOTH, keyless_refused).long(),
        scenario("pglogical_unique_keys_stand_in_for_primary_ones", BOTH, unique_keys),
        scenario("pglogical_generated_columns_are_the_targets", BOTH, generated),
        scenario("pglogical_two_feeds_share_a_target", BOTH, two_feeds).long(),
        scenario("pglogical_messages_and_unpublished_tables_are_passed_over", BOTH, messages),
    ]
}

async fn truncates(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE t (id int PRIMARY KEY, v text);
            CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t);
            CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
            CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
            CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);
            CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100) TO (1000);
        ",
        published: "",
        steps: &[
            "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i; INSERT INTO child SELECT i, i FROM generate_series(1, 50) i",
            "INSERT INTO parts SELECT i, i FROM generate_series(50, 150) i; INSERT INTO numbered DEFAULT VALUES",
            "TRUNCATE child",
            "INSERT INTO child VALUES (1, 1), (2, 2)",
            "TRUNCATE t CASCADE",
            "BEGIN; INSERT INTO t VALUES (1, 'a'), (2, 'b'); TRUNCATE t, child; INSERT INTO t VALUES (2, 'c'); INSERT INTO child VALUES (7, 2); COMMIT",
            "BEGIN; UPDATE t SET v = 'd'; TRUNCATE child; UPDATE t SET id = 3; INSERT INTO child VALUES (8, 3); COMMIT",
            "TRUNCATE parts_low",
            "INSERT INTO parts VALUES (1, 1), (999, 1)",
            "TRUNCATE parts; INSERT INTO parts VALUES (2, 2)",
            "TRUNCATE numbered RESTART IDENTITY; INSERT INTO numbered DEFAULT VALUES",
        ],
        compared: &["t", "child", "numbered", "parts"],
    };
    story.happens(&ctx, &["--onTruncate", "apply"]).await.map(drop)
}

async fn truncates_refused(ctx: Ctx) -> Result<()> {
    let pair =
        Pair::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)")
            .await?;
    pair.publish("FOR ALL TABLES").await?;
    let many = "DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$";
    pair.origin.execute(many).await?;
    pair.origin
        .execute("BEGIN; INSERT INTO other VALUES (1); TRUNCATE t; INSERT INTO t VALUES (1000); COMMIT")
        .await?;
    pair.origin.execute("INSERT INTO t VALUES (1001)").await?;
    let mut process = ServiceProcess::spawn(pair.service(), pair.folder())?;
    stalled(&process, &["public.t", "truncated", "--onTruncate=apply", "--onTruncate=ignore"]).await?;
    // Everything before is there, and nothing of the transaction itself.
    tests::harness::wait::eventually(Duration::from_secs(30), "what came before", async || {
        let there = (
            fingerprint(&pair.target, "public.t").await?.len(),
            fingerprint(&pair.target, "public.other").await?.len(),
        );
        ensure!(there == (300, 0), "{there:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let logged = std::fs::read_to_string(process.log())?.matches("stands still").count();
    ensure!(logged <= 2, "said {logged} times");
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));

    process.change(|service| service.args(["--onTruncate", "ignore"]));
    process.start_again().await?;
    pair.caught_up().await.with_context(|| process.log_tail())?;
    ensure!(fingerprint(&pair.target, "public.t").await?.len() == 302);
    pair.same(&["public.other"]).await?;
    ensure!(process.unexpected_lines(&["stands still", "the target keeps its rows"])?.is_empty());
    Ok(())
}

const PARTITIONS: &str = "
    CREATE TABLE parts (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
    CREATE TABLE parts_b (v text, region text NOT NULL, extra int, id int NOT NULL, PRIMARY KEY (id, region));
    ALTER TABLE parts_b DROP COLUMN extra;
    ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES IN ('b');
    CREATE TABLE parts_c PARTITION OF parts FOR VALUES IN ('c', 'd') PARTITION BY LIST (region);
    CREATE TABLE parts_c_c PARTITION OF parts_c FOR VALUES IN ('c');
    CREATE TABLE parts_c_d PARTITION OF parts_c FOR VALUES IN ('d');
";
const MOVES: &[&str] = &[
    "INSERT INTO parts SELECT i, (ARRAY['a', 'b', 'c', 'd'])[i % 4 + 1], 'v' || i FROM generate_series(1, 40) i",
    "UPDATE parts SET v = v || '!' WHERE id % 3 = 0",
    // Rows move between partitions: one is gone, another is there.
    "UPDATE parts SET region = 'b' WHERE region = 'a'",
    "BEGIN; UPDATE parts SET region = 'd', v = 'moved' WHERE id < 10; UPDATE parts SET region = 'a' WHERE id < 5; DELETE FROM parts WHERE id = 3; COMMIT",
    "UPDATE parts SET id = id + 100 WHERE region = 'c'; DELETE FROM parts WHERE id > 130",
    "TRUNCATE parts; INSERT INTO parts VALUES (1, 'a', 'x'), (1, 'b', 'y')",
];

async fn leaves(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: PARTITIONS,
        published: "TABLE $S.parts",
        steps: MOVES,
        compared: &["parts", "parts_a", "parts_b", "parts_c_c", "parts_c_d"],
    };
    story.happens(&ctx, &["--onTruncate", "apply"]).await.map(drop)
}

/// Under the root's name, rows go to whatever the target has of that name: a plain table, or other partitions.
async fn roots(ctx: Ctx) -> Result<()> {
    let story = Story { tables: "", published: "TABLE $S.parts", steps: MOVES, compared: &["parts"] };
    for (kind, target) in [
        ("plain", "CREATE TABLE parts (region text, v text, id int, PRIMARY KEY (id, region))"),
        (
            "hashed",
            "CREATE TABLE parts (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY HASH (id); \
          CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
          CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        ),
    ] {
        let mut pair = Pair::start(&ctx, "").await?;
        pair.target.execute("DROP SCHEMA IF EXISTS backlog, live, _cdc_sink CASCADE").await?;
        for schema in ["backlog", "live"] {
            let within = format!("CREATE SCHEMA {schema}; SET search_path = {schema}");
            pair.origin.execute(&format!("{within}; {PARTITIONS}")).await?;
            pair.target.execute(&format!("{within}; {target}")).await?;
        }
        let rooted = Story { published: "TABLE $S.parts", ..story };
        let publication = "FOR TABLE backlog.parts, live.parts WITH (publish_via_partition_root = true)";
        let flags = ["--onTruncate", "apply"];
        rooted.happens_as(&mut pair, publication, &flags).await.with_context(|| kind.to_owned())?;
    }
    Ok(())
}

async fn lists(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    let source = "CREATE TABLE listed (id int PRIMARY KEY, a text, hidden text, b int); \
        CREATE TABLE filtered (id int PRIMARY KEY, kind text NOT NULL, v int); ALTER TABLE filtered REPLICA IDENTITY FULL;";
    pair.origin.execute(source).await?;
    let target = "CREATE TABLE listed (id int PRIMARY KEY, b int, note text DEFAULT 'kept'); \
        CREATE TABLE filtered (id int PRIMARY KEY, kind text NOT NULL, v int)";
    pair.target.execute(target).await?;
    pair.publish("FOR TABLE listed (id, b), TABLE filtered WHERE (kind = 'in' AND v > 0)").await?;
    let process = pair.run().await?;
    let steps = [
        "INSERT INTO listed SELECT i, 'a', 'secret', i FROM generate_series(1, 10) i",
        "UPDATE listed SET hidden = 'other'",
        "UPDATE listed SET b = -b, a = 'x' WHERE id % 2 = 0; DELETE FROM listed WHERE id = 7; UPDATE listed SET id = 100 WHERE id = 8",
        "INSERT INTO filtered VALUES (1, 'in', 1), (2, 'out', 1), (3, 'in', 0), (4, 'in', 4)",
        // Into the filter, out of it, within and outside.
        "UPDATE filtered SET kind = 'in' WHERE id = 2; UPDATE filtered SET v = 0 WHERE id = 1; UPDATE filtered SET v = 5 WHERE id = 4; \
         UPDATE filtered SET v = -1 WHERE id = 3",
        "UPDATE filtered SET id = 20, v = 20 WHERE id = 2; DELETE FROM filtered WHERE id IN (1, 4); INSERT INTO filtered VALUES (4, 'in', 44)",
    ];
    for step in steps {
        pair.origin.execute(step).await?;
        pair.caught_up().await.with_context(|| process.log_tail())?;
        for (ours, theirs) in [
            (
                "SELECT id, b FROM listed ORDER BY id",
                "SELECT id, b FROM listed WHERE note = 'kept' ORDER BY id",
            ),
            (
                "SELECT * FROM filtered WHERE kind = 'in' AND v > 0 ORDER BY id",
                "SELECT * FROM filtered ORDER BY id",
            ),
        ] {
            let (ours, theirs) = (shown(&pair.origin, ours).await?, shown(&pair.target, theirs).await?);
            ensure!(ours == theirs, "{ours} at the source, {theirs} in the target, after {step}");
        }
    }
    ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn shown(database: &tests::harness::database::Database, query: &str) -> Result<String> {
    let sql = format!("SELECT COALESCE(string_agg(r::text, ' '), '') FROM ({query}) r");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database.connect().await?).await?)
}

async fn keyless(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE plain (a int, b text, c numeric);
            CREATE TABLE odd (j json, x xml, p point, c char(5), f float8, ts timestamptz, a text[]);
            CREATE TABLE inserted (a int, b text);
            CREATE TABLE parts (a int, b text) PARTITION BY LIST (a);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
            CREATE TABLE parts_2 (b text, a int);
            ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES IN (2);
            CREATE TABLE maybe (a int UNIQUE, b text);
            CREATE TABLE long (a text, b int);
            ALTER TABLE long ALTER a SET STORAGE EXTERNAL;
            ALTER TABLE plain REPLICA IDENTITY FULL;
            ALTER TABLE odd REPLICA IDENTITY FULL;
            ALTER TABLE parts_1 REPLICA IDENTITY FULL;
            ALTER TABLE parts_2 REPLICA IDENTITY FULL;
            ALTER TABLE maybe REPLICA IDENTITY FULL;
            ALTER TABLE long REPLICA IDENTITY FULL;
        ",
        published: "",
        steps: &[
            "INSERT INTO plain SELECT i % 3, NULLIF('b' || i % 2, 'b0'), 1.10 FROM generate_series(1, 60) i; INSERT INTO plain VALUES (1, 'b1', 1.1), (NULL, NULL, NULL), (NULL, '', NULL)",
            // One of several that are the same.
            "DELETE FROM plain WHERE ctid = (SELECT min(ctid) FROM plain WHERE a = 1 AND b = 'b1' AND c::text = '1.10')",
            "DELETE FROM plain WHERE c::text = '1.1'",
            "UPDATE plain SET b = NULL WHERE ctid IN (SELECT ctid FROM plain WHERE b = 'b1' LIMIT 7)",
            "UPDATE plain SET a = a + 1; UPDATE plain SET c = c + 0.00 WHERE a = 2; DELETE FROM plain WHERE a IS NULL AND b IS NULL",
            "BEGIN; INSERT INTO plain VALUES (9, 'x', 9); UPDATE plain SET b = 'y' WHERE a = 9; DELETE FROM plain WHERE a = 9; INSERT INTO plain VALUES (9, 'z', NULL), (9, 'z', NULL); COMMIT",
            "UPDATE plain SET a = a",
            r#"INSERT INTO odd SELECT '{"a": 1,  "a": 2}', '<a b="1"/>', '(1,2)', 'ab', '-0', 'infinity', ARRAY['x', NULL] FROM generate_series(1, 5)"#,
            r#"INSERT INTO odd VALUES ('{"a":1, "a": 2}', NULL, '(1,2)', NULL, 'NaN', '0044-03-15 BC', '{}'), (NULL, NULL, NULL, '', '0', NULL, NULL)"#,
            "DELETE FROM odd WHERE ctid IN (SELECT ctid FROM odd WHERE c = 'ab' LIMIT 2); UPDATE odd SET f = '0' WHERE ctid = (SELECT min(ctid) FROM odd WHERE c = 'ab')",
            "UPDATE odd SET p = '(3,4)', x = '<b/>' WHERE c = 'ab'; DELETE FROM odd WHERE f = 'NaN'; UPDATE odd SET c = 'abc' WHERE f = 0",
            "INSERT INTO inserted SELECT i % 2, 'same' FROM generate_series(1, 10) i",
            "INSERT INTO parts SELECT i % 2 + 1, 'p' || i % 3 FROM generate_series(1, 30) i",
            "UPDATE parts SET a = 2 WHERE ctid IN (SELECT ctid FROM parts WHERE a = 1 LIMIT 3); DELETE FROM parts_2 WHERE ctid = (SELECT min(ctid) FROM parts_2)",
            "INSERT INTO maybe VALUES (1, 'x'), (2, 'x'), (NULL, 'x'), (NULL, 'x')",
            "BEGIN; DELETE FROM maybe WHERE a = 1; INSERT INTO maybe VALUES (1, 'y'); UPDATE maybe SET a = 3 WHERE a = 2; INSERT INTO maybe VALUES (2, 'z'); COMMIT",
            "INSERT INTO long SELECT repeat('l' || i % 2, 3000), i FROM generate_series(1, 6) i",
            "UPDATE long SET b = -b; DELETE FROM long WHERE b = -1",
            "TRUNCATE maybe; INSERT INTO maybe VALUES (1, 'after')",
            "BEGIN; INSERT INTO plain VALUES (77, 'lost', 1); TRUNCATE plain; INSERT INTO plain VALUES (78, 'kept', 1), (78, 'kept', 1); DELETE FROM plain WHERE ctid = (SELECT min(ctid) FROM plain); COMMIT",
            "INSERT INTO plain SELECT 1, 'many', 1 FROM generate_series(1, 12000)",
            "DELETE FROM plain WHERE ctid IN (SELECT ctid FROM plain WHERE b = 'many' LIMIT 7001)",
        ],
        compared: &["plain", "odd", "inserted", "parts", "maybe", "long"],
    };
    let (pair, mut process) = story.happens(&ctx, &["--onTruncate", "apply"]).await?;

    // Killed and started again, each row is still counted once.
    for round in 0..5 {
        pair.origin
            .execute(&format!(
                "INSERT INTO live.plain SELECT i % 5, 'r{round}', 2 FROM generate_series(1, 5000) i"
            ))
            .await?;
        pair.origin
            .execute(
                "DELETE FROM live.plain WHERE ctid IN (SELECT ctid FROM live.plain WHERE a = 3 LIMIT 700)",
            )
            .await?;
        process.kill9().await?;
        process.start_again().await?;
    }
    pair.caught_up().await?;
    pair.same(&["live.plain"]).await?;
    ensure!(process.unexpected_lines(&["interrupted"])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    Ok(())
}

async fn keyless_refused(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "CREATE TABLE t (a int); CREATE TABLE keyed (id int, v text)").await?;
    pair.origin
        .execute("ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE keyed ADD PRIMARY KEY (id)")
        .await?;
    pair.publish("FOR ALL TABLES").await?;
    pair.origin.execute("INSERT INTO t VALUES (1), (1)").await?;
    let mut process = ServiceProcess::spawn(pair.service().args(["--immediate"]), pair.folder())?;
    let refused = process.wait_for_exit(Duration::from_secs(30)).await?;
    let said = process.log_tail();
    ensure!(refused.code() == Some(4) && said.contains("target_key_missing"), "{refused:?} {said}");
    // Who starts it all the same is told when it matters.
    process.change(|service| service.args(["--preflight", "report"]));
    process.start_again().await?;
    stalled(&process, &["public.t", "no primary key", "--immediate"]).await?;
    ensure!(process.terminate(Duration::from_secs(10)).await? == Some(0));
    process.change(|_| pair.service().args(["--preflight", "report"]));
    process.start_again().await?;
    pair.caught_up().await?;
    pair.same(&["public.t"]).await?;

    // The source has a key and the target has none.
    pair.origin.execute("INSERT INTO keyed VALUES (1, 'a')").await?;
    stalled(&process, &["public.keyed", r#"ALTER TABLE "public"."keyed" ADD PRIMARY KEY ("id");"#]).await?;
    pair.target.execute(r#"ALTER TABLE "public"."keyed" ADD PRIMARY KEY ("id");"#).await?;
    pair.caught_up().await?;
    pair.same(&["public.keyed"]).await?;
    ensure!(state(&process).await?["phase"] == "streaming");
    ensure!(
        process.unexpected_lines(&["stands still", "preflight"])?.is_empty(),
        "{:?}",
        process.unexpected_lines(&["stands still", "preflight"])?
    );
    Ok(())
}

async fn unique_keys(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE t (a int NOT NULL, b int NOT NULL, code text NOT NULL, v text);
            CREATE UNIQUE INDEX t_a ON t (a, b);
            CREATE UNIQUE INDEX t_code ON t (code);
            ALTER TABLE t REPLICA IDENTITY USING INDEX t_code;
            CREATE TABLE f (k text NOT NULL UNIQUE, v int);
            ALTER TABLE f REPLICA IDENTITY FULL;
        ",
        published: "",
        steps: &[
            "INSERT INTO t SELECT i, i, 'c' || i, 'v' FROM generate_series(1, 20) i; INSERT INTO f SELECT 'k' || i, i FROM generate_series(1, 20) i",
            "UPDATE t SET a = a + 100, v = NULL WHERE a % 2 = 0; UPDATE f SET v = NULL WHERE v % 2 = 0",
            "UPDATE t SET code = code || 'x' WHERE b < 5; DELETE FROM t WHERE b = 9; UPDATE f SET k = k || k WHERE v < 9; DELETE FROM f WHERE v = 11",
            "BEGIN; UPDATE t SET code = 'tmp' WHERE b = 5; UPDATE t SET code = 'c5' WHERE b = 6; UPDATE t SET code = 'c6' WHERE b = 5; COMMIT",
        ],
        compared: &["t", "f"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}

/// On 18 a publication may send computed values, which the target computes itself all the same.
async fn generated(ctx: Ctx) -> Result<()> {
    let tables = "
        CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
        CREATE TABLE by_default (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a int);
    ";
    let mut pair = Pair::start(&ctx, "").await?;
    for schema in ["backlog", "live"] {
        let ddl = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {tables}");
        pair.origin.execute(&ddl).await?;
        pair.target.execute(&ddl).await?;
    }
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut pair.origin.connect().await?)
        .await?;
    let published = if version >= 180_000 {
        "FOR ALL TABLES WITH (publish_generated_columns = stored)"
    } else {
        "FOR ALL TABLES"
    };
    let story = Story {
        tables,
        published: "",
        steps: &[
            "INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL)",
            "UPDATE t SET a = a + 1; UPDATE t SET id = 10 WHERE id = 1; DELETE FROM t WHERE id = 2",
            "INSERT INTO by_default (a) VALUES (1), (2); INSERT INTO by_default VALUES (77, 3); UPDATE by_default SET id = 78 WHERE id = 77",
        ],
        compared: &["t", "by_default"],
    };
    story.happens_as(&mut pair, published, &[]).await.map(drop)
}

/// Two publications, slots and processes, one target database.
async fn two_feeds(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(
        &ctx,
        "CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int)",
    )
    .await?;
    pair.publish("FOR TABLE a").await?;
    pair.origin.execute("CREATE PUBLICATION other FOR TABLE b").await?;
    create_slot(&mut pair.origin.connect().await?, "other").await?;
    let first = pair.run().await?;
    let service = pair.service().named("other").args(["--slotName", "other", "--loopName", "other"]);
    let service = service.replace_flag("--publicationName", "other");
    let second = ServiceProcess::start(service, pair.folder()).await?;
    for round in 1..=20 {
        let both = format!(
            "INSERT INTO a SELECT i, {round} FROM generate_series({round}00, {round}50) i; INSERT INTO b SELECT * FROM a WHERE v = {round}; \
             UPDATE a SET v = -v WHERE id % 7 = 0; DELETE FROM b WHERE id % 5 = 0"
        );
        pair.origin.execute(&both).await?;
    }
    pair.caught_up_as(&["pglogical", "other"]).await?;
    pair.same(&["public.a", "public.b"]).await?;
    for process in [&first, &second] {
        ensure!(process.unexpected_lines(&[])?.is_empty(), "{:?}", process.unexpected_lines(&[])?);
    }
    Ok(())
}

async fn messages(ctx: Ctx) -> Result<()> {
    let story = Story {
        tables: "
            CREATE TABLE t (id int PRIMARY KEY, v text);
            CREATE TABLE quiet (id int PRIMARY KEY);
            CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
            CREATE SEQUENCE s;
        ",
        published: "TABLE $S.t",
        steps: &[
            "BEGIN; SELECT pg_logical_emit_message(true, 'app', 'one'); INSERT INTO t VALUES (1, 'a'); \
             SELECT pg_logical_emit_message(false, 'app', 'two'); SELECT pg_logical_emit_message(true, '', ''); COMMIT",
            "SELECT pg_logical_emit_message(false, 'cdc', repeat('x', 100000))",
            "INSERT INTO quiet VALUES (1); INSERT INTO unlogged VALUES (1); SELECT nextval('s')",
            "BEGIN; INSERT INTO quiet VALUES (2); INSERT INTO t VALUES (2, 'b'); SELECT pg_logical_emit_message(true, 'app', 'three'); COMMIT",
            "BEGIN; SELECT pg_logical_emit_message(false, 'app', 'four'); INSERT INTO t VALUES (3, 'c'); ROLLBACK",
        ],
        compared: &["t"],
    };
    story.happens(&ctx, &[]).await.map(drop)
}
