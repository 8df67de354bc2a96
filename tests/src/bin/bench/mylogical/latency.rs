//! From the answer to a commit at the source to its row being seen by another session at the target, one row per
//! transaction, at an even pace. Commits wait for the disk on both servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use sqlx::{Connection, PgConnection};
use tokio::runtime::Handle;

use super::drain::{Mode, alive, start, stop, until_read};
use super::replica::{self, Replica};
use super::servers::Servers;
use crate::figure::{Figure, percentile};

/// A hundred transactions a second.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks at the target; half of it is in every figure.
const POLL: Duration = Duration::from_micros(200);
/// The first transactions make connections, plans and caches.
const WARM_UP: usize = 200;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK: &str = "SELECT coalesce(max(id) + 1, 0) FROM beat";

/// Where rows are looked for.
enum Watched {
    Replica(Conn),
    Target(PgConnection),
}

/// See the module.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let count = usize::try_from(servers.size(6_000, 1_000))?;
    let note = |values: &[f64]| {
        let of = |hundredths| percentile(values, hundredths);
        format!("p50 {:.2} ms, p99 {:.2} ms, greatest {:.1} ms", of(50), of(99), of(100))
    };
    let rival = at_replica(servers, count).await?;
    let native = format!("replica ({}): {}", Replica::Serial.meaning(), note(&rival));
    if servers.rival_only {
        return Ok(vec![Figure::of("latency, p50", "ms", &[percentile(&rival, 50)], None).note(native)]);
    }
    let ours = at_target(servers, count).await?;
    let ratio = percentile(&ours, 50) / percentile(&rival, 50);
    let figure = |name, hundredths| Figure::of(name, "ms", &[percentile(&ours, hundredths)], None);
    Ok(vec![
        figure("latency at 100 tx/s, p50", 50)
            .note(format!("{} transactions, polled every {POLL:?}: {}", ours.len(), note(&ours)))
            .note(native),
        figure("latency at 100 tx/s, p99", 99),
        Figure::of("latency at 100 tx/s, p50 as a ratio", "", &[ratio], None),
    ])
}

async fn prepare(servers: &Servers) -> Result<String> {
    let source = ["CREATE TABLE beat (id bigint PRIMARY KEY, at timestamp(6) NOT NULL)".to_owned()];
    servers.prepare(&source, "CREATE TABLE beat (id int8 PRIMARY KEY, at timestamptz NOT NULL)").await?;
    servers.until_unread().await?;
    servers.source.position().await
}

async fn at_replica(servers: &Servers, count: usize) -> Result<Vec<f64>> {
    let position = prepare(servers).await?;
    servers.restore_replica(&["beat"]).await?;
    let (mut source, mut replica) = (servers.at_source().await?, servers.at_replica().await?);
    replica::follow(&mut replica, &servers.source, &position, Replica::Serial).await?;
    replica.query_drop("START SLAVE").await?;
    until_read(&mut source, || Ok(())).await?;
    let mut watched = Watched::Replica(servers.at_replica().await?);
    let delays = tokio::task::block_in_place(|| delays(&mut source, &mut watched, WARM_UP + count))?;
    replica::alive(&mut replica).await?;
    replica::forget(&mut replica).await?;
    watched.close().await?;
    replica.disconnect().await?;
    source.disconnect().await?;
    Ok(delays)
}

async fn at_target(servers: &Servers, count: usize) -> Result<Vec<f64>> {
    let position = prepare(servers).await?;
    servers.restore_target().await?;
    let mut source = servers.at_source().await?;
    let mut process = start(servers, &position, Mode::Transactional)?;
    until_read(&mut source, || alive(&mut process)).await?;
    let mut watched = Watched::Target(servers.at_target().await?);
    let delays = tokio::task::block_in_place(|| delays(&mut source, &mut watched, WARM_UP + count))?;
    stop(process).await?;
    watched.close().await?;
    source.disconnect().await?;
    Ok(delays)
}

/// Milliseconds from commit to sight, for each transaction after the first ones.
fn delays(source: &mut Conn, watched: &mut Watched, total: usize) -> Result<Vec<f64>> {
    let runtime = Handle::current();
    let failed = AtomicBool::new(false);
    let (sent, seen) = std::thread::scope(|scope| {
        let (failed, watching) = (&failed, runtime.clone());
        let watcher = scope.spawn(move || watch(&watching, watched, total, failed));
        let sent = send(&runtime, source, total).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        let seen = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
        anyhow::Ok((sent, seen))
    })?;
    // Somebody else may see a row before its writer has the answer.
    let delays = sent.iter().zip(&seen).skip(WARM_UP);
    Ok(delays.map(|(sent, seen)| seen.saturating_duration_since(*sent).as_secs_f64() * 1e3).collect())
}

fn send(runtime: &Handle, source: &mut Conn, total: usize) -> Result<Vec<Instant>> {
    let begin = Instant::now();
    let mut sent = Vec::with_capacity(total);
    for at in 0..total {
        let due = TICK * u32::try_from(at)?;
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        let insert = source.exec_drop("INSERT INTO beat VALUES (?, now(6))", (at,));
        runtime.block_on(insert).context("cannot commit at the source")?;
        sent.push(Instant::now());
    }
    Ok(sent)
}

/// Looks at the target all the time, in a thread: the runtime's clock is too coarse.
fn watch(runtime: &Handle, watched: &mut Watched, total: usize, failed: &AtomicBool) -> Result<Vec<Instant>> {
    let mut seen = Vec::with_capacity(total);
    let mut news = Instant::now();
    while seen.len() < total && !failed.load(Ordering::Relaxed) {
        let rows = runtime.block_on(watched.rows()).context("cannot read the target")?;
        let now = Instant::now();
        while seen.len() < usize::try_from(rows)? {
            seen.push(now);
            news = now;
        }
        ensure!(now - news < SEEN_WITHIN, "{} of {total} transactions arrived", seen.len());
        std::thread::sleep(POLL);
    }
    Ok(seen)
}

impl Watched {
    async fn rows(&mut self) -> Result<i64> {
        match self {
            Self::Replica(replica) => replica.exec_first(LOOK, ()).await?.context("no answer"),
            Self::Target(target) => Ok(sqlx::query_scalar(LOOK).fetch_one(target).await?),
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Replica(replica) => replica.disconnect().await?,
            Self::Target(target) => target.close().await?,
        }
        Ok(())
    }
}
