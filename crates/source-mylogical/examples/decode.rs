//! How fast rows are decoded, beside the client library's own decoder. `cargo run --release --example decode`
//!
//! Rows that a MySQL 9.7 logged, repeated until the event has some megabytes. The library makes values, we make texts, so
//! ours is the longer way.

use std::error::Error;
use std::fs;
use std::time::Instant;

use mysql_common::binlog::EventStreamReader;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{EventData, TableMapEvent};
use source_mylogical::Flavor;
use source_mylogical::binlog::{RowsEvent, TableMap};
use source_mylogical::charset::Charsets;
use source_mylogical::policy::{Policies, ZeroDates};
use source_mylogical::row::{Images, Rows};
use source_mylogical::table::{Hints, Plan};

const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;
const ROWS_BYTES: usize = 4 << 20;
const REPEATS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    for (script, table) in [
        ("integers", "unsigned_ones"),
        ("integers", "signed_ones"),
        ("wide", "wide"),
        ("temporal", "moments"),
        ("numbers", "decimals"),
        ("text", "texts"),
        ("json", "documents"),
    ] {
        measure(script, table)?;
    }
    Ok(())
}

fn measure(script: &str, table: &str) -> Result<(), Box<dyn Error>> {
    let path = format!("{}/tests/corpus/mysql-9.7/{script}.events", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path)?;
    let events: Vec<Vec<u8>> = text.lines().filter(|line| !line.starts_with('#')).map(bytes_of).collect();
    let format = events.first().ok_or("no events")?;
    let body = |event: &[u8]| event[HEADER_BYTES..event.len() - CHECKSUM_BYTES].to_vec();
    let is_wanted = |event: &&Vec<u8>| {
        event[4] == 19
            && TableMap::parse(&body(event), Flavor::MySql)
                .is_ok_and(|map| map.table == table || table.starts_with("wide") && map.columns.len() == 62)
    };
    let Some(map_event) = events.iter().find(is_wanted) else {
        println!("{script}.{table}: not in the corpus");
        return Ok(());
    };
    let map = TableMap::parse(&body(map_event), Flavor::MySql)?;
    let policies = Policies { zero_dates: ZeroDates::Epoch, ..Policies::default() };
    let plan = Plan::new(&map, &Hints::default(), &Charsets::default(), policies)?;
    let is_insert = |event: &&Vec<u8>| event[4] == 30 && body(event).starts_with(&body(map_event)[..6]);
    let event = events.iter().find(is_insert).ok_or("no rows")?;

    let small = body(event);
    let rows_bytes = rows_of(&small, map.columns.len());
    let (head, rows) = small.split_at(small.len() - rows_bytes);
    let large = [head, &rows.repeat(ROWS_BYTES.div_ceil(rows.len()))].concat();
    let (ours, count) = ours(&plan, &large)?;
    let theirs = theirs(format, map_event, event, &large);
    let per_value = |nanos: f64| nanos / (count * map.columns.len()) as f64;
    let theirs = theirs.map_or("cannot".to_owned(), |theirs| {
        format!("{:.1} ns, {:.1} times ours", per_value(theirs), theirs / ours)
    });
    println!(
        "{table}: {count} rows of {} columns: {:.1} ns for each value; the library {theirs}",
        map.columns.len(),
        per_value(ours)
    );
    Ok(())
}

fn bytes_of(line: &str) -> Vec<u8> {
    let digit =
        |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    line.trim().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Behind table, flags, what else there is, the number of columns and which are given.
fn rows_of(body: &[u8], columns: usize) -> usize {
    let more = usize::from(u16::from_le_bytes([body[8], body[9]]));
    let count = if columns > 250 { 3 } else { 1 };
    body.len() - (8 + more + count + columns.div_ceil(8))
}

/// Nanoseconds for all rows, the best of some, and how many rows.
fn ours(plan: &Plan, body: &[u8]) -> Result<(f64, usize), Box<dyn Error>> {
    let mut best = f64::MAX;
    let mut count = 0;
    for _ in 0..REPEATS {
        let begin = Instant::now();
        let mut rows = Rows::new(plan, RowsEvent::parse(30, body)?)?;
        let mut images = Images::default();
        count = 0;
        let mut bytes = 0;
        while rows.next(&mut images)? {
            count += 1;
            bytes += images
                .after
                .values()
                .filter(|value| matches!(value, sink_core::flow::Value::Text(_)))
                .count();
        }
        std::hint::black_box(bytes);
        best = best.min(begin.elapsed().as_secs_f64() * 1e9);
    }
    Ok((best, count))
}

fn theirs(format: &[u8], map: &[u8], event: &[u8], body: &[u8]) -> Option<f64> {
    let size = HEADER_BYTES + body.len() + CHECKSUM_BYTES;
    let mut header = event[..HEADER_BYTES].to_vec();
    header[9..13].copy_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
    let large = [&header, body, &[0; CHECKSUM_BYTES]].concat();
    let mut reader = EventStreamReader::new(BinlogVersion::Version4);
    reader.read(format).ok()?;
    let map = reader.read(map).ok()??;
    let EventData::TableMapEvent(map) = map.read_data().ok()?? else { return None };
    let map: TableMapEvent<'static> = map.into_owned();
    let rows = reader.read(large.as_slice()).ok()??;
    let EventData::RowsEvent(rows) = rows.read_data().ok()?? else { return None };
    let mut best = f64::MAX;
    for _ in 0..REPEATS {
        let begin = Instant::now();
        for row in rows.rows(&map) {
            std::hint::black_box(row.ok()?);
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e9);
    }
    Some(best)
}
