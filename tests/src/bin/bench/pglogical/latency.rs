//! From the answer to a commit at the source to its row being seen by another session at the target, one row per
//! transaction, at an even pace. Commits wait for the disk on both servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};

use super::commits::Commits;
use super::drain::{Drainer, start, stop, subscribe, until_active};
use super::servers::{Servers, execute};
use super::workload::MARKER;
use crate::context::Side;
use crate::figure::{Figure, Target, percentile};

const SLOT: &str = "latency";
/// A hundred transactions a second.
const TICK: Duration = Duration::from_millis(10);
/// Between two looks at the target; half of it is in every figure.
const POLL: Duration = Duration::from_micros(200);
/// The first transactions make connections, plans and caches.
const WARM_UP: usize = 200;
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const P50: f64 = 1.0;
const P99: f64 = 3.0;

/// See the module.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let count = usize::try_from(servers.size(6_000, 1_000))?;
    let rival = delays(servers, Side::Rival, count).await?;
    let note = |values: &[f64]| {
        let of = |hundredths| percentile(values, hundredths);
        format!("p50 {:.2} ms, p99 {:.2} ms, greatest {:.1} ms", of(50), of(99), of(100))
    };
    let native = format!("native with synchronous_commit = on: {}", note(&rival));
    if servers.rival_only {
        return Ok(vec![Figure::of("latency, p50", "ms", &[percentile(&rival, 50)], None).note(native)]);
    }
    let ours = delays(servers, Side::Ours, count).await?;
    let figure = |name, hundredths, most| {
        Figure::of(name, "ms", &[percentile(&ours, hundredths)], Some(Target::AtMost(most)))
    };
    Ok(vec![
        figure("latency at 100 tx/s, p50", 50, P50)
            .note(format!("{} transactions, polled every {POLL:?}: {}", ours.len(), note(&ours)))
            .note(native),
        figure("latency at 100 tx/s, p99", 99, P99),
    ])
}

/// Milliseconds from commit to sight, for each transaction after the first ones.
async fn delays(servers: &Servers, side: Side, count: usize) -> Result<Vec<f64>> {
    let sql = format!("CREATE TABLE beat (id int8 PRIMARY KEY, at timestamptz NOT NULL); {MARKER}");
    servers.prepare(&sql, "SELECT 1", &["beat", "marker"]).await?;
    servers.restore().await?;
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    execute(&mut source, &format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")).await?;
    if side == Side::Rival {
        subscribe(servers, &mut target, SLOT, Commits::On).await?;
    }
    let mut drainer: Drainer = start(servers, &mut target, side, SLOT).await?;
    until_active(&mut source, SLOT, &mut drainer).await?;
    let total = WARM_UP + count;
    let (sent, seen) = tokio::task::block_in_place(|| both(&mut source, &mut target, total))?;
    stop(servers, drainer).await?;
    source.close().await?;
    target.close().await?;
    servers.clean().await?;
    let delays = sent.iter().zip(&seen).skip(WARM_UP);
    // Somebody else may see a row before its writer has the answer.
    Ok(delays.map(|(sent, seen)| seen.saturating_duration_since(*sent).as_secs_f64() * 1e3).collect())
}

/// When each transaction was answered, and when it was seen.
fn both(
    source: &mut PgConnection,
    target: &mut PgConnection,
    total: usize,
) -> Result<(Vec<Instant>, Vec<Instant>)> {
    let runtime = tokio::runtime::Handle::current();
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (failed, watching) = (&failed, runtime.clone());
        let watcher = scope.spawn(move || watch(&watching, target, total, failed));
        let sent = send(&runtime, source, total).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        let seen = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
        Ok((sent, seen))
    })
}

fn send(runtime: &tokio::runtime::Handle, source: &mut PgConnection, total: usize) -> Result<Vec<Instant>> {
    let begin = Instant::now();
    let mut sent = Vec::with_capacity(total);
    for at in 0..total {
        let due = TICK * u32::try_from(at)?;
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        let insert = sqlx::query("INSERT INTO beat VALUES ($1, now())").bind(i64::try_from(at)?);
        runtime.block_on(insert.execute(&mut *source)).context("cannot commit at the source")?;
        sent.push(Instant::now());
    }
    Ok(sent)
}

/// Looks at the target all the time, in a thread: the runtime's clock is too coarse.
fn watch(
    runtime: &tokio::runtime::Handle,
    target: &mut PgConnection,
    total: usize,
    failed: &AtomicBool,
) -> Result<Vec<Instant>> {
    let mut seen = Vec::with_capacity(total);
    let mut news = Instant::now();
    while seen.len() < total && !failed.load(Ordering::Relaxed) {
        let query = sqlx::query_scalar("SELECT coalesce(max(id) + 1, 0) FROM beat").fetch_one(&mut *target);
        let rows: i64 = runtime.block_on(query).context("cannot read the target")?;
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
