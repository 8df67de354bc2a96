//! Whole simulated runs of every kind of feed, with everything that may go wrong: at the end source and target are
//! equal, row for row.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::{Method, StatusCode};
use sink_testkit::feed::{Encoding, Envelope, Faults, Layout, uploads};
use sink_testkit::workload::Mix;
use sink_testkit::{Config, Feed, Reply, Step, WorkloadConfig};
use tests::harness::http::Client;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::SOON;
use crate::support::{Stage, expect_quiet, seeded, with_versions};

/// Versions of a run.
const VERSIONS: usize = 3_000;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("feeds_chaos_of_enriched_rows_ends_equal", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| enriched(ctx, seed).await)
        }),
        scenario("feeds_chaos_of_a_query_ends_equal", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| query(ctx, seed).await)
        }),
        scenario("feeds_chaos_of_uploads_ends_equal", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| uploaded(ctx, seed).await)
        }),
    ]
}

fn chaos(encoding: Encoding) -> Config {
    Config { encoding, faults: Faults::CHAOS, flush_messages: 10, ..Config::default() }
}

async fn enriched(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(VERSIONS)).await?;
    let one = stage.start(stage.service("one")).await?;
    let two = stage.start(stage.service("two")).await?;
    let encoding = Encoding {
        envelope: Envelope::Enriched,
        compact: seed.is_multiple_of(2),
        diff: seed.is_multiple_of(3),
        mvcc_timestamp: seed.is_multiple_of(5),
        with_schema: seed % 4 < 2,
        topic_prefix: Some("movr.elsewhere".into()),
    };
    let outcome = stage.driver(&[&one, &two], chaos(encoding)).run(Duration::from_secs(120)).await?;
    ensure!(outcome.deliveries > 100, "{outcome:?}");
    stage.expect_end(SOON).await?;
    // All rows were of one job.
    let mut sql = stage.target.connect().await?;
    let bound: Vec<String> =
        sqlx::query_scalar("SELECT kind FROM _cdc_sink.feeds").fetch_all(&mut sql).await?;
    ensure!(bound == ["job"], "{bound:?}");
    expect_quiet(&[&one, &two], &[])
}

async fn query(ctx: Ctx, seed: u64) -> Result<()> {
    // A query has one table: that with every type and a key out of order, or that whose unique values move.
    let (table, mix) = if seed.is_multiple_of(2) {
        ("wide", Mix { family: 0, tree: 0, products: 0, accounts: 0, wide: 1 })
    } else {
        ("products", Mix { family: 0, tree: 0, products: 1, accounts: 0, wide: 0 })
    };
    let config = WorkloadConfig { mix, ..with_versions(VERSIONS) };
    let stage = Stage::set(&ctx, ctx.target(), seed, &config).await?;
    let process = stage.start(stage.service("sink")).await?;
    let encoding =
        Encoding { envelope: Envelope::Query, compact: seed.is_multiple_of(3), ..Encoding::default() };
    let path = format!("{}/{table}", stage.path());
    let outcome = stage.driver_to(&[&process], chaos(encoding), &path).run(Duration::from_secs(120)).await?;
    ensure!(outcome.deliveries > 100, "{outcome:?}");
    stage.expect_end(SOON).await?;
    expect_quiet(&[&process], &[])
}

async fn uploaded(ctx: Ctx, seed: u64) -> Result<()> {
    let stage = Stage::set(&ctx, ctx.target(), seed, &with_versions(VERSIONS)).await?;
    let process = stage.start(stage.service("sink")).await?;
    let mut feed = Feed::new(
        seed,
        chaos(Encoding { diff: seed.is_multiple_of(2), ..Encoding::default() }),
        &stage.workload,
    );
    let mut client = Client::connect(process.address()).await?;
    let mut under_way = Vec::new();
    let mut files = 0_usize;
    let last = loop {
        match feed.next() {
            Step::Send(delivery) => {
                let layout = [Layout::Daily, Layout::Hourly, Layout::Flat][files % 3];
                for upload in uploads(&delivery, layout) {
                    files += 1;
                    let (path, body) = packed(files, upload.path, upload.body)?;
                    let path = format!("{}{path}", stage.path());
                    let answer = client.request(Method::PUT, &path, &[], body.into()).await;
                    let (status, said) = answer.context("an upload")?;
                    ensure!(status == StatusCode::OK, "{path}: {status} {said:?}");
                }
                // Some answers reach the feed only after later ones.
                under_way.push(delivery.id);
                if files.is_multiple_of(3) {
                    feed.reply(under_way.swap_remove(files % under_way.len()), Reply::Ok);
                }
            }
            Step::AwaitReplies => match under_way.pop() {
                Some(id) => feed.reply(id, Reply::Ok),
                None => bail!("the feed waits for a reply it was given"),
            },
            Step::Done { last_resolved } => break last_resolved,
        }
    };
    ensure!(files > 300, "only {files} files");
    stage.target.wait_applied(last, SOON).await?;
    stage.target.expect_at(last).await?;
    expect_quiet(&[&process], &[])
}

/// Some files are packed.
fn packed(number: usize, path: String, body: String) -> Result<(String, Vec<u8>)> {
    if !path.ends_with(".ndjson") {
        return Ok((path, body.into_bytes()));
    }
    match number % 3 {
        0 => Ok((path, body.into_bytes())),
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(body.as_bytes())?;
            Ok((format!("{path}.gz"), encoder.finish()?))
        }
        _ => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            Ok((format!("{path}.zst"), ruzstd::encoding::compress_to_vec(body.as_bytes(), level)))
        }
    }
}
