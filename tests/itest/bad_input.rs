//! Whatever arrives: a clear answer, nothing half-applied, the process alive, and the feed goes on once the cause is
//! fixed.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use tests::harness::process::{Service, ServiceProcess};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::{Feed, row, time};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("bad_input_rows_are_refused_by_table_and_column", &[Need::Postgres], rows),
        scenario("bad_input_bodies_are_refused_whole", &[Need::Postgres], bodies),
        scenario("bad_input_encodings_and_limits_hold", &[Need::Postgres], encodings),
        scenario("bad_input_heals_when_its_cause_is_fixed", &[Need::Postgres], heals),
        scenario("bad_input_without_leave_nobody_may_write", &[Need::Postgres], denied),
    ]
}

const TABLES: &str = "
CREATE TYPE mood AS ENUM ('sad');
CREATE TABLE t (id int PRIMARY KEY, small smallint, big bigint, num numeric, real float8, yes bool, txt text, raw bytea, doc jsonb,
  list int[], at timestamptz, uid uuid, mood mood);
CREATE TABLE two (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE keyless (id int);
";

/// In every bad value, so that an answer that quotes one is found out.
const CANARY: &str = "canary";

/// A column, a value it cannot take, the status, and words of the answer.
const VALUES: &[(&str, &str, u16, &str)] = &[
    ("small", "32768", 422, "outside its range"),
    ("small", "-32769", 422, "outside its range"),
    ("big", "9223372036854775808", 422, "outside its range"),
    ("id", "2147483648", 422, "outside its range"),
    ("id", "null", 422, "primary key"),
    ("small", "1.5", 422, "not an integer"),
    ("small", "1E+2", 422, "not an integer"),
    ("small", r#""canary""#, 422, "a string"),
    ("small", "true", 422, "a boolean"),
    ("num", r#""canary""#, 422, "not a number"),
    ("num", "{}", 422, "an object"),
    ("real", r#""canary""#, 422, "not a number"),
    ("real", "[1]", 422, "an array"),
    ("yes", "1", 422, "a number"),
    ("yes", r#""true""#, 422, "a string"),
    ("raw", r#""canary""#, 422, "hexadecimal"),
    ("raw", r#""\\x0""#, 422, "hexadecimal"),
    ("raw", "7", 422, "a number"),
    ("list", r#""{1,2}""#, 422, "a string"),
    ("list", "1", 422, "a number"),
    ("at", "1704164645", 422, "a number"),
    ("uid", r#"{"canary": 1}"#, 422, "an object"),
    ("mood", "[]", 422, "an array"),
    ("nobody", r#""canary""#, 422, "nobody"),
    ("txt", r#""canary\u0000""#, 400, "NUL"),
    ("doc", r#"{"canary": "\u0000"}"#, 400, "NUL"),
    ("txt", r#""canary\ud800""#, 400, "surrogate"),
    ("txt", r#""canary\udc00\ud800""#, 400, "surrogate"),
];

async fn rows(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    for (column, value, status, words) in VALUES {
        let after = match *column {
            "id" => format!(r#"{{"id": {value}}}"#),
            _ => format!(r#"{{"id": 2, "{column}": {value}}}"#),
        };
        let said = refused(&mut feed, "t", "[2]", Some(&after), *status, &["public.t", words]).await?;
        let named = *status == 400 || said.contains(&format!("{column:?}"));
        ensure!(named, "{after}: {said:?} does not name the column");
    }
    let deep = format!(r#"{{"doc": {}1{}, "id": 2}}"#, "[".repeat(600), "]".repeat(600));
    for (topic, key, after, status, words) in [
        ("t", "[2]", Some(r#"{"id": 2, "id": 3}"#), 400, "twice"),
        ("t", "[2]", Some(r#"{"txt": "canary", "id": 2, "txt": "x"}"#), 400, "twice"),
        ("t", "[2]", Some("[2]"), 400, "not a JSON object"),
        ("t", "[2]", Some(r#""canary""#), 400, "not a JSON object"),
        ("t", r#"{"id": "canary"}"#, Some(r#"{"id": 2}"#), 400, "not a JSON array"),
        ("t", r#""canary""#, None, 400, "not a JSON array"),
        ("t", "[2]", Some(&*deep), 400, "deep"),
        ("t", "[2]", Some(r#"{"txt": "canary"}"#), 422, "\"id\" of the primary key"),
        ("t", "[2]", Some("{}"), 422, "\"id\" of the primary key"),
        ("t", "[]", None, 422, "0 elements"),
        ("t", "[1, 2]", None, 422, "diff"),
        ("two", "[1]", None, 422, "1 elements"),
        ("two", "[1, 2, 3]", None, 422, "3 elements"),
        ("t", r#"["canary"]"#, None, 422, "\"id\""),
        ("t", "[null]", None, 422, "primary key"),
        ("two", r#"[1, {"canary": 1}]"#, None, 422, "\"b\""),
        ("keyless", "[1]", Some(r#"{"id": 1}"#), 422, "no primary key"),
        ("nothing", "[1]", Some(r#"{"id": 1}"#), 422, "no table \"nothing\""),
    ] {
        refused(&mut feed, topic, key, after, status, &[words]).await?;
    }
    // Of all those requests nothing was kept, not even their good row.
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "").await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "(1)").await?;
    let log = std::fs::read_to_string(feed.service.log())?;
    ensure!(!log.contains(CANARY), "a value is in the log");
    Ok(())
}

/// Sends a good row and the bad one in one request. Answers what was said.
async fn refused(
    feed: &mut Feed,
    topic: &str,
    key: &str,
    after: Option<&str>,
    status: u16,
    words: &[&str],
) -> Result<String> {
    feed.put("t", "[1000]", r#"{"id": 1000}"#);
    let now = feed.now();
    feed.push(row(topic, &now, key, after, None));
    let (found, said) = feed.offer().await?;
    let case: String = format!("{topic} {key} {after:?}").chars().take(200).collect();
    ensure!(found.as_u16() == status, "{case}: expected {status}, got {found} {said}");
    ensure!(!said.contains(CANARY), "{case}: the answer quotes the value: {said}");
    for word in words {
        ensure!(said.contains(word), "{case}: {word:?} is not in {said:?}");
    }
    Ok(said)
}

async fn bodies(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &["--maxClockSkew=10m"]).await?;
    let now = feed.now();
    let good = row("t", &now, "[1]", Some(r#"{"id": 1}"#), None);
    let far = time(u64::try_from(i64::MAX)? / 2);
    let lacking = |member: &str| good.replacen(&format!("\"{member}\""), "\"other\"", 1);
    let timed = |time: &str| good.replace(&now, time);
    let payload = |row: &str| format!(r#"{{"payload":[{good}, {row}],"length":2}}"#);
    for (body, words) in [
        ("{".to_owned(), "early end"),
        ("canary".to_owned(), "syntax"),
        ("\u{feff}{}".to_owned(), "syntax"),
        ("[]".to_owned(), "wrong kind"),
        (r#"{"payload":[[{"id": 1}, null, [1], "t", "1.0"]]}"#.to_owned(), "wrong kind"),
        (r#"{"payload":7}"#.to_owned(), "wrong kind"),
        (r#"{"payload":["canary"]}"#.to_owned(), "wrong kind"),
        (r#"{"resolved":7}"#.to_owned(), "wrong kind"),
        (r#"{"resolved":"canary"}"#.to_owned(), "resolved"),
        (r#"{"resolved":"1.0","resolved":"2.0"}"#.to_owned(), "twice"),
        (format!(r#"{{"payload":[{good}]}} {{"payload":[]}}"#), "syntax"),
        (format!(r#"{{"payload":[{good}]"#), "early end"),
        (payload(&lacking("updated")), "WITH updated"),
        (payload(&lacking("key")), "key_in_value"),
        (payload(&lacking("topic")), "topic_in_value"),
        (payload(r#"{"__crdb__": {"updated": "1.0"}, "id": 1}"#), "envelope=wrapped"),
        (payload(r#"{"after": {"id": 1}, "key": {"id": 1}, "op": "c", "ts_ns": 1}"#), "='source'"),
        (payload(&timed("canary")), "`updated` of row 1"),
        (payload(&timed("1")), "`updated` of row 1"),
        (payload(&timed("-1.0000000000")), "`updated` of row 1"),
        (payload(&timed("99999999999999999999.0000000000")), "`updated` of row 1"),
        (payload(&timed(&far)), "--maxClockSkew"),
        (format!(r#"{{"resolved":"{far}"}}"#), "--maxClockSkew"),
        (format!(r#"{{"payload":[{good}],"resolved":"{far}"}}"#), "--maxClockSkew"),
        (format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)), "JSON"),
        (format!(r#"{{"payload":{}"#, "[{\"after\":".repeat(10_000)), ""),
    ] {
        let case: String = body.chars().take(200).collect();
        let (status, said) = feed.post(&body).await?;
        ensure!(status == StatusCode::BAD_REQUEST && said.contains(words), "{case}: {status} {said}");
        ensure!(!said.contains(CANARY), "{case}: the answer quotes the body: {said}");
    }
    let path = format!("/{}/public", feed.database);
    let (status, said) =
        feed.client.post(&path, &[], &b"{\"payload\":[{\"topic\":\"\xff\xfe\"}]}"[..]).await?;
    ensure!(
        status == StatusCode::BAD_REQUEST && said.starts_with(b"the body is not UTF-8"),
        "{status} {said:?}"
    );
    let (status, _) = feed.client.request(Method::GET, &path, &[], "".into()).await?;
    ensure!(status == StatusCode::METHOD_NOT_ALLOWED, "{status}");
    feed.query = "?immediate=perhaps".into();
    feed.refused_body("", StatusCode::BAD_REQUEST, &["immediate"]).await?;
    feed.query = String::new();
    // An empty body asks for nothing and is no error.
    ensure!(feed.post("").await?.0 == StatusCode::OK && feed.post("{}").await?.0 == StatusCode::OK);
    feed.settle().await?;
    feed.shows("SELECT id FROM t", "").await?;
    // Rows and the mark that promises them may come together; unknown members are passed over.
    let (at, mark) = (feed.tick(), feed.tick());
    let row = row("t", &at, "[7]", Some(r#"{"id": 7}"#), None).replacen(
        '{',
        r#"{"mvcc_timestamp": "1.0", "new": [1], "#,
        1,
    );
    let (status, said) =
        feed.post(&format!(r#"{{"payload":[{row}],"length":1,"x":{{}},"resolved":"{mark}"}}"#)).await?;
    ensure!(status == StatusCode::OK, "{said}");
    feed.applied(&mark).await?;
    feed.shows("SELECT id FROM t", "(7)").await
}

fn gzip(data: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

async fn encodings(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &["--maxBodyBytes=100000"]).await?;
    let path = format!("/{}/public", feed.database);
    let body = |feed: &mut Feed, id: i32| {
        feed.put("t", &format!("[{id}]"), &format!(r#"{{"id": {id}}}"#));
        feed.take_body().into_bytes()
    };
    let (plain, packed) = (body(&mut feed, 1), body(&mut feed, 2));
    let third = body(&mut feed, 3);
    let bomb = vec![b' '; 1 << 20];
    let broken = gzip(&third)?[..30].to_vec();
    let unpacked_limit = ("once unpacked", StatusCode::PAYLOAD_TOO_LARGE);
    let none = [].as_slice();
    for (headers, body, status, words) in [
        (&[("content-encoding", "identity")][..], plain.clone(), StatusCode::OK, "OK"),
        (&[("content-encoding", "gzip")], gzip(&packed)?, StatusCode::OK, "OK"),
        (&[("content-encoding", "zstd")], zstd(&third), StatusCode::OK, "OK"),
        (&[("content-encoding", "gzip")], gzip(&bomb)?, unpacked_limit.1, unpacked_limit.0),
        (&[("content-encoding", "zstd")], zstd(&bomb), unpacked_limit.1, "--maxBodyBytes"),
        (&[("content-encoding", "gzip")], broken, StatusCode::BAD_REQUEST, "unpacked"),
        (&[("content-encoding", "zstd")], plain.clone(), StatusCode::BAD_REQUEST, "unpacked"),
        (&[("content-encoding", "br")], plain.clone(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "gzip"),
        (&[("content-type", "text/csv")], b"1,2".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "format=json"),
        (none, bomb.clone(), StatusCode::PAYLOAD_TOO_LARGE, "--maxBodyBytes"),
        (none, bomb.clone(), StatusCode::PAYLOAD_TOO_LARGE, "Flush.Bytes"),
    ] {
        let (found, said) =
            feed.client.post(&path, headers, body).await.with_context(|| format!("{headers:?}"))?;
        let said = String::from_utf8_lossy(&said);
        ensure!(found == status && said.contains(words), "{headers:?} {words}: {found} {said}");
    }
    feed.settle().await?;
    feed.shows("SELECT id FROM t ORDER BY 1", "(1) (2) (3)").await
}

async fn heals(ctx: Ctx) -> Result<()> {
    let ddl = "CREATE TABLE t (id int PRIMARY KEY, v smallint)";
    // A clock that may be far ahead: the other side of the limit.
    let mut feed = Feed::start(&ctx, ddl, &["--maxClockSkew=10000h"]).await?;
    feed.leap(5_000);
    for (number, (topic, after, cure)) in [
        ("t", r#"{"id": 1, "v": 70000}"#, "ALTER TABLE t ALTER v TYPE int"),
        ("t", r#"{"id": 1, "v": 1, "w": [1]}"#, "ALTER TABLE t ADD w int[]"),
        ("u", r#"{"id": 1}"#, "CREATE TABLE u (id int)"),
        ("u", r#"{"id": 1}"#, "ALTER TABLE u ADD PRIMARY KEY (id)"),
    ]
    .into_iter()
    .enumerate()
    {
        feed.put(topic, "[1]", after);
        let body = feed.take_body();
        feed.refused_body(&body, StatusCode::UNPROCESSABLE_ENTITY, &[topic]).await?;
        feed.execute(cure).await?;
        if number == 2 {
            continue;
        }
        // The very same bytes come again and again.
        feed.put(topic, "[1]", after);
        feed.insist().await?;
        feed.settle().await?;
    }
    feed.shows("SELECT * FROM t", "(1,1,{1})").await?;
    feed.shows("SELECT * FROM u", "(1)").await
}

async fn denied(ctx: Ctx) -> Result<()> {
    ctx.target().execute(TABLES).await?;
    let conn = format!("--conn={}", ctx.target().url());
    let service = Service::new("cdc-webhook").args([conn.as_str(), "--stagingCreateSchema"]);
    let mut feed = Feed::of(ctx.target(), ServiceProcess::start(service, ctx.folder()).await?).await?;
    feed.put("t", "[1]", r#"{"id": 1}"#);
    let body = feed.take_body();
    let mark = format!(r#"{{"resolved":"{}"}}"#, feed.tick());
    for (query, body) in [("", &body), ("?immediate=true", &body), ("", &mark), ("?access_token=x", &body)] {
        feed.query = query.into();
        feed.refused_body(body, StatusCode::UNAUTHORIZED, &["token", "make-jwt"]).await?;
    }
    for path in ["/_/healthz", "/_/readyz", "/_/varz"] {
        let (status, _) = feed.client.get(path).await?;
        ensure!(status == StatusCode::OK, "{path}: {status}");
    }
    feed.shows("SELECT count(*) FROM _cdc_sink.frontiers", "(0)").await?;
    feed.shows("SELECT id FROM t", "").await
}
