//! What real servers logged, replayed, is what they show themselves (`tests/corpus`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value as Json;
use sink_core::flow::Value;

use super::{Images, RowProblem, Rows};
use crate::Flavor;
use crate::binlog::{Checksum, Frame, RowsEvent, RowsKind, TableMap};
use crate::charset::Charsets;
use crate::policy::{Policies, ZeroDates};
use crate::table::{ColumnHints, Hints, Plan, PlanProblem, Special};

const TABLE_MAP: u8 = 19;
const POLICIES: Policies = Policies {
    zero_dates: ZeroDates::Text,
    nuls: crate::policy::Nuls::Strip,
    long_times: crate::policy::LongTimes::Error,
};

type Row = Vec<Option<String>>;

/// The tables of a server as its log tells.
#[derive(Default)]
struct Replay {
    plans: BTreeMap<u64, Result<Plan, PlanProblem>>,
    tables: BTreeMap<(String, String), Vec<Row>>,
    refused: Vec<(String, Option<String>, RowProblem)>,
    kinds: BTreeMap<&'static str, usize>,
}

impl Replay {
    fn of(server: &str, script: &str) -> Option<Self> {
        let path = folder().join(server).join(format!("{script}.events"));
        let text = fs::read_to_string(path).ok()?;
        let flavor = if server.starts_with("mysql") { Flavor::MySql } else { Flavor::MariaDb };
        let shown = shown(server, script);
        let mut replay = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let bytes = Bytes::from(bytes_of(line));
            let frame = Frame::parse(&bytes, Checksum::Crc32).unwrap();
            replay.event(frame.header.kind, &frame.body, flavor, &shown);
        }
        Some(replay)
    }

    fn event(&mut self, kind: u8, body: &[u8], flavor: Flavor, shown: &[Shown]) {
        if kind == TABLE_MAP {
            let map = TableMap::parse(body, flavor).unwrap();
            let hints = hints(&map, shown);
            let plan = Plan::new(&map, &hints, &Charsets::default(), POLICIES);
            self.plans.insert(map.id.0, plan.map_err(|error| error.problem));
        } else if RowsKind::of_event(kind).is_some() {
            let event = RowsEvent::parse(kind, body).unwrap();
            let Ok(plan) = &self.plans[&event.table().0] else { return };
            let plan = plan.clone();
            if let Err(error) = self.rows(&plan, event) {
                self.refused.push((error.table, error.column, error.problem));
            }
        }
    }

    fn rows(&mut self, plan: &Plan, event: RowsEvent<'_>) -> Result<(), super::RowError> {
        let table = self.tables.entry((plan.database().to_owned(), plan.table().to_owned())).or_default();
        let mut rows = Rows::new(plan, event)?;
        let mut images = Images::default();
        while rows.next(&mut images)? {
            let [before, after] = [&images.before, &images.after].map(|image| -> Row {
                let owned = |value: Value<'_>| match value {
                    Value::Text(text) => Some(text.to_owned()),
                    Value::Null => None,
                    Value::Absent => panic!("a row that is not whole"),
                };
                image.values().map(owned).collect()
            });
            if !before.is_empty() {
                match table.iter().position(|row| *row == before) {
                    Some(at) => drop(table.remove(at)),
                    // It may be there as it was before something that was refused.
                    None => assert_ne!(self.refused, [], "{} has no row {before:?}", plan.table()),
                }
            }
            if !after.is_empty() {
                table.push(after);
            }
        }
        *self
            .kinds
            .entry(if rows.kind() == RowsKind::PartialUpdate { "partial" } else { "whole" })
            .or_default() += 1;
        Ok(())
    }
}

/// A table as the server shows it.
struct Shown {
    name: (String, String),
    columns: Vec<(String, String)>,
    rows: Vec<Row>,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

fn bytes_of(line: &str) -> Vec<u8> {
    let pairs = line.trim().as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn shown(server: &str, script: &str) -> Vec<Shown> {
    let text = fs::read_to_string(folder().join(server).join(format!("{script}.shown"))).unwrap();
    let mut tables: Vec<Shown> = Vec::new();
    let word = |json: &Json| json.as_str().unwrap().to_owned();
    for line in text.lines() {
        match serde_json::from_str::<Json>(line).unwrap() {
            Json::Array(row) => {
                let row = row.iter().map(|value| value.as_str().map(str::to_owned)).collect();
                tables.last_mut().unwrap().rows.push(row);
            }
            table => {
                let columns = table["columns"].as_array().unwrap();
                tables.push(Shown {
                    name: (word(&table["schema"]), word(&table["table"])),
                    columns: columns.iter().map(|column| (word(&column[0]), word(&column[1]))).collect(),
                    rows: Vec::new(),
                });
            }
        }
    }
    tables
}

/// What the catalogue tells.
fn hints(map: &TableMap, shown: &[Shown]) -> Hints {
    let name = (map.database.clone(), map.table.clone());
    let Some(table) = shown.iter().find(|table| table.name == name) else { return Hints::default() };
    let hint = |(column, declared): &(String, String)| {
        let special = match declared.split('(').next()? {
            "uuid" => Special::Uuid,
            "inet4" => Special::Inet4,
            "inet6" => Special::Inet6,
            "vector" if map.columns.iter().any(|column| column.log_type == 15) => Special::Vector,
            _ => return None,
        };
        Some((column.clone(), ColumnHints { special: Some(special), ..ColumnHints::default() }))
    };
    Hints { columns: table.columns.iter().filter_map(hint).collect() }
}

/// In the one form in which both sides can be compared.
fn comparable(rows: &[Row], columns: &[(String, String)]) -> Vec<String> {
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut line = String::new();
            for (value, (_, declared)) in row.iter().zip(columns) {
                let value = value.as_deref().map(|value| match declared.split([' ', '(']).next() {
                    Some("float") => value.parse::<f32>().unwrap().to_string(),
                    Some("double") => value.parse::<f64>().unwrap().to_string(),
                    Some("vector") => {
                        let floats = value.trim_matches(['[', ']']).split(',');
                        floats
                            .map(|float| float.parse::<f32>().unwrap().to_string())
                            .collect::<Vec<_>>()
                            .join(",")
                    }
                    // Digits in the other case.
                    Some("geometry" | "point" | "linestring" | "polygon") => value.to_ascii_lowercase(),
                    // Not there in ours, for it was to be left out.
                    _ if declared.starts_with("varchar") => value.replace('\0', ""),
                    // Zero moments have no zone at the server.
                    _ => value.strip_suffix("+00:00").unwrap_or(value).to_owned(),
                });
                write!(line, "{value:?} ").unwrap();
            }
            line
        })
        .collect();
    lines.sort();
    lines
}

fn check(server: &str, script: &str) -> Option<Replay> {
    let replay = Replay::of(server, script)?;
    for table in shown(server, script) {
        // MariaDB does not log what foreign keys do.
        if table.name.1 == "children" && server.starts_with("mariadb") {
            continue;
        }
        let Some(rows) = replay.tables.get(&table.name) else {
            assert_eq!(table.rows.len(), 0, "{server} {script} {:?}", table.name);
            continue;
        };
        let (ours, theirs) = (comparable(rows, &table.columns), comparable(&table.rows, &table.columns));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(
                ours == theirs,
                "{server} {script} {:?}\n ours  {ours:.2000}\n shown {theirs:.2000}",
                table.name
            );
        }
        assert_eq!(ours.len(), theirs.len(), "{server} {script} {:?}", table.name);
    }
    assert_eq!(replay.refused, [], "{server} {script}");
    Some(replay)
}

const SERVERS: [&str; 3] = ["mysql-9.7", "mariadb-10.11", "mariadb-11.8"];

#[test]
fn what_was_logged_is_what_the_servers_show() {
    let scripts = [
        "binary", "changes", "integers", "json", "labels", "names", "numbers", "rotation", "shapes",
        "temporal", "text", "vectors", "wide",
    ];
    let mut compared = Vec::new();
    for server in SERVERS {
        let replayed = scripts.into_iter().filter(|script| check(server, script).is_some());
        compared.push((server, replayed.count()));
    }
    // JSON and vectors are not everywhere.
    assert_eq!(compared, [("mysql-9.7", 13), ("mariadb-10.11", 11), ("mariadb-11.8", 12)]);
}

#[test]
fn edits_of_documents_give_the_documents() {
    let replay = check("mysql-9.7", "json_partial").unwrap();
    assert!(replay.kinds["partial"] > 5, "{:?}", replay.kinds);
}

#[test]
fn keys_are_in_their_own_order_and_prefixes_are_refused() {
    for server in SERVERS {
        let replay = check_keys(server);
        let of = |table: &str| {
            let plans = replay.plans.values().filter_map(|plan| plan.as_ref().ok());
            plans.clone().find(|plan| plan.table() == table).map(|plan| plan.key().to_vec())
        };
        assert_eq!(of("reversed"), Some(vec![1, 0]), "{server}");
        assert_eq!(of("with_text"), Some(vec![0, 1]));
        assert_eq!(of("only_unique"), Some(vec![2, 1]));
        assert_eq!(of("keyless"), Some(vec![]));
        assert_eq!(of("prefixed"), None);
        assert!(replay.plans.values().any(|plan| *plan == Err(PlanProblem::KeyPrefix)));
        let hidden =
            replay.plans.values().filter_map(|plan| plan.as_ref().ok()).find(|plan| plan.table() == "hidden");
        let visible: Vec<_> =
            hidden.unwrap().columns().iter().map(crate::table::PlannedColumn::is_visible).collect();
        // MariaDB does not tell.
        assert_eq!(visible, [true, server != "mysql-9.7", true], "{server}");
    }
}

fn check_keys(server: &str) -> Replay {
    let replay = Replay::of(server, "keys").unwrap();
    assert_eq!(replay.refused, []);
    for table in shown(server, "keys").iter().filter(|table| table.name.1 != "prefixed") {
        let rows = replay.tables.get(&table.name).map_or(&[][..], |rows| rows);
        assert_eq!(
            comparable(rows, &table.columns),
            comparable(&table.rows, &table.columns),
            "{server} {:?}",
            table.name
        );
    }
    replay
}

#[test]
fn types_that_only_mariadb_has() {
    for server in &SERVERS[1..] {
        let replay = Replay::of(server, "own_types").unwrap();
        let table = shown(server, "own_types").into_iter().find(|table| table.name.1 == "own").unwrap();
        let rows = &replay.tables[&table.name];
        assert_eq!(comparable(rows, &table.columns), comparable(&table.rows, &table.columns), "{server}");
        assert!(replay.plans.values().any(|plan| *plan == Err(PlanProblem::Compressed)));
    }
}

#[test]
fn rows_that_are_not_whole_are_refused_and_those_without_repetition_are_merged() {
    for server in SERVERS {
        let replay = Replay::of(server, "refused").unwrap();
        let not_whole = replay.refused.iter().filter(|(_, _, problem)| *problem == RowProblem::NotWhole);
        assert!(not_whole.count() >= 4, "{server} {:?}", replay.refused);
        assert!(replay.refused.iter().all(|(table, column, problem)| {
            table == "corpus.t" && column.is_some() && *problem == RowProblem::NotWhole
        }));
        let without = |plan: &&Result<Plan, PlanProblem>| matches!(plan, Err(PlanProblem::NoMetadata { .. }));
        assert!(replay.plans.values().filter(without).count() >= 1, "{server}");
        if server == "mariadb-11.8" {
            // FULL_NODUP: what did not change is only in the row before.
            let merged = [Some("1"), Some("4"), Some("x"), Some("z")].map(|value| value.map(str::to_owned));
            let rows = &replay.tables[&("corpus".to_owned(), "t".to_owned())];
            assert!(rows.contains(&merged.to_vec()), "{rows:?}");
        }
    }
}
