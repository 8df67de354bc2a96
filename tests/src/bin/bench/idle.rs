//! What a mark a second costs while a thousand tables have nothing to apply.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::Connection;

use crate::context::{Bench, PATH, until_applied};
use crate::figure::{Figure, Target};
use crate::load::{Request, Sender};
use crate::machine;
use crate::rows::{Body, Times};

/// Tables made by one request; making one takes the server some milliseconds.
const TABLES_PER_REQUEST: usize = 50;
/// Time for the server to put away what the tables' creation left behind.
const SETTLE: Duration = Duration::from_secs(5);
const MOST_OF_A_CORE: f64 = 5.0;

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let tables = bench.size(1_000, 1_000);
    let seconds = u32::try_from(bench.size(30, 15))?;
    let ddl: String =
        (0..tables).map(|at| format!("CREATE TABLE t{at} (id int8 PRIMARY KEY, a int4);")).collect();
    let database = bench.database(&ddl).await?;
    let mut service = bench.service("idle", &[]).await?;
    let mut sender = Sender::connect(service.address())?;
    let (mut times, mut body) = (Times::begin()?, Body::new());
    for at in 0..tables {
        body.push(&format!("t{at}"), 1, "{\"a\": 1, \"id\": 1}", times.tick());
        if body.rows() == TABLES_PER_REQUEST || at + 1 == tables {
            tokio::task::block_in_place(|| sender.send(&body.take(PATH)))?;
        }
    }
    let mut connection = database.connect().await?;
    let mut mark = async |times: &mut Times| {
        let mark = Request::mark(PATH, times.tick());
        // The source's clock runs as fast as ours.
        times.pass(1.0);
        tokio::task::block_in_place(|| sender.send(&mark))?;
        anyhow::Ok(mark.upto)
    };
    // The tables have long been idle when it begins.
    times.pass(60.0);
    let upto = mark(&mut times).await?;
    until_applied(&mut connection, upto).await.context("the only row of each table")?;
    tokio::time::sleep(SETTLE).await;

    let before = [service.cpu_seconds()?, machine::server_cpu(bench).await?];
    let begin = Instant::now();
    for second in 1..=seconds {
        mark(&mut times).await?;
        let due = Duration::from_secs(1) * second;
        tokio::time::sleep(due.saturating_sub(begin.elapsed())).await;
    }
    let took = begin.elapsed().as_secs_f64();
    let after = [service.cpu_seconds()?, machine::server_cpu(bench).await?];
    connection.close().await?;
    bench.end(service, &[]).await?;
    let [own, server] = [0, 1].map(|at| (after[at] - before[at]) / took * 100.0);
    let figure = Figure::of(
        "1,000 idle tables, a mark a second",
        "% of a core",
        &[own + server],
        Some(Target::AtMost(MOST_OF_A_CORE)),
    )
    .note(format!("cdc-webhook {own:.1} %, PostgreSQL {server:.1} %, over {seconds} s"));
    Ok(vec![figure])
}
