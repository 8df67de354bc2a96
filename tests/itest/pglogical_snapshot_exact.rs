//! The initial snapshot while the source is written to, and through crashes: no change is lost, none comes twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use source_pglogical::Lsn;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::support::pair::Pair;
use crate::support::snapshot::{
    Gate, TRIGGERS, Writers, ledgers, point, run_to_end, service, states, violations, wait_for_state,
};

const TABLES: &[&str] = &["public.ledger", "public.parts"];
const GRACE: Duration = Duration::from_secs(10);

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_snapshot_has_neither_gap_nor_overlap_under_writes", NEEDS, exact),
        scenario("pglogical_snapshot_goes_on_after_kills_in_mid_table", NEEDS, killed),
        scenario("pglogical_snapshot_overlaps_unless_the_stream_skips", NEEDS, teeth),
    ]
}

async fn exact(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    ledgers(&pair).await?;
    let writers = Writers::start(&pair.origin);
    writers.wait_for(200).await?;
    let mut gate = Gate::close(&pair.target).await?;
    let mut process = ServiceProcess::start(service(&pair, "initial", &[]), pair.folder()).await?;
    gate.wait_for_copy().await?;
    wait_for_state(&pair.target, "parts", "copied").await?;
    // Changes between the point and the end of the copy.
    writers.wait_for(3000).await?;
    gate.open().await?;
    wait_for_state(&pair.target, "ledger", "copied").await?;
    writers.wait_for(1000).await?;
    writers.stop().await?;
    pair.caught_up().await?;
    pair.same(TABLES).await?;
    ensure!(violations(&pair.target).await? == 0, "changes came twice");
    ensure!(point(&pair.target, "ledger").await? == point(&pair.target, "parts").await?);
    ensure!(process.terminate(GRACE).await? == Some(0));
    ensure!(
        process.unexpected_lines(&[TRIGGERS])?.is_empty(),
        "{:?}",
        process.unexpected_lines(&[TRIGGERS])?
    );
    Ok(())
}

async fn killed(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    ledgers(&pair).await?;
    let writers = Writers::start(&pair.origin);
    let mut gate = Gate::close(&pair.target).await?;
    let mut process = ServiceProcess::start(service(&pair, "initial", &[]), pair.folder()).await?;
    gate.wait_for_copy().await?;
    wait_for_state(&pair.target, "parts", "copied").await?;
    let first = point(&pair.target, "parts").await?;
    process.kill9().await?;
    writers.wait_for(1000).await?;
    // Until the copy is done nothing may be streamed.
    let (code, log) = run_to_end(&pair, service(&pair, "never", &[]).named("never")).await?;
    ensure!(code == Some(4) && log.contains("is not copied yet"), "{code:?} {log}");
    for _ in 0..2 {
        process.start_again().await?;
        gate.wait_for_copy().await?;
        writers.wait_for(500).await?;
        process.kill9().await?;
        ensure!(
            states(&pair.target).await?
                == [("ledger", "copying"), ("parts", "copied")].map(|(a, b)| (a.into(), b.into()))
        );
    }
    gate.open().await?;
    process.start_again().await?;
    wait_for_state(&pair.target, "ledger", "copied").await?;
    writers.wait_for(500).await?;
    writers.stop().await?;
    pair.caught_up().await?;
    pair.same(TABLES).await?;
    ensure!(violations(&pair.target).await? == 0, "changes came twice");
    let (parts, ledger): (Lsn, Lsn) =
        (point(&pair.target, "parts").await?.parse()?, point(&pair.target, "ledger").await?.parse()?);
    ensure!(parts == first.parse()? && ledger > parts, "parts at {parts}, ledger at {ledger}");

    // What is copied is skipped by later processes as well, and nothing is copied again.
    ensure!(process.terminate(GRACE).await? == Some(0));
    pair.origin.execute("UPDATE ledger SET version = nextval('versions'); DELETE FROM parts").await?;
    process.start_again().await?;
    pair.caught_up().await?;
    pair.same(TABLES).await?;
    ensure!(violations(&pair.target).await? == 0, "changes came twice");
    Ok(())
}

/// What the two above look for is there to be found: without its points, the stream replays what copies hold.
async fn teeth(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    ledgers(&pair).await?;
    // The slot is older than the copy.
    pair.publish("FOR TABLE ledger, parts WITH (publish_via_partition_root = true)").await?;
    let writers = Writers::start(&pair.origin);
    writers.wait_for(2000).await?;
    let (code, log) = run_to_end(&pair, service(&pair, "only", &[]).named("only")).await?;
    ensure!(code == Some(0), "{code:?} {log}");
    writers.stop().await?;
    pair.target.execute("DELETE FROM _cdc_sink.snapshots").await?;
    let _process = ServiceProcess::start(service(&pair, "never", &[]), pair.folder()).await?;
    pair.caught_up().await?;
    // It converges all the same, which is why the target has to be strict to see it.
    pair.same(TABLES).await?;
    let found = violations(&pair.target).await?;
    ensure!(found > 100, "only {found} changes came twice");
    Ok(())
}
