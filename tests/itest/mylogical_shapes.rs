//! Tables of every shape at MySQL and MariaDB: keys, names, widths, and changes that are not one row at a time.

use anyhow::{Result, ensure};
use tests::harness::mysql::Flavor;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::mylogical::{MyPair, MyStory};

/// The scenarios of this file, for both products.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::Source];
    vec![
        scenario("mylogical_keys_of_every_kind_are_found", NEEDS, keys),
        scenario("mylogical_a_key_that_is_a_prefix_is_refused", NEEDS, prefix),
        scenario("mylogical_a_table_without_a_key_is_carried_row_by_row", NEEDS, keyless),
        scenario("mylogical_names_are_carried_as_they_are", NEEDS, names),
        scenario("mylogical_keys_that_change_leave_no_row_behind", NEEDS, changing_keys),
        scenario("mylogical_statements_of_many_rows_are_carried", NEEDS, many_rows),
        scenario("mylogical_tables_of_many_columns_are_carried", NEEDS, wide),
        scenario("mylogical_generated_and_invisible_columns_are_carried", NEEDS, generated),
        scenario("mylogical_an_unseen_key_is_a_key", NEEDS, unseen_key).only_on(Flavor::MySql),
    ]
}

async fn keys(ctx: Ctx) -> Result<()> {
    let story = MyStory {
        source: "CREATE TABLE reversed (a int, b int, c int, PRIMARY KEY (b, a));
                 CREATE TABLE with_text (a varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, b varbinary(4), c int,
                   PRIMARY KEY (a, b));
                 CREATE TABLE only_unique (x int, a int NOT NULL, b int NOT NULL, UNIQUE (b, a), UNIQUE (x));
                 CREATE TABLE padded (k char(5), b binary(3), c int, PRIMARY KEY (k, b))",
        target: "CREATE TABLE reversed (a int, b int, c int, PRIMARY KEY (b, a));
                 CREATE TABLE with_text (a varchar(20), b bytea, c int, PRIMARY KEY (a, b));
                 CREATE TABLE only_unique (x int, a int, b int, PRIMARY KEY (b, a));
                 CREATE TABLE padded (k varchar(5), b bytea, c int, PRIMARY KEY (k, b))",
        steps: &[
            "INSERT INTO reversed VALUES (1, 2, 3), (4, 5, 6), (2, 1, 9)",
            "UPDATE reversed SET c = 7 WHERE a = 1; UPDATE reversed SET a = 8 WHERE a = 4",
            "DELETE FROM reversed WHERE a = 2 AND b = 1",
            "INSERT INTO with_text VALUES ('é', x'00ff', 1), ('É', x'00ff', 2), ('e ', '', 3), ('', x'20', 4)",
            "UPDATE with_text SET c = c + 10",
            "DELETE FROM with_text WHERE a = 'É'; UPDATE with_text SET a = 'e' WHERE c = 13",
            "INSERT INTO only_unique VALUES (NULL, 1, 2), (5, 2, 1)",
            "UPDATE only_unique SET x = 3 WHERE a = 1; UPDATE only_unique SET a = 10 WHERE a = 2",
            "DELETE FROM only_unique WHERE a = 1",
            "INSERT INTO padded VALUES ('a', x'01', 1), ('ab', x'0100ff', 2), ('', '', 3)",
            "UPDATE padded SET c = c + 1; DELETE FROM padded WHERE k = ''",
        ],
        compared: &["reversed", "with_text", "only_unique", "padded"],
    };
    story.happens(&ctx).await.map(drop)
}

async fn prefix(ctx: Ctx) -> Result<()> {
    let pair = MyPair::start(
        &ctx,
        "CREATE TABLE prefixed (a varchar(40), b int, PRIMARY KEY (a(10)))",
        "CREATE TABLE prefixed (a varchar(40) PRIMARY KEY, b int)",
    )
    .await?;
    pair.execute("INSERT INTO prefixed VALUES ('abc', 1); UPDATE prefixed SET b = 2").await?;
    refused(&pair, &["prefixed"]).await
}

/// The program does not carry on: it ends, or it stands still; its words say why.
async fn refused(pair: &MyPair, words: &[&str]) -> Result<()> {
    let mut process = ServiceProcess::spawn(pair.service(), pair.folder())?;
    let said = tests::harness::wait::eventually(crate::support::pair::CATCH_UP, "a refusal", async || {
        if process.exited().ok().flatten().is_some() {
            return Ok(process.log_tail());
        }
        let state = crate::support::pair::state(&process).await?;
        ensure!(state["phase"] == "stalled", "{state}");
        Ok::<_, anyhow::Error>(state["problem"].to_string())
    })
    .await?;
    for word in words {
        ensure!(said.contains(word), "{word:?} not in {said}");
    }
    Ok(())
}

/// Whole rows are looked for, and as many of those that look the same are changed as at the source.
async fn keyless(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE keyless (a int, b varchar(10))";
    let story = MyStory {
        source: ddl,
        target: ddl,
        steps: &[
            "INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (1, 'x'), (NULL, NULL), (2, NULL)",
            "UPDATE keyless SET b = 'y' WHERE a = 1 LIMIT 1",
            "DELETE FROM keyless WHERE b = 'x' LIMIT 1",
            "UPDATE keyless SET a = 3 WHERE a IS NULL",
            "DELETE FROM keyless WHERE b IS NULL",
        ],
        compared: &["keyless"],
    };
    story.happens(&ctx).await.map(drop)
}

async fn names(ctx: Ctx) -> Result<()> {
    let long = "a".repeat(60);
    let source = format!(
        "CREATE TABLE `we``ird \"t\" é` (`select` int PRIMARY KEY, `a b` int, `x``y` int, `q\"q` int, `ünï` int, `Öl` int);
         CREATE TABLE `order` (`group` int PRIMARY KEY, `from` varchar(10));
         CREATE TABLE `{long}` (`{long}` int PRIMARY KEY, `MiXed` int)"
    );
    let target = format!(
        "CREATE TABLE \"we`ird \"\"t\"\" é\" (\"select\" int PRIMARY KEY, \"a b\" int, \"x`y\" int, \"q\"\"q\" int, \"ünï\" int, \
           \"Öl\" int);
         CREATE TABLE \"order\" (\"group\" int PRIMARY KEY, \"from\" varchar(10));
         CREATE TABLE {long} ({long} int PRIMARY KEY, \"MiXed\" int)"
    );
    let insert = format!("INSERT INTO `{long}` VALUES (1, 2); UPDATE `{long}` SET `{long}` = 3");
    let story = MyStory {
        source: &source,
        target: &target,
        steps: &[
            "INSERT INTO `we``ird \"t\" é` VALUES (1, 2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 7)",
            "UPDATE `we``ird \"t\" é` SET `select` = 9, `a b` = NULL WHERE `select` = 1",
            "INSERT INTO `order` VALUES (1, 'where'); UPDATE `order` SET `from` = 'to'",
            &insert,
            "DELETE FROM `we``ird \"t\" é` WHERE `select` = 2",
        ],
        compared: &["we`ird \"t\" é", "order", &long],
    };
    story.happens(&ctx).await.map(drop)
}

async fn changing_keys(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int, w varchar(20));\n CREATE TABLE two (a int, b varchar(5), v int, PRIMARY KEY (a, b))";
    let story = MyStory {
        source: ddl,
        target: ddl,
        steps: &[
            "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, 4, 'd')",
            "UPDATE t SET id = 10 WHERE id = 1",
            // Two rows change places.
            "BEGIN; UPDATE t SET id = -1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = -1; COMMIT",
            // A chain in one statement, each row going where the one before it was.
            "UPDATE t SET id = id + 1 ORDER BY id DESC",
            "UPDATE t SET id = id - 1 ORDER BY id",
            // There and back in one transaction.
            "BEGIN; UPDATE t SET id = 50 WHERE id = 4; UPDATE t SET v = 40; UPDATE t SET id = 4 WHERE id = 50; COMMIT",
            "BEGIN; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 44, 'again'); UPDATE t SET id = 5 WHERE id = 4; COMMIT",
            "BEGIN; INSERT INTO t VALUES (60, 6, 'brief'); UPDATE t SET id = 61 WHERE id = 60; DELETE FROM t WHERE id = 61; COMMIT",
            "INSERT INTO two VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)",
            "UPDATE two SET b = 'z' WHERE a = 1 AND b = 'x'; UPDATE two SET a = a + 10",
            "BEGIN; UPDATE two SET b = 'tmp' WHERE b = 'y'; UPDATE two SET b = 'y' WHERE b = 'z'; UPDATE two SET b = 'z' WHERE b = 'tmp'; COMMIT",
        ],
        compared: &["t", "two"],
    };
    story.happens(&ctx).await.map(drop)
}

async fn many_rows(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int, w varchar(20));\n CREATE TABLE noted (id int PRIMARY KEY, what varchar(20))";
    let story = MyStory {
        source: ddl,
        target: ddl,
        steps: &[
            "INSERT INTO t VALUES (10, 1, 'a'), (2, 2, 'b')",
            "REPLACE INTO t VALUES (10, 100, 'replaced'), (11, 110, 'new')",
            "INSERT INTO t VALUES (11, 0, 'x') ON DUPLICATE KEY UPDATE v = v + 1, w = 'twice'",
            "INSERT INTO t VALUES (11, 0, 'x'), (11, 0, 'x'), (12, 0, 'x'), (12, 0, 'x') ON DUPLICATE KEY UPDATE v = v + 1",
            "UPDATE t SET v = v + 1",
            "UPDATE t SET id = id + 100 ORDER BY id DESC",
            "DELETE FROM t WHERE id > 110",
            "CREATE TRIGGER seen AFTER INSERT ON t FOR EACH ROW INSERT INTO noted VALUES (NEW.id, NEW.w)",
            "INSERT INTO t VALUES (500, 1, 'seen'), (501, 1, 'too')",
            "INSERT INTO t SELECT id + 1000, v, w FROM t WHERE id > 400",
            "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 5000 UNION ALL SELECT n + 1 FROM c WHERE n < 5900) SELECT n, n, CONCAT('row ', n) FROM c",
            "DELETE FROM t WHERE id BETWEEN 5100 AND 5800",
        ],
        compared: &["t", "noted"],
    };
    story.happens(&ctx).await.map(drop)
}

/// As many columns as a table may have, and as few; more NULLs than fit one byte; more rows than fit one event.
async fn wide(ctx: Ctx) -> Result<()> {
    let tables = [1, 62, 1017];
    let mut ddl = "CREATE TABLE large (id int PRIMARY KEY, v varchar(1000))".to_owned();
    let mut steps = vec![
        "INSERT INTO large WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 40) SELECT n, REPEAT('x', 900) FROM c"
            .to_owned(),
        // An event is full at 8 KiB: rows just below, at and above what is left.
        "INSERT INTO large WITH RECURSIVE c(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM c WHERE n < 160) SELECT n, REPEAT('y', 3 * n) FROM c"
            .to_owned(),
        "UPDATE large SET v = REPEAT('z', 1000) WHERE id < 20; DELETE FROM large WHERE id > 150".to_owned(),
    ];
    for columns in tables {
        let named: Vec<_> = (1..columns).map(|column| format!(", c{column} int")).collect();
        ddl.push_str(&format!(";\n CREATE TABLE w{columns} (id int PRIMARY KEY{})", named.concat()));
        for (row, every) in [(1, columns + 1), (2, 1), (3, 2), (4, 3), (5, 9)] {
            let values: Vec<_> = (1..columns)
                .map(|column| if column % every == 0 { ", NULL".to_owned() } else { format!(", {column}") })
                .collect();
            steps.push(format!("INSERT INTO w{columns} VALUES ({row}{})", values.concat()));
        }
        if columns > 1 {
            let last = columns - 1;
            steps.push(format!("UPDATE w{columns} SET c8 = NULL, c{last} = 7 WHERE id <> 3"));
        }
        steps.push(format!("UPDATE w{columns} SET id = 6 WHERE id = 5; DELETE FROM w{columns} WHERE id = 1"));
    }
    let steps: Vec<_> = steps.iter().map(String::as_str).collect();
    let story =
        MyStory { source: &ddl, target: &ddl, steps: &steps, compared: &["large", "w1", "w62", "w1017"] };
    story.happens(&ctx).await.map(drop)
}

async fn generated(ctx: Ctx) -> Result<()> {
    let story = MyStory {
        source: "CREATE TABLE made (id int PRIMARY KEY, a int, v int AS (a * 2) VIRTUAL, s varchar(20) AS (CONCAT('s', a)) STORED);
                 CREATE TABLE plain (id int PRIMARY KEY, a int, v int AS (a * 2) VIRTUAL, s varchar(20) AS (CONCAT('s', a)) STORED);
                 CREATE TABLE hidden (id int PRIMARY KEY, a int INVISIBLE DEFAULT 5, b int)",
        target: "CREATE TABLE made (id int PRIMARY KEY, a int, v int GENERATED ALWAYS AS (a * 2) STORED,
                   s text GENERATED ALWAYS AS ('s' || a::text) STORED);
                 CREATE TABLE plain (id int PRIMARY KEY, a int, v int, s varchar(20));
                 CREATE TABLE hidden (id int PRIMARY KEY, a int, b int)",
        steps: &[
            "INSERT INTO made (id, a) VALUES (1, 10), (2, NULL); INSERT INTO plain (id, a) VALUES (1, 10), (2, NULL)",
            "UPDATE made SET a = 11 WHERE id = 1; UPDATE plain SET a = 11 WHERE id = 1",
            "INSERT INTO hidden (id, b) VALUES (1, 2); INSERT INTO hidden (id, a, b) VALUES (2, 3, 4)",
            "UPDATE hidden SET a = 6 WHERE id = 1",
            "DELETE FROM made WHERE id = 2; DELETE FROM plain WHERE id = 2",
        ],
        compared: &["made", "plain", "hidden"],
    };
    story.happens(&ctx).await.map(drop)
}

async fn unseen_key(ctx: Ctx) -> Result<()> {
    let story = MyStory {
        source: "SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE unseen (a int, b int)",
        target: "CREATE TABLE unseen (my_row_id bigint PRIMARY KEY, a int, b int)",
        steps: &[
            "INSERT INTO unseen (a, b) VALUES (1, 2), (3, 4), (3, 4)",
            "UPDATE unseen SET b = 5 WHERE a = 3 LIMIT 1",
            "DELETE FROM unseen WHERE a = 1",
        ],
        compared: &["unseen"],
    };
    story.happens(&ctx).await.map(drop)
}
