//! Behaviours at their edges: types with lengths, domains, keys that are equal without being the same text, and changes
//! of the target while rows wait.

use anyhow::Result;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::behaviours::{reload, set};
use crate::posting::Feed;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    let needs = &[Need::Postgres];
    vec![
        scenario("edges_nulls_in_the_configuration", needs, nulls),
        scenario("edges_expressions_on_arrays_with_lengths", needs, arrays),
        scenario("edges_long_source_names", needs, long_names),
        scenario("edges_dropped_columns_go_to_the_extras", needs, dropped),
        scenario("edges_versions_in_a_domain", needs, domain),
        scenario("edges_keys_change_case_in_immediate_mode", needs, change_case),
        scenario("edges_expressions_on_keys_with_lengths", needs, key_lengths),
        scenario("edges_what_was_refused_is_asked_again", needs, asked_again),
        scenario("edges_keys_equal_by_value_with_other_columns", needs, by_value),
        scenario("edges_order_of_equal_keys_in_immediate_mode", needs, order_by_value),
        scenario("edges_a_key_column_ceases_to_be_constant", needs, constant_key),
    ]
}

async fn nulls(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int)", &[]).await?;
    for column in ["cas_order", "deadline", "expr", "extras", "\"ignore\"", "src_name"] {
        feed.execute(&format!("ALTER TABLE _cdc_sink.apply_config ALTER COLUMN {column} DROP NOT NULL"))
            .await?;
    }
    feed.execute(
        "INSERT INTO _cdc_sink.apply_config VALUES (current_database(), 'public', 't', 'v', NULL, NULL, '$0 + 1', NULL, NULL, NULL)",
    )
    .await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(1,2)").await
}

async fn arrays(ctx: Ctx) -> Result<()> {
    let ddl =
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(5)[], n numeric(10,2)[], i int[], ts timestamptz[])";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    for column in ["a", "n", "i", "ts"] {
        set(&mut feed, "t", column, "expr", "'$0 || $0'").await?;
    }
    reload(&mut feed, "active").await?;
    feed.put(
        "t",
        "[1]",
        r#"{"a": ["x", "y"], "i": [1, 2], "id": 1, "n": [1.5], "ts": ["2020-01-01T00:00:00Z"]}"#,
    );
    feed.settle().await?;
    feed.shows(
        "SELECT a::text, n::text, i::text, array_length(ts, 1) FROM t",
        r#"("{x,y,x,y}","{1.50,1.50}","{1,2,1,2}",2)"#,
    )
    .await
}

async fn long_names(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int)", &[]).await?;
    let name = "n".repeat(70);
    set(&mut feed, "t", "v", "src_name", &format!("'{name}'")).await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", &format!(r#"{{"id": 1, "{name}": 7}}"#));
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(1,7)").await
}

async fn dropped(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, shoe int, rest jsonb); CREATE TABLE u (id int PRIMARY KEY, shoe int, rest jsonb)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "rest", "extras", "true").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"hat": 1, "id": 1, "shoe": 44}"#);
    feed.put("u", "[1]", r#"{"id": 1, "shoe": 44}"#);
    feed.send().await?;
    feed.execute("ALTER TABLE t DROP COLUMN shoe; ALTER TABLE u DROP COLUMN shoe").await?;
    set(&mut feed, "u", "rest", "extras", "true").await?;
    reload(&mut feed, "active").await?;
    feed.settle().await?;
    feed.shows("SELECT rest::text FROM t", r#"("{""hat"": 1, ""shoe"": 44}")"#).await?;
    feed.shows("SELECT rest::text FROM u", r#"("{""shoe"": 44}")"#).await
}

async fn domain(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE DOMAIN version AS int NOT NULL; CREATE TABLE t (id int PRIMARY KEY, ver version, v int); \
               CREATE TABLE u (id int PRIMARY KEY, ver version, v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "ver", "cas_order", "1").await?;
    set(&mut feed, "u", "v", "cas_order", "1").await?;
    reload(&mut feed, "active").await?;
    for id in [1, 2] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": 1, "ver": 1}}"#));
        feed.put("u", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": 1, "ver": 1}}"#));
    }
    feed.settle().await?;
    feed.gone("t", "[1]");
    feed.gone("u", "[1]");
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "(2)").await
}

async fn change_case(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE EXTENSION citext; CREATE TABLE t (id citext PRIMARY KEY, ver int, v int)";
    let mut feed = Feed::start(&ctx, ddl, &["--immediate"]).await?;
    set(&mut feed, "t", "ver", "cas_order", "1").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", r#"["a"]"#, r#"{"id": "a", "v": 1, "ver": 5}"#);
    feed.send().await?;
    // What a source does that tells the two apart: one transaction.
    feed.gone("t", r#"["a"]"#);
    feed.put("t", r#"["A"]"#, r#"{"id": "A", "v": 2, "ver": 3}"#);
    feed.send().await?;
    feed.shows("SELECT lower(id), ver, v FROM t", "(a,3,2)").await
}

async fn key_lengths(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id numeric(6,1) PRIMARY KEY, v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "id", "expr", "'$0 * 100'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1.23]", r#"{"id": 1.23, "v": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "(123.0)").await?;
    feed.gone("t", "[1.23]");
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "").await
}

async fn asked_again(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int)", &[]).await?;
    set(&mut feed, "t", "v", "expr", "'twice($0)'").await?;
    reload(&mut feed, "rejected").await?;
    feed.execute("CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(1,2)").await
}

async fn by_value(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id text PRIMARY KEY, a int, b int)", &[]).await?;
    set(&mut feed, "t", "id", "expr", "'lower($0)'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", r#"["A"]"#, r#"{"a": 1, "id": "A"}"#);
    feed.tick();
    feed.put("t", r#"["a"]"#, r#"{"b": 2, "id": "a"}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t", "(a,1,2)").await
}

async fn order_by_value(ctx: Ctx) -> Result<()> {
    let mut feed =
        Feed::start(&ctx, "CREATE TABLE t (id text PRIMARY KEY, a int, b int)", &["--immediate"]).await?;
    set(&mut feed, "t", "id", "expr", "'lower($0)'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", r#"["a"]"#, r#"{"a": 1, "id": "a"}"#);
    feed.tick();
    feed.put("t", r#"["a"]"#, r#"{"a": 2, "id": "a"}"#);
    feed.tick();
    feed.put("t", r#"["A"]"#, r#"{"a": 3, "id": "A"}"#);
    feed.send().await?;
    feed.shows("SELECT a FROM t", "(3)").await
}

/// Deletions that wait hold no value for a column that was a constant; without the constant they would match nothing.
async fn constant_key(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE k (ten int, id int, v int, PRIMARY KEY (ten, id))";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "k", "ten", "expr", "'7'").await?;
    reload(&mut feed, "active").await?;
    feed.put("k", "[5]", r#"{"id": 5, "v": 1}"#);
    feed.settle().await?;
    feed.gone("k", "[5]");
    feed.send().await?;
    feed.execute("UPDATE _cdc_sink.apply_config SET expr = ''").await?;
    reload(&mut feed, "active").await?;
    let mark = feed.mark().await?;
    feed.stalled(&["(constant)", "apply_config"]).await?;
    feed.execute("UPDATE _cdc_sink.apply_config SET expr = '7'").await?;
    reload(&mut feed, "active").await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT * FROM k", "").await?;
    // With nothing waiting the key may change.
    feed.execute("UPDATE _cdc_sink.apply_config SET expr = ''").await?;
    reload(&mut feed, "active").await?;
    feed.put("k", "[1, 5]", r#"{"id": 5, "ten": 1, "v": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM k", "(1,5,2)").await
}
