//! The bytes of a real server: every kind of message, once from SQL and once from the stream, and what they mean.

use anyhow::{Context as _, Result, bail, ensure};
use source_pglogical::transport::PINNED;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::replication::{
    config, create_slot, end_of_log, in_words, messages_until, server, stream,
};

pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario(
        "pgoutput::every_kind_of_message_is_read_alike_from_sql_and_from_the_stream",
        &[Need::PostgresBinaries],
        every_kind,
    )]
}

/// A name that has to be quoted, and one that has not.
const PUBLICATIONS: [&str; 2] = ["Lab Pub,\"1\"", "rooted"];

const TABLES: &str = r#"
    CREATE SCHEMA lab;
    CREATE TYPE lab.mood AS ENUM ('ok', 'it''s, "quoted"');
    CREATE DOMAIN lab.posint AS int CHECK (value > 0);
    CREATE TYPE lab.pair AS (a int, b text);
    CREATE TABLE lab.plain (id int PRIMARY KEY, v text);
    CREATE TABLE lab.whole (id int PRIMARY KEY, big text, v int);
    ALTER TABLE lab.whole REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE lab.coded (id int PRIMARY KEY, code text NOT NULL UNIQUE);
    ALTER TABLE lab.coded REPLICA IDENTITY USING INDEX coded_code_key;
    CREATE TABLE lab.toast (id int PRIMARY KEY, big text, v int);
    ALTER TABLE lab.toast ALTER big SET STORAGE EXTERNAL;
    CREATE TABLE lab.typed (id int PRIMARY KEY, m lab.mood, d lab.posint, p lab.pair, ms lab.mood[]);
    CREATE TABLE lab.parted (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
    CREATE TABLE lab.leaf1 PARTITION OF lab.parted FOR VALUES IN (1);
    CREATE TABLE lab.leaf2 (part int NOT NULL, id int NOT NULL, PRIMARY KEY (id, part));
    ALTER TABLE lab.parted ATTACH PARTITION lab.leaf2 FOR VALUES IN (2);
    CREATE TABLE lab.root (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
    CREATE TABLE lab.twig1 PARTITION OF lab.root FOR VALUES IN (1);
    CREATE TABLE lab.twig2 (part int NOT NULL, id int NOT NULL, PRIMARY KEY (id, part));
    ALTER TABLE lab.root ATTACH PARTITION lab.twig2 FOR VALUES IN (2);
    CREATE TABLE lab.listed (id int PRIMARY KEY, b text, c text);
    CREATE TABLE lab.filtered (id int PRIMARY KEY, n int);
    CREATE TABLE lab.made (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED,
        i int GENERATED ALWAYS AS IDENTITY);
    CREATE TABLE lab.parent (id int PRIMARY KEY);
    CREATE TABLE lab.child (id serial PRIMARY KEY, p int REFERENCES lab.parent);
    CREATE TABLE lab.unkeyed (v text);
    CREATE TABLE lab."Hos""tile" ("select" int PRIMARY KEY, "ä b" text);
    CREATE TABLE lab.unpublished (id int PRIMARY KEY);
    CREATE PUBLICATION "Lab Pub,""1""" FOR TABLE lab.plain, lab.whole, lab.coded, lab.toast, lab.typed, lab.parted,
        lab.listed (id, b), lab.filtered WHERE (id > 10), lab.made, lab.parent, lab.child, lab.unkeyed, lab."Hos""tile",
        lab.wide;
    CREATE PUBLICATION rooted FOR TABLE lab.root WITH (publish_via_partition_root = true);
"#;

/// PostgreSQL allows 1,600; a thousand is what the engine promises.
const WIDE: usize = 1000;

/// One block of statements and the events it makes.
type Case = (&'static str, &'static [&'static str]);

const ROWS: &[Case] = &[
    (
        "INSERT INTO lab.plain VALUES (1, 'a'), (2, NULL)",
        &[
            "begin",
            "relation lab.plain default id* v",
            "plain: insert '1' 'a'",
            "plain: insert '2' NULL",
            "commit",
        ],
    ),
    ("UPDATE lab.plain SET v = '' WHERE id = 1", &["begin", "plain: update '1' ''", "commit"]),
    (
        "UPDATE lab.plain SET id = 3 WHERE id = 1",
        &["begin", "plain: update key '1' NULL -> '3' ''", "commit"],
    ),
    ("DELETE FROM lab.plain WHERE id = 3", &["begin", "plain: delete key '3' NULL", "commit"]),
    (
        "INSERT INTO lab.whole VALUES (1, repeat('x', 5000), NULL); UPDATE lab.whole SET v = 2; DELETE FROM lab.whole",
        &[
            "begin",
            "relation lab.whole full id* big* v*",
            "whole: insert '1' (5000 bytes) NULL",
            "whole: update row '1' (5000 bytes) NULL -> '1' unchanged '2'",
            "whole: delete row '1' (5000 bytes) '2'",
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.coded VALUES (1, 'c'); UPDATE lab.coded SET id = 2; UPDATE lab.coded SET code = 'd';
         DELETE FROM lab.coded",
        &[
            "begin",
            "relation lab.coded index id code*",
            "coded: insert '1' 'c'",
            // The old key of a table keyed by id is lost here.
            "coded: update '2' 'c'",
            "coded: update key NULL 'c' -> '2' 'd'",
            "coded: delete key NULL 'd'",
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.toast VALUES (1, repeat('y', 5000), 0); UPDATE lab.toast SET v = 1; UPDATE lab.toast SET id = 2",
        &[
            "begin",
            "relation lab.toast default id* big v",
            "toast: insert '1' (5000 bytes) '0'",
            "toast: update '1' unchanged '1'",
            "toast: update key '1' NULL NULL -> '2' unchanged '1'",
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.unkeyed VALUES ('v')",
        &["begin", "relation lab.unkeyed default v", "unkeyed: insert 'v'", "commit"],
    ),
    (
        r#"INSERT INTO lab."Hos""tile" VALUES (1, E'tab\tnl\n\\ '' 𝄞')"#,
        &[
            "begin",
            "relation lab.Hos\"tile default select* ä b",
            "Hos\"tile: insert '1' 'tab\tnl\n\\ ' 𝄞'",
            "commit",
        ],
    ),
    ("INSERT INTO lab.unpublished VALUES (1)", &[]),
];

const SHAPES: &[Case] = &[
    (
        r#"INSERT INTO lab.typed VALUES (1, 'it''s, "quoted"', 5, ROW(1, 'x,"y"'), '{ok}')"#,
        &[
            "begin",
            "type lab.mood",
            // A domain is named after the type beneath.
            "type pg_catalog.int4",
            "type lab.pair",
            "type lab._mood",
            "relation lab.typed default id* m d p ms",
            r#"typed: insert '1' 'it's, "quoted"' '5' '(1,"x,""y""")' '{ok}'"#,
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.parted VALUES (1, 1); UPDATE lab.parted SET part = 2",
        &[
            "begin",
            "relation lab.leaf1 default id* part*",
            "leaf1: insert '1' '1'",
            "leaf1: delete key '1' '1'",
            "relation lab.leaf2 default part* id*",
            "leaf2: insert '2' '1'",
            "commit",
        ],
    ),
    (
        // A truncated table is described again: it has new storage.
        "TRUNCATE lab.parted",
        &[
            "begin",
            "relation lab.leaf1 default id* part*",
            "relation lab.leaf2 default part* id*",
            "truncate leaf1 leaf2",
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.root VALUES (1, 1); UPDATE lab.root SET part = 2",
        &[
            "begin",
            "relation lab.root default id* part*",
            "relation lab.twig1 default id* part*",
            "root: insert '1' '1'",
            "root: delete key '1' '1'",
            "relation lab.root default id* part*",
            "relation lab.twig2 default part* id*",
            "root: insert '1' '2'",
            "commit",
        ],
    ),
    ("TRUNCATE lab.twig1", &[]),
    ("TRUNCATE lab.root", &["begin", "relation lab.root default id* part*", "truncate root", "commit"]),
    (
        "INSERT INTO lab.listed VALUES (1, 'b', 'c'); UPDATE lab.listed SET c = 'unseen'",
        &["begin", "relation lab.listed default id* b", "listed: insert '1' 'b'", "listed: update '1' 'b'", "commit"],
    ),
    (
        "INSERT INTO lab.filtered VALUES (1, 0); UPDATE lab.filtered SET id = 11; UPDATE lab.filtered SET n = 1;
         UPDATE lab.filtered SET id = 2",
        &[
            "begin",
            "relation lab.filtered default id* n",
            "filtered: insert '11' '0'",
            "filtered: update '11' '1'",
            "filtered: delete key '11' NULL",
            "commit",
        ],
    ),
    (
        "INSERT INTO lab.made (id) VALUES (4)",
        &["begin", "relation lab.made default id* i", "made: insert '4' '1'", "commit"],
    ),
    (
        "INSERT INTO lab.parent VALUES (1); INSERT INTO lab.child (p) VALUES (1);
         TRUNCATE lab.parent RESTART IDENTITY CASCADE",
        &[
            "begin",
            "relation lab.parent default id*",
            "parent: insert '1'",
            "relation lab.child default id* p",
            "child: insert '1' '1'",
            "relation lab.parent default id*",
            "relation lab.child default id* p",
            "truncate parent child cascade restart",
            "commit",
        ],
    ),
    ("TRUNCATE lab.plain", &["begin", "relation lab.plain default id* v", "truncate plain", "commit"]),
];

const TRANSACTIONS: &[Case] = &[
    (
        "BEGIN; INSERT INTO lab.plain VALUES (10, 'kept'); SAVEPOINT s; INSERT INTO lab.plain VALUES (11, 'gone');
         ROLLBACK TO s; INSERT INTO lab.plain VALUES (12, 'kept'); COMMIT",
        // And once more after it.
        &["begin", "relation lab.plain default id* v", "plain: insert '10' 'kept'", "plain: insert '12' 'kept'", "commit"],
    ),
    ("BEGIN; INSERT INTO lab.plain VALUES (13, 'gone'); ROLLBACK", &[]),
    (
        "BEGIN; INSERT INTO lab.plain VALUES (20, 'old'); ALTER TABLE lab.plain ADD w int DEFAULT 7;
         INSERT INTO lab.plain VALUES (21, 'new'); ALTER TABLE lab.plain RENAME v TO u;
         INSERT INTO lab.plain VALUES (22, 'renamed'); ALTER TABLE lab.plain DROP w;
         INSERT INTO lab.plain VALUES (23, 'dropped'); COMMIT",
        &[
            "begin",
            "plain: insert '20' 'old'",
            "relation lab.plain default id* v w",
            "plain: insert '21' 'new' '7'",
            "relation lab.plain default id* u w",
            "plain: insert '22' 'renamed' '7'",
            "relation lab.plain default id* u",
            "plain: insert '23' 'dropped'",
            "commit",
        ],
    ),
    (
        "BEGIN; INSERT INTO lab.plain VALUES (30, 'm'); SELECT pg_logical_emit_message(false, 'now', 'first');
         SELECT pg_logical_emit_message(true, 'inside', 'second'); COMMIT",
        &[
            "message immediate now first",
            "begin",
            "relation lab.plain default id* u",
            "plain: insert '30' 'm'",
            "message transactional inside second",
            "commit",
        ],
    ),
    (
        "SELECT pg_replication_origin_create('elsewhere'); SELECT pg_replication_origin_session_setup('elsewhere');
         BEGIN; SELECT pg_replication_origin_xact_setup('0/AB', now()); INSERT INTO lab.plain VALUES (31, 'o'); COMMIT;
         SELECT pg_replication_origin_session_reset()",
        &["begin", "origin elsewhere 0/AB", "plain: insert '31' 'o'", "commit"],
    ),
];

async fn every_kind(ctx: Ctx) -> Result<()> {
    let server = server().await?;
    let database = server.create_database("lab").await?;
    let mut connection = database.connect().await?;
    let columns: Vec<_> = (1..=WIDE).map(|n| format!("c{n} int")).collect();
    let wide = format!("CREATE TABLE lab.wide ({}, PRIMARY KEY (c1))", columns.join(", "));
    let tables = TABLES.replacen("CREATE PUBLICATION", &format!("{wide}; CREATE PUBLICATION"), 1);
    run(&mut connection, &tables).await?;
    for slot in ["by_sql", "by_stream"] {
        create_slot(&mut connection, slot).await?;
    }

    let mut expected: Vec<String> = Vec::new();
    for (statements, events) in ROWS.iter().chain(SHAPES).chain(TRANSACTIONS) {
        run(&mut connection, statements).await?;
        expected.extend(events.iter().map(|event| (*event).to_owned()));
    }
    expected.extend(wide_row(&mut connection).await?);

    let end = end_of_log(&mut connection).await?;
    let by_sql = from_sql(&mut connection).await?;
    let stream = stream(&config(&database)?, "by_stream", &PUBLICATIONS).await?;
    let by_stream = messages_until(stream, end).await?;
    ensure!(by_sql == by_stream, "{} messages from SQL, {} from the stream", by_sql.len(), by_stream.len());

    let found = in_words(&by_stream)?;
    if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
        // From there on, for whoever has to find out what is missing.
        let rest = found[at.min(found.len())..].iter().take(20).map(String::as_str).collect::<Vec<_>>();
        bail!("event {at}: expected {:?}, found {}", expected.get(at), rest.join("\n"));
    }
    keep_corpus(&ctx, &by_stream)
}

/// A row of a thousand columns, and what it looks like.
async fn wide_row(connection: &mut PgConnection) -> Result<[String; 4]> {
    let values: Vec<_> = (1..=WIDE).map(|n| n.to_string()).collect();
    run(connection, &format!("INSERT INTO lab.wide VALUES ({})", values.join(","))).await?;
    let names: Vec<_> = (2..=WIDE).map(|n| format!("c{n}")).collect();
    let values: Vec<_> = values.iter().map(|value| format!("'{value}'")).collect();
    let relation = format!("relation lab.wide default c1* {}", names.join(" "));
    Ok(["begin".to_owned(), relation, format!("wide: insert {}", values.join(" ")), "commit".to_owned()])
}

async fn run(connection: &mut PgConnection, statements: &str) -> Result<()> {
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await;
    done.map(|_| ()).with_context(|| statements.to_owned())
}

async fn from_sql(connection: &mut PgConnection) -> Result<Vec<Vec<u8>>> {
    for (name, value) in PINNED {
        let set = "SELECT set_config($1, $2, false)";
        sqlx::query(set).bind(name).bind(value).execute(&mut *connection).await?;
    }
    let names = PUBLICATIONS.map(|name| format!("\"{}\"", name.replace('"', "\"\""))).join(",");
    let changes = "SELECT data FROM pg_logical_slot_get_binary_changes('by_sql', NULL, NULL, 'proto_version', '1', \
                   'publication_names', $1, 'messages', 'true')";
    Ok(sqlx::query_scalar(changes).bind(names).fetch_all(connection).await?)
}

/// Larger ones say nothing that smaller ones do not.
const CORPUS_BYTES: usize = 600;

/// Writes the corpus of the decoder's tests where `CDC_WRITE_CORPUS` says, and to the scenario's folder otherwise.
fn keep_corpus(ctx: &Ctx, messages: &[Vec<u8>]) -> Result<()> {
    let mut text =
        String::from("# Messages of a PostgreSQL server, one a line, written by the scenario pgoutput.\n");
    for message in messages.iter().filter(|message| message.len() <= CORPUS_BYTES) {
        text.extend(message.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    let file = std::env::var_os("CDC_WRITE_CORPUS").map(std::path::PathBuf::from);
    let file = file.unwrap_or_else(|| ctx.folder().join("messages.hex"));
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}
