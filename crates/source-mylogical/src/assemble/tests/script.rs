//! Events as servers write them, and what becomes of them.

use bytes::Bytes;

use crate::Flavor;
use crate::assemble::{Assembler, Holds, Item, Scope, Stop, TableName};
use crate::binlog::{Frame, Header};
use crate::gtid::LogPosition;

pub(super) const UUID: [u8; 16] = [0xaa; 16];
pub(super) const SERVER: u32 = 1;
/// Seconds in the header of every event.
pub(super) const SECS: u32 = 1_700_000_000;

/// Everything of the database `d` but the table `other`; the table `myisam` has no transactions.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneDatabase;

impl Scope for OneDatabase {
    fn has_database(&self, database: &str) -> bool {
        database == "d"
    }

    fn has_table(&self, table: &TableName) -> bool {
        table.database == "d" && table.table != "other"
    }

    fn survives_rollback(&self, table: &TableName) -> bool {
        table.table == "myisam"
    }
}

pub(super) fn frame(kind: u8, body: Vec<u8>) -> Frame {
    let size_bytes = u32::try_from(19 + body.len()).unwrap();
    let header = Header { timestamp_secs: SECS, kind, server: SERVER, size_bytes, end_in_file: 0, flags: 0 };
    Frame { header, body: body.into() }
}

pub(super) fn format(started: u32) -> Frame {
    let mut body = 4_u16.to_le_bytes().to_vec();
    body.extend([b'9'; 50]);
    body.extend(started.to_le_bytes());
    frame(15, body)
}

pub(super) fn mysql(number: u64) -> Frame {
    let mut body = vec![1];
    body.extend(UUID);
    body.extend(number.to_le_bytes());
    body.push(2);
    body.extend([0; 16]);
    body.extend(1_000_000_u64.to_le_bytes().get(..7).unwrap());
    frame(33, body)
}

pub(super) fn mariadb(domain: u32, number: u64, flags: u8) -> Frame {
    let mut body = number.to_le_bytes().to_vec();
    body.extend(domain.to_le_bytes());
    body.push(flags);
    body.extend([0; 6]);
    frame(162, body)
}

pub(super) fn query(text: &str) -> Frame {
    query_in("d", text)
}

pub(super) fn query_in(database: &str, text: &str) -> Frame {
    frame(2, query_body(database, text.as_bytes()))
}

pub(super) fn query_body(database: &str, text: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(u8::try_from(database.len()).unwrap());
    // No error, and three bytes of variables.
    body.extend([0, 0, 3, 0, 9, 9, 9]);
    body.extend(database.as_bytes());
    body.push(0);
    body.extend(text);
    body
}

pub(super) fn map(id: u64, table: &str) -> Frame {
    let mut body = id.to_le_bytes().get(..6).unwrap().to_vec();
    body.extend([1, 0, 1, b'd', 0, u8::try_from(table.len()).unwrap()]);
    body.extend(table.as_bytes());
    body.extend([0, 1, 3, 0, 0]);
    frame(19, body)
}

pub(super) fn rows(id: u64, value: u8) -> Frame {
    frame(30, rows_body(id, value))
}

pub(super) fn rows_body(id: u64, value: u8) -> Vec<u8> {
    let mut body = id.to_le_bytes().get(..6).unwrap().to_vec();
    body.extend([1, 0, 2, 0, 1, 1, 0, value]);
    body
}

/// A table map, and a row of it.
pub(super) fn row(table: &str, value: u8) -> Vec<Frame> {
    let id = 100 + u64::try_from(table.len()).unwrap();
    vec![map(id, table), rows(id, value)]
}

pub(super) fn xid() -> Frame {
    frame(16, vec![0; 8])
}

pub(super) fn xa_prepare(name: &str, one_phase: bool) -> Frame {
    let mut body = vec![u8::from(one_phase)];
    body.extend(1_u32.to_le_bytes());
    body.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
    body.extend(0_u32.to_le_bytes());
    body.extend(name.as_bytes());
    frame(38, body)
}

/// As the server compresses a transaction.
pub(super) fn payload(frames: &[Frame]) -> Frame {
    let mut plain = Vec::new();
    for frame in frames {
        let header = frame.header;
        plain.extend(header.timestamp_secs.to_le_bytes());
        plain.push(header.kind);
        plain.extend(header.server.to_le_bytes());
        plain.extend(header.size_bytes.to_le_bytes());
        plain.extend([0; 6]);
        plain.extend(&frame.body);
    }
    frame(40, payload_body(&plain, plain.len()))
}

pub(super) fn payload_body(plain: &[u8], announced: usize) -> Vec<u8> {
    let data = ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest);
    let number = |number: usize| {
        let mut bytes = vec![253];
        bytes.extend(number.to_le_bytes().get(..3).unwrap());
        bytes
    };
    let mut body = vec![2, 1, 0, 1, 4];
    body.extend(number(data.len()));
    body.extend([3, 4]);
    body.extend(number(announced));
    body.push(0);
    body.extend(data);
    body
}

pub(super) fn at(flavor: Flavor, position: &str) -> Assembler<OneDatabase> {
    let position = LogPosition::parse(flavor, position).unwrap();
    Assembler::new(position, OneDatabase, Holds::in_memory(1 << 20))
}

/// An item in a few words.
pub(super) fn word(item: &Item) -> String {
    match item {
        Item::Begin { .. } => "begin".into(),
        Item::Rows(rows) => format!("{} {}", rows.table.name.table, rows.body.last().unwrap()),
        Item::Emptied { table, how } => format!("{how:?} {}", table.table),
        Item::DatabaseDropped { database } => format!("gone {database}"),
        Item::Commit { .. } => "commit".into(),
        Item::Passed { .. } => "passed".into(),
        Item::Ddl(ddl) => {
            let tables: Vec<_> = ddl.tables.iter().map(|table| table.table.as_str()).collect();
            format!("{} {}", ddl.verb, tables.join(" "))
        }
    }
}

/// All that comes out, up to the error if there is one.
pub(super) fn play(
    assembler: &mut Assembler<OneDatabase>,
    frames: impl IntoIterator<Item = Frame>,
) -> (Vec<String>, Option<Stop>) {
    let mut words = Vec::new();
    for frame in frames {
        assembler.push(frame);
        loop {
            match assembler.next_item() {
                Ok(Some(item)) => words.push(word(&item)),
                Ok(None) => break,
                Err(stop) => return (words, Some(stop)),
            }
        }
    }
    (words, None)
}

/// All that comes out, with the position behind it.
pub(super) fn plays(
    flavor: Flavor,
    position: &str,
    frames: impl IntoIterator<Item = Frame>,
) -> (String, String) {
    let mut assembler = at(flavor, position);
    let (words, stop) = play(&mut assembler, frames);
    assert!(stop.is_none(), "{stop:?} after {words:?}");
    (words.join(", "), assembler.position().to_string())
}

/// What the stream stops with, and that the position stayed.
pub(super) fn stops(flavor: Flavor, frames: impl IntoIterator<Item = Frame>) -> Stop {
    let mut assembler = at(flavor, "");
    let (words, stop) = play(&mut assembler, frames);
    let stop = stop.unwrap_or_else(|| panic!("went on: {words:?}"));
    assert_eq!(assembler.position().to_string(), "");
    assembler.push(xid());
    assert!(matches!(assembler.next_item(), Err(Stop::Ended)));
    stop
}

/// One after the other.
pub(super) fn all<const N: usize>(parts: [Vec<Frame>; N]) -> Vec<Frame> {
    parts.into_iter().flatten().collect()
}

pub(super) fn bytes(frame: &Frame) -> Bytes {
    frame.body.clone()
}
