//! Reads a slot's backlog, decodes it and throws it away: how fast a source can be read at all, without a target.
//!
//! ```text
//! cargo run --release -p source-pglogical --example drain -- postgres://user@host/database slot publication
//! ```
//!
//! Acknowledges nothing, so the same backlog can be read again.

use std::error::Error;
use std::time::{Duration, Instant};

use source_pglogical::Lsn;
use source_pglogical::assemble::{Assembler, Event};
use source_pglogical::pgoutput::{Frame, SourceTime, Status, decode};
use source_pglogical::position::is_backlog;
use source_pglogical::transport::{Config, Session, StartRequest, Stream};

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Drained {
    transactions: u64,
    changes: u64,
    bytes: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, slot, publication] = arguments.as_slice() else {
        return Err("expected a connection string, a slot and a publication".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(url, slot, publication))
}

async fn run(url: &str, slot: &str, publication: &str) -> Result<(), Box<dyn Error>> {
    let mut session = Session::connect(&Config::from_url(url)?).await?;
    let end = session.identify_system(LIMIT).await?.end_of_log;
    let publications = vec![publication.to_owned()];
    let request = StartRequest { slot: slot.to_owned(), from: Lsn::ZERO, publications };
    let mut stream = session.start(&request, LIMIT).await?;
    let begun = Instant::now();
    let drained = drain(&mut stream, end).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let reads = stream.reads();
    stream.finish(Status::at(Lsn::ZERO, SourceTime::default()), LIMIT).await?;
    let Drained { transactions, changes, bytes } = drained;
    println!(
        "{transactions} transactions, {changes} changes, {bytes} bytes in {seconds:.3} s, {reads} reads"
    );
    Ok(())
}

async fn drain(stream: &mut Stream, end: Lsn) -> Result<Drained, Box<dyn Error>> {
    let mut drained = Drained::default();
    let mut assembler = Assembler::default();
    loop {
        let data = match stream.next().await? {
            Frame::Wal(data) => data,
            Frame::Keepalive(keepalive) if keepalive.wal_end >= end && !assembler.is_inside() => {
                return Ok(drained);
            }
            Frame::Keepalive(keepalive) => {
                if keepalive.reply_requested {
                    stream.send_status(Status::at(Lsn::ZERO, SourceTime::default())).await?;
                }
                continue;
            }
        };
        drained.bytes += u64::try_from(data.payload.len())?;
        match assembler.push(decode(&data.payload)?)? {
            Event::Begin(begin) => {
                stream
                    .set_pause(is_backlog(begin.commit_time, data.sent_at).then_some(Stream::BACKLOG_PAUSE));
            }
            Event::Change(..) => drained.changes += 1,
            Event::Commit(_) => drained.transactions += 1,
            Event::Origin(_)
            | Event::Relation(_)
            | Event::Type(_)
            | Event::Truncate(_)
            | Event::Message(_) => {}
        }
    }
}
