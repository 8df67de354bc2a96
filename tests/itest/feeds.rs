//! Every kind of feed that posts: query changefeeds, the enriched envelope, initial scans, second feeds.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use tests::harness::http::Client;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::feeds_files::file;
use crate::operate::run;
use crate::posting::{Feed, SOON, body, row, webhook};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("feeds_query_changefeeds_find_their_keys_by_name", &[Need::Postgres], queries),
        scenario("feeds_of_queries_are_refused_with_the_option_to_change", &[Need::Postgres], bad_queries),
        scenario("feeds_enriched_rows_are_understood", &[Need::Postgres], enriched),
        scenario("feeds_initial_scans_are_older_than_everything_known", &[Need::Postgres], scans),
        scenario("feeds_initial_scans_need_immediate_mode", &[Need::Postgres], refused_scans),
        scenario("feeds_that_say_who_they_are_exclude_others", &[Need::Postgres], second_feeds),
        scenario("feeds_whose_marks_interleave_are_shown", &[Need::Postgres], interleaved),
        scenario("feeds_attacks_by_name_and_size_are_answered", &[Need::Postgres], attacks),
    ]
}

pub(crate) const TABLES: &str = "
CREATE TABLE rides (city text, id int, kind text, PRIMARY KEY (id, city));
CREATE TABLE people (id int PRIMARY KEY, v text);
CREATE TABLE \"a-b.c+d\" (id int PRIMARY KEY);
CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people, v text);
";

/// What can be done beside posting to the schema's own path.
pub(crate) trait Anywhere {
    /// Sends a body to a path beneath the schema.
    async fn to(&mut self, method: Method, tail: &str, body: impl Into<Bytes>) -> Result<(u16, String)>;

    /// Posts a body beneath the schema, which must be taken.
    async fn take(&mut self, tail: &str, body: &str) -> Result<()>;

    /// Posts a body beneath the schema, which must be refused with this status and these words.
    async fn refuse(&mut self, tail: &str, body: &str, status: u16, words: &[&str]) -> Result<()>;
}

impl Anywhere for Feed {
    async fn to(&mut self, method: Method, tail: &str, body: impl Into<Bytes>) -> Result<(u16, String)> {
        let path = format!("/{}/{}{tail}", self.database, self.schema);
        let (status, said) = self.client.request(method, &path, &[], body.into()).await?;
        Ok((status.as_u16(), String::from_utf8_lossy(&said).into_owned()))
    }

    async fn take(&mut self, tail: &str, body: &str) -> Result<()> {
        let (status, said) = self.to(Method::POST, tail, body.to_owned()).await?;
        ensure!(status == 200, "{tail} {body}: {status} {said}");
        Ok(())
    }

    async fn refuse(&mut self, tail: &str, body: &str, status: u16, words: &[&str]) -> Result<()> {
        let (found, said) = self.to(Method::POST, tail, body.to_owned()).await?;
        let case: String = format!("{tail} {body}").chars().take(300).collect();
        ensure!(found == status, "{case}: expected {status}, got {found} {said}");
        for word in words {
            ensure!(said.contains(word), "{case}: {word:?} is not in {said:?}");
        }
        Ok(())
    }
}

/// A row of a query changefeed.
pub(crate) fn query_row(time: &str, after: Option<&str>, before: Option<&str>) -> String {
    let (after, before) = (after.unwrap_or("null"), before.unwrap_or("null"));
    format!(r#"{{"after": {after}, "before": {before}, "updated": "{time}"}}"#)
}

pub(crate) fn mark(time: &str) -> String {
    format!(r#"{{"resolved":"{time}"}}"#)
}

async fn queries(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let t: Vec<String> = (0..8).map(|_| feed.tick()).collect();
    let ride = |id: i32, kind: &str| format!(r#"{{"city": "oslo", "id": {id}, "kind": "{kind}"}}"#);
    let (bike, scooter, other) = (ride(1, "bike"), ride(1, "scooter"), ride(2, "bike"));
    let rows = [
        query_row(&t[0], Some(&bike), None),
        query_row(&t[0], Some(&other), None),
        query_row(&t[1], Some(&scooter), Some(&bike)),
        // Of rows that the query never showed: nothing to delete, and nothing to find it by.
        query_row(&t[1], None, None),
    ];
    feed.take("/rides", &body(&rows)).await?;
    feed.shows("SELECT * FROM rides", "").await?;
    // The mark at the table's URL is one of the schema.
    feed.take("/rides", &mark(&t[2])).await?;
    feed.applied(&t[2]).await?;
    feed.shows("SELECT * FROM rides ORDER BY id", "(oslo,1,scooter) (oslo,2,bike)").await?;
    let gone = query_row(&t[3], None, Some(&other));
    // `after` may be absent; names may be spelled in another case.
    let absent = format!(r#"{{"before": {{"CITY": "oslo", "ID": 1}}, "updated": "{}"}}"#, t[3]);
    feed.take("/rides", &body(&[gone, absent])).await?;
    // With key and topic it is an ordinary body; the URL decides the table, whatever the source calls it.
    let keyed = row("somewhere.else.rides", &t[4], r#"["oslo", 3]"#, Some(&ride(3, "car")), None);
    feed.take("/rides", &body(&[keyed])).await?;
    let odd = query_row(&t[4], Some(r#"{"id": 7}"#), None);
    feed.take("/a-b.c%2Bd", &body(&[odd])).await?;
    feed.take("", &mark(&t[5])).await?;
    feed.applied(&t[5]).await?;
    feed.shows("SELECT * FROM rides ORDER BY id", "(oslo,3,car)").await?;
    feed.shows("SELECT * FROM \"a-b.c+d\"", "(7)").await?;
    // Immediate mode goes the same way.
    let now = query_row(&t[6], Some(&ride(4, "bus")), None);
    feed.take("/rides?immediate=true", &body(&[now, query_row(&t[6], None, Some(&ride(3, "car")))])).await?;
    feed.shows("SELECT * FROM rides ORDER BY id", "(oslo,4,bus)").await
}

async fn bad_queries(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let now = feed.tick();
    let ride = r#"{"city": "oslo", "id": 1, "kind": "bike"}"#;
    let one = |row: &str| body(&[row.to_owned()]);
    let whole = query_row(&now, Some(ride), None);
    let untimed = format!(r#"{{"after": {ride}, "before": null}}"#);
    let bare = format!(r#"{{"__crdb__": {{"updated": "{now}"}}, "city": "oslo", "id": 1}}"#);
    let plain = r#"{"city": "oslo", "kind": "bike"}"#;
    let without_diff = format!(r#"{{"after": null, "updated": "{now}"}}"#);
    let half = query_row(&now, None, Some(r#"{"id": 1, "kind": "bike"}"#));
    let keyless = query_row(&now, Some(r#"{"id": 1, "kind": "bike"}"#), None);
    let two = [row("a", &now, "[1]", Some("{}"), None), row("b", &now, "[1]", Some("{}"), None)];
    for (tail, body, status, words) in [
        ("/rides", one(&untimed), 400, &["row 0", "`updated`", "WITH updated"][..]),
        ("/rides", one(&bare), 400, &["row 0", "bare", "envelope=wrapped", "diff"]),
        ("/rides", one(plain), 400, &["row 0", "envelope=wrapped"]),
        ("/rides", one(&without_diff), 400, &["diff"]),
        ("/rides", one(&half), 422, &["public.rides", "\"city\"", "diff"]),
        ("/rides", one(&keyless), 422, &["public.rides", "\"city\""]),
        ("/nothing", one(&whole), 422, &["no table \"nothing\"", "public"]),
        ("/people", one(&whole), 422, &["public.people", "\"city\""]),
        ("", one(&whole), 400, &["`topic`", "/database/schema/table"]),
        ("/rides", body(&two), 400, &["several topics"]),
        ("/rides", format!(r#"{{"payload":[{whole}, {bare}]}}"#), 400, &["row 1"]),
    ] {
        feed.refuse(tail, &body, status, words).await?;
    }
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT * FROM rides", "").await
}

/// A row of the enriched envelope from another database and schema.
fn enriched_row(op: &str, table: &str, time: &str, key: &str, after: Option<&str>, source: &str) -> String {
    let after = after.unwrap_or("null");
    format!(
        r#"{{"after": {after}, "key": {key}, "op": "{op}", "source": {{"changefeed_sink": "webhook", "database_name": "movr",
        "origin": "cockroachdb", "primary_keys": ["x"], "schema_name": "other", "table_name": "{table}",
        "ts_hlc": "{time}", "ts_ns": 1{source}}}, "ts_ns": 2}}"#
    )
}

async fn enriched(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let t: Vec<String> = (0..6).map(|_| feed.tick()).collect();
    let nested = |row: String| format!(r#"{{"payload": {row}, "schema": {{"fields": [{{"x": 1}}]}}}}"#);
    let ride = |id: i32| format!(r#"{{"city": "oslo", "id": {id}, "kind": "bike"}}"#);
    let key = |id: i32| format!(r#"{{"city": "oslo", "id": {id}}}"#);
    let rows = [
        enriched_row("c", "rides", &t[0], &key(1), Some(&ride(1)), ""),
        nested(enriched_row("u", "rides", &t[0], &key(2), Some(&ride(2)), "")),
        enriched_row("c", "people", &t[0], r#"{"id": 1}"#, Some(r#"{"id": 1, "v": "a"}"#), ""),
        enriched_row("c", "people", &t[0], r#"{"id": 2}"#, Some(r#"{"id": 2, "v": "b"}"#), ""),
    ];
    feed.take("", &body(&rows)).await?;
    feed.take("", &mark(&t[1])).await?;
    feed.applied(&t[1]).await?;
    feed.shows("SELECT * FROM rides ORDER BY id", "(oslo,1,bike) (oslo,2,bike)").await?;
    feed.shows("SELECT * FROM people ORDER BY id", "(1,a) (2,b)").await?;
    // Deletions without `diff` have the key by name, in any order and with columns only the source has.
    let gone = [
        enriched_row(
            "d",
            "rides",
            &t[2],
            r#"{"id": 1, "crdb_internal_id_shard_16": 3, "city": "oslo"}"#,
            None,
            "",
        ),
        nested(enriched_row("d", "people", &t[2], r#"{"id": 2}"#, None, "")),
    ];
    feed.take("", &body(&gone)).await?;
    feed.take("", &mark(&t[3])).await?;
    feed.applied(&t[3]).await?;
    feed.shows("SELECT id FROM rides", "(2)").await?;
    feed.shows("SELECT id FROM people", "(1)").await?;
    let whole = enriched_row("c", "people", &t[4], r#"{"id": 9}"#, Some(r#"{"id": 9}"#), "");
    let sourceless = r#"{"after": {"id": 9}, "key": {"id": 9}, "op": "c", "ts_ns": 1}"#;
    for (row, status, words) in [
        (sourceless.to_owned(), 400, &["enriched_properties='source'", "updated"][..]),
        (nested(sourceless.to_owned()), 400, &["enriched_properties='source'"]),
        (whole.replace("ts_hlc", "other"), 400, &["WITH updated", "source.ts_hlc"]),
        (whole.replace("table_name", "other"), 400, &["source.table_name", "enriched_properties='source'"]),
        (whole.replace(&t[4], "5"), 400, &["row 0"]),
        (whole.replace("\"people\"", "\"nothing\""), 422, &["no table \"nothing\""]),
        (enriched_row("d", "rides", &t[4], r#"{"id": 2}"#, None, ""), 422, &["\"city\""]),
        (enriched_row("d", "rides", &t[4], "7", None, ""), 400, &["`key`"]),
    ] {
        feed.refuse("", &body(&[row]), status, words).await?;
    }
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT id FROM people", "(1)").await
}

/// A row of a scan.
fn scanned(id: i32, v: &str) -> String {
    format!(r#"{{"after": {{"id": {id}, "v": "{v}"}}, "key": [{id}], "topic": "people"}}"#)
}

async fn scans(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let t: Vec<String> = (0..6).map(|_| feed.tick()).collect();
    let all = "SELECT id, v FROM people ORDER BY id";
    let people =
        |time: &str, id: i32, after: Option<&str>| row("people", time, &format!("[{id}]"), after, None);
    let tail = "?immediate=true";
    feed.take(tail, &body(&[scanned(1, "a"), scanned(2, "a"), scanned(3, "a")])).await?;
    feed.shows(all, "(1,a) (2,a) (3,a)").await?;
    // Real times win, deletions too, and the scan does not bring anything back.
    feed.take(tail, &body(&[people(&t[1], 1, Some(r#"{"id": 1, "v": "b"}"#)), people(&t[1], 2, None)]))
        .await?;
    feed.take(tail, &body(&[scanned(1, "x"), scanned(2, "x"), scanned(3, "c"), scanned(4, "d")])).await?;
    feed.shows(all, "(1,b) (3,c) (4,d)").await?;
    // The last of several in one request; rows with other columns are written one after the other.
    let partial = r#"{"after": {"id": 5}, "key": [5], "topic": "people"}"#.to_owned();
    feed.take(tail, &body(&[scanned(4, "e"), scanned(4, "f"), scanned(5, "e"), partial])).await?;
    feed.shows(all, "(1,b) (3,c) (4,f) (5,e)").await?;
    // With a row of a real time in the same request, whatever the order.
    let timed = people(&t[2], 6, Some(r#"{"id": 6, "v": "t"}"#));
    feed.take(tail, &body(&[scanned(6, "x"), timed, scanned(6, "y")])).await?;
    feed.shows("SELECT v FROM people WHERE id = 6", "(t)").await?;
    // A mark makes older rows late, but not those without a time; a second scan refreshes.
    let done = feed.mark().await?;
    feed.applied(&done).await?;
    feed.take(
        tail,
        &body(&[people(&t[3], 3, Some(r#"{"id": 3, "v": "late"}"#)), scanned(3, "g"), scanned(7, "g")]),
    )
    .await?;
    feed.shows("SELECT id, v FROM people WHERE id IN (3, 7) ORDER BY id", "(3,g) (7,g)").await?;
    // Files and query feeds scan as well, and so do enriched rows.
    let lines = scanned(8, "h").replace(", \"topic\": \"people\"", "") + "\n";
    feed.take(&format!("{}{tail}", file("/2024-05-06", "people", "ndjson")), &lines).await?;
    feed.take(&format!("/people{tail}"), &body(&[r#"{"after": {"id": 9, "v": "i"}}"#.to_owned()])).await?;
    let rich = r#"{"after": {"id": 10, "v": "j"}, "key": {"id": 10}, "op": "c", "source": {"table_name": "people"}}"#;
    feed.take(tail, &body(&[rich.to_owned()])).await?;
    feed.shows("SELECT id FROM people WHERE id > 7 ORDER BY id", "(8) (9) (10)").await?;
    // Without a guard they are just written.
    drop(feed);
    let service = ServiceProcess::start(webhook(ctx.target(), &["--assumeIdempotent"]), ctx.folder()).await?;
    let mut feed = Feed::of(ctx.target(), service).await?;
    feed.take(tail, &body(&[scanned(7, "k"), scanned(11, "k")])).await?;
    feed.shows("SELECT id, v FROM people WHERE id IN (7, 11) ORDER BY id", "(7,k) (11,k)").await
}

async fn refused_scans(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let now = feed.tick();
    let timed = row("people", &now, "[1]", Some(r#"{"id": 1}"#), None);
    let gone = r#"{"after": null, "key": [1], "topic": "people"}"#.to_owned();
    let diff = scanned(1, "a").replace("{\"after\"", "{\"before\": null, \"after\"");
    let mvcc = scanned(1, "a").replace("\"key\"", "\"mvcc_timestamp\": \"1.0\", \"key\"");
    let zero = row("people", "0.0000000000", "[1]", Some(r#"{"id": 1}"#), None);
    let lines = format!("{}\n", scanned(1, "a"));
    let upload = file("/2024-05-06", "people", "ndjson");
    for (tail, body, words) in [
        (
            "",
            body(&[timed.clone(), scanned(1, "a")]),
            &["row 1", "initial_scan='only'", "?immediate=true", "WITH updated"][..],
        ),
        ("?immediate=false", body(&[scanned(1, "a")]), &["row 0", "?immediate=true"]),
        (&*upload, lines, &["line 1", "?immediate=true"]),
        // In immediate mode: what no initial scan sends.
        ("?immediate=true", body(&[timed.clone(), gone]), &["row 1", "WITH updated"]),
        ("?immediate=true", body(&[timed.clone(), diff]), &["row 1", "WITH updated"]),
        ("?immediate=true", body(&[timed.clone(), mvcc]), &["row 1", "WITH updated"]),
        ("?immediate=true", body(&[timed, zero]), &["row 1", "time zero"]),
    ] {
        feed.refuse(tail, &body, 400, words).await?;
    }
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT * FROM people", "").await
}

async fn second_feeds(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let service = ServiceProcess::start(webhook(ctx.target(), &[]).named("second"), ctx.folder()).await?;
    let mut second = Feed::of(ctx.target(), service).await?;
    let schema = format!("{}.public", ctx.target().name());
    let person = |feed: &mut Feed, id: i32, job: &str| {
        let (at, key, after) = (feed.tick(), format!(r#"{{"id": {id}}}"#), format!(r#"{{"id": {id}}}"#));
        body(&[enriched_row("c", "people", &at, &key, Some(&after), &format!(r#", "job_id": "{job}""#))])
    };
    let plain = |feed: &mut Feed, id: i32| {
        body(&[row("people", &feed.tick(), &format!("[{id}]"), Some(&format!(r#"{{"id": {id}}}"#)), None)])
    };
    // A request without effect binds nothing.
    feed.take("?feed=nobody", "").await?;
    let rows = plain(&mut feed, 1);
    feed.take("?feed=first", &rows).await?;
    feed.take("?feed=first", &rows).await?;
    let advice = format!("cdc-webhook reset -a {schema} --feed");
    let known = ["\"first\"", "\"other\"", &schema, &advice];
    let at = feed.tick();
    for body in [&rows, &mark(&at)] {
        feed.refuse("?feed=other", body, 409, &known).await?;
        second.refuse("?feed=other", body, 409, &known).await?;
        second.refuse("/people?feed=other", body, 409, &known).await?;
        // Who says nothing is never refused for this, and the bound feed goes on everywhere.
        feed.take("", body).await?;
        second.take("?feed=first", body).await?;
    }
    // Jobs are bound beside names.
    let first = person(&mut feed, 2, "101");
    let other = person(&mut feed, 3, "102");
    second.take("", &first).await?;
    feed.refuse("", &other, 409, &["\"101\"", "\"102\"", &advice]).await?;
    feed.take("", &first).await?;
    feed.shows("SELECT kind, identity FROM _cdc_sink.feeds ORDER BY 1", "(job,101) (name,first)").await?;
    let told = run(&ctx, &["reset", "-a", &schema, "--feed", "--to", "1.0"], &[]).await?;
    ensure!(told.code == Some(2), "{told:?}");
    let told = run(&ctx, &["reset", "-a", &schema, "--feed"], &[]).await?;
    ensure!(told.code == Some(0) && told.stdout.contains("free"), "{told:?}");
    // Whatever was remembered: the next to speak is bound at once.
    feed.take("?feed=other", &other).await?;
    feed.shows("SELECT kind, identity FROM _cdc_sink.feeds ORDER BY 1", "(job,102) (name,other)").await?;
    eventually(SOON, "the old feed to be refused everywhere", async || {
        let (one, _) = feed.to(Method::POST, "", first.clone()).await?;
        let (two, _) = second.to(Method::POST, "", first.clone()).await?;
        if (one, two) == (409, 409) { Ok(()) } else { bail!("{one} {two}") }
    })
    .await?;
    let told = run(&ctx, &["reset", "-a", &schema, "--discard"], &[]).await?;
    ensure!(told.code == Some(0), "{told:?}");
    feed.shows("SELECT * FROM _cdc_sink.feeds", "").await?;
    feed.take("?feed=third", &rows).await?;
    feed.refuse("?feed=", &rows, 400, &["`feed`"]).await?;
    // A schema or table that does not exist is bound to nobody.
    feed.schema = "nowhere".into();
    feed.refuse("?feed=x", &mark(&at), 404, &["nowhere"]).await?;
    feed.refuse("?feed=x", &rows, 422, &["nowhere"]).await?;
    feed.shows("SELECT identity FROM _cdc_sink.feeds", "(third)").await
}

async fn interleaved(ctx: Ctx) -> Result<()> {
    let ddl = format!("{TABLES} CREATE SCHEMA calm; CREATE TABLE calm.t (id int PRIMARY KEY)");
    let mut feed = Feed::start(&ctx, &ddl, &[]).await?;
    let times: Vec<String> = (0..40).map(|_| feed.tick()).collect();
    // One feed with repeats and a replay, beside two that take turns.
    for at in (0..20).chain(5..30).chain([3, 29, 29]) {
        feed.schema = "calm".into();
        feed.take("", &mark(&times[at])).await?;
    }
    feed.schema = "public".into();
    for at in 0..16 {
        let at = if at % 2 == 0 { at + 20 } else { at };
        feed.take("", &mark(&times[at])).await?;
    }
    let (status, state) = feed.readyz().await?;
    let state: serde_json::Value = serde_json::from_str(&state)?;
    ensure!(status == StatusCode::OK, "a warning makes nobody unready: {state}");
    let warnings = |schema: &str| {
        let all = state["schemas"].as_array().into_iter().flatten();
        let found = all.filter(|one| one["schema"].as_str().is_some_and(|name| name.ends_with(schema)));
        found.map(|one| one["warnings"].to_string()).collect::<String>()
    };
    ensure!(warnings(".public").contains("two changefeeds"), "{state}");
    ensure!(warnings(".calm") == "[]", "{state}");
    ensure!(feed.metric("checkpoint_interleaved_total", "schema=\"public\"").await? >= 1.0);
    ensure!(feed.metric("checkpoint_interleaved_total", "schema=\"calm\"").await? == 0.0);
    // Never a refusal.
    feed.put("people", "[1]", r#"{"id": 1}"#);
    feed.settle().await
}

async fn attacks(ctx: Ctx) -> Result<()> {
    const SQL: &str = r#"people\"; DROP TABLE people; --"#;
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let now = feed.tick();
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let number = "9".repeat(10_000_000);
    let with = |member: &str| {
        format!(
            r#"{{"payload":[{{"after": {{"id": 1}}, "key": [1], "topic": "people", "updated": "{now}", {member}}}]}}"#
        )
    };
    let of = |key: &str, after: &str| body(&[row("people", &now, key, Some(after), None)]);
    for (tail, body, status, words) in [
        ("", of("[1]", &format!(r#"{{"id": 1, "v": {}}}"#, deep(100_000))), 400, &["deep"][..]),
        ("", of("[1]", &format!(r#"{{"id": 1, "v": {objects}}}"#)), 400, &["deep"]),
        ("", of(&deep(100_000), r#"{"id": 1}"#), 400, &["deep"]),
        ("", format!(r#"{{"payload":[{}]}}"#, deep(100_000)), 400, &["wrong kind"]),
        ("", of("[1]", &format!(r#"{{"id": {number}}}"#)), 422, &["\"id\"", "outside its range"]),
        (
            "",
            of(&format!("[{number}]"), "null").replace("\"after\": {}", "\"after\": null"),
            422,
            &["\"id\""],
        ),
        ("", with(r#""updated": "1.0""#), 400, &["twice"]),
        ("", with(r#""after": null"#), 400, &["twice"]),
        ("", of("[1]", r#"{"id": 1, "\u0069d": 2}"#), 400, &["twice"]),
        ("", with("\"x\": 1").replace("\"people\"", r#""people\ud800""#), 400, &["JSON"]),
        ("", with("\"x\": 1").replace("\"people\"", r#""people\u0000""#), 422, &["no table"]),
        ("", with("\"x\": 1").replace("\"people\"", &format!("\"{SQL}\"")), 422, &["no table"]),
        ("", of("[1]", r#"{"id": 1, "v\", (SELECT 1)) --": 1}"#), 422, &["public.people"]),
        ("", of("[1]", r#"{"id": 1, "\ud800": 1}"#), 400, &["surrogate"]),
        ("/people%22%3B%20DROP%20TABLE%20people%3B%20--", of("[1]", "{\"id\": 1}"), 422, &["no table"]),
        ("%27%20OR%201=1", mark(&now), 404, &["no schema"]),
        ("?feed=%27%3B%20DROP%20TABLE%20people%3B%20--", mark(&now), 200, &[]),
        ("/..", mark(&now), 404, &["not found"]),
        ("/%2e%2e", mark(&now), 404, &["not found"]),
        ("/people/../people", mark(&now), 404, &["not found"]),
        ("/people%00", mark(&now), 404, &["not found"]),
        ("//people//", mark(&now), 200, &[]),
        ("/2024-05-06/..%2F..%2Fetc%2Fpasswd", mark(&now), 404, &["not found"]),
    ] {
        feed.refuse(tail, &body, status, words).await?;
    }
    let mut client = Client::connect(feed.service.address()).await?;
    for path in ["/_/../_/varz", "/%5f/healthz", "/_/%76arz", "/_/VARZ", "/_%2Fvarz"] {
        let (status, _) = client.get(path).await?;
        ensure!(!status.is_success(), "{path}: {status}");
    }
    feed.tick();
    feed.put("people", "[1]", r#"{"id": 1, "v": "'; DROP TABLE people; --"}"#);
    feed.settle().await?;
    feed.shows("SELECT id FROM people", "(1)").await
}
