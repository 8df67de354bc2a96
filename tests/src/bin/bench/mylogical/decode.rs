//! Reading and decoding alone. `decode`: the log is read, put into transactions, decoded to text and thrown away, against
//! the product's own program that prints a server's log, into nothing. `rows`: rows events in memory are decoded by us and
//! by the client library.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mysql_async::binlog::events::{Event, EventData, RowsEventData, TableMapEvent};
use mysql_async::prelude::Queryable as _;
use source_mylogical::Flavor;
use source_mylogical::assemble::{Assembler, Holds, Item, Scope, SentRows, TableName};
use source_mylogical::binlog::{Frame, RowsEvent, TableMap};
use source_mylogical::charset::Charsets;
use source_mylogical::gtid::{GtidSet, LogPosition};
use source_mylogical::policy::Policies;
use source_mylogical::row::{Images, Rows};
use source_mylogical::table::{Hints, Plan};
use source_mylogical::transport::{Config, Dump, DumpRequest, Replica};

use super::backlog::Backlog;
use super::servers::{DATABASE, MAKER, Servers};
use super::workload;
use crate::context::Side;
use crate::figure::{Figure, Pair, Target, median};
use crate::machine;

/// What is asked for, against the product's program, and against the library.
const LEAST: [f64; 2] = [0.8, 5.0];
/// A quarter of the default of `--bytesInFlight`, as the program reads ahead.
const READ_AHEAD: usize = 2_621_440;
/// Longest wait for the next event.
const PATIENCE: Duration = Duration::from_secs(60);
/// Times that all events are decoded in one measurement.
const REPEATS: usize = 5;

/// Follows everything in the benchmark's database.
struct All;

impl Scope for All {
    fn has_database(&self, database: &str) -> bool {
        database == DATABASE
    }

    fn has_table(&self, table: &TableName) -> bool {
        table.database == DATABASE
    }
}

/// A reading of the whole history.
struct Read {
    seconds: f64,
    /// Processor seconds of the source, and of this process.
    cpu: [f64; 2],
}

/// One figure for each shape of transactions.
pub(crate) async fn measure(servers: &Servers) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in ["decode-10", "decode-1000", "decode-updates"] {
        let backlog = Backlog::make(servers, workload::named(servers, name)?).await?;
        let changes = backlog.workload.changes as f64;
        let (mut pairs, mut all) = (Vec::new(), Vec::new());
        for at in 0..servers.pairs {
            let (mut ours, mut rival) = (f64::NAN, f64::NAN);
            let order = if at % 2 == 0 { [Side::Rival, Side::Ours] } else { [Side::Ours, Side::Rival] };
            for side in order {
                match side {
                    Side::Rival => rival = changes / print(servers, &backlog).await?,
                    Side::Ours => {
                        let read = read(servers, &backlog).await?;
                        ours = changes / read.seconds;
                        all.push(read);
                    }
                }
            }
            pairs.push(Pair { ours, rival });
        }
        let of = |at: usize| median(&all.iter().map(|read| read.cpu[at] * 1e6 / changes).collect::<Vec<_>>());
        let figure =
            Figure::ratio(backlog.workload.title, "mariadb-binlog", &pairs, Target::AtLeast(LEAST[0]));
        figures.push(figure.note(format!(
            "CPU-seconds per million rows: source {:.2}, reading and decoding {:.2}",
            of(0),
            of(1)
        )));
    }
    Ok(figures)
}

/// Seconds that the product's program takes.
async fn print(servers: &Servers, backlog: &Backlog) -> Result<f64> {
    servers.until_unread().await?;
    let mut command = servers.source.client("mysqlbinlog")?;
    command.args(["--no-defaults", "--read-from-remote-server", "--to-last-log", "--skip-ssl"]);
    command.args(["--user=root", "--host=127.0.0.1"]);
    command.arg(format!("--port={}", servers.source.address().port())).arg(&backlog.file);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let output =
        tokio::process::Command::from(command).output().await.context("cannot run mariadb-binlog")?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(output.status.success(), "mariadb-binlog: {}", String::from_utf8_lossy(&output.stderr));
    Ok(seconds)
}

async fn open(servers: &Servers, begin: &str) -> Result<Dump> {
    servers.until_unread().await?;
    let request = DumpRequest {
        replica: Replica::of(&["bench"]),
        from: GtidSet::parse(Flavor::MariaDb, begin)?,
        read_ahead_bytes: READ_AHEAD,
        silence: None,
    };
    let config = Config::from_url(&servers.source.url(DATABASE))?;
    Ok(Dump::open(&config, request).await?)
}

/// The next event. Reading begins to wait only when nothing has come.
async fn next(dump: &mut Dump) -> Result<Event> {
    loop {
        if let Some(event) = dump.try_next()? {
            return Ok(event);
        }
        tokio::time::timeout(PATIENCE, dump.ready()).await.context("the log ended early")??;
    }
}

async fn read(servers: &Servers, backlog: &Backlog) -> Result<Read> {
    let mut dump = open(servers, &backlog.begin).await?;
    let before = [servers.cpu()?[0], machine::own_cpu()?];
    let begin = Instant::now();
    let position = LogPosition::from(GtidSet::parse(Flavor::MariaDb, &backlog.begin)?);
    let mut assembler = Assembler::new(position, All, Holds::in_memory(1 << 20));
    let (mut decoder, mut transactions) = (Decoder::default(), 0);
    // The last one is the marker's.
    while transactions <= backlog.workload.transactions {
        let Some(frame) = Frame::from_sent(&next(&mut dump).await?)? else { continue };
        assembler.push(frame);
        while let Some(item) = assembler.next_item()? {
            match item {
                Item::Rows(rows) => decoder.rows(&rows)?,
                Item::Commit { .. } => transactions += 1,
                _ => {}
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = [servers.cpu()?[0], machine::own_cpu()?];
    ensure!(decoder.count == backlog.workload.changes + 1, "{} changes were read", decoder.count);
    Ok(Read { seconds, cpu: [after[0] - before[0], after[1] - before[1]] })
}

/// Decodes rows to text.
#[derive(Default)]
struct Decoder {
    plans: HashMap<u64, Plan>,
    images: Images,
    count: i64,
}

impl Decoder {
    fn rows(&mut self, sent: &SentRows) -> Result<()> {
        let Decoder { plans, images, count } = self;
        let number = sent.table.number;
        let plan = match plans.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(plan(&sent.table.map)?),
        };
        let mut rows = Rows::new(plan, RowsEvent::parse(sent.kind, &sent.body)?)?;
        while rows.next(images)? {
            *count += 1;
        }
        Ok(())
    }
}

fn plan(map: &[u8]) -> Result<Plan> {
    let map = TableMap::parse(map, Flavor::MariaDb)?;
    Ok(Plan::new(&map, &Hints::default(), &Charsets::default(), Policies::default())?)
}

/// Rows of one table, in memory.
struct Collected {
    map: Event,
    rows: Vec<Event>,
    changes: usize,
}

/// The table of many columns: a key, and ten of each of some types.
fn wide() -> String {
    let types = ["int", "bigint unsigned", "varchar(40)", "decimal(12, 2)", "datetime(3)", "double"];
    let columns = types.iter().enumerate().flat_map(|(at, sql_type)| {
        (0..10).map(move |number| format!("c{at}_{number} {sql_type}")).collect::<Vec<_>>()
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!("CREATE TABLE wide (id bigint PRIMARY KEY, {columns})")
}

/// Our decoding of rows against the library's, with values in its form, which are not text.
pub(crate) async fn rows(servers: &Servers) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let backlog = Backlog::make(servers, workload::named(servers, "insert-1000")?).await?;
    let narrow = collect(servers, &backlog.begin, "t", usize::try_from(backlog.workload.changes)?).await?;
    figures.push(compare(servers, "decode rows, 5 columns", &narrow)?);

    let mut source = servers.at_source().await?;
    source.query_drop(wide()).await?;
    let begin = servers.source.position().await?;
    let values = ["n", "n * 4294967296", "MD5(n)", "n / 100", "'2026-11-20 12:34:56.789'", "n / 7e0"];
    let values = values.iter().flat_map(|value| vec![*value; 10]);
    let insert = format!(
        "INSERT INTO wide SELECT n, {} FROM (SELECT a.n * 1000 + b.n AS n FROM {MAKER}.numbers a, {MAKER}.numbers b \
         WHERE a.n < 20) AS ns",
        values.collect::<Vec<_>>().join(", ")
    );
    source.query_drop(insert).await?;
    source.disconnect().await?;
    let wide = collect(servers, &begin, "wide", 20_000).await?;
    figures.push(compare(servers, "decode rows, 61 columns", &wide)?);
    Ok(figures)
}

/// Reads so many rows of a table into memory.
async fn collect(servers: &Servers, begin: &str, table: &str, count: usize) -> Result<Collected> {
    let mut dump = open(servers, begin).await?;
    let mut collected: Option<Collected> = None;
    loop {
        let event = next(&mut dump).await?;
        match event.read_data()? {
            Some(EventData::TableMapEvent(map)) if map.table_name() == table && collected.is_none() => {
                collected = Some(Collected { map: event, rows: Vec::new(), changes: 0 });
            }
            Some(EventData::RowsEvent(rows)) => {
                let Some(all) = &mut collected else { continue };
                let map = table_map(&all.map)?;
                if rows.table_id() == map.table_id() {
                    all.changes += rows.rows(&map).count();
                    all.rows.push(event);
                }
            }
            _ => {}
        }
        if let Some(all) = collected.take_if(|all| all.changes >= count) {
            return Ok(all);
        }
    }
}

fn table_map(event: &Event) -> Result<TableMapEvent<'_>> {
    match event.read_data()? {
        Some(EventData::TableMapEvent(map)) => Ok(map),
        _ => bail!("not a table map"),
    }
}

fn compare(servers: &Servers, title: &'static str, all: &Collected) -> Result<Figure> {
    let mut pairs = Vec::new();
    for at in 0..servers.pairs {
        let (mut ours, mut rival) = (f64::NAN, f64::NAN);
        let order = if at % 2 == 0 { [Side::Rival, Side::Ours] } else { [Side::Ours, Side::Rival] };
        for side in order {
            match side {
                Side::Rival => rival = by_library(all)?,
                Side::Ours => ours = by_us(all)?,
            }
        }
        pairs.push(Pair { ours, rival });
    }
    let note =
        format!("{} rows, {REPEATS} times in one thread; ours to text, the library's values", all.changes);
    Ok(Figure::ratio(title, "the client library", &pairs, Target::AtLeast(LEAST[1])).note(note))
}

/// Rows per second.
fn by_library(all: &Collected) -> Result<f64> {
    let map = table_map(&all.map)?;
    let events: Vec<RowsEventData<'_>> = all
        .rows
        .iter()
        .map(|event| match event.read_data()? {
            Some(EventData::RowsEvent(rows)) => Ok(rows),
            _ => bail!("not rows"),
        })
        .collect::<Result<_>>()?;
    let (begin, mut count) = (Instant::now(), 0);
    for _ in 0..REPEATS {
        for event in &events {
            for row in event.rows(&map) {
                std::hint::black_box(row?);
                count += 1;
            }
        }
    }
    ensure!(count == all.changes * REPEATS, "the library found {count} rows");
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

/// The same.
fn by_us(all: &Collected) -> Result<f64> {
    let frame = |event: &Event| Frame::from_sent(event)?.context("a packed event");
    let plan = plan(&frame(&all.map)?.body)?;
    let frames: Vec<Frame> = all.rows.iter().map(frame).collect::<Result<_>>()?;
    let (begin, mut count, mut images) = (Instant::now(), 0, Images::default());
    for _ in 0..REPEATS {
        for frame in &frames {
            let mut rows = Rows::new(&plan, RowsEvent::parse(frame.header.kind, &frame.body)?)?;
            while rows.next(&mut images)? {
                std::hint::black_box(&images);
                count += 1;
            }
        }
    }
    ensure!(count == all.changes * REPEATS, "{count} rows were found");
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
