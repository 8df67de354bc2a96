//! The first copy of a table, which also writes to the target, against `mariadb-dump` into nothing. The clock runs from
//! the start of the process to its end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::Connection;
use tests::harness::fingerprint::across;
use tests::harness::process::ServiceProcess;

use super::drain::ours;
use super::servers::{DATABASE, Servers};
use crate::context::Side;
use crate::figure::{Figure, Pair, Target};
use crate::machine;
use crate::rows::NARROW;

const COPIED_WITHIN: Duration = Duration::from_secs(900);
/// What is asked for.
const LEAST: f64 = 0.7;

/// See the module.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let rows = servers.size(3_000_000, 500_000);
    let source = [
        "CREATE TABLE t (id bigint PRIMARY KEY, a int NOT NULL, b varchar(64) CHARACTER SET utf8mb4 NOT NULL, \
         c double NOT NULL, d tinyint(1) NOT NULL)"
            .to_owned(),
        format!(
            "INSERT INTO t SELECT seq, seq % 1000000, MD5(seq), seq / 7e0, seq % 2 FROM seq_1_to_{rows}; \
             ANALYZE TABLE t"
        ),
    ];
    servers.prepare(&source, &format!("CREATE TABLE t {NARROW}")).await?;
    let (mut pairs, mut peak) = (Vec::new(), 0.0);
    for at in 0..servers.pairs {
        let (mut ours, mut rival) = (f64::NAN, f64::NAN);
        let order = if at % 2 == 0 { [Side::Rival, Side::Ours] } else { [Side::Ours, Side::Rival] };
        for side in order {
            match side {
                Side::Rival => rival = rows as f64 / dump(servers).await?,
                Side::Ours if servers.rival_only => {}
                Side::Ours => {
                    let (seconds, mib) = copy(servers).await?;
                    (ours, peak) = (rows as f64 / seconds, f64::max(peak, mib));
                }
            }
        }
        pairs.push(Pair { ours, rival });
    }
    let size = format!("{rows} rows of one table, from the start of the process to its end");
    if servers.rival_only {
        let rates: Vec<f64> = pairs.iter().map(|pair| pair.rival).collect();
        return Ok(vec![Figure::of("snapshot, mariadb-dump", "rows/s", &rates, None).note(size)]);
    }
    Ok(vec![
        Figure::ratio("snapshot", "mariadb-dump into nothing", &pairs, Target::AtLeast(LEAST)).note(size),
        Figure::of(
            "    its resident memory, peak",
            "MiB",
            &[peak],
            Some(Target::AtMost(super::drain::MEMORY)),
        ),
    ])
}

/// Seconds.
async fn dump(servers: &Servers) -> Result<f64> {
    let mut command = servers.source.client("mysqldump")?;
    command.args(["--no-defaults", "--single-transaction", "--skip-ssl", "--user=root", "--host=127.0.0.1"]);
    command.arg(format!("--port={}", servers.source.address().port())).args([DATABASE, "t"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let output = tokio::process::Command::from(command).output().await.context("cannot run mariadb-dump")?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(output.status.success(), "mariadb-dump: {}", String::from_utf8_lossy(&output.stderr));
    Ok(seconds)
}

/// Seconds, and the most memory that was seen, in MiB.
async fn copy(servers: &Servers) -> Result<(f64, f64)> {
    servers.restore_target().await?;
    let begin = Instant::now();
    let service = ours(servers).args(["--snapshotMode", "only"]);
    let mut process = ServiceProcess::spawn(service, servers.folder.path())?;
    let (pid, mut peak) = (process.pid()?, 0.0);
    let status = loop {
        if let Some(status) = process.exited()? {
            break status;
        }
        ensure!(begin.elapsed() < COPIED_WITHIN, "not copied after {COPIED_WITHIN:?}");
        // Gone together with the process.
        peak = machine::peak_mib(pid).unwrap_or(peak);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(status.success(), "cdc-mylogical ended with {status}:\n{}", process.log_tail());
    std::fs::remove_file(process.log()).context("cannot remove a log")?;
    let (mut source, mut target) = (servers.at_source().await?, servers.at_target().await?);
    for compared in across::compare(&mut source, &mut target, &["t"]).await? {
        ensure!(compared.equal(), "the copy differs: source {}; target {}", compared.source, compared.target);
    }
    source.disconnect().await?;
    target.close().await?;
    Ok((seconds, peak))
}
