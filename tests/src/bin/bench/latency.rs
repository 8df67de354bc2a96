//! From a mark that is posted to its rows being seen by another session, at 1,000 rows a second; once with the mark
//! at the process that applies, once at another one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};

use crate::context::{Bench, PATH, until_applied};
use crate::figure::{Figure, Target, percentile};
use crate::load::{Request, Sender, send_one};
use crate::rows::{Body, NARROW, Row, Times, random};

/// Twenty requests of fifty rows a second.
const TICK: Duration = Duration::from_millis(50);
const TICK_ROWS: usize = 50;
/// One mark after so many requests.
const TICKS_PER_MARK: usize = 4;
const POLL: Duration = Duration::from_millis(1);
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);
/// Keys that are written again and again.
const KEYS: usize = 20_000;

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let marks = bench.size(300, 60);
    let here = delays(bench, marks, false).await?;
    let elsewhere = delays(bench, marks, true).await?;
    let figure = |name, values: &[f64], hundredths, most| {
        Figure::of(name, "ms", &[percentile(values, hundredths)], Some(Target::AtMost(most)))
    };
    let note = |values: &[f64]| {
        let greatest = percentile(values, 100);
        format!(
            "{} marks, 1,000 rows/s, a mark every {:?}; greatest {greatest:.0} ms",
            values.len(),
            TICK * 4
        )
    };
    Ok(vec![
        figure("mark to visible, p50", &here, 50, 150.0).note(note(&here)),
        figure("mark to visible, p99", &here, 99, 1_000.0),
        figure("mark at another process, p50", &elsewhere, 50, 150.0).note(note(&elsewhere)),
        figure("mark at another process, p99", &elsewhere, 99, 1_000.0),
    ])
}

/// Milliseconds from posting to seeing, for each mark.
async fn delays(bench: &Bench, marks: usize, elsewhere: bool) -> Result<Vec<f64>> {
    let ddl = format!("CREATE TABLE t {NARROW}; CREATE TABLE beat (id int8 PRIMARY KEY, n int8 NOT NULL)");
    let database = bench.database(&ddl).await?;
    let leader = bench.service("leader", &[]).await?;
    let mut connection = database.connect().await?;
    // Whoever gets the first mark applies from then on.
    let mut times = Times::begin()?;
    let first = Request::mark(PATH, times.tick());
    tokio::task::block_in_place(|| send_one(leader.address(), &first))?;
    until_applied(&mut connection, first.upto).await?;
    let other = if elsewhere { Some(bench.service("other", &[]).await?) } else { None };
    let address = other.as_ref().unwrap_or(&leader).address();

    let done = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    let (sent, seen) = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let (connection, done) = (&mut connection, &done);
            let watcher = scope.spawn(move || runtime.block_on(watch(connection, marks, done)));
            let sent = send(address, &mut times, marks);
            // The watcher stops once it has seen the last mark, or some time after this.
            done.store(true, Ordering::Relaxed);
            (sent, watcher.join())
        })
    });
    let sent = sent?;
    let seen = seen.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    connection.close().await?;
    for service in other.into_iter().chain([leader]) {
        bench.end(service, &[]).await?;
    }
    let delays = sent.iter().enumerate().map(|(number, posted)| {
        let visible = seen.iter().find(|(n, _)| *n > number).context("a mark was never seen")?.1;
        Ok((visible - *posted).as_secs_f64() * 1e3)
    });
    delays.collect()
}

/// Sends at an even pace; returns when each mark was posted.
fn send(address: SocketAddr, times: &mut Times, marks: usize) -> Result<Vec<Instant>> {
    let (mut rng, mut body) = (random(), Body::new());
    let (mut rows, mut promises) = (Sender::connect(address)?, Sender::connect(address)?);
    let begin = Instant::now();
    let mut posted = Vec::with_capacity(marks);
    for tick in 0..marks * TICKS_PER_MARK {
        let due = TICK * u32::try_from(tick)?;
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        times.pass(TICK.as_secs_f64());
        let nanos = times.tick();
        for at in 0..TICK_ROWS {
            let row = Row::random(&mut rng, i64::try_from((tick * TICK_ROWS + at) % KEYS)?);
            body.push("t", row.id, &row.json(), nanos);
        }
        let mark = (tick + 1) % TICKS_PER_MARK == 0;
        if mark {
            let beat = format!("{{\"id\": 1, \"n\": {}}}", posted.len() + 1);
            body.push("beat", 1, &beat, nanos);
        }
        rows.send(&body.take(PATH))?;
        if mark {
            posted.push(Instant::now());
            promises.send(&Request::mark(PATH, nanos))?;
        }
    }
    Ok(posted)
}

/// Looks at the beat all the time; returns when each new value was first seen.
async fn watch(
    connection: &mut PgConnection,
    marks: usize,
    done: &AtomicBool,
) -> Result<Vec<(usize, Instant)>> {
    let mut seen: Vec<(usize, Instant)> = Vec::new();
    let mut end = None;
    loop {
        let beat: Option<i64> =
            sqlx::query_scalar("SELECT n FROM beat WHERE id = 1").fetch_optional(&mut *connection).await?;
        let now = Instant::now();
        let beat = usize::try_from(beat.unwrap_or(0))?;
        if beat > seen.last().map_or(0, |(last, _)| *last) {
            seen.push((beat, now));
        }
        if beat >= marks {
            return Ok(seen);
        }
        if done.load(Ordering::Relaxed) {
            let end = *end.get_or_insert(now + VISIBLE_WITHIN);
            ensure!(now < end, "only {beat} of {marks} marks were seen");
        }
        tokio::time::sleep(POLL).await;
    }
}
