//! What real servers logged for a script ends as the tables that they show, wherever the reading is broken off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::script::play;
use crate::Flavor;
use crate::assemble::{Assembler, Holds, Item, Scope, Stop, TableName};
use crate::binlog::{Checksum, Event, Frame};
use crate::gtid::{Gtid, GtidSet, LogPosition};

const SERVERS: [(&str, Flavor); 3] =
    [("mysql-9.7", Flavor::MySql), ("mariadb-10.11", Flavor::MariaDb), ("mariadb-11.8", Flavor::MariaDb)];

/// Everything; the table `m` of the scripts has no transactions.
#[derive(Debug, Clone, Copy)]
struct Everything;

impl Scope for Everything {
    fn has_database(&self, _database: &str) -> bool {
        true
    }

    fn has_table(&self, _table: &TableName) -> bool {
        true
    }

    fn survives_rollback(&self, table: &TableName) -> bool {
        table.table == "m"
    }
}

fn file(server: &str, name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(server);
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn frames(server: &str, script: &str) -> Vec<Frame> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    let text = file(server, &format!("{script}.events"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let event = |line: &str| -> Frame {
        let (pairs, _) = line.as_bytes().as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect();
        Frame::parse(&bytes.into(), Checksum::Crc32).unwrap()
    };
    lines.map(event).collect()
}

/// First columns of the rows of each table, as the server shows them.
fn shown(server: &str, script: &str) -> BTreeMap<String, BTreeSet<i32>> {
    let mut tables = BTreeMap::new();
    let mut current = String::new();
    for line in file(server, &format!("{script}.shown")).lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(table) = value.get("table") {
            current = table.as_str().unwrap().to_owned();
        } else {
            let id = value.get(0).and_then(|id| id.as_str()).unwrap().parse().unwrap();
            tables.entry(current.clone()).or_insert_with(BTreeSet::new).insert(id);
        }
    }
    tables
}

/// The first column of each row: an INT, with at most a short text behind it.
fn ids(columns: u8, mut rows: &[u8]) -> Vec<i32> {
    let mut ids = Vec::new();
    while let [_nulls, a, b, c, d, rest @ ..] = rows {
        ids.push(i32::from_le_bytes([*a, *b, *c, *d]));
        rows = if columns == 1 { rest } else { rest.get(1 + usize::from(*rest.first().unwrap())..).unwrap() };
    }
    ids
}

/// What a target holds: rows by their keys.
struct Target {
    flavor: Flavor,
    position: String,
    careful: Option<Gtid>,
    tables: BTreeMap<String, BTreeSet<i32>>,
}

impl Target {
    fn new(flavor: Flavor) -> Self {
        Self { flavor, position: String::new(), careful: None, tables: BTreeMap::new() }
    }

    fn apply(&mut self, rows: &crate::assemble::SentRows) {
        // Version 2 has the length of what else there is before the columns.
        let head = if rows.kind >= 30 { 10 } else { 8 };
        let columns = *rows.body.get(head).unwrap();
        let bitmaps = if matches!(rows.kind, 24 | 31) { 2 } else { 1 };
        let ids = ids(columns, rows.body.get(head + 1 + bitmaps..).unwrap());
        let table = self.tables.entry(rows.table.name.table.clone()).or_default();
        match rows.kind {
            23 | 30 => ids.iter().for_each(|id| assert!(table.insert(*id), "row {id} came twice")),
            25 | 32 => ids.iter().for_each(|id| assert!(table.remove(id), "row {id} is not there")),
            _ => ids.iter().for_each(|id| assert!(table.contains(id), "row {id} is not there")),
        }
    }

    /// Reads what a server sends to one who stands there, up to so many events. False if there is no more.
    fn connect(&mut self, log: &[(Option<Gtid>, Frame)], mut events: usize) -> bool {
        let position = LogPosition::parse(self.flavor, &self.position).unwrap();
        let resume = position.resume();
        let mut assembler = Assembler::new(position, Everything, Holds::in_memory(1 << 20));
        assembler = assembler.careful(self.careful.take());
        let mut open = Vec::new();
        for (_, frame) in
            log.iter().filter(|(gtid, _)| gtid.as_ref().is_none_or(|gtid| is_sent(gtid, &resume)))
        {
            if events == 0 {
                return true;
            }
            events -= 1;
            assembler.push(frame.clone());
            loop {
                match assembler.next_item() {
                    Ok(None) => break,
                    Ok(Some(Item::Begin { .. } | Item::Ddl(_))) => {}
                    Ok(Some(Item::Rows(rows))) => open.push(rows),
                    Ok(Some(Item::Commit { .. } | Item::Passed { .. })) => {
                        open.drain(..).for_each(|rows| self.apply(&rows));
                        self.position = assembler.position().to_string();
                    }
                    Ok(Some(other)) => panic!("{other:?}"),
                    Err(Stop::TakenBack { gtid }) => {
                        self.careful = Some(gtid);
                        return true;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        false
    }
}

fn is_sent(gtid: &Gtid, from: &GtidSet) -> bool {
    match (gtid, from) {
        (Gtid::MySql(gtid), GtidSet::MySql(set)) => !set.contains(gtid),
        (Gtid::MariaDb(gtid), GtidSet::MariaDb(position)) => {
            position.get(gtid.domain).is_none_or(|last| gtid.seq > last.seq)
        }
        _ => panic!("another product"),
    }
}

/// Events with the transaction that they belong to.
fn log(server: &str, script: &str) -> Vec<(Option<Gtid>, Frame)> {
    let mut current = None;
    let with_gtid = |frame: Frame| {
        match Event::parse(frame.clone()) {
            Ok(Event::MySqlStart(start)) => current = Some(Gtid::MySql(start.gtid)),
            Ok(Event::MariaDbStart(start)) => current = Some(Gtid::MariaDb(start.gtid)),
            Ok(Event::Format(_)) => current = None,
            _ => {}
        }
        (current.clone(), frame)
    };
    frames(server, script).into_iter().map(with_gtid).collect()
}

#[test]
fn the_end_is_what_the_server_shows_wherever_reading_was_broken_off() {
    for (server, flavor) in SERVERS {
        for script in ["transactions", "xa"] {
            let (log, shown) = (log(server, script), shown(server, script));
            for broken_off in 0..=log.len() {
                let mut target = Target::new(flavor);
                target.connect(&log, broken_off);
                let mut left = 10;
                while target.connect(&log, usize::MAX) {
                    left -= 1;
                    assert!(left > 0, "{server} {script} after {broken_off} events");
                }
                assert_eq!(target.tables, shown, "{server} {script} after {broken_off} events");
            }
        }
    }
}

/// Everything that comes of a script, and the position behind it.
fn all_of(server: &str, flavor: Flavor, script: &str) -> (Vec<Item>, LogPosition) {
    let position = LogPosition::parse(flavor, "").unwrap();
    let mut assembler = Assembler::new(position, Everything, Holds::in_memory(1 << 20));
    let mut items = Vec::new();
    for frame in frames(server, script) {
        assembler.push(frame);
        while let Some(item) =
            assembler.next_item().unwrap_or_else(|stop| panic!("{server} {script}: {stop:?}"))
        {
            items.push(item);
        }
    }
    (items, assembler.position().clone())
}

#[test]
fn every_script_is_followed_to_its_end_and_position() {
    for (server, flavor) in SERVERS {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(server);
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(script) = name.strip_suffix(".events").filter(|script| *script != "refused") else {
                continue;
            };
            let (items, position) = all_of(server, flavor, script);
            let begins = items.iter().filter(|item| matches!(item, Item::Begin { .. })).count();
            let commits = items.iter().filter(|item| matches!(item, Item::Commit { .. })).count();
            assert_eq!(begins, commits, "{server} {script}");
            assert!(begins > 0, "{server} {script} has no transaction");
            let mut named = LogPosition::from(GtidSet::empty(flavor)).applied();
            for (gtid, _) in log(server, script) {
                match (&mut named, gtid) {
                    (GtidSet::MySql(set), Some(Gtid::MySql(gtid))) => set.add(&gtid).unwrap(),
                    (GtidSet::MariaDb(position), Some(Gtid::MariaDb(gtid))) => drop(position.replace(gtid)),
                    _ => {}
                }
            }
            assert_eq!(position, LogPosition::from(named), "{server} {script}");
        }
    }
}

#[test]
fn statements_stop_at_the_first_that_is_one() {
    for (server, flavor) in SERVERS {
        let position = LogPosition::parse(flavor, "").unwrap();
        let mut assembler = Assembler::new(position, super::script::OneDatabase, Holds::in_memory(1 << 20));
        // Elsewhere they pass.
        let (_, stop) = play(&mut assembler, frames(server, "refused"));
        assert!(stop.is_none(), "{server}: {stop:?}");
        let position = LogPosition::parse(flavor, "").unwrap();
        let mut assembler = Assembler::new(position, Everything, Holds::in_memory(1 << 20));
        let mut stopped = None;
        for frame in frames(server, "refused") {
            assembler.push(frame);
            stopped = loop {
                match assembler.next_item() {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(stop) => break Some(stop),
                }
            };
            if stopped.is_some() {
                break;
            }
        }
        let Some(Stop::Statement { verb, database, table, gtid }) = stopped else {
            panic!("{server}: {stopped:?}")
        };
        assert_eq!((verb, database.as_str(), table.as_deref()), ("INSERT", "corpus", Some("t")), "{server}");
        let before = assembler.position().applied();
        assert!(is_sent(&gtid, &before), "{server}: {gtid} is in {before}");
    }
}

#[test]
fn definitions_of_every_kind_are_told() {
    for (server, flavor) in SERVERS {
        let (items, _) = all_of(server, flavor, "ddl");
        let mut verbs = BTreeSet::new();
        let mut losses = BTreeSet::new();
        for item in items {
            match item {
                Item::Ddl(ddl) => drop(verbs.insert(ddl.verb)),
                Item::Emptied { how, .. } => drop(losses.insert(format!("{how:?}"))),
                _ => {}
            }
        }
        for verb in ["CREATE TABLE", "ALTER TABLE"] {
            assert!(verbs.contains(verb), "{server}: {verbs:?}");
        }
        assert!(losses.contains("Truncate") && losses.contains("Drop"), "{server}: {losses:?}");
    }
}

#[test]
fn commit_times_are_near_what_the_header_says() {
    for (server, flavor) in SERVERS {
        for frame in frames(server, "identities") {
            let header = frame.header;
            if let Ok(Event::MySqlStart(start)) = Event::parse(frame) {
                assert_eq!(flavor, Flavor::MySql);
                assert!(start.committed_micros.abs_diff(header.micros()) < 10_000_000, "{start:?}");
            }
        }
    }
    let names = |server, flavor| all_of(server, flavor, "identities").1.to_string();
    let mysql = names("mysql-9.7", Flavor::MySql);
    assert!(mysql.starts_with("01234567-89ab-cdef-0123-456789abcdef:77-78:a_tag:5,"), "{mysql}");
    assert!(mysql.contains(":some_tag:1"), "{mysql}");
    for server in ["mariadb-10.11", "mariadb-11.8"] {
        let mariadb = names(server, Flavor::MariaDb);
        assert!(mariadb.starts_with("0-99-501,7-99-2"), "{mariadb}");
    }
}
