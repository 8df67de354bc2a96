//! The whole path: narrow rows over HTTP until they are visible, with a mark every quarter of a second, and the
//! processor time each process spends on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::Connection;

use crate::context::{Bench, PATH, number, rate, until_applied};
use crate::figure::{Figure, Target, median};
use crate::load::{Request, Sender, joined, send_one};
use crate::machine;
use crate::rows::{Body, NARROW, Row, Times, random};

const BATCH_ROWS: usize = 100;
const COMMIT_ROWS: usize = 10;
const CONNECTIONS: usize = 8;
const MARK_EVERY: Duration = Duration::from_millis(250);

/// Rendered requests in the order of their times.
pub(crate) struct Feed {
    requests: Vec<Request>,
    rows: usize,
    /// Before the first commit.
    begin: i64,
    upto: i64,
}

/// What one run was like.
pub(crate) struct Run {
    rate: f64,
    /// Processor seconds: load generator, service, server.
    cpu: [f64; 3],
    repeats: u32,
    /// The most memory the service held, in MiB.
    pub(crate) peak_mib: f64,
}

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let feed = render(bench.size(1_000_000, 150_000))?;
    let mut runs = Vec::new();
    for _ in 0..bench.pair_count() {
        runs.push(run(bench, &feed).await?);
    }
    let rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
    let million = feed.rows as f64 / 1e6;
    let cpu = |who: usize| median(&runs.iter().map(|run| run.cpu[who] / million).collect::<Vec<_>>());
    let [generator, service, server] = [cpu(0), cpu(1), cpu(2)];
    let repeats: u32 = runs.iter().map(|run| run.repeats).sum();
    let figure = Figure::of("whole path", "rows/s", &rates, Some(Target::AimAtLeast(100_000.0)))
        .note(format!(
            "CPU-seconds per million rows: load generator {generator:.1}, cdc-webhook {service:.1}, PostgreSQL \
             {server:.1}, together {:.1}",
            generator + service + server
        ))
        .note(format!(
            "{} narrow rows, {BATCH_ROWS} per request over {CONNECTIONS} connections, a mark every {MARK_EVERY:?}; \
             {repeats} requests answered 503 first",
            feed.rows
        ));
    Ok(vec![figure])
}

/// New keys in four of five rows, changes of earlier ones in the others.
pub(crate) fn render(rows: usize) -> Result<Feed> {
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    let (mut fresh, mut changed) = (0_i64, 0_i64);
    let begin = times.tick();
    let mut nanos = times.tick();
    let mut requests = Vec::new();
    for at in 0..rows {
        if at % COMMIT_ROWS == 0 {
            nanos = times.tick();
        }
        let id = if at % 5 == 4 { &mut changed } else { &mut fresh };
        let row = Row::random(&mut rng, *id);
        *id += 1;
        body.push("t", row.id, &row.json(), nanos);
        if body.rows() == BATCH_ROWS {
            requests.push(body.take(PATH));
        }
    }
    let rows = requests.iter().map(|request| request.rows).sum();
    let upto = requests.last().context("nothing to send")?.upto;
    Ok(Feed { requests, rows, begin, upto })
}

/// Sends everything and waits until the last row is visible.
pub(crate) async fn run(bench: &Bench, feed: &Feed) -> Result<Run> {
    let database = bench.database(&format!("CREATE TABLE t {NARROW}")).await?;
    let mut service = bench.service("path", &[]).await?;
    let address = service.address();
    let mut connection = database.connect().await?;
    let cpu =
        async |service: f64| anyhow::Ok([machine::own_cpu()?, service, machine::server_cpu(bench).await?]);
    // The first mark makes the frontier and takes the lease.
    let first = Request::mark(PATH, feed.begin);
    tokio::task::block_in_place(|| send_one(address, &first))?;
    until_applied(&mut connection, first.upto).await?;
    let before = cpu(service.cpu_seconds()?).await?;
    let begin = Instant::now();
    let repeats = tokio::task::block_in_place(|| send(address, feed))?;
    let seen = until_applied(&mut connection, feed.upto).await?;
    let took = seen - begin;
    let after = cpu(service.cpu_seconds()?).await?;
    let count = number(&mut connection, "SELECT count(*) FROM t").await?;
    ensure!(usize::try_from(count)? == feed.rows - feed.rows / 5, "{count} rows are visible");
    connection.close().await?;
    let peak_mib = machine::peak_mib(service.pid()?)?;
    bench.end(service, if repeats > 0 { &["a delivery was refused"] } else { &[] }).await?;
    let cpu = std::array::from_fn(|at| after[at] - before[at]);
    Ok(Run { rate: rate(feed.rows, took), cpu, repeats, peak_mib })
}

/// Rows over all connections; marks over one more, never past a row that was not acknowledged.
fn send(address: std::net::SocketAddr, feed: &Feed) -> Result<u32> {
    let next = AtomicUsize::new(0);
    let acknowledged: Vec<AtomicBool> = feed.requests.iter().map(|_| AtomicBool::new(false)).collect();
    let failed = AtomicBool::new(false);
    let mut senders = (0..CONNECTIONS).map(|_| Sender::connect(address)).collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter_mut()
            .map(|sender| {
                scope.spawn(|| {
                    while let at = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(request) = feed.requests.get(at)
                    {
                        sender.send(request).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                        acknowledged[at].store(true, Ordering::Release);
                    }
                    Ok(())
                })
            })
            .collect();
        let mut marks = Sender::connect(address)?;
        let mut settled = 0;
        while settled < feed.requests.len() && !failed.load(Ordering::Relaxed) {
            std::thread::sleep(MARK_EVERY.min(Duration::from_millis(5)));
            let pause = Instant::now();
            let before = settled;
            while acknowledged.get(settled).is_some_and(|done| done.load(Ordering::Acquire)) {
                settled += 1;
            }
            if settled == before {
                continue;
            }
            marks.send(&Request::mark(PATH, feed.requests[settled - 1].upto))?;
            // The last rows are not kept waiting for a round pause.
            while pause.elapsed() < MARK_EVERY && next.load(Ordering::Relaxed) < feed.requests.len() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        threads.into_iter().try_for_each(joined)
    })?;
    Ok(senders.iter().map(|sender| sender.repeats).sum())
}
