//! Reading and decoding alone: a backlog is read, decoded, put into transactions and thrown away. Nothing is
//! acknowledged and there is no target, so this is the most that a source gives.

use std::time::{Duration, Instant};

use anyhow::Result;
use source_pglogical::Lsn;
use source_pglogical::assemble::{Assembler, Event};
use source_pglogical::pgoutput::{Frame, SourceTime, Status, decode};
use source_pglogical::position::is_backlog;
use source_pglogical::transport::{Config, Session, StartRequest, Stream};

use super::backlog::Backlog;
use super::commits::Commits;
use super::servers::{DATABASE, PUBLICATION, Servers};
use super::workload;
use crate::figure::{Figure, median};
use crate::machine;

const LIMIT: Duration = Duration::from_secs(30);

/// One reading.
struct Read {
    changes: i64,
    seconds: f64,
    reads: u64,
    /// Processor seconds of the source, and of this process.
    cpu: [f64; 2],
}

/// One figure for each shape of transactions.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, title) in
        [("insert-1", "decode alone, 1 row/tx"), ("insert-1000", "decode alone, 1,000 rows/tx")]
    {
        let backlog = Backlog::make(servers, workload::named(servers, name, Commits::Default)?).await?;
        let mut all = Vec::new();
        for _ in 0..servers.pairs {
            let slot = backlog.slot(servers).await?;
            all.push(read(servers, &slot).await?);
            servers.drop_slot(&slot).await?;
        }
        backlog.discard(servers).await?;
        figures.push(figure(title, &all));
    }
    Ok(figures)
}

fn figure(title: &'static str, all: &[Read]) -> Figure {
    let of = |value: fn(&Read) -> f64| median(&all.iter().map(value).collect::<Vec<_>>());
    let rates: Vec<f64> = all.iter().map(|read| read.changes as f64 / read.seconds).collect();
    Figure::of(title, "rows/s", &rates, None).note(format!(
        "CPU-seconds per million rows: source {:.2}, decoding {:.2}; {:.0} reads of the socket",
        of(|read| read.cpu[0] * 1e6 / read.changes as f64),
        of(|read| read.cpu[1] * 1e6 / read.changes as f64),
        of(|read| read.reads as f64),
    ))
}

async fn read(servers: &Servers, slot: &str) -> Result<Read> {
    let mut session = Session::connect(&Config::from_url(&servers.source.url(DATABASE))?).await?;
    let end = session.identify_system(LIMIT).await?.end_of_log;
    let publications = vec![PUBLICATION.to_owned()];
    let before = [servers.cpu()?[0], machine::own_cpu()?];
    let request = StartRequest { slot: slot.to_owned(), from: Lsn::ZERO, publications };
    let mut stream = session.start(&request, LIMIT).await?;
    let begin = Instant::now();
    let changes = to_the_end(&mut stream, end).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let after = [servers.cpu()?[0], machine::own_cpu()?];
    let reads = stream.reads();
    stream.finish(nothing(), LIMIT).await?;
    Ok(Read { changes, seconds, reads, cpu: [after[0] - before[0], after[1] - before[1]] })
}

/// Acknowledges nothing.
fn nothing() -> Status {
    Status::at(Lsn::ZERO, SourceTime::default())
}

async fn to_the_end(stream: &mut Stream, end: Lsn) -> Result<i64> {
    let (mut assembler, mut changes) = (Assembler::default(), 0);
    loop {
        let data = match stream.next().await? {
            Frame::Wal(data) => data,
            Frame::Keepalive(keepalive) if keepalive.wal_end >= end && !assembler.is_inside() => {
                return Ok(changes);
            }
            Frame::Keepalive(keepalive) => {
                if keepalive.reply_requested {
                    stream.send_status(nothing()).await?;
                }
                continue;
            }
        };
        match assembler.push(decode(&data.payload)?)? {
            Event::Begin(begin) => {
                let behind = is_backlog(begin.commit_time, data.sent_at);
                stream.set_pause(behind.then_some(Stream::BACKLOG_PAUSE));
            }
            Event::Change(..) => changes += 1,
            Event::Commit(_)
            | Event::Origin(_)
            | Event::Relation(_)
            | Event::Type(_)
            | Event::Truncate(_)
            | Event::Message(_) => {}
        }
    }
}
