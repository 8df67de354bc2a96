//! Extras, ignored and renamed columns, substitute expressions, and configurations that cannot be used.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use tests::harness::Signal;
use tests::harness::http::Client;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON, body, row};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    let needs = &[Need::Postgres];
    vec![
        scenario("behaviours_extras_take_what_is_left_over", needs, |ctx| extras(ctx, &[])),
        scenario("behaviours_extras_in_immediate_mode", needs, |ctx| extras(ctx, &["--immediate"])),
        scenario("behaviours_ignored_columns_are_left_alone", needs, ignored),
        scenario("behaviours_renamed_columns_take_their_source", needs, renamed),
        scenario("behaviours_expressions_stand_for_values", needs, |ctx| expressions(ctx, &[])),
        scenario("behaviours_expressions_in_immediate_mode", needs, |ctx| expressions(ctx, &["--immediate"])),
        scenario("behaviours_expressions_on_keys_find_deleted_rows", needs, keys),
        scenario("behaviours_bad_configuration_is_named_and_heals", needs, mistakes),
        scenario("behaviours_last_good_configuration_stays", needs, last_good),
        scenario("behaviours_changes_meet_staged_rows", needs, changes),
        scenario("behaviours_cas_with_unique_values_that_move", needs, unique),
        scenario("behaviours_cas_under_concurrent_immediate_requests", needs, concurrent),
        scenario("behaviours_all_on_one_table", needs, together),
    ]
}

const ALTER: &str =
    "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column";

/// Sets one column's configuration in place of what it had.
pub(crate) async fn set(feed: &mut Feed, table: &str, column: &str, what: &str, value: &str) -> Result<()> {
    feed.execute(&format!(
        "{ALTER}, {what}) VALUES (current_database(), 'public', '{table}', '{column}', {value}) \
         ON CONFLICT (target_db, target_schema, target_table, target_column) DO UPDATE SET {what} = excluded.{what}"
    ))
    .await
}

/// Has the process read the configuration; waits until every table is in this state.
pub(crate) async fn reload(feed: &mut Feed, state: &str) -> Result<serde_json::Value> {
    let reads = feed.metric("apply_config_reads_total", "").await?;
    feed.service.signal(Signal::Hup)?;
    let rows = "SELECT count(*)::text FROM (SELECT DISTINCT target_table FROM _cdc_sink.apply_config) t";
    let tables: usize = feed.value(rows).await?.context("a count")?.parse()?;
    eventually(SOON, "the configuration to be in use", async || {
        let now = feed.metric("apply_config_reads_total", "").await?;
        ensure!(now > reads, "it was read {now} times");
        let (_, text) = feed.client.get("/_/config/apply").await?;
        let json: serde_json::Value = serde_json::from_slice(&text)?;
        let object = json.as_object().context("an object")?;
        ensure!(object.len() == tables && object.values().all(|table| table["State"] == state), "{json:#}");
        anyhow::Ok(json)
    })
    .await
}

async fn extras(ctx: Ctx, flags: &[&str]) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, name text, rest jsonb NOT NULL)";
    let mut feed = Feed::start(&ctx, ddl, flags).await?;
    feed.put("t", "[1]", r#"{"id": 1, "name": "a", "shoe": 44}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["shoe", "extras"]).await?;
    set(&mut feed, "t", "rest", "extras", "true").await?;
    reload(&mut feed, "active").await?;
    feed.put(
        "t",
        "[1]",
        r#"{"id": 1, "name": "a", "shoe": 44, "big": 12345678901234567890.10, "o": {"b": null}, "n": null}"#,
    );
    feed.put("t", "[2]", r#"{"id": 2, "name": "b"}"#);
    feed.put("t", "[3]", r#"{"id": 3, "it's": "é\"$0"}"#);
    feed.settle().await?;
    feed.shows(
        "SELECT id, name, rest::text FROM t ORDER BY id",
        r#"(1,a,"{""n"": null, ""o"": {""b"": null}, ""big"": 12345678901234567890.10, ""shoe"": 44}") (2,b,{}) (3,,"{""it's"": ""é\\""$0""}")"#,
    )
    .await?;
    // The members of a row are what it has now, not what it once had.
    feed.put("t", "[1]", r#"{"id": 1, "name": "a"}"#);
    feed.put("t", "[9]", r#"{"id": 9, "rest": {}}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["\"rest\"", "another column for extras"]).await?;
    feed.put("t", "[1]", r#"{"id": 1, "name": "a"}"#);
    feed.settle().await?;
    feed.shows("SELECT rest::text FROM t WHERE id = 1", "({})").await?;
    // Names that never occur again do not pile up anywhere.
    for id in 0..300 {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "name": "x", "m{id}": {id}}}"#));
    }
    feed.settle().await?;
    feed.shows("SELECT count(*), sum((rest->>('m' || id))::int) FROM t WHERE name = 'x'", "(300,44850)")
        .await?;
    let shapes =
        feed.value("SELECT count(*)::text FROM _cdc_sink.staged_shapes").await?.context("a count")?;
    ensure!(shapes.parse::<u32>()? < 12, "{shapes} shapes are kept");
    // A column of its own, once there is one.
    feed.execute("ALTER TABLE t ADD COLUMN shoe int").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "name": "a", "shoe": 45, "hat": 7}"#);
    feed.settle().await?;
    feed.shows("SELECT shoe, rest::text FROM t WHERE id = 1", r#"(45,"{""hat"": 7}")"#).await?;
    feed.gone("t", "[1]");
    feed.settle().await?;
    feed.shows("SELECT id FROM t WHERE id = 1", "").await
}

async fn ignored(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, kept text DEFAULT 'default', v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    feed.execute("INSERT INTO t VALUES (1, 'mine', 0)").await?;
    feed.put("t", "[1]", r#"{"id": 1, "only_at_source": 1, "v": 1}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["only_at_source", "ignore"]).await?;
    set(&mut feed, "t", "only_at_source", "\"ignore\"", "true").await?;
    set(&mut feed, "t", "kept", "\"ignore\"", "true").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "kept": "theirs", "only_at_source": 1, "v": 1}"#);
    feed.put("t", "[2]", r#"{"id": 2, "kept": "theirs", "Only_At_Source": 1, "v": 2}"#);
    feed.put("t", "[3]", r#"{"id": 3, "v": 3}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY id", "(1,mine,1) (2,default,2) (3,default,3)").await?;
    // Deleted and written again within one mark, as if one after the other.
    feed.gone("t", "[1]");
    feed.tick();
    feed.put("t", "[1]", r#"{"id": 1, "kept": "theirs", "v": 4}"#);
    feed.put("t", "[4]", r#"{"id": 4, "v": 4, "another": 1}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["another"]).await?;
    feed.gone("t", "[1]");
    feed.tick();
    feed.put("t", "[1]", r#"{"id": 1, "kept": "theirs", "v": 4}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t WHERE id = 1", "(1,default,4)").await
}

async fn renamed(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, title text, copy text); \
               CREATE TABLE k (a int, b text, v int, PRIMARY KEY (a, b))";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "id", "src_name", "'Nr'").await?;
    set(&mut feed, "t", "copy", "src_name", "'title'").await?;
    set(&mut feed, "k", "a", "src_name", "'b'").await?;
    set(&mut feed, "k", "b", "src_name", "'a'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"Nr": 1, "title": "one"}"#);
    feed.put("t", "[2]", r#"{"NR": 2, "title": "two"}"#);
    feed.put("k", r#"[1, "x"]"#, r#"{"a": "x", "b": 1, "v": 10}"#);
    feed.put("k", r#"[2, "y"]"#, r#"{"a": "y", "b": 2, "v": 20}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY id", "(1,one,one) (2,two,two)").await?;
    feed.shows("SELECT * FROM k ORDER BY a", "(1,x,10) (2,y,20)").await?;
    feed.put("t", "[1]", r#"{"id": 1, "title": "one"}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["\"id\""]).await?;
    feed.put("t", "[1]", r#"{"title": "one"}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["\"Nr\"", "\"id\""]).await?;
    // Deletions by the key alone, and by the row before.
    feed.gone("t", "[1]");
    let now = feed.now();
    feed.push(row("k", &now, r#"["y", 2]"#, None, Some(r#"{"a": "y", "b": 2, "v": 20}"#)));
    feed.gone("k", r#"[1, "x"]"#);
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "(2)").await?;
    feed.shows("SELECT count(*) FROM k", "(0)").await
}

async fn expressions(ctx: Ctx, flags: &[&str]) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, twice int8, doubled text, flag bool, literal text, since int8, \
               long int4, doc jsonb NOT NULL, tags text[], short varchar(3), \"o\"\"dd $0\" int DEFAULT 5)";
    let mut feed = Feed::start(&ctx, ddl, flags).await?;
    for (column, expression) in [
        ("twice", "2 * $0"),
        ("doubled", "$0 || $0"),
        ("flag", "true"),
        ("literal", "'$0 is ' || coalesce($0, 'nothing')"),
        ("since", "extract(epoch FROM $0::timestamptz)::int8"),
        ("long", "length($0)"),
        ("doc", "COALESCE($0::JSONB, 'null'::JSONB)"),
        ("tags", "array_append($0, 'more')"),
        ("short", "upper($0)"),
    ] {
        set(&mut feed, "t", column, "expr", &format!("$e${expression}$e$")).await?;
    }
    let shown = reload(&mut feed, "active").await?;
    ensure!(shown.to_string().contains("2 * $0"), "{shown}");
    feed.put(
        "t",
        "[1]",
        r#"{"doc": "text", "doubled": "ab", "flag": "anything", "id": 1, "literal": "it", "long": "seven77",
            "short": "abc", "since": "2024-01-01T00:00:00Z", "tags": ["a", "b"], "twice": 3000000000}"#,
    );
    feed.put(
        "t",
        "[2]",
        r#"{"doc": null, "doubled": null, "id": 2, "literal": null, "long": null, "short": null, "since": null,
            "tags": null, "twice": null}"#,
    );
    feed.settle().await?;
    feed.shows(
        "SELECT * FROM t ORDER BY id",
        "(1,6000000000,abab,t,\"$0 is it\",1704067200,7,\"\"\"text\"\"\",\"{a,b,more}\",ABC,5) \
         (2,,,t,\"$0 is nothing\",,,null,{more},,5)",
    )
    .await?;
    // A member that is missing leaves its column alone; a constant is written all the same.
    feed.execute("UPDATE t SET flag = false").await?;
    feed.put("t", "[1]", r#"{"id": 1, "doc": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT twice, flag, doc FROM t WHERE id = 1", "(6000000000,t,1)").await?;
    // The expression's result must fit as any value must; a cast that cuts would lose data.
    if flags.is_empty() {
        feed.put("t", "[3]", r#"{"doc": 1, "id": 3, "short": "abcd"}"#);
        let mark = {
            feed.send().await?;
            feed.mark().await?
        };
        feed.stalled(&["22001"]).await?;
        set(&mut feed, "t", "short", "expr", "'left($0, 3)'").await?;
        reload(&mut feed, "active").await?;
        feed.applied(&mark).await?;
        return feed.shows("SELECT short FROM t WHERE id = 3", "(abc)").await;
    }
    feed.put("t", "[3]", r#"{"doc": 1, "id": 3, "short": "abcd"}"#);
    feed.refused(StatusCode::UNPROCESSABLE_ENTITY, &["22001"]).await
}

async fn keys(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE d (id int8 PRIMARY KEY, v text); \
               CREATE TABLE m (id int4 PRIMARY KEY, v text); \
               CREATE TABLE c (tenant int4, id int4, v text, PRIMARY KEY (tenant, id)); \
               CREATE TABLE u (name text PRIMARY KEY, v text)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "d", "id", "expr", "'2 * $0'").await?;
    set(&mut feed, "m", "id", "expr", "'$0 % 10'").await?;
    set(&mut feed, "c", "tenant", "expr", "'7'").await?;
    set(&mut feed, "u", "name", "expr", "'lower($0)'").await?;
    reload(&mut feed, "active").await?;
    for immediate in ["?immediate=false", "?immediate=true"] {
        feed.query = immediate.into();
        for id in [42, 43] {
            feed.put("d", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": "x"}}"#));
            feed.put("c", &format!("[{id}]"), &format!(r#"{{"id": {id}, "v": "x"}}"#));
        }
        feed.put("u", r#"["ABC"]"#, r#"{"name": "ABC", "v": "1"}"#);
        feed.put("m", "[1]", r#"{"id": 1, "v": "first"}"#);
        feed.tick();
        // Another row of the source, the same of the target: the newest wins.
        feed.put("m", "[11]", r#"{"id": 11, "v": "second"}"#);
        feed.put("u", r#"["abc"]"#, r#"{"name": "abc", "v": "2"}"#);
        feed.settle().await?;
        feed.shows("SELECT id FROM d ORDER BY 1", "(84) (86)").await?;
        feed.shows("SELECT tenant, id FROM c ORDER BY 2", "(7,42) (7,43)").await?;
        feed.shows("SELECT * FROM m", "(1,second)").await?;
        feed.shows("SELECT * FROM u", "(abc,2)").await?;
        feed.gone("d", "[42]");
        feed.gone("c", "[42]");
        // The whole key of a source that has the column is understood as well.
        feed.gone("c", "[1, 43]");
        feed.gone("m", "[21]");
        feed.gone("u", r#"["aBc"]"#);
        feed.settle().await?;
        feed.shows("SELECT id FROM d ORDER BY 1", "(86)").await?;
        for empty in ["c", "m", "u"] {
            feed.shows(&format!("SELECT count(*) FROM {empty}"), "(0)").await?;
        }
        feed.gone("d", "[43]");
        feed.settle().await?;
    }
    Ok(())
}

async fn mistakes(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v int, doc json); CREATE TABLE fine (id int PRIMARY KEY)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    for (column, what, value, words) in [
        ("gone", "cas_order", "1", "no such column"),
        ("v", "cas_order", "2", "1 is missing"),
        ("doc", "cas_order", "1", "cannot be compared"),
        ("v", "deadline", "'1m'", "cannot have a deadline"),
        ("doc", "extras", "true", "jsonb"),
        ("v", "expr", "'$0; DROP TABLE t'", "semicolon"),
        ("v", "expr", "'max($0)'", "aggregate"),
        ("v", "expr", "'generate_series(1, $0)'", "set-returning"),
        ("v", "expr", "'nosuchfunction($0)'", "nosuchfunction"),
        ("v", "expr", "'$0 +'", "syntax error"),
        ("v", "expr", "'$0) OR (true'", "closes nothing"),
        ("v", "expr", "'$1'", "$1"),
    ] {
        feed.execute("DELETE FROM _cdc_sink.apply_config").await?;
        reload(&mut feed, "active").await?;
        feed.service.terminate(SOON).await?;
        set(&mut feed, "t", column, what, value).await?;
        feed.service.start_again().await?;
        feed.client = Client::connect(feed.service.address()).await?;
        feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
        feed.refused(StatusCode::SERVICE_UNAVAILABLE, &["apply_config", words]).await?;
        let shown = reload(&mut feed, "rejected").await?;
        ensure!(shown.to_string().contains(words), "{words}: {shown}");
        let (status, ready) = feed.readyz().await?;
        ensure!(status == StatusCode::OK && ready.contains("rejected"), "{status} {ready}");
        ensure!(feed.metric("apply_config_rejected", "").await? > 0.0, "the gauge does not show it");
        // Other tables go on.
        feed.put("fine", "[1]", r#"{"id": 1}"#);
        feed.settle().await?;
    }
    feed.execute("UPDATE _cdc_sink.apply_config SET expr = '$0 + 1'").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "v": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT v FROM t", "(2)").await
}

async fn last_good(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int, w int)", &[]).await?;
    set(&mut feed, "t", "v", "expr", "'$0 + 100'").await?;
    reload(&mut feed, "active").await?;
    set(&mut feed, "t", "v", "expr", "'$0 + '").await?;
    set(&mut feed, "t", "w", "expr", "'$0 + 1'").await?;
    let shown = reload(&mut feed, "last good").await?;
    ensure!(shown.to_string().contains("$0 + 100"), "{shown}");
    feed.put("t", "[1]", r#"{"id": 1, "v": 1, "w": 1}"#);
    feed.settle().await?;
    // The set is taken as a whole.
    feed.shows("SELECT * FROM t", "(1,101,1)").await?;
    // The columns have moved since; the last good set is read anew.
    feed.execute("ALTER TABLE t DROP COLUMN w; ALTER TABLE t ADD COLUMN a int").await?;
    reload(&mut feed, "last good").await?;
    feed.put("t", "[2]", r#"{"a": 5, "id": 2, "v": 2}"#);
    feed.settle().await?;
    feed.shows("SELECT v, a FROM t WHERE id = 2", "(102,5)").await?;
    // An unreadable table changes nothing.
    feed.execute("ALTER TABLE _cdc_sink.apply_config RENAME TO hidden").await?;
    let before = feed.metric("apply_config_errors_total", "").await?;
    feed.service.signal(Signal::Hup)?;
    eventually(SOON, "the error to be counted", async || {
        let now = feed.metric("apply_config_errors_total", "").await?;
        ensure!(now > before, "{now}");
        anyhow::Ok(())
    })
    .await?;
    feed.put("t", "[3]", r#"{"a": 5, "id": 3, "v": 3}"#);
    feed.settle().await?;
    feed.shows("SELECT v FROM t WHERE id = 3", "(103)").await
}

async fn changes(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, "CREATE TABLE t (id int PRIMARY KEY, v int, rest jsonb)", &[]).await?;
    set(&mut feed, "t", "rest", "extras", "true").await?;
    reload(&mut feed, "active").await?;
    feed.put("t", "[1]", r#"{"id": 1, "v": 1, "more": 1}"#);
    feed.send().await?;
    // What counts is the configuration when rows are applied.
    set(&mut feed, "t", "v", "expr", "'$0 + 1'").await?;
    reload(&mut feed, "active").await?;
    feed.settle().await?;
    feed.shows("SELECT * FROM t", r#"(1,2,"{""more"": 1}")"#).await?;
    // Members that have nowhere to go any more are not dropped: the schema stands still until they have.
    feed.put("t", "[2]", r#"{"id": 2, "v": 2, "more": 2}"#);
    feed.send().await?;
    feed.execute("UPDATE _cdc_sink.apply_config SET extras = false").await?;
    reload(&mut feed, "active").await?;
    let mark = feed.mark().await?;
    feed.stalled(&["extras"]).await?;
    feed.execute("UPDATE _cdc_sink.apply_config SET extras = target_column = 'rest'").await?;
    reload(&mut feed, "active").await?;
    feed.applied(&mark).await?;
    feed.healed().await?;
    feed.shows("SELECT * FROM t WHERE id = 2", r#"(2,3,"{""more"": 2}")"#).await
}

async fn unique(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, ver int UNIQUE, sku text NOT NULL UNIQUE); \
               CREATE TABLE d (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, ver text COLLATE \"C\", v int)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "ver", "cas_order", "1").await?;
    set(&mut feed, "d", "ver", "cas_order", "1").await?;
    reload(&mut feed, "active").await?;
    for (id, ver, sku) in [(1, 11, "a"), (2, 12, "b"), (3, 13, "c")] {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}, "sku": "{sku}", "ver": {ver}}}"#));
    }
    feed.put("d", "[1]", r#"{"id": 1, "v": 1, "ver": "b"}"#);
    feed.settle().await?;
    // One and two swap their unique values; three's older version must neither be written nor give up its own.
    feed.put("t", "[1]", r#"{"id": 1, "sku": "b", "ver": 21}"#);
    feed.put("t", "[2]", r#"{"id": 2, "sku": "a", "ver": 22}"#);
    feed.put("t", "[3]", r#"{"id": 3, "sku": "z", "ver": 3}"#);
    feed.put("d", "[1]", r#"{"id": 1, "v": 2, "ver": "B"}"#);
    feed.put("d", "[2]", r#"{"id": 2, "v": 2, "ver": "B"}"#);
    feed.tick();
    feed.put("d", "[2]", r#"{"id": 2, "v": 3, "ver": "a"}"#);
    feed.settle().await?;
    feed.shows("SELECT * FROM t ORDER BY id", "(1,21,b) (2,22,a) (3,13,c)").await?;
    // In bytes, as the column says, "B" is less than "a" and "b".
    feed.shows("SELECT id, ver, v FROM d ORDER BY id", "(1,b,1) (2,a,3)").await?;
    feed.put("d", "[1]", r#"{"id": 1, "v": 4, "ver": "c"}"#);
    feed.settle().await?;
    feed.shows("SELECT v FROM d WHERE id = 1", "(4)").await?;
    let discarded = feed.metric("apply_discarded_total", "reason=\"cas\"").await?;
    ensure!((discarded - 2.0).abs() < 0.5, "{discarded} versions were counted as discarded");
    Ok(())
}

async fn concurrent(ctx: Ctx) -> Result<()> {
    const KEYS: i32 = 40;
    const ROUNDS: i32 = 30;
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, ver int, v int)";
    let mut feed = Feed::start(&ctx, ddl, &["--immediate", "--assumeIdempotent"]).await?;
    set(&mut feed, "t", "ver", "cas_order", "1").await?;
    reload(&mut feed, "active").await?;
    let path = format!("/{}/public", feed.database);
    let (address, time) = (feed.service.address(), feed.now());
    let writer = |number: i32| {
        let (path, time) = (path.clone(), time.clone());
        async move {
            let mut client = Client::connect(address).await?;
            for round in 0..ROUNDS {
                // Every writer has the greatest version of some keys, at another moment.
                let rows = (0..KEYS).map(|id| {
                    let ver = (round * 7 + number * 11 + id) % 101;
                    row(
                        "t",
                        &time,
                        &format!("[{id}]"),
                        Some(&format!(r#"{{"id": {id}, "v": {ver}, "ver": {ver}}}"#)),
                        None,
                    )
                });
                let body = body(&rows.collect::<Vec<_>>());
                let (status, text) = client.post(&path, &[], body).await?;
                ensure!(status == StatusCode::OK, "{status} {}", String::from_utf8_lossy(&text));
            }
            Ok(())
        }
    };
    let writers = (0..6).map(writer);
    tokio::time::timeout(Duration::from_secs(60), futures::future::try_join_all(writers)).await??;
    let greatest = |id: i32| {
        let all =
            (0..6).flat_map(|number| (0..ROUNDS).map(move |round| (round * 7 + number * 11 + id) % 101));
        all.max().unwrap_or(0)
    };
    let expected: Vec<String> = (0..KEYS).map(|id| format!("({id},{0},{0})", greatest(id))).collect();
    feed.shows("SELECT id, ver, v FROM t ORDER BY id", &expected.join(" ")).await
}

async fn together(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int8 PRIMARY KEY, ver int8, at timestamptz, name text UNIQUE, mine text DEFAULT 'mine', rest jsonb)";
    let mut feed = Feed::start(&ctx, ddl, &[]).await?;
    set(&mut feed, "t", "id", "expr", "'$0 + 1000'").await?;
    set(&mut feed, "t", "id", "src_name", "'nr'").await?;
    set(&mut feed, "t", "ver", "cas_order", "1").await?;
    set(&mut feed, "t", "ver", "src_name", "'version'").await?;
    set(&mut feed, "t", "ver", "expr", "'$0 * 10'").await?;
    set(&mut feed, "t", "at", "deadline", "'1h'").await?;
    set(&mut feed, "t", "mine", "\"ignore\"", "true").await?;
    set(&mut feed, "t", "rest", "extras", "true").await?;
    reload(&mut feed, "active").await?;
    let put = |feed: &mut Feed, nr: i32, version: i32, late: bool, name: &str| {
        let at = if late { "2001-01-01T00:00:00Z" } else { "2999-01-01T00:00:00Z" };
        let after = format!(
            r#"{{"at": "{at}", "mine": "theirs", "name": "{name}", "nr": {nr}, "version": {version}, "x": "{name}"}}"#
        );
        feed.put("t", &format!("[{nr}]"), &after);
        feed.tick();
    };
    put(&mut feed, 1, 1, false, "a");
    put(&mut feed, 1, 3, true, "late");
    put(&mut feed, 1, 2, false, "b");
    put(&mut feed, 1, 2, false, "again");
    put(&mut feed, 2, 5, true, "late");
    put(&mut feed, 3, 5, false, "c");
    feed.gone("t", "[3]");
    feed.tick();
    put(&mut feed, 3, 1, false, "d");
    put(&mut feed, 4, 1, false, "e");
    feed.gone("t", "[4]");
    feed.tick();
    put(&mut feed, 4, 9, true, "late");
    feed.settle().await?;
    feed.shows(
        "SELECT id, ver, name, mine, rest->>'x' FROM t ORDER BY id",
        "(1001,20,b,mine,b) (1003,10,d,mine,d)",
    )
    .await?;
    // Unique names move between rows that pass; one that does not pass keeps its own.
    put(&mut feed, 1, 5, false, "d");
    put(&mut feed, 3, 5, false, "b");
    feed.settle().await?;
    feed.shows("SELECT id, ver, name FROM t ORDER BY id", "(1001,50,d) (1003,50,b)").await?;
    feed.gone("t", "[1]");
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "(1003)").await
}
