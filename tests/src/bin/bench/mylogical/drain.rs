//! Draining a backlog, by the rivals and by us.
//!
//! The clock runs from the moment when somebody reads the source's log until the last row of the history is visible.
//! Processor time is that of the servers with all their threads and processes, and of ours with its start.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use sqlx::{Connection, PgConnection};
use tests::harness::process::{Service, ServiceProcess};

use super::backlog::Backlog;
use super::replica::{self, Replica};
use super::servers::{DATABASE, Servers, readers};
use super::workload::{self, TABLES, Workload};
use crate::figure::{Figure, Pair, Target, median};
use crate::machine;

/// Longest drain.
const DRAINED_WITHIN: Duration = Duration::from_secs(900);
/// Longest start.
const ACTIVE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// What resident memory is to stay within, in MiB.
pub(crate) const MEMORY: f64 = 256.0;
/// How often a drainer is asked for complaints during a drain.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The rival.
    Replica(Replica),
    /// The product.
    Ours(Mode),
}

/// How the product applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As by default.
    Transactional,
    /// `--immediate`: many connections at once.
    Immediate,
}

impl Mode {
    fn title(self) -> &'static str {
        match self {
            Self::Transactional => "",
            Self::Immediate => ", --immediate",
        }
    }
}

/// What a drain was like.
#[derive(Debug, Clone, Copy)]
struct Drained {
    who: Who,
    /// Changes of rows per second.
    rate: f64,
    /// Processor seconds: source, the one that is written to, our process.
    cpu: [f64; 3],
    /// The most memory our process held, in MiB.
    peak_mib: Option<f64>,
}

/// All figures of a history: rates, processor time and memory.
pub(crate) async fn measure(servers: &Servers, name: &str) -> Result<Vec<Figure>> {
    let workload = workload::named(servers, name)?;
    let mut all: Vec<Who> = servers.replicas.iter().map(|how| Who::Replica(*how)).collect();
    if !servers.rival_only {
        all.push(Who::Ours(Mode::Transactional));
        if workload.least.is_some() {
            all.push(Who::Ours(Mode::Immediate));
        }
    }
    let pairs = workload.pairs.map_or(servers.pairs, |most| servers.pairs.min(most));
    let backlog = Backlog::make(servers, workload).await?;
    let mut drained = Vec::new();
    for _ in 0..pairs {
        for who in &all {
            drained.push(drain(servers, &backlog, *who).await?);
        }
        // Whoever came first comes last the next time.
        all.reverse();
    }
    Ok(figures(&backlog.workload, servers, &drained))
}

fn figures(workload: &Workload, servers: &Servers, drained: &[Drained]) -> Vec<Figure> {
    let size = format!("{} changes in {} transactions", workload.changes, workload.transactions);
    let of =
        |who: Who| -> Vec<Drained> { drained.iter().filter(|drained| drained.who == who).copied().collect() };
    let mut figures = Vec::new();
    for how in &servers.replicas {
        let rival = of(Who::Replica(*how));
        if servers.rival_only {
            let rates: Vec<f64> = rival.iter().map(|drained| drained.rate).collect();
            let title = format!("{}, {}", workload.title, how.title());
            let figure = Figure::of(title, "rows/s", &rates, None).note(size.clone());
            figures.push(figure.note(split(workload, "replica", &rival)));
        }
        for mode in [Mode::Transactional, Mode::Immediate] {
            let ours = of(Who::Ours(mode));
            if !ours.is_empty() {
                let title = format!("{}{}, {}", workload.title, mode.title(), how.title());
                figures.extend(against(workload, &title, &ours, &rival));
            }
        }
    }
    let peak = drained.iter().filter_map(|drained| drained.peak_mib).fold(0.0, f64::max);
    if peak > 0.0 {
        let figure = Figure::of("    resident memory, peak", "MiB", &[peak], Some(Target::AtMost(MEMORY)));
        figures.push(figure.note(size));
    }
    figures
}

fn against(workload: &Workload, title: &str, ours: &[Drained], rival: &[Drained]) -> [Figure; 2] {
    let pairs: Vec<Pair> =
        ours.iter().zip(rival).map(|(ours, rival)| Pair { ours: ours.rate, rival: rival.rate }).collect();
    let total = |drained: &Drained| drained.cpu.iter().sum::<f64>();
    let cpu: Vec<f64> = ours.iter().zip(rival).map(|(ours, rival)| total(ours) / total(rival)).collect();
    let target = workload.least.map_or(Target::AimAtLeast(1.0), Target::AtLeast);
    [
        Figure::ratio(title, "replica", &pairs, target),
        Figure::of(format!("{title}: CPU"), "", &cpu, None)
            .note(split(workload, "ours", ours))
            .note(split(workload, "replica", rival)),
    ]
}

/// Where processor time went.
fn split(workload: &Workload, who: &str, drained: &[Drained]) -> String {
    let million = workload.changes as f64 / 1e6;
    let part = |at: usize| median(&drained.iter().map(|it| it.cpu[at] / million).collect::<Vec<_>>());
    let [source, target, ours] = [part(0), part(1), part(2)];
    let own = if who == "ours" { format!(", cdc-mylogical {ours:.2}") } else { String::new() };
    format!(
        "{who}: CPU-seconds per million rows: source {source:.2}, target {target:.2}{own}, together {:.2}",
        source + target + ours
    )
}

/// Drains the backlog into a fresh target, and fails unless it then equals the source.
async fn drain(servers: &Servers, backlog: &Backlog, who: Who) -> Result<Drained> {
    servers.until_unread().await?;
    let done = match who {
        Who::Replica(how) => by_replica(servers, backlog, how).await,
        Who::Ours(mode) => by_us(servers, backlog, mode).await,
    };
    let (seconds, cpu, peak_mib) = done.with_context(|| format!("{who:?}"))?;
    Ok(Drained { who, rate: backlog.workload.changes as f64 / seconds, cpu, peak_mib })
}

/// Seconds, processor seconds and memory of a drain.
type Cost = (f64, [f64; 3], Option<f64>);

async fn by_replica(servers: &Servers, backlog: &Backlog, how: Replica) -> Result<Cost> {
    servers.restore_replica(&TABLES).await?;
    let (mut source, mut replica) = (servers.at_source().await?, servers.at_replica().await?);
    replica::follow(&mut replica, &servers.source, &backlog.begin, how).await?;
    let before = servers.cpu()?;
    replica.query_drop("START SLAVE").await?;
    let begin = until_read(&mut source, || Ok(())).await?;
    let end = until_marked_there(&mut replica).await?;
    let after = servers.cpu()?;
    backlog.verify_replica(&mut replica).await?;
    replica::forget(&mut replica).await?;
    source.disconnect().await?;
    replica.disconnect().await?;
    Ok(((end - begin).as_secs_f64(), [after[0] - before[0], after[1] - before[1], 0.0], None))
}

async fn by_us(servers: &Servers, backlog: &Backlog, mode: Mode) -> Result<Cost> {
    servers.restore_target().await?;
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    let before = servers.cpu()?;
    let mut process = start(servers, &backlog.begin, mode)?;
    let begin = until_read(&mut source, || alive(&mut process)).await?;
    let end = until_marked_here(&mut target, &mut process).await?;
    let after = servers.cpu()?;
    let (own, peak) = (process.cpu_seconds()?, machine::peak_mib(process.pid()?)?);
    stop(process).await?;
    backlog.verify_target(&mut target).await?;
    source.disconnect().await?;
    target.close().await?;
    Ok(((end - begin).as_secs_f64(), [after[0] - before[0], after[2] - before[2], own], Some(peak)))
}

/// Starts ours behind a position.
pub(crate) fn start(servers: &Servers, begin: &str, mode: Mode) -> Result<ServiceProcess> {
    let mut service = ours(servers).args(["--defaultGTIDSet", begin]);
    if mode == Mode::Immediate {
        service = service.args(["--immediate"]);
    }
    ServiceProcess::spawn(service, servers.folder.path())
}

/// Our process, to be told where to begin.
pub(crate) fn ours(servers: &Servers) -> Service {
    let (source, target) = (servers.source.url(DATABASE), servers.target.url(DATABASE));
    Service::new("cdc-mylogical").bind_flag("--metricsAddr").args([
        "start",
        "--sourceConn",
        source.as_str(),
        "--targetConn",
        target.as_str(),
        "--targetDB",
        DATABASE,
        "--loopName",
        DATABASE,
        "--stagingCreateSchema",
    ])
}

/// Waits until somebody reads the log; returns when that was seen.
pub(crate) async fn until_read(source: &mut Conn, mut alive: impl FnMut() -> Result<()>) -> Result<Instant> {
    let begin = Instant::now();
    loop {
        if readers(source).await? > 0 {
            return Ok(Instant::now());
        }
        alive()?;
        ensure!(begin.elapsed() < ACTIVE_WITHIN, "the log is not read after {ACTIVE_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until_marked_there(replica: &mut Conn) -> Result<Instant> {
    let begin = Instant::now();
    let mut looked = begin;
    loop {
        let found: Option<u64> = replica.query_first("SELECT COUNT(*) FROM marker").await?;
        let now = Instant::now();
        if found.unwrap_or_default() > 0 {
            return Ok(now);
        }
        if now - looked > LOOK_AGAIN {
            replica::alive(replica).await?;
            looked = now;
        }
        ensure!(begin.elapsed() < DRAINED_WITHIN, "not drained after {DRAINED_WITHIN:?}");
        tokio::time::sleep(POLL).await;
    }
}

async fn until_marked_here(target: &mut PgConnection, process: &mut ServiceProcess) -> Result<Instant> {
    let begin = Instant::now();
    let mut looked = begin;
    loop {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM marker").fetch_one(&mut *target).await?;
        let now = Instant::now();
        if found > 0 {
            return Ok(now);
        }
        alive(process)?;
        if now - looked > LOOK_AGAIN {
            content(process)?;
            looked = now;
        }
        ensure!(begin.elapsed() < DRAINED_WITHIN, "not drained after {DRAINED_WITHIN:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Fails if ours has ended.
pub(crate) fn alive(process: &mut ServiceProcess) -> Result<()> {
    match process.exited()? {
        None => Ok(()),
        Some(status) => bail!("cdc-mylogical ended with {status}:\n{}", process.log_tail()),
    }
}

/// Fails if ours has complained of anything: a figure with errors behind it is worth nothing.
fn content(process: &ServiceProcess) -> Result<()> {
    let odd = process.unexpected_lines(&[])?;
    ensure!(odd.is_empty(), "cdc-mylogical complained: {:#?}", &odd[..odd.len().min(5)]);
    Ok(())
}

/// Ends ours, and makes sure that it is content.
pub(crate) async fn stop(mut process: ServiceProcess) -> Result<()> {
    let code = process.terminate(STOPPED_WITHIN).await?;
    ensure!(code == Some(0), "cdc-mylogical ended with {code:?}:\n{}", process.log_tail());
    content(&process)?;
    std::fs::remove_file(process.log()).context("cannot remove a log")
}
