//! The statement that writes what many transactions of a log amount to, and moves the position of the feed.
//!
//! ```text
//! WITH fence AS (UPDATE positions … RETURNING …)      the step; no row means that somebody else took it
//!    , g0 AS (SELECT … FROM fence, unnest(…))         rows that are written alike, read through the fence
//!    , w0 AS (INSERT … | UPDATE … | DELETE …)         one for each of them
//! SELECT counts
//! ```
//!
//! One statement sees one snapshot, so a row that changes its key finds the values it keeps in the row of its old key,
//! even if that is removed or overwritten here. Immediate foreign keys are checked at the end.

use std::collections::BTreeMap;

use super::super::positions::{self, ADVANCE_PARAMS};
use super::super::{Dialect as _, StagingArea, quote};
use super::{Postgres, value};
use crate::flow::{Origin, Outcome, Row, TableNet, Value};
use crate::model::TableSchema;

/// A statement with its parameters after those of [`positions::advance`]: each an array of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStatement<'a> {
    /// The text. Answers one row: whether the position moved (0 or 1), and for each table the number of rows that should
    /// have been there and were not.
    pub sql: String,
    /// What to bind.
    pub arrays: Vec<Vec<Option<&'a str>>>,
}

/// How rows are written. The columns given are those besides the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// There is none.
    Delete,
    /// Written whole: columns that are not given get their defaults.
    Write(Vec<usize>),
    /// Changed: other columns stay.
    Update(Vec<usize>),
    /// Written with what the row of another key has in the other columns.
    Move(Vec<usize>),
}

struct Member<'a> {
    key: &'a Row,
    from: Option<&'a Row>,
    row: Option<&'a Row>,
}

/// Writes the statement.
#[must_use]
pub fn statement<'a>(area: &StagingArea, nets: &'a [TableNet]) -> ChangeStatement<'a> {
    let mut builder = Builder {
        ctes: vec![format!("fence AS ({})", positions::advance(area))],
        arrays: Vec::new(),
        groups: 0,
    };
    let missing: Vec<String> = nets.iter().map(|net| builder.table(net)).collect();
    let missing = if missing.is_empty() { "'{}'".into() } else { format!("ARRAY[{}]", missing.join(", ")) };
    let sql = format!(
        "WITH {}\nSELECT (SELECT count(*) FROM fence) AS fence, {missing}::int8[] AS missing",
        builder.ctes.join(",\n")
    );
    ChangeStatement { sql, arrays: builder.arrays }
}

struct Builder<'a> {
    ctes: Vec<String>,
    arrays: Vec<Vec<Option<&'a str>>>,
    groups: usize,
}

impl<'a> Builder<'a> {
    /// Answers the expression of how many rows were missing.
    fn table(&mut self, net: &'a TableNet) -> String {
        let mut missing = vec!["0".to_owned()];
        let (mut live, mut gone) = (Vec::new(), None);
        for (way, members) in grouped(net) {
            let number = self.groups;
            self.groups += 1;
            self.rows(number, &net.table, &way, &members);
            let sql = match &way {
                Way::Delete => {
                    gone = Some(number);
                    continue;
                }
                Way::Write(given) => write(&net.table, number, given),
                Way::Update(given) => update(&net.table, number, given),
                Way::Move(given) => move_rows(&net.table, number, given),
            };
            live.push(number);
            if matches!(way, Way::Update(_) | Way::Move(_)) {
                missing.push(format!("(SELECT count(*) FROM g{number}) - (SELECT count(*) FROM w{number})"));
                self.ctes.push(format!("w{number} AS ({sql} RETURNING 1)"));
            } else {
                self.ctes.push(format!("w{number} AS ({sql})"));
            }
        }
        self.removals(net, &live, gone);
        missing.join(" + ")
    }

    /// `g<n>`: the rows of a group, as values of their types: `k<i>` of the key, `b<i>` of the key they come from, `c<i>`
    /// of the other columns.
    fn rows(&mut self, number: usize, table: &TableSchema, way: &Way, members: &[Member<'a>]) {
        let mut wanted: Vec<(String, usize, Vec<Option<&'a str>>)> = Vec::new();
        for (part, at) in table.primary_key.iter().enumerate() {
            let values = members.iter().map(|member| text(member.key, part));
            wanted.push((format!("k{part}"), *at, values.collect()));
        }
        if matches!(way, Way::Move(_)) {
            for (part, at) in table.primary_key.iter().enumerate() {
                let values = members.iter().map(|member| member.from.and_then(|from| text(from, part)));
                wanted.push((format!("b{part}"), *at, values.collect()));
            }
        }
        for at in way.given() {
            let values = members.iter().map(|member| member.row.and_then(|row| text(row, *at)));
            wanted.push((format!("c{at}"), *at, values.collect()));
        }
        let (mut names, mut casts, mut params) = (Vec::new(), Vec::new(), Vec::new());
        for (name, at, values) in wanted {
            self.arrays.push(values);
            params.push(format!("${}::text[]", ADVANCE_PARAMS + self.arrays.len()));
            casts.push(format!("u.{name}::{} AS {name}", loose(&table.columns[at].sql_type)));
            names.push(name);
        }
        self.ctes.push(format!(
            "g{number} AS MATERIALIZED (SELECT {} FROM fence, unnest({}) AS u({}))",
            casts.join(", "),
            params.join(", "),
            names.join(", ")
        ));
    }

    /// Removes the rows of a table that are gone.
    fn removals(&mut self, net: &TableNet, live: &[usize], gone: Option<usize>) {
        let (table, target) = (&net.table, Postgres.table(&net.table.id));
        let parts = || 0..table.primary_key.len();
        let all = |of: &dyn Fn(usize) -> String| parts().map(of).collect::<Vec<_>>().join(" AND ");
        let name = |part: usize| quote(table.columns[table.primary_key[part]].name.as_str());
        let spared = |same: &dyn Fn(usize) -> String| -> String {
            let each = live.iter();
            each.map(|l| format!(" AND NOT EXISTS (SELECT 1 FROM g{l} l WHERE {})", all(same))).collect()
        };
        if net.emptied {
            let spared = spared(&|part| format!("l.k{part} = t.{}", name(part)));
            let number = self.groups;
            self.groups += 1;
            self.ctes.push(format!("w{number} AS (DELETE FROM {target} t USING fence WHERE true{spared})"));
        } else if let Some(number) = gone {
            // Keys that are equal without being the same text: one of them may be gone, and the other there.
            let spared = if table.key_text_equality() {
                String::new()
            } else {
                spared(&|part| format!("l.k{part} = v.k{part}"))
            };
            let same = all(&|part| format!("t.{} = v.k{part}", name(part)));
            self.ctes.push(format!(
                "w{number} AS (DELETE FROM {target} t USING g{number} v WHERE {same}{spared})"
            ));
        }
    }
}

impl Way {
    fn given(&self) -> &[usize] {
        match self {
            Self::Delete => &[],
            Self::Write(given) | Self::Update(given) | Self::Move(given) => given,
        }
    }
}

/// The rows of a table by the way they are written, in the order of their keys.
fn grouped(net: &TableNet) -> BTreeMap<Way, Vec<Member<'_>>> {
    let mut groups: BTreeMap<Way, Vec<Member<'_>>> = BTreeMap::new();
    let others: Vec<usize> = others(&net.table).collect();
    for (key, outcome) in &net.rows {
        let (way, from, row) = match outcome {
            // The whole table is emptied anyway.
            Outcome::Gone if net.emptied => continue,
            Outcome::Gone => (Way::Delete, None, None),
            Outcome::Live(origin, row) => {
                let given = others.iter().copied().filter(|at| row.value(*at) != Value::Absent);
                let given: Vec<usize> = given.collect();
                match origin {
                    // Numbers that the target gives itself cannot be changed.
                    Origin::Kept if given.iter().all(|at| net.table.columns[*at].identity_always) => continue,
                    Origin::Kept | Origin::Moved(_) if given == others => {
                        (Way::Write(given), None, Some(row))
                    }
                    Origin::Fresh => (Way::Write(given), None, Some(row)),
                    Origin::Kept => (Way::Update(given), None, Some(row)),
                    Origin::Moved(from) => (Way::Move(given), Some(from), Some(row)),
                }
            }
        };
        groups.entry(way).or_default().push(Member { key, from, row });
    }
    groups
}

/// The columns that are written, besides the key.
fn others(table: &TableSchema) -> impl Iterator<Item = usize> {
    table.writable().map(|(at, _)| at).filter(|at| !table.primary_key.contains(at))
}

fn text(row: &Row, at: usize) -> Option<&str> {
    match row.value(at) {
        Value::Text(text) => Some(text),
        Value::Null | Value::Absent => None,
    }
}

/// The type to cast to: without lengths, which would cut what is too long. The assignment refuses that.
fn loose(sql_type: &str) -> String {
    match sql_type.strip_suffix("[]") {
        Some(element) => format!("{}[]", value::cast_type(element)),
        None => value::cast_type(sql_type).to_owned(),
    }
}

fn write(table: &TableSchema, number: usize, given: &[usize]) -> String {
    let values = given.iter().map(|at| (*at, format!("v.c{at}"))).collect();
    let defaults = others(table).filter(|at| !given.contains(at)).collect();
    insert(table, &format!("g{number} v"), values, defaults)
}

fn move_rows(table: &TableSchema, number: usize, given: &[usize]) -> String {
    let value = |at: usize| {
        if given.contains(&at) {
            format!("v.c{at}")
        } else {
            format!("o.{}", quote(table.columns[at].name.as_str()))
        }
    };
    let values = others(table).map(|at| (at, value(at))).collect();
    let target = Postgres.table(&table.id);
    let same = same_key(table, "o", "b");
    insert(table, &format!("g{number} v JOIN {target} o ON {same}"), values, Vec::new())
}

fn insert(table: &TableSchema, from: &str, values: Vec<(usize, String)>, defaults: Vec<usize>) -> String {
    let name = |at: usize| quote(table.columns[at].name.as_str());
    let settable = |at: &usize| !table.columns[*at].identity_always;
    let key = table.primary_key.iter().enumerate().map(|(part, at)| (*at, format!("v.k{part}")));
    let written: Vec<(usize, String)> = key.chain(values).collect();
    // An equal key need not be the same text, and the new one counts.
    let keeps_key = table.key_text_equality();
    let sets = written.iter().map(|(at, _)| *at).filter(|at| !keeps_key || !table.primary_key.contains(at));
    let sets = sets.filter(settable).map(|at| format!("{0} = excluded.{0}", name(at)));
    let defaults = defaults.into_iter().filter(settable).map(|at| format!("{} = DEFAULT", name(at)));
    let sets: Vec<String> = sets.chain(defaults).collect();
    let action =
        if sets.is_empty() { "DO NOTHING".into() } else { format!("DO UPDATE SET {}", sets.join(", ")) };
    let names: Vec<String> = written.iter().map(|(at, _)| name(*at)).collect();
    let overriding =
        if table.columns.iter().any(|c| c.identity_always) { " OVERRIDING SYSTEM VALUE" } else { "" };
    format!(
        "INSERT INTO {} ({}){overriding} SELECT {} FROM {from} ON CONFLICT ({}) {action}",
        Postgres.table(&table.id),
        names.join(", "),
        written.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "),
        names[..table.primary_key.len()].join(", "),
    )
}

fn update(table: &TableSchema, number: usize, given: &[usize]) -> String {
    let sets = given.iter().filter(|at| !table.columns[**at].identity_always);
    let sets: Vec<String> =
        sets.map(|at| format!("{} = v.c{at}", quote(table.columns[*at].name.as_str()))).collect();
    let same = same_key(table, "t", "k");
    format!("UPDATE {} t SET {} FROM g{number} v WHERE {same}", Postgres.table(&table.id), sets.join(", "))
}

fn same_key(table: &TableSchema, row: &str, part_of: &str) -> String {
    let parts = table.key_columns().enumerate();
    let each =
        parts.map(|(part, column)| format!("{row}.{} = v.{part_of}{part}", quote(column.name.as_str())));
    each.collect::<Vec<_>>().join(" AND ")
}
