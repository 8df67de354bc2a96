//! Draining a backlog, by the rival and by us.
//!
//! The clock runs from the moment when the slot is in use until the last row of the history is visible in the target.
//! Processor time is that of both servers with all their processes, and of ours with its start.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sqlx::{Connection, PgConnection};

use super::backlog::Backlog;
use super::commits::Commits;
use super::servers::{DATABASE, PUBLICATION, Servers, execute};
use super::workload::{self, Workload};
use crate::context::Side;
use crate::figure::{Figure, Pair, Target, median};
use crate::machine;
use tests::harness::process::{Service, ServiceProcess};

/// Longest drain.
const DRAINED_WITHIN: Duration = Duration::from_secs(900);
/// Longest start.
const ACTIVE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// What resident memory is to stay within, in MiB.
const MEMORY: f64 = 256.0;
/// How often the log of ours is searched for complaints during a drain.
const LOOK_AT_LOG: Duration = Duration::from_secs(1);

/// What a drain was like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Changes of rows per second.
    pub(crate) rate: f64,
    /// Processor seconds: source, target, our process.
    pub(crate) cpu: [f64; 3],
    /// The most memory our process held, in MiB.
    pub(crate) peak_mib: Option<f64>,
}

impl Drained {
    fn cpu_total(&self) -> f64 {
        self.cpu.iter().sum()
    }
}

/// Whoever drains.
pub(crate) enum Drainer {
    /// PostgreSQL itself.
    Native,
    /// The product.
    Ours(Box<ServiceProcess>),
}

/// All figures of a history: rates, processor time and memory.
pub(crate) async fn measure(servers: &Servers, name: &str) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for commits in &servers.commits {
        let workload = workload::named(servers, name, *commits)?;
        let most = workload.pairs.unwrap_or(servers.pairs);
        figures.extend(pairs(servers, workload, servers.pairs.min(most), *commits).await?);
    }
    Ok(figures)
}

async fn pairs(servers: &Servers, workload: Workload, pairs: u32, commits: Commits) -> Result<Vec<Figure>> {
    let backlog = Backlog::make(servers, workload).await?;
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    for at in 0..pairs {
        // Whoever came first comes second the next time.
        let order = if at % 2 == 0 { [Side::Rival, Side::Ours] } else { [Side::Ours, Side::Rival] };
        for side in order {
            match side {
                Side::Rival => rival.push(drain(servers, &backlog, side, commits).await?),
                Side::Ours if servers.rival_only => {}
                Side::Ours => ours.push(drain(servers, &backlog, side, commits).await?),
            }
        }
    }
    let figures = figures(&backlog.workload, commits, &ours, &rival);
    backlog.discard(servers).await?;
    Ok(figures)
}

fn figures(workload: &Workload, commits: Commits, ours: &[Drained], rival: &[Drained]) -> Vec<Figure> {
    let size = format!("{} changes in {} transactions", workload.changes, workload.transactions);
    let native = format!("native, {}", split(workload, rival));
    let rate_title = format!("{}, {}", workload.title, commits.title());
    let cpu_title = format!("{rate_title}: CPU");
    if ours.is_empty() {
        let rates: Vec<f64> = rival.iter().map(|drained| drained.rate).collect();
        return vec![Figure::of(rate_title, "rows/s", &rates, None).note(size).note(native)];
    }
    let pairs: Vec<Pair> =
        ours.iter().zip(rival).map(|(ours, rival)| Pair { ours: ours.rate, rival: rival.rate }).collect();
    let cpu: Vec<f64> =
        ours.iter().zip(rival).map(|(ours, rival)| ours.cpu_total() / rival.cpu_total()).collect();
    let rate_target = workload.goal.map_or(Target::AimAtLeast(1.0), |goal| Target::AtLeast(goal.rate));
    let cpu_target = workload.goal.map(|goal| Target::AtMost(goal.cpu));
    let mut rate = Figure::ratio(rate_title, "native", &pairs, rate_target).note(size);
    let mut cpu = Figure::of(cpu_title, "", &cpu, cpu_target);
    if let Some(goal) = workload.goal {
        rate = rate.note(format!("a prototype reached {}", goal.rate_hoped));
        cpu = cpu.note(format!("a prototype reached {}", goal.cpu_hoped));
    }
    let peak = ours.iter().filter_map(|drained| drained.peak_mib).fold(0.0, f64::max);
    vec![
        rate,
        cpu.note(format!("ours, {}", split(workload, ours))).note(native),
        Figure::of("    its resident memory, peak", "MiB", &[peak], Some(Target::AtMost(MEMORY))),
    ]
}

/// Where processor time went.
fn split(workload: &Workload, drained: &[Drained]) -> String {
    let million = workload.changes as f64 / 1e6;
    let part = |who: usize| median(&drained.iter().map(|it| it.cpu[who] / million).collect::<Vec<_>>());
    let [source, target, ours] = [part(0), part(1), part(2)];
    format!(
        "CPU-seconds per million rows: source {source:.2}, target {target:.2}, cdc-pglogical {ours:.2}, \
         together {:.2}",
        source + target + ours
    )
}

/// Drains the backlog into a fresh target, and fails unless the target then equals the source.
pub(crate) async fn drain(
    servers: &Servers,
    backlog: &Backlog,
    side: Side,
    commits: Commits,
) -> Result<Drained> {
    servers.restore().await?;
    let slot = backlog.slot(servers).await?;
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    if side == Side::Rival {
        subscribe(servers, &mut target, &slot, commits).await?;
    }
    let before = servers.cpu()?;
    let mut drainer = start(servers, &mut target, side, &slot).await?;
    let begin = until_active(&mut source, &slot, &mut drainer).await?;
    let end = until_marked(&mut target, &mut drainer).await?;
    let after = servers.cpu()?;
    let (own, peak_mib) = match &mut drainer {
        Drainer::Native => (0.0, None),
        Drainer::Ours(process) => (process.cpu_seconds()?, Some(machine::peak_mib(process.pid()?)?)),
    };
    stop(servers, drainer).await?;
    backlog.verify(&mut target).await.with_context(|| format!("{side:?} drained wrongly"))?;
    source.close().await?;
    target.close().await?;
    servers.drop_slot(&slot).await?;
    let seconds = (end - begin).as_secs_f64();
    let rate = backlog.workload.changes as f64 / seconds;
    Ok(Drained { rate, cpu: [after[0] - before[0], after[1] - before[1], own], peak_mib })
}

/// A subscription that does not run yet.
pub(crate) async fn subscribe(
    servers: &Servers,
    target: &mut PgConnection,
    slot: &str,
    commits: Commits,
) -> Result<()> {
    let commit = commits.rival();
    let address = servers.source.address();
    let sql = format!(
        "CREATE SUBSCRIPTION native CONNECTION 'host={} port={} user=postgres dbname={DATABASE}' \
         PUBLICATION {PUBLICATION} WITH (create_slot = false, slot_name = '{slot}', copy_data = false, \
         enabled = false, synchronous_commit = {commit})",
        address.ip(),
        address.port()
    );
    execute(target, &sql).await
}

/// Starts draining; the rival's subscription is there already.
pub(crate) async fn start(
    servers: &Servers,
    target: &mut PgConnection,
    side: Side,
    slot: &str,
) -> Result<Drainer> {
    match side {
        Side::Rival => {
            execute(target, "ALTER SUBSCRIPTION native ENABLE").await?;
            Ok(Drainer::Native)
        }
        Side::Ours => {
            let process = ServiceProcess::spawn(ours(servers, slot), servers.folder.path())?;
            Ok(Drainer::Ours(Box::new(process)))
        }
    }
}

/// Our process on a slot, with a loop of its own.
pub(crate) fn ours(servers: &Servers, slot: &str) -> Service {
    let (source, target) = (servers.source.url(DATABASE), servers.target.url(DATABASE));
    Service::new("cdc-pglogical").named(slot).bind_flag("--metricsAddr").args([
        "start",
        "--sourceConn",
        source.as_str(),
        "--targetConn",
        target.as_str(),
        "--targetDB",
        DATABASE,
        "--publicationName",
        PUBLICATION,
        "--slotName",
        slot,
        "--loopName",
        slot,
        "--stagingCreateSchema",
    ])
}

/// Waits until the slot is in use; returns when that was seen.
pub(crate) async fn until_active(
    source: &mut PgConnection,
    slot: &str,
    drainer: &mut Drainer,
) -> Result<Instant> {
    let begin = Instant::now();
    loop {
        let sql = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        let active: bool = sqlx::query_scalar(sql).bind(slot).fetch_one(&mut *source).await?;
        if active {
            return Ok(Instant::now());
        }
        alive(drainer)?;
        ensure!(begin.elapsed() < ACTIVE_WITHIN, "the slot is not used after {ACTIVE_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until_marked(target: &mut PgConnection, drainer: &mut Drainer) -> Result<Instant> {
    let begin = Instant::now();
    let mut looked = begin;
    loop {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM marker").fetch_one(&mut *target).await?;
        let now = Instant::now();
        if found > 0 {
            return Ok(now);
        }
        alive(drainer)?;
        if now - looked > LOOK_AT_LOG {
            content(drainer)?;
            looked = now;
        }
        ensure!(begin.elapsed() < DRAINED_WITHIN, "not drained after {DRAINED_WITHIN:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Fails if our process has ended. The rival tries again for ever; its error is in the target's log.
fn alive(drainer: &mut Drainer) -> Result<()> {
    match drainer {
        Drainer::Native => Ok(()),
        Drainer::Ours(process) => match process.exited()? {
            None => Ok(()),
            Some(status) => bail!("cdc-pglogical ended with {status}:\n{}", process.log_tail()),
        },
    }
}

/// Fails if ours has complained of anything: a figure with errors behind it is worth nothing.
fn content(drainer: &Drainer) -> Result<()> {
    let Drainer::Ours(process) = drainer else { return Ok(()) };
    let odd = process.unexpected_lines(&[])?;
    ensure!(odd.is_empty(), "cdc-pglogical complained: {:#?}", &odd[..odd.len().min(5)]);
    Ok(())
}

/// Ends a drain, and makes sure that ours is content.
pub(crate) async fn stop(servers: &Servers, mut drainer: Drainer) -> Result<()> {
    if let Drainer::Ours(process) = &mut drainer {
        let code = process.terminate(STOPPED_WITHIN).await?;
        ensure!(code == Some(0), "cdc-pglogical ended with {code:?}:\n{}", process.log_tail());
    }
    content(&drainer)?;
    match drainer {
        Drainer::Native => servers.drop_subscriptions().await,
        Drainer::Ours(process) => std::fs::remove_file(process.log()).context("cannot remove a log"),
    }
}
