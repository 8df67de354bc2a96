//! The initial snapshot while the source is written to, and through crashes: no change is lost, none comes twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use source_pglogical::Lsn;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait;

use crate::support::pair::Pair;
use crate::support::snapshot::{
    Gate, LIMIT, MORE, TRIGGERS, Writers, ledgers, point, run_to_end, service, states, violations,
    wait_for_state, wait_until_done,
};

const TABLES: &[&str] = &["public.ledger", "public.parts"];
/// What a process says that goes on by itself.
const BROKEN: &str = "the snapshot was broken off; going on with it shortly";
const GRACE: Duration = Duration::from_secs(10);

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    const NEEDS: &[Need] = &[Need::Postgres, Need::PostgresBinaries];
    vec![
        scenario("pglogical_snapshot_has_neither_gap_nor_overlap_under_writes", NEEDS, exact),
        scenario("pglogical_snapshot_goes_on_after_kills_in_mid_table", NEEDS, killed),
        scenario("pglogical_snapshot_goes_on_after_lost_connections", NEEDS, disconnected),
        scenario("pglogical_snapshot_is_taken_over_from_a_frozen_process", NEEDS, frozen),
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

/// One side's session after the other is ended in the middle of a copy; the process goes on by itself.
async fn disconnected(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    ledgers(&pair).await?;
    pair.origin.execute(MORE).await?;
    let writers = Writers::start(&pair.origin);
    let mut gate = Gate::close(&pair.target).await?;
    let mut process = ServiceProcess::start(service(&pair, "initial", &[]), pair.folder()).await?;
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND ";
    gate.wait_for_copy().await?;
    pair.target.execute(&format!("{end} query LIKE 'COPY%' AND wait_event = 'advisory'")).await?;
    gate.wait_for_copy().await?;
    // Whoever reads next finds its session gone.
    pair.origin.execute(&format!("{end} application_name = 'cdc-pglogical'")).await?;
    gate.open().await?;
    wait::eventually(LIMIT, "the second break", async || {
        let breaks = std::fs::read_to_string(process.log())?.matches(BROKEN).count();
        ensure!(breaks == 2, "{breaks} breaks");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    wait_until_done(&pair.target).await?;
    writers.wait_for(500).await?;
    writers.stop().await?;
    pair.caught_up().await?;
    pair.same(TABLES).await?;
    ensure!(violations(&pair.target).await? == 0, "changes came twice");
    ensure!(process.terminate(GRACE).await? == Some(0));
    let announced = [TRIGGERS, "the snapshot was broken off; going on with it shortly"];
    let unexpected = process.unexpected_lines(&announced)?;
    ensure!(
        unexpected.is_empty() && unexpected.len() < process.unexpected_lines(&[TRIGGERS])?.len(),
        "{unexpected:?}"
    );
    Ok(())
}

/// A process that stands still in the middle of a copy holds locks at the target, and its connections stay open.
async fn frozen(ctx: Ctx) -> Result<()> {
    let pair = Pair::start(&ctx, "").await?;
    ledgers(&pair).await?;
    pair.origin.execute(MORE).await?;
    let mut gate = Gate::close(&pair.target).await?;
    let only = || service(&pair, "only", &["--snapshotWorkers", "1"]);
    let mut first = ServiceProcess::spawn(only(), pair.folder())?;
    gate.wait_for_copy().await?;
    first.freeze()?;
    gate.open().await?;
    let (code, log) = run_to_end(&pair, only().named("second")).await?;
    ensure!(code == Some(0) && log.contains("ended copies of a process that was replaced"), "{code:?} {log}");
    pair.same(TABLES).await?;
    first.thaw()?;
    // It finds that all is done, or that it was replaced; and it spoils nothing.
    ensure!(first.wait_for_exit(LIMIT).await?.code() == Some(0), "{}", first.log_tail());
    pair.same(TABLES).await?;
    ensure!(violations(&pair.target).await? == 0, "rows came twice");
    Ok(())
}

/// What these look for is there to be found: without its points, the stream replays what copies hold.
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
