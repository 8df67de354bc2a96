//! The first copy of a table against what one does by hand: the output of `COPY … TO STDOUT` at the source is the input
//! of `COPY … FROM STDIN` at the target. The clock runs from the start of the process to its end.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use sqlx::Connection;
use tests::harness::fingerprint;
use tests::harness::process::ServiceProcess;

use super::drain::ours;
use super::servers::Servers;
use crate::context::Side;
use crate::figure::{Figure, Pair, Target};
use crate::machine;
use crate::rows::NARROW;

const SLOT: &str = "snapshot";
/// Pieces in which the pipe passes rows on, in bytes.
const PIECE: usize = 256 * 1024;
const COPIED_WITHIN: std::time::Duration = std::time::Duration::from_secs(900);

/// With one worker, and with two.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let rows = servers.size(3_000_000, 500_000);
    let fill = format!(
        "INSERT INTO t SELECT id, id % 1000000, md5(id::text), id / 7.0, id % 2 = 0 \
         FROM generate_series(1, {rows}) AS id"
    );
    servers.prepare(&format!("CREATE TABLE t {NARROW}"), &fill, &["t"]).await?;
    if servers.rival_only {
        let rates = [run(servers, Side::Rival, 1, rows).await?];
        return Ok(vec![Figure::of("snapshot, COPY to COPY", "rows/s", &rates, None)]);
    }
    let two = if machine::cores() >= 4 { 1.3 } else { 0.9 };
    let mut figures = Vec::new();
    for (title, workers, least) in [("snapshot, 1 worker", 1, 0.9), ("snapshot, 2 workers", 2, two)] {
        let mut pairs = Vec::new();
        for at in 0..servers.pairs {
            let (ours, rival) = if at % 2 == 0 {
                let rival = run(servers, Side::Rival, workers, rows).await?;
                (run(servers, Side::Ours, workers, rows).await?, rival)
            } else {
                let ours = run(servers, Side::Ours, workers, rows).await?;
                (ours, run(servers, Side::Rival, workers, rows).await?)
            };
            pairs.push(Pair { ours, rival });
        }
        let figure = Figure::ratio(title, "COPY to COPY, one pipe", &pairs, Target::AtLeast(least));
        figures
            .push(figure.note(format!("{rows} rows of one table, from the start of the process to its end")));
    }
    servers.clean().await?;
    Ok(figures)
}

/// Rows per second.
async fn run(servers: &Servers, side: Side, workers: usize, rows: i64) -> Result<f64> {
    servers.restore().await?;
    let begin = Instant::now();
    match side {
        Side::Rival => pipe(servers).await?,
        Side::Ours => copy(servers, workers).await?,
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    for compared in fingerprint::compare(&mut source, &mut target, &["public.t"]).await? {
        ensure!(compared.equal(), "the copy differs: source {}; target {}", compared.source, compared.target);
    }
    source.close().await?;
    target.close().await?;
    servers.clean().await?;
    Ok(rows as f64 / seconds)
}

async fn pipe(servers: &Servers) -> Result<()> {
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    let mut rows = source.copy_out_raw("COPY t TO STDOUT").await?;
    let mut sink = target.copy_in_raw("COPY t FROM STDIN").await?;
    // Row by row would cost the pipe more than the servers.
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(row) = rows.try_next().await? {
        if piece.len() + row.len() > PIECE {
            sink.send(std::mem::take(&mut piece)).await?;
            piece.reserve(PIECE);
        }
        piece.extend_from_slice(&row);
    }
    drop(rows);
    sink.send(piece).await?;
    sink.finish().await?;
    source.close().await?;
    target.close().await.context("cannot disconnect")
}

async fn copy(servers: &Servers, workers: usize) -> Result<()> {
    let service =
        ours(servers, SLOT).args(["--snapshotMode", "only", "--snapshotWorkers"]).args([workers.to_string()]);
    let mut process = ServiceProcess::spawn(service, servers.folder.path())?;
    let status = process.wait_for_exit(COPIED_WITHIN).await?;
    ensure!(status.success(), "cdc-pglogical ended with {status}:\n{}", process.log_tail());
    std::fs::remove_file(process.log()).context("cannot remove a log")
}
