//! Positions of feeds in a real target: who may move them, and what lost answers leave behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sink_core::failure::Disposition;
use sink_core::flow::{Advance, FeedName, Position, PositionStore};
use sink_core::model::Ident;
use sink_core::target::{Target, TargetConfig};
use sqlx::Row as _;
use tests::harness::proxy::{Fault, Proxy};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("positions_only_the_newest_holder_moves_them", &[Need::Postgres], newest_holder),
        scenario("positions_belong_to_one_source", &[Need::Postgres], one_source),
        scenario("positions_a_lost_answer_is_found_out", &[Need::Postgres], lost_answer),
    ]
}

const SOURCE: &str = r#"{"system": "7", "slot": "s"}"#;
const SOON: Duration = Duration::from_secs(20);

/// Connects to a target by this URL.
pub(crate) async fn connect(url: &str) -> Result<Target> {
    let config = TargetConfig {
        url: url.to_owned(),
        staging: Ident::new("_cdc_sink")?,
        create_staging: true,
        max_connections: 4,
    };
    Ok(Target::connect(config).await?)
}

fn at(text: &str) -> Position {
    Position::new(text)
}

fn step<'a>(feed: &'a FeedName, from: &'a Position, to: &'a Position, epoch: i64) -> Advance<'a> {
    Advance { feed, from, to, epoch, source_time_micros: Some(1_600_000_000_123_456) }
}

async fn newest_holder(ctx: Ctx) -> Result<()> {
    let target = connect(ctx.target().url()).await?;
    let store = PositionStore::new(Arc::clone(target.home()));
    let feed = FeedName::whole("f");
    ensure!(store.read(&feed).await?.is_none(), "nothing began");
    let first = store.take_over(&feed, SOURCE, &at("0/10")).await?;
    ensure!((first.epoch, first.position.as_str()) == (1, "0/10"), "began at {first:?}");
    store.advance(step(&feed, &at("0/10"), &at("0/20"), 1)).await?;

    // The same source, spelled differently; the first position counts no more.
    let second = store.take_over(&feed, r#"{"slot":"s","system":"7"}"#, &at("0/99")).await?;
    ensure!((second.epoch, second.position.as_str()) == (2, "0/20"), "taken over at {second:?}");
    let old = store.advance(step(&feed, &at("0/20"), &at("0/30"), 1)).await;
    ensure!(old.err().map(|e| e.disposition()) == Some(Disposition::Fenced), "the older epoch moved it");
    // In the right epoch, from the wrong place.
    let astray = store.advance(step(&feed, &at("0/10"), &at("0/30"), 2)).await;
    ensure!(astray.err().map(|e| e.disposition()) == Some(Disposition::Fenced), "it moved from elsewhere");
    store.advance(step(&feed, &at("0/20"), &at("0/30"), 2)).await?;
    // Told again, it is still done.
    store.advance(step(&feed, &at("0/20"), &at("0/30"), 2)).await?;

    // Other scopes and feeds are others.
    let shard = FeedName { scope: "1".into(), ..feed.clone() };
    ensure!(store.take_over(&shard, SOURCE, &at("0/5")).await?.epoch == 1, "the scope is another");
    let stored = store.read(&feed).await?.context("it is stored")?;
    ensure!((stored.epoch, stored.position.as_str()) == (2, "0/30"), "stands at {stored:?}");
    let mut connection = ctx.target().connect().await?;
    let time =
        "SELECT (extract(epoch FROM source_time) * 1000000)::int8 FROM _cdc_sink.positions WHERE scope = ''";
    let micros: i64 = sqlx::query(time).fetch_one(&mut connection).await?.get(0);
    ensure!(micros == 1_600_000_000_123_456, "the source's time is {micros}");
    // Without a commit the time of the last one stays.
    let (from, to) = (at("0/30"), at("0/40"));
    store.advance(Advance { source_time_micros: None, ..step(&feed, &from, &to, 2) }).await?;
    let kept: i64 = sqlx::query(time).fetch_one(&mut connection).await?.get(0);
    ensure!(kept == micros, "the source's time became {kept}");
    target.close().await;
    Ok(())
}

async fn one_source(ctx: Ctx) -> Result<()> {
    let target = connect(ctx.target().url()).await?;
    let store = PositionStore::new(Arc::clone(target.home()));
    let feed = FeedName::whole("f");
    store.take_over(&feed, SOURCE, &at("0/10")).await?;
    let other = store.take_over(&feed, r#"{"system": "8", "slot": "s"}"#, &at("0/10")).await;
    let error = other.err().context("another source took over")?;
    ensure!(error.disposition() == Disposition::Halt, "{error:?}");
    let stored = store.read(&feed).await?.context("it is stored")?;
    ensure!(stored.epoch == 1, "a refused take-over raised the epoch");
    target.close().await;
    Ok(())
}

async fn lost_answer(ctx: Ctx) -> Result<()> {
    // Makes the area, so that nothing but the steps passes through the proxy.
    connect(ctx.target().url()).await?.close().await;
    let proxy = Proxy::start(ctx.target().address()?).await?;
    let target = connect(&ctx.target().url_through(proxy.address())).await?;
    let store = PositionStore::new(Arc::clone(target.home()));
    let feed = FeedName::whole("f");
    let epoch = store.take_over(&feed, SOURCE, &at("1")).await?.epoch;

    proxy.lose_answer("UPDATE \"_cdc_sink\".\"positions\"");
    let done = store.advance(step(&feed, &at("1"), &at("2"), epoch)).await;
    proxy.wait_fired(1, SOON).await?;
    done.context("it was done, only the answer was lost")?;

    proxy.arm(Fault::LoseRequest, "UPDATE \"_cdc_sink\".\"positions\"");
    let lost = store.advance(step(&feed, &at("2"), &at("3"), epoch)).await;
    proxy.wait_fired(2, SOON).await?;
    ensure!(
        lost.err().map(|e| e.disposition()) == Some(Disposition::Retry),
        "what was not done may be tried again"
    );
    store.advance(step(&feed, &at("2"), &at("3"), epoch)).await?;

    // Taken over in between: an answer that was lost tells the loser nothing it could go on with.
    proxy.lose_answer("UPDATE \"_cdc_sink\".\"positions\"");
    let (from, to) = (at("3"), at("4"));
    let other = PositionStore::new(Arc::clone(connect(ctx.target().url()).await?.home()));
    other.take_over(&feed, SOURCE, &at("1")).await?;
    let fenced = store.advance(step(&feed, &from, &to, epoch)).await;
    ensure!(fenced.err().map(|e| e.disposition()) == Some(Disposition::Fenced), "the loser went on");
    let stored = store.read(&feed).await?.context("it is stored")?;
    ensure!(stored.position == from, "the loser moved it to {}", stored.position);
    target.close().await;
    Ok(())
}
