//! Memory of the service: at rest, at full rate, and with the largest bodies that it takes, several at once. At the
//! end staging must be as small as it was.

use std::time::Duration;

use anyhow::{Result, bail};
use sqlx::{Connection, PgConnection};

use crate::context::{Bench, PATH, number, until_applied};
use crate::figure::{Figure, Target};
use crate::load::{self, Request};
use crate::rows::{Body, Times, letters, random};
use crate::{machine, path};

/// Just below 16 MiB, so that four rows fit a body of 64 MiB.
const LARGE_ROW: usize = 16_700_000;
const LARGE_ROWS: usize = 4;
const CONNECTIONS: usize = 4;
const REST: Duration = Duration::from_secs(3);
const BASE_LINE_WITHIN: Duration = Duration::from_secs(60);
/// What empty staging tables and their indexes may take, in bytes.
const BASE_LINE: i64 = 1 << 20;

const LARGEST: f64 = 256.0;
const IDLE: f64 = 64.0;

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let feed = path::render(bench.size(1_000_000, 150_000))?;
    let full_rate = path::run(bench, &feed).await?.peak_mib;
    drop(feed);
    let mut figures = vec![
        Figure::of("memory at full rate", "MiB", &[full_rate], Some(Target::AtMost(LARGEST)))
            .note("peak of the resident set, as the kernel keeps it (VmHWM); so below"),
    ];
    figures.extend(large(bench).await?);
    Ok(figures)
}

async fn large(bench: &Bench) -> Result<Vec<Figure>> {
    let database = bench.database("CREATE TABLE docs (id int8 PRIMARY KEY, body text NOT NULL)").await?;
    let mut service = bench.service("memory", &[]).await?;
    let (address, process) = (service.address(), service.pid()?);
    tokio::time::sleep(REST).await;
    let at_rest = machine::resident_mib(process)?;
    let (requests, upto) = render(bench.size(12, 6))?;
    let (took, repeats) = tokio::task::block_in_place(|| load::send_all(address, &requests, CONNECTIONS))?;
    let staged_peak = machine::peak_mib(process)?;
    let mut connection = database.connect().await?;
    let grown = staging_bytes(&mut connection).await?;
    tokio::task::block_in_place(|| load::send_one(address, &Request::mark(PATH, upto)))?;
    until_applied(&mut connection, upto).await?;
    let peak = machine::peak_mib(process)?;
    let settled = base_line(&mut connection).await?;
    tokio::time::sleep(REST).await;
    let afterwards = machine::resident_mib(process)?;
    connection.close().await?;
    bench.end(service, &["a delivery was refused"]).await?;
    let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Figure::of("memory at rest", "MiB", &[at_rest], Some(Target::AtMost(IDLE))),
        Figure::of("memory, 64 MiB bodies", "MiB", &[peak], Some(Target::AtMost(LARGEST))).note(format!(
            "{} bodies of {LARGE_ROWS} rows of 16 MiB over {CONNECTIONS} connections in {:.1} s; {repeats} requests \
             answered 503 first; peak while staging {staged_peak:.0} MiB",
            requests.len(),
            took.as_secs_f64()
        )),
        Figure::of("memory at rest afterwards", "MiB", &[afterwards], Some(Target::AtMost(IDLE))),
        Figure::of("staging after the load", "MiB", &[mib(settled)], Some(Target::AtMost(mib(BASE_LINE))))
            .note(format!("{:.0} MiB before the mark; no row is pending", mib(grown))),
    ])
}

fn render(bodies: usize) -> Result<(Vec<Request>, i64)> {
    let (mut rng, mut times, mut body) = (random(), Times::begin()?, Body::new());
    // Longer than the window of the server's compression, so that large rows stay large.
    let block = letters(&mut rng, 1 << 20);
    let text = block.repeat(LARGE_ROW.div_ceil(block.len()));
    let mut requests = Vec::new();
    for at in 0..bodies * LARGE_ROWS {
        let id = i64::try_from(at)?;
        body.push(
            "docs",
            id,
            &format!("{{\"body\": \"{}\", \"id\": {id}}}", &text[..LARGE_ROW]),
            times.tick(),
        );
        if body.rows() == LARGE_ROWS {
            requests.push(body.take(PATH));
        }
    }
    Ok((requests, times.last()))
}

async fn staging_bytes(connection: &mut PgConnection) -> Result<i64> {
    let sql = "SELECT sum(pg_total_relation_size(format('_cdc_sink.%I', staging_table)))::int8 \
               FROM _cdc_sink.staged_tables";
    number(connection, sql).await
}

/// Waits until staging is small again.
async fn base_line(connection: &mut PgConnection) -> Result<i64> {
    let begin = std::time::Instant::now();
    loop {
        let bytes = staging_bytes(connection).await?;
        if bytes <= BASE_LINE {
            return Ok(bytes);
        }
        if begin.elapsed() > BASE_LINE_WITHIN {
            bail!(
                "the staging tables still take {bytes} bytes {BASE_LINE_WITHIN:?} after the last row was applied"
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
