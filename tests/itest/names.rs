//! Names of every kind: databases, schemas, tables and columns that are mixed-case or hostile, and how topics find
//! their table.

use std::str::FromStr as _;

use anyhow::Result;
use http::StatusCode;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::Feed;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("names_hostile_identifiers_are_only_names", &[Need::Postgres], hostile),
        scenario("names_topics_find_their_table_or_are_refused", &[Need::Postgres], topics),
    ]
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn json(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// For a segment of a path.
fn encode(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Hostile by themselves, or because generated SQL uses the same words.
const COLUMNS: &[&str] = &[
    "Mixed Case",
    "with \"quotes\"",
    "dot.ted",
    "it's",
    "😀",
    "%s %1$s",
    "$1",
    "back\\slash",
    "?",
    ":x",
    "--",
    "/*",
    ";",
    "SELECT",
    "Ä",
    "key",
    "mut",
    "nanos",
    "logical",
    "long_key",
    "shape",
    "reborn",
    "k0",
    "v",
    "r",
    "t",
    "s",
    "f",
    "g",
    "fence",
    "excluded",
    "ctid_",
    "sixty-three bytes sixty-three bytes sixty-three bytes sixty-thr",
];

/// A table whose columns all have odd names; its key is compared by value.
fn odd_table(schema: &str, table: &str, key: &str) -> String {
    let columns = COLUMNS.iter().map(|name| format!("{} text", quote(name))).collect::<Vec<_>>().join(", ");
    let (schema, table, key, second) = (quote(schema), quote(table), quote(key), quote("key"));
    format!("CREATE TABLE {schema}.{table} ({key} numeric, {columns}, PRIMARY KEY ({key}, {second}));")
}

fn odd_row(key: &str, number: i32, text: &str) -> String {
    let columns = COLUMNS.iter().map(|name| format!("{}: {}", json(name), json(&format!("{text} {name}"))));
    format!("{{{}: {number}, {}}}", json(key), columns.collect::<Vec<_>>().join(", "))
}

async fn hostile(ctx: Ctx) -> Result<()> {
    let database = format!("{} \"Db\" %.😀", ctx.name().chars().take(20).collect::<String>());
    let schema = "Sch\"ema %é.x '1' 😀";
    let tables = [
        "Mixed",
        "a.b",
        "quo\"te",
        "sp ace",
        "😀",
        "%",
        "tab'le",
        "sixty-three bytes sixty-three bytes sixty-three bytes sixty-thr",
    ];
    let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(&database));
    ctx.target().execute(&drop).await?;
    ctx.target().execute(&format!("CREATE DATABASE {}", quote(&database))).await?;
    let mut feed = Feed::start(&ctx, "", &[]).await?;
    let options = PgConnectOptions::from_str(ctx.target().url())?.database(&database);
    feed.sql = PgConnection::connect_with(&options).await?;
    (feed.database, feed.schema) = (encode(&database), encode(schema));
    let key = "The \"key\".1";
    let mut ddl = format!("CREATE SCHEMA {}; ", quote(schema));
    ddl.extend(tables.iter().map(|table| odd_table(schema, table, key)));
    feed.execute(&ddl).await?;
    let key_of = |number: i32, text: &str| format!("[{number}, {}]", json(&format!("{text} key")));
    for table in tables {
        for number in [1, 2] {
            feed.put(table, &key_of(number, "old"), &odd_row(key, number, "old"));
            feed.put(table, &key_of(number, "first"), &odd_row(key, number, "first"));
        }
        feed.tick();
        feed.gone(table, &key_of(1, "old"));
        feed.put(
            table,
            &key_of(2, "old"),
            &odd_row(key, 2, "old").replace("\"old Mixed Case\"", "\"changed\""),
        );
    }
    feed.settle().await?;
    for table in tables {
        let sql = format!(
            "SELECT count(*), count(DISTINCT t.*), count(*) FILTER (WHERE {} = 'changed') FROM {}.{} t",
            quote("Mixed Case"),
            quote(schema),
            quote(table)
        );
        feed.shows(&sql, "(3,3,1)").await?;
    }
    let (_, state) = feed.readyz().await?;
    anyhow::ensure!(state.contains("😀"), "{state}");
    drop_database(feed, &ctx, &drop).await
}

async fn drop_database(mut feed: Feed, ctx: &Ctx, drop: &str) -> Result<()> {
    feed.service.kill9().await?;
    feed.sql.close().await?;
    ctx.target().execute(drop).await
}

const TOPICS: &str = r#"
CREATE TABLE t (id int PRIMARY KEY, "V" text);
CREATE TABLE "UPPER" ("ID" int PRIMARY KEY, v text);
CREATE TABLE "Amb" (id int PRIMARY KEY); CREATE TABLE "aMB" (id int PRIMARY KEY);
CREATE TABLE "x.y" (id int PRIMARY KEY); CREATE TABLE y (id int PRIMARY KEY);
CREATE TABLE same (id int PRIMARY KEY, a int, "A" int);
CREATE VIEW seen AS SELECT * FROM t;
CREATE SCHEMA a_b; CREATE TABLE a_b.c (id int PRIMARY KEY);
CREATE SCHEMA a; CREATE TABLE a.b_c (id int PRIMARY KEY);
CREATE SCHEMA empty;
"#;

async fn topics(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TOPICS, &[]).await?;
    let database = feed.database.clone();
    let full = format!("{database}.public.t");
    for (id, topic) in ["t", "public.t", &full, "T"].into_iter().enumerate() {
        feed.put(topic, &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": "x"}}"#));
    }
    feed.put("upper", "[1]", r#"{"Id": 1, "V": "y"}"#);
    feed.put("x.y", "[1]", r#"{"id": 1}"#);
    feed.put("public.y", "[2]", r#"{"id": 2}"#);
    feed.put("Amb", "[3]", r#"{"id": 3}"#);
    feed.put("same", "[1]", r#"{"A": 2, "a": 1, "id": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY 1", "(0,x) (1,x) (2,x) (3,x)").await?;
    feed.shows("SELECT * FROM \"UPPER\"", "(1,y)").await?;
    feed.shows("SELECT * FROM \"x.y\"", "(1)").await?;
    feed.shows("SELECT * FROM y", "(2)").await?;
    feed.shows("SELECT * FROM \"Amb\"", "(3)").await?;
    feed.shows("SELECT * FROM same", "(1,1,2)").await?;
    feed.shows("SELECT * FROM \"aMB\"", "").await?;

    for (topic, words) in [
        ("amb", ["amb", "no table"]),
        ("nowhere", ["nowhere", "no table"]),
        ("seen", ["seen", "no table"]),
        ("t.fam_1", ["fam_1", "split_column_families"]),
        ("a.b.c.t", ["a.b.c.t", "three parts"]),
        ("public.", ["", "no table"]),
    ] {
        feed.put(topic, "[1]", r#"{"id": 1}"#);
        feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &words).await?;
    }
    feed.put("same", "[1]", r#"{"a": 1, "A": 2, "ID": 1, "id": 1}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["both feed column", "\"id\""]).await?;

    // Names that would run together in a staging table's name.
    for (schema, table) in [("a_b", "c"), ("a", "b_c")] {
        feed.schema = schema.into();
        feed.put(table, "[1]", r#"{"id": 1}"#);
        feed.settle().await?;
        feed.gone(table, "[1]");
        feed.put(table, "[2]", r#"{"id": 2}"#);
        feed.send().await?;
    }
    feed.schema = "a".into();
    feed.settle().await?;
    feed.shows("SELECT * FROM a_b.c", "(1)").await?;
    feed.shows("SELECT * FROM a.b_c", "(2)").await?;

    for schema in ["empty", "nothing"] {
        feed.schema = schema.into();
        feed.put("t", "[1]", r#"{"id": 1}"#);
        feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &[schema]).await?;
        let mark = format!(r#"{{"resolved":"{}"}}"#, feed.tick());
        feed.refused_body(&mark, StatusCode::NOT_FOUND, &[schema]).await?;
    }
    feed.database = "no_such_database".into();
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.refused(StatusCode::NOT_FOUND, &["no_such_database"]).await
}
