//! Immediate mode under everything a changefeed may do: at the end every key is at its newest version.

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use sink_testkit::feed::Faults;
use sink_testkit::workload::Mix;
use sink_testkit::{Config, Feed, Reply, Step, WorkloadConfig};
use tests::harness::http::Client;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::posting::SOON;
use crate::support::{Stage, seeded, with_versions};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("immediate_chaos_ends_at_the_newest_versions", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| run(ctx, seed, &["--immediate"], None).await)
        }),
        scenario("immediate_chaos_with_mode_switches_ends_there_too", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| run(ctx, seed, &[], Some(150)).await)
        }),
    ]
}

/// Delivers a workload, in immediate mode or switching the mode every so many deliveries.
async fn run(ctx: Ctx, seed: u64, flags: &[&str], switch_every: Option<usize>) -> Result<()> {
    // Without foreign keys: requests of immediate mode would wait for each other's rows.
    let mix = Mix { family: 0, tree: 0, products: 0, accounts: 2, wide: 2 };
    let config = WorkloadConfig { mix, ..with_versions(6_000) };
    let stage = Stage::set(&ctx, ctx.target(), seed, &config).await?;
    let process = stage.start(stage.service("sink").args(flags.iter().copied())).await?;
    let faults = Config { faults: Faults::CHAOS, flush_messages: 10, ..Config::default() };
    let mut feed = Feed::new(seed, faults, &stage.workload);
    let mut client = Client::connect(process.address()).await?;
    let mut under_way = Vec::new();
    let mut sent = 0;
    let last = loop {
        match feed.next() {
            Step::Send(delivery) => {
                sent += 1;
                let query = match switch_every {
                    None => "",
                    Some(every) if sent / every % 2 == 0 => "?immediate=true",
                    Some(_) => "?immediate=false",
                };
                let path = format!("{}{query}", stage.path());
                let body = delivery.body.as_bytes().to_vec();
                let (status, said) = client.post(&path, &[], body).await.context("a delivery")?;
                ensure!(status == StatusCode::OK, "{status} {said:?}");
                // Some answers reach the feed only after later ones.
                under_way.push(delivery.id);
                if sent % 3 == 0 {
                    feed.reply(under_way.swap_remove(sent % under_way.len()), Reply::Ok);
                }
            }
            Step::AwaitReplies => match under_way.pop() {
                Some(id) => feed.reply(id, Reply::Ok),
                None => bail!("the feed waits for a reply it was given"),
            },
            Step::Done { last_resolved } => break last_resolved,
        }
    };
    ensure!(sent > 300, "only {sent} deliveries");
    stage.target.wait_applied(last, SOON).await?;
    stage.target.expect_at(last).await
}
