//! Ingest in consistent mode against COPY into an equal table: the same rows, the same batches, four connections,
//! one transaction per batch on both sides.

use anyhow::{Result, ensure};
use sqlx::Connection;

use crate::context::{Bench, DATABASE, PATH, Side, number, rate};
use crate::figure::{Figure, Target};
use crate::load::{self, Request};
use crate::machine;
use crate::rows::{Body, Times, letters, random};
use crate::wire::{Session, length};

const BATCH_ROWS: usize = 500;
const CONNECTIONS: usize = 4;
/// With the rest of the row this makes about 1 KB.
const TEXT_CHARS: usize = 960;

const SOURCE_TABLE: &str = "CREATE TABLE wide (id int8 PRIMARY KEY, a int4 NOT NULL, b text NOT NULL)";
/// The layout of a staging table.
const RIVAL_TABLE: &str = "CREATE TABLE rival (nanos int8 NOT NULL, logical int8 NOT NULL, key text NOT NULL, \
                           mut text NOT NULL, before text, long_key text, shape int8 NOT NULL, \
                           PRIMARY KEY (nanos, logical, key))";

const COPY: &str = "COPY rival (nanos, logical, key, mut, before, long_key, shape) FROM STDIN BINARY";

struct Batches {
    requests: Vec<Request>,
    copies: Vec<Vec<u8>>,
    rows: usize,
    first: Request,
}

/// See the module.
pub(crate) async fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let batches = render(bench.size(150_000, 30_000))?;
    let mut repeats = 0;
    let pairs = bench
        .pairs(async |side| match side {
            Side::Ours => ours(bench, &batches, &mut repeats).await,
            Side::Rival => rival(bench, &batches).await,
        })
        .await?;
    let target = Target::AtLeast(if machine::cores() >= 4 { 0.5 } else { 0.4 });
    let what = "COPY, binary, into an equal table";
    let figure = Figure::ratio("ingest : COPY", what, &pairs, target).note(format!(
        "{} rows of about 1 KB in batches of {BATCH_ROWS} over {CONNECTIONS} connections",
        batches.rows
    ));
    Ok(vec![if repeats > 0 {
        figure.note(format!("{repeats} requests were answered 503 first"))
    } else {
        figure
    }])
}

fn render(rows: usize) -> Result<Batches> {
    let (mut rng, mut times) = (random(), Times::begin()?);
    let mut body = Body::new();
    body.push("wide", 0, "{\"a\": 0, \"b\": \"first\", \"id\": 0}", times.tick());
    let first = body.take(PATH);
    let (mut requests, mut copies) = (Vec::new(), Vec::new());
    for batch in 0..rows / BATCH_ROWS {
        let mut copy = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let mut nanos = times.tick();
        for at in 0..BATCH_ROWS {
            if at % 10 == 0 {
                nanos = times.tick();
            }
            let id = i64::try_from(1 + batch * BATCH_ROWS + at)?;
            let row = format!("{{\"a\": {at}, \"b\": \"{}\", \"id\": {id}}}", letters(&mut rng, TEXT_CHARS));
            body.push("wide", id, &row, nanos);
            tuple(&mut copy, nanos, &format!("[{id}]"), &row);
        }
        copy.extend_from_slice(&(-1_i16).to_be_bytes());
        requests.push(body.take(PATH));
        copies.push(copy);
    }
    Ok(Batches { rows: requests.len() * BATCH_ROWS, requests, copies, first })
}

/// One row in COPY's binary form.
fn tuple(out: &mut Vec<u8>, nanos: i64, key: &str, row: &str) {
    out.extend_from_slice(&7_i16.to_be_bytes());
    let fields = [nanos.to_be_bytes(), 0_i64.to_be_bytes(), 1_i64.to_be_bytes()];
    for field in [&fields[0][..], &fields[1], key.as_bytes(), row.as_bytes()] {
        length(out, field.len());
        out.extend_from_slice(field);
    }
    // Two NULLs.
    out.extend_from_slice(&[0xff; 8]);
    length(out, 8);
    out.extend_from_slice(&fields[2]);
}

async fn ours(bench: &Bench, batches: &Batches, repeats: &mut u32) -> Result<f64> {
    let database = bench.database(SOURCE_TABLE).await?;
    let service = bench.service("ingest", &[]).await?;
    let address = service.address();
    // The staging table is made on first use.
    tokio::task::block_in_place(|| load::send_one(address, &batches.first))?;
    let (took, again) =
        tokio::task::block_in_place(|| load::send_all(address, &batches.requests, CONNECTIONS))?;
    *repeats += again;
    let mut connection = database.connect().await?;
    let table: String = sqlx::query_scalar("SELECT staging_table FROM _cdc_sink.staged_tables")
        .fetch_one(&mut connection)
        .await?;
    let stored = number(&mut connection, &format!("SELECT count(*) FROM _cdc_sink.\"{table}\"")).await?;
    ensure!(usize::try_from(stored)? == batches.rows + 1, "{stored} rows were staged");
    connection.close().await?;
    bench.end(service, if again > 0 { &["a delivery was refused"] } else { &[] }).await?;
    Ok(rate(batches.rows, took))
}

async fn rival(bench: &Bench, batches: &Batches) -> Result<f64> {
    let database = bench.database(RIVAL_TABLE).await?;
    let address = bench.server.address();
    let took = tokio::task::block_in_place(|| {
        let mut sessions =
            (0..CONNECTIONS).map(|_| Session::connect(address, DATABASE)).collect::<Result<Vec<_>>>()?;
        load::in_threads(&mut sessions, &batches.copies, |session, copy| session.copy(COPY, copy))
    })?;
    let mut connection = database.connect().await?;
    let stored = number(&mut connection, "SELECT count(*) FROM rival").await?;
    ensure!(usize::try_from(stored)? == batches.rows, "{stored} rows were copied");
    connection.close().await?;
    Ok(rate(batches.rows, took))
}
