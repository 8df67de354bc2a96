//! The stream of a MySQL or MariaDB source, as far as transactions go.

use bytes::Bytes;
use source_mylogical::Flavor;
use source_mylogical::assemble::{Assembler, Holds, Item, Scope, TableName};
use source_mylogical::binlog::{Checksum, Frame, HEADER_BYTES, Header, Statement, query};
use source_mylogical::gtid::{GtidSet, LogPosition};

/// Memory for rows that wait.
const HOLD_BYTES: u64 = 4096;

struct Everything;

impl Scope for Everything {
    fn has_database(&self, _database: &str) -> bool {
        true
    }

    fn has_table(&self, table: &TableName) -> bool {
        table.table != "other"
    }

    fn survives_rollback(&self, table: &TableName) -> bool {
        table.table == "m"
    }
}

/// One event. What is taken for its body is part of what was sent.
pub(super) fn frame(bytes: &[u8]) {
    let all = Bytes::copy_from_slice(bytes);
    for (checksum, tail) in [(Checksum::None, 0), (Checksum::Crc32, 4)] {
        if let Ok(frame) = Frame::parse(&all, checksum) {
            assert_eq!(frame.body.len() + HEADER_BYTES + tail, bytes.len());
        }
    }
}

/// A stream of events: a byte for the product, then each event as its length in two bytes, kind, flags and body. Begin and
/// commit take turns, everything for us is between them, the position moves only behind them and is read as it is
/// written, and after an error nothing comes any more.
pub(super) fn events(bytes: &[u8]) {
    let Some((product, mut bytes)) = bytes.split_first() else { return };
    let flavor = if product & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let holds = Holds::in_memory(HOLD_BYTES);
    let start = LogPosition::from(GtidSet::empty(flavor));
    let mut assembler = Assembler::new(start, Everything, holds.clone());
    let (mut inside, mut failed) = (false, false);
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (one, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*length))));
        bytes = rest;
        let Some((&[kind, flags], body)) = one.split_first_chunk() else { continue };
        let before = assembler.position().clone();
        assembler.push(event(kind, flags, body));
        loop {
            let item = match assembler.next_item() {
                Ok(None) => break,
                Ok(Some(item)) => item,
                Err(error) => {
                    assert!(error.to_string().len() < 1000, "an error as long as a row");
                    failed = true;
                    break;
                }
            };
            assert!(!failed, "an item after an error");
            match item {
                Item::Begin { .. } => assert!(!std::mem::replace(&mut inside, true)),
                Item::Commit { .. } => assert!(std::mem::replace(&mut inside, false)),
                Item::Passed { .. } => assert!(!inside),
                Item::Rows(rows) => assert!(inside && rows.table.name.table != "other"),
                Item::Emptied { .. } | Item::DatabaseDropped { .. } => assert!(inside),
                Item::Ddl(ddl) => assert!(ddl.tables.len() <= query::MOST_NAMES + 1),
            }
        }
        if failed {
            assert_eq!(*assembler.position(), before);
        }
        assert!(holds.memory_bytes() <= HOLD_BYTES);
    }
    let stored = assembler.position().to_string();
    assert_eq!(LogPosition::parse(flavor, &stored).as_ref(), Ok(assembler.position()));
}

fn event(kind: u8, flags: u8, body: &[u8]) -> Frame {
    let size_bytes = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let header =
        Header { timestamp_secs: 1, kind, server: 1, size_bytes, end_in_file: 0, flags: u16::from(flags) };
    Frame { header, body: Bytes::copy_from_slice(body) }
}

/// A statement's text. Only so many names are taken from it.
pub(super) fn statement(bytes: &[u8]) {
    match Statement::parse(bytes) {
        Statement::Change { names, .. } => assert!(names.len() <= query::MOST_NAMES),
        // The last of them may be a pair.
        Statement::Definition(definition) => assert!(definition.tables.len() <= query::MOST_NAMES + 1),
        statement => assert_eq!(statement, Statement::parse(bytes)),
    }
}

/// A position. It is read back as it is written, and stands where it stands.
pub(super) fn gtid(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        if let Ok(position) = LogPosition::parse(flavor, text) {
            assert_eq!(LogPosition::parse(flavor, &position.to_string()).as_ref(), Ok(&position));
            let set = position.applied();
            assert_eq!(GtidSet::parse(flavor, &set.to_string()).as_ref(), Ok(&set));
            assert!(set.has_passed(&set));
        }
    }
}
