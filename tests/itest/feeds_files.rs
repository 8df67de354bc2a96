//! Feeds that upload files: rows in every layout and packing, marks by name, and files that are refused whole.

use std::io::Write as _;

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::feeds::{Anywhere as _, TABLES, mark, query_row};
use crate::posting::{Feed, body};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("feeds_upload_files_and_marks", &[Need::Postgres], uploads),
        scenario("feeds_bad_uploads_leave_nothing_behind", &[Need::Postgres], bad_uploads),
        scenario("feeds_transactions_stay_whole_over_files_and_tables", &[Need::Postgres], transactions),
    ]
}

fn gzip(data: &str) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data.as_bytes())?;
    Ok(encoder.finish()?)
}

fn zstd(data: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

/// The path of a file of rows; only topic and ending matter.
pub(crate) fn file(folder: &str, topic: &str, ending: &str) -> String {
    format!("{folder}/202405060708090000000000000000000-a1b2c3d4e5f60718-1-4-00000002-{topic}-1.{ending}")
}

fn line(time: &str, id: i32) -> String {
    format!("{{\"after\": {{\"id\": {id}}}, \"key\": [{id}], \"updated\": \"{time}\"}}\n")
}

/// The digits of a time in a file name, by the target's calendar.
async fn digits(feed: &mut Feed, time: &str) -> Result<String> {
    let (nanos, logical) = time.split_once('.').unwrap_or_default();
    let sql = format!(
        "SELECT to_char(to_timestamp({nanos}::int8 / 1000000000) AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS') \
         || lpad(({nanos}::int8 % 1000000000)::text, 9, '0')"
    );
    Ok(feed.value(&sql).await?.unwrap_or_default() + logical)
}

async fn uploads(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    let now = feed.tick();
    let day = "/2024-05-06";
    let hour = "/2024-05-06/07";
    for (number, (tail, body)) in (1..).zip([
        (file(day, "people", "ndjson"), line(&now, 1).into_bytes()),
        (file(hour, "people", "ndjson"), line(&now, 2).into_bytes()),
        (file("", "people", "ndjson"), line(&now, 3).into_bytes()),
        (file(day, "people", "ndjson.gz"), gzip(&line(&now, 4))?),
        (file("", "people", "ndjson.zst"), zstd(&line(&now, 5))),
        (file(day, "movr.public.people", "ndjson"), line(&now, 6).into_bytes()),
        (file("/people/2024-05-06", "whatever", "ndjson"), line(&now, 7).into_bytes()),
        (file("/people", "whatever", "ndjson"), line(&now, 8).into_bytes()),
        (file("/people/2024-05-06/07", "whatever", "ndjson"), line(&now, 9).into_bytes()),
        (file(day, "a-b.c%2Bd", "ndjson"), line(&now, 10).into_bytes()),
        (file(day, "a-b.c+d", "ndjson"), format!("\n  \r\n{}\n", line(&now, 11)).into_bytes()),
        (
            file(day, "other", "ndjson"),
            line(&now, 12).replace("{\"after\"", "{\"topic\": \"people\", \"x\": 1, \"after\"").into(),
        ),
    ]) {
        let method = if number % 2 == 0 { Method::POST } else { Method::PUT };
        let (status, said) = feed.to(method, &tail, body).await?;
        ensure!(status == 200, "{tail}: {status} {said}");
    }
    // A file that HTTP itself calls packed is packed once.
    let path = format!("/{}/public{}", feed.database, file(day, "people", "ndjson.gz"));
    let packed = gzip(&line(&now, 13))?;
    let answer =
        feed.client.request(Method::PUT, &path, &[("content-encoding", "gzip")], packed.into()).await?;
    ensure!(answer.0 == StatusCode::OK, "{answer:?}");
    feed.shows("SELECT * FROM people", "").await?;
    // All digits of the mark count: the nanoseconds and the counter.
    let at = feed.tick();
    let (nanos, _) = at.split_once('.').unwrap_or_default();
    let nanos: u64 = nanos.parse::<u64>()? / 1_000 * 1_000 + 123;
    let name = digits(&mut feed, &format!("{nanos}.0000000042")).await?;
    let (status, said) =
        feed.to(Method::PUT, &format!("/2024-05-06/{name}.RESOLVED"), "not looked at").await?;
    ensure!(status == 200, "{status} {said}");
    feed.applied(&format!("{nanos}.0")).await?;
    feed.shows("SELECT applied_nanos, applied_logical FROM _cdc_sink.frontiers", &format!("({nanos},42)"))
        .await?;
    feed.shows("SELECT id FROM people ORDER BY 1", "(1) (2) (3) (4) (5) (6) (7) (8) (9) (12) (13)").await?;
    feed.shows("SELECT id FROM \"a-b.c+d\" ORDER BY 1", "(10) (11)").await?;
    for folder in ["", "/2024-05-06/07", "/people/2024-05-06", "/people"] {
        let at = feed.tick();
        let name = digits(&mut feed, &at).await?;
        let (status, said) = feed.to(Method::PUT, &format!("{folder}/{name}.RESOLVED"), "{}").await?;
        ensure!(status == 200, "{folder}: {status} {said}");
        feed.applied(&at).await?;
    }
    Ok(())
}

async fn bad_uploads(ctx: Ctx) -> Result<()> {
    let ddl = format!("{TABLES} CREATE TABLE parts (id int PRIMARY KEY, v text)");
    let mut feed = Feed::start(&ctx, &ddl, &["--maxBodyBytes=100000", "--ndjsonBufferSize=10"]).await?;
    let now = feed.tick();
    let good = line(&now, 1);
    let with = |bad: &str| format!("{good}{good}{bad}\n{good}");
    let day = "/2024-05-06";
    let plain = file(day, "people", "ndjson");
    let untimed = r#"{"after": {"id": 1}, "key": [1]}"#;
    for (tail, body, status, words) in [
        (plain.clone(), with("{"), 400, &["line 3"][..]),
        (plain.clone(), with("[1]"), 400, &["line 3"]),
        (plain.clone(), with(untimed), 400, &["line 3 has no `updated`", "WITH updated"]),
        (
            plain.clone(),
            with(&line(&now, 1).replace("{\"id\": 1}", "{\"id\": \"x\"}")),
            422,
            &["public.people"],
        ),
        (
            plain.clone(),
            with(r#"{"__crdb__": {"updated": "1.0"}, "id": 1}"#),
            400,
            &["line 3", "envelope=wrapped"],
        ),
        (file(day, "nothing", "ndjson"), good.clone(), 422, &["no table \"nothing\""]),
        (file(day, "parts+family", "ndjson"), good.clone(), 422, &["column family", "split_column_families"]),
        (file(day, "parts.family", "ndjson"), good.clone(), 422, &["column family", "split_column_families"]),
        (file(day, "people", "csv"), good.clone(), 415, &["format=json"]),
        (file(day, "people", "parquet"), good.clone(), 415, &["format=json"]),
        (file(day, "people", "ndjson.gz"), good.clone(), 400, &["unpacked"]),
        (format!("{day}/people.ndjson"), good.clone(), 404, &["not found"]),
        (format!("{day}/202413060708090000000000000000000.RESOLVED"), String::new(), 404, &[]),
        (
            format!("{day}/203905060708090000000000000000000.RESOLVED"),
            String::new(),
            400,
            &["--maxClockSkew"],
        ),
        (plain.clone(), " ".repeat(100_001), 413, &["--maxBodyBytes"]),
    ] {
        feed.refuse(&tail, &body, status, words).await?;
    }
    let bomb = " ".repeat(1 << 20);
    for (ending, packed) in [("ndjson.gz", gzip(&bomb)?), ("ndjson.zst", zstd(&bomb))] {
        let (status, said) = feed.to(Method::PUT, &file(day, "people", ending), packed).await?;
        ensure!(status == 413 && said.contains("once unpacked"), "{ending}: {status} {said}");
    }
    for (method, tail) in [(Method::GET, plain.clone()), (Method::DELETE, plain.clone())] {
        let (status, _) = feed.to(method, &tail, "").await?;
        ensure!(status == 405, "{status}");
    }
    let mark = feed.mark().await?;
    feed.applied(&mark).await?;
    feed.shows("SELECT * FROM people", "").await?;
    // Far longer lines than the original's buffer are welcome.
    let now = feed.tick();
    let long =
        line(&now, 2).replace("{\"id\": 2}", &format!("{{\"id\": 2, \"v\": \"{}\"}}", "x".repeat(90_000)));
    feed.take(&plain, &long).await?;
    feed.settle().await?;
    feed.shows("SELECT id, length(v) FROM people", "(2,90000)").await
}

async fn transactions(ctx: Ctx) -> Result<()> {
    let mut feed = Feed::start(&ctx, TABLES, &[]).await?;
    // One transaction: children in one file, their parents in another that comes later, more of it at a table's URL.
    let at = feed.tick();
    let children: String = (1..=50)
        .map(|id| {
            format!(
                "{{\"after\": {{\"id\": {id}, \"person\": {id}}}, \"key\": [{id}], \"updated\": \"{at}\"}}\n"
            )
        })
        .collect();
    feed.take(&file("/2024-05-06", "notes", "ndjson"), &children).await?;
    let parents: String = (1..=25).map(|id| line(&at, id)).collect();
    feed.take(&file("/2024-05-06", "people", "ndjson"), &parents).await?;
    let more: Vec<String> =
        (26..=50).map(|id| query_row(&at, Some(&format!(r#"{{"id": {id}}}"#)), None)).collect();
    feed.take("/people", &body(&more)).await?;
    // The mark just before it shows nothing of it; the one at its time shows all.
    let (nanos, _) = at.split_once('.').unwrap_or_default();
    let before = format!("{}.0000000000", nanos.parse::<u64>()? - 1);
    feed.take("/people", &mark(&before)).await?;
    feed.applied(&before).await?;
    feed.shows("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM notes)", "(0,0)").await?;
    let name = digits(&mut feed, &at).await?;
    let (status, said) = feed.to(Method::PUT, &format!("/2024-05-06/{name}.RESOLVED"), "").await?;
    ensure!(status == 200, "{said}");
    feed.applied(&at).await?;
    feed.shows("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM notes)", "(50,50)").await
}
