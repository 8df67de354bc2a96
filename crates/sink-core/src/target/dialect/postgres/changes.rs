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
//! even if that is removed or overwritten here. Immediate foreign keys are checked at the end. Tables whose changes come
//! as steps are written by `steps`.

use std::collections::{BTreeMap, HashSet};

use super::super::positions::{self, ADVANCE_PARAMS, IN_EPOCH_PARAMS};
use super::super::{Dialect as _, StagingArea, quote};
pub use super::array::Array;
use super::slice::stand_ins;
use super::steps::Counts;
use super::{Postgres, logged};
use crate::flow::change::{keeps_extras, kept_extras};
use crate::flow::{Origin, Outcome, Row, TableNet, Value};
use crate::model::TableSchema;

/// A statement with its parameters after those of [`positions::advance`]: each an array of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeStatement<'a> {
    /// The text. Answers one row: whether the position moved (0 or 1), and for each table the number of rows that should
    /// have been there and were not; if any table has steps, then for each the number of versions that others beat, and of
    /// those that were late.
    pub sql: String,
    /// What to bind.
    pub arrays: Vec<Array<'a>>,
}

/// What a statement begins with, and how it takes rows that the source calls new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// It moves the position itself.
    pub fence: bool,
    /// New rows are inserted, which is a third of the work; one that is there already is an error (`23505`). Otherwise
    /// they take the place of what is there.
    pub plain: bool,
}

/// How rows are written. The columns given are those besides the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// There is none.
    Delete,
    /// Inserted: columns that are not given get their defaults.
    Insert(Vec<usize>),
    /// Written whole, whether there or not: columns that are not given get their defaults.
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

/// Writes the statement. Without a fence the position has been moved earlier in the transaction, and there are no
/// parameters before the arrays.
#[must_use]
pub fn statement<'a>(area: &StagingArea, nets: &'a [TableNet], form: Form) -> ChangeStatement<'a> {
    let mut builder = if form.fence {
        Builder::new(&positions::advance(area), ADVANCE_PARAMS)
    } else {
        Builder::new("SELECT 1", 0)
    };
    builder.plain = form.plain;
    let counts: Vec<Counts> = nets.iter().map(|net| builder.table(net)).collect();
    builder.finish(&counts)
}

/// As [`statement`], without moving the position: it writes if the caller's epoch is the newest. Its parameters follow
/// those of [`positions::in_epoch`].
#[must_use]
pub fn statement_in_epoch<'a>(area: &StagingArea, nets: &'a [TableNet]) -> ChangeStatement<'a> {
    let mut builder = Builder::new(&positions::in_epoch(area), IN_EPOCH_PARAMS);
    let counts: Vec<Counts> = nets.iter().map(|net| builder.table(net)).collect();
    builder.finish(&counts)
}

/// The statement that makes rows give up the unique values that the batch gives to others, to run between the fence and
/// [`statement`] in one transaction. `None` if no table has such values, or none can be given up.
#[must_use]
pub fn clear(nets: &[TableNet]) -> Option<ChangeStatement<'_>> {
    let mut builder = Builder::new("SELECT 1", 0);
    let may_move =
        |net: &&TableNet| !net.table.unique_keys.is_empty() && !net.emptied && net.steps.is_empty();
    for net in nets.iter().filter(may_move) {
        builder.clear(net);
    }
    (builder.groups > 0).then(|| builder.finish(&[]))
}

pub(super) struct Builder<'a> {
    pub(super) ctes: Vec<String>,
    arrays: Vec<Array<'a>>,
    pub(super) groups: usize,
    /// Parameters before the arrays.
    before: usize,
    /// New rows are inserted.
    plain: bool,
}

impl<'a> Builder<'a> {
    fn new(fence: &str, before: usize) -> Self {
        Self {
            ctes: vec![format!("fence AS ({fence})")],
            arrays: Vec::new(),
            groups: 0,
            before,
            plain: false,
        }
    }

    fn finish(self, counts: &[Counts]) -> ChangeStatement<'a> {
        let each = |name: &str, count: &dyn Fn(&Counts) -> &str| {
            let all = counts.iter().map(count).collect::<Vec<_>>().join(", ");
            let all = if all.is_empty() { "'{}'".into() } else { format!("ARRAY[{all}]") };
            format!(", {all}::int8[] AS {name}")
        };
        let mut answers = each("missing", &|counts| &counts.missing);
        if counts.iter().any(|counts| counts.discarded.is_some()) {
            let discarded =
                |counts: &'_ Counts| counts.discarded.clone().unwrap_or_else(|| ["0".into(), "0".into()]);
            for (number, name) in ["beaten", "late"].into_iter().enumerate() {
                let all: Vec<String> =
                    counts.iter().map(|counts| discarded(counts)[number].clone()).collect();
                answers.push_str(&format!(", ARRAY[{}]::int8[] AS {name}", all.join(", ")));
            }
        }
        let sql =
            format!("WITH {}\nSELECT (SELECT count(*) FROM fence) AS fence{answers}", self.ctes.join(",\n"));
        ChangeStatement { sql, arrays: self.arrays }
    }

    /// The parameter for an array of texts.
    pub(super) fn array(&mut self, values: Vec<Option<&'a str>>) -> String {
        self.param(Array::Values(values))
    }

    /// The parameter for texts of our own.
    pub(super) fn labels(&mut self, labels: impl Iterator<Item = Option<String>>) -> String {
        self.param(Array::Labels(labels.collect()))
    }

    fn param(&mut self, array: Array<'a>) -> String {
        let sql_type = array.sql_type();
        self.arrays.push(array);
        format!("${}::{sql_type}", self.before + self.arrays.len())
    }

    fn table(&mut self, net: &'a TableNet) -> Counts {
        if !net.steps.is_empty() {
            return self.ordered(net);
        }
        if net.is_keyless() {
            return self.keyless(net);
        }
        let (mut live, mut gone) = (Vec::new(), None);
        // Rows that are looked at once need not be kept.
        let spares = net.emptied || !net.table.key_text_equality();
        for (way, members) in grouped(net, self.plain) {
            let once = !spares && matches!(way, Way::Delete | Way::Insert(_) | Way::Write(_));
            let number = self.rows(&net.table, &way, &members, once);
            match way {
                Way::Delete => gone = Some(number),
                Way::Insert(_) | Way::Write(_) | Way::Update(_) | Way::Move(_) => live.push((number, way)),
            }
        }
        let numbers: Vec<usize> = live.iter().map(|(number, _)| *number).collect();
        let removed = self.removals(net, &numbers, gone);
        // Reading what was removed has it removed first, so that its unique values are free.
        let after = removed.map(|number| format!(" CROSS JOIN (SELECT count(*) FROM w{number}) AS freed"));
        let after = after.unwrap_or_default();
        let mut missing = vec!["0".to_owned()];
        for (number, way) in live {
            let (sql, counted) = match &way {
                Way::Delete => continue,
                Way::Insert(given) => (write(&net.table, number, given, &after, true), false),
                Way::Write(given) => (write(&net.table, number, given, &after, false), false),
                Way::Update(given) => (update(&net.table, number, given, &after), true),
                Way::Move(given) => (move_rows(&net.table, number, given, &after), true),
            };
            let returning = if counted { " RETURNING 1" } else { "" };
            self.ctes.push(format!("w{number} AS ({sql}{returning})"));
            if counted {
                missing.push(format!("(SELECT count(*) FROM g{number}) - (SELECT count(*) FROM w{number})"));
            }
        }
        Counts { missing: missing.join(" + "), discarded: None }
    }

    /// Frees unique values of rows that are given others. What a row keeps, or another row takes over from it, stays.
    fn clear(&mut self, net: &'a TableNet) {
        let (table, target) = (&net.table, Postgres.table(&net.table.id));
        let stand_ins = stand_ins(table);
        let groups = grouped(net, false);
        let sources: HashSet<&Row> = groups.values().flatten().filter_map(|member| member.from).collect();
        for (way, mut members) in groups {
            members.retain(|member| !sources.contains(member.key));
            let whole = matches!(&way, Way::Write(given) if others(table).eq(given.iter().copied()));
            let free = |at: &usize| matches!(way, Way::Write(_)) || way.given().contains(at);
            let sets = stand_ins.iter().flatten().filter(|stand_in| free(&stand_in.column));
            let sets: BTreeMap<usize, &str> = sets.map(|found| (found.column, found.value)).collect();
            let sets = sets.iter().map(|(at, value)| format!("{} = {value}", name_of(table, *at)));
            let sets: Vec<String> = sets.collect();
            let same = same_key(table, "t", "k");
            let sql = |number: usize| match &stand_ins {
                Some(_) if !sets.is_empty() => {
                    Some(format!("UPDATE {target} t SET {} FROM g{number} v WHERE {same}", sets.join(", ")))
                }
                // It is written again, as a whole.
                None if whole && !table.delete_has_effects => {
                    Some(format!("DELETE FROM {target} t USING g{number} v WHERE {same}"))
                }
                Some(_) | None => None,
            };
            if let Some(sql) = sql(self.groups).filter(|_| !members.is_empty()) {
                let number = self.rows(table, &Way::Delete, &members, true);
                self.ctes.push(format!("w{number} AS ({sql})"));
            }
        }
    }

    /// `g<n>`: the rows of a group, as values of their types: `k<i>` of the key, `b<i>` of the key they come from, `c<i>`
    /// of the other columns.
    fn rows(&mut self, table: &TableSchema, way: &Way, members: &[Member<'a>], once: bool) -> usize {
        let number = self.groups;
        self.groups += 1;
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
        let constant = |at: &usize| table.rule(*at).is_some_and(|rule| rule.constant().is_some());
        for at in way.given().iter().filter(|at| !constant(at)) {
            let values = members.iter().map(|member| member.row.and_then(|row| text(row, *at)));
            wanted.push((format!("c{at}"), *at, values.collect()));
        }
        let (mut names, mut casts, mut params) = (Vec::new(), Vec::new(), Vec::new());
        for (name, at, values) in wanted {
            params.push(self.param(Array::of(table, at, values)));
            casts.push(format!("{} AS {name}", logged::value(table, at, &format!("u.{name}"))));
            names.push(name);
        }
        for at in way.given().iter().filter(|at| constant(at)) {
            casts.push(format!("{} AS c{at}", logged::value(table, *at, "")));
        }
        if way.keeps(table) {
            let kept = members.iter().map(|member| member.row.and_then(|row| kept_extras(table, row)));
            params.push(self.array(kept.collect()));
            casts.push("u.x::jsonb AS x".into());
            names.push("x".into());
        }
        // Sets in a select list are stepped through together; in FROM each would be stored first.
        let sets = params.iter().zip(&names).map(|(param, name)| format!("unnest({param}) AS {name}"));
        let sets: Vec<String> = sets.collect();
        let kept = if once { "" } else { "MATERIALIZED " };
        self.ctes.push(format!(
            "g{number} AS {kept}(SELECT {} FROM (SELECT {} FROM fence) u)",
            casts.join(", "),
            sets.join(", ")
        ));
        number
    }

    /// Removes the rows of a table that are gone, and answers by which CTE, if there may be any.
    fn removals(&mut self, net: &TableNet, live: &[usize], gone: Option<usize>) -> Option<usize> {
        let (table, target) = (&net.table, Postgres.table(&net.table.id));
        let parts = || 0..table.primary_key.len();
        let all = |of: &dyn Fn(usize) -> String| parts().map(of).collect::<Vec<_>>().join(" AND ");
        let name = |part: usize| name_of(table, table.primary_key[part]);
        let spared = |same: &dyn Fn(usize) -> String| -> String {
            let each = live.iter();
            each.map(|l| format!(" AND NOT EXISTS (SELECT 1 FROM g{l} l WHERE {})", all(same))).collect()
        };
        if net.emptied {
            let spared = spared(&|part| format!("l.k{part} = t.{}", name(part)));
            let number = self.groups;
            self.groups += 1;
            let sql = format!("DELETE FROM {target} t USING fence WHERE true{spared} RETURNING 1");
            self.ctes.push(format!("w{number} AS ({sql})"));
            return Some(number);
        }
        let number = gone?;
        // Keys that are equal without being the same text: one of them may be gone, and the other there. Removing the
        // row only to write it again would take along rows of other tables that refer to it.
        let spared = if table.key_text_equality() {
            String::new()
        } else {
            spared(&|part| format!("l.k{part} = v.k{part}"))
        };
        let same = same_key(table, "t", "k");
        let sql = format!("DELETE FROM {target} t USING g{number} v WHERE {same}{spared} RETURNING 1");
        self.ctes.push(format!("w{number} AS ({sql})"));
        Some(number)
    }
}

impl Way {
    fn given(&self) -> &[usize] {
        match self {
            Self::Delete => &[],
            Self::Insert(given) | Self::Write(given) | Self::Update(given) | Self::Move(given) => given,
        }
    }

    /// Whether rows may keep some of what their extras column has.
    fn keeps(&self, table: &TableSchema) -> bool {
        match self {
            Self::Delete | Self::Insert(_) | Self::Write(_) => false,
            Self::Update(_) | Self::Move(_) => table.rules().is_some_and(|rules| rules.extras.is_some()),
        }
    }
}

/// The rows of a table by the way they are written, in the order of their keys.
fn grouped(net: &TableNet, plain: bool) -> BTreeMap<Way, Vec<Member<'_>>> {
    let mut groups: BTreeMap<Way, Vec<Member<'_>>> = BTreeMap::new();
    let others: Vec<usize> = others(&net.table).collect();
    for (key, outcome) in &net.rows {
        let (way, from, row) = match outcome {
            // The whole table is emptied anyway.
            Outcome::Gone if net.emptied => continue,
            Outcome::Gone => (Way::Delete, None, None),
            Outcome::Live(origin, row) => {
                let given = |at: &usize| row.value(*at) != Value::Absent || net.table.writes_always(*at);
                let given: Vec<usize> = others.iter().copied().filter(given).collect();
                let whole = given == others && !keeps_extras(&net.table, row);
                match origin {
                    // Numbers that the target gives itself cannot be changed.
                    Origin::Kept if given.iter().all(|at| net.table.columns[*at].identity_always) => continue,
                    Origin::Kept | Origin::Moved(_) if whole => (Way::Write(given), None, Some(row)),
                    Origin::Fresh if plain => (Way::Insert(given), None, Some(row)),
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
pub(super) fn others(table: &TableSchema) -> impl Iterator<Item = usize> {
    table.writable().map(|(at, _)| at).filter(|at| !table.primary_key.contains(at))
}

pub(super) fn text(row: &Row, at: usize) -> Option<&str> {
    match row.value(at) {
        Value::Text(text) => Some(text),
        Value::Null | Value::Absent => None,
    }
}

fn write(table: &TableSchema, number: usize, given: &[usize], after: &str, plain: bool) -> String {
    let values = given.iter().map(|at| (*at, format!("v.c{at}"))).collect();
    let defaults: Vec<usize> = others(table).filter(|at| !given.contains(at)).collect();
    insert(table, &format!("g{number} v{after}"), values, (!plain).then_some(defaults))
}

fn move_rows(table: &TableSchema, number: usize, given: &[usize], after: &str) -> String {
    let value = |at: usize| {
        if given.contains(&at) {
            logged::over(table, at, "o")
        } else {
            format!("o.{}", quote(table.columns[at].name.as_str()))
        }
    };
    let values = others(table).map(|at| (at, value(at))).collect();
    let target = Postgres.table(&table.id);
    let same = same_key(table, "o", "b");
    insert(table, &format!("g{number} v JOIN {target} o ON {same}{after}"), values, Some(Vec::new()))
}

/// Without `defaults`, the columns that are to get theirs if the row is there already, it must not be there.
fn insert(
    table: &TableSchema,
    from: &str,
    values: Vec<(usize, String)>,
    defaults: Option<Vec<usize>>,
) -> String {
    let name = |at: usize| name_of(table, at);
    let settable = |at: &usize| !table.columns[*at].identity_always;
    let key = table.primary_key.iter().enumerate().map(|(part, at)| (*at, format!("v.k{part}")));
    let written: Vec<(usize, String)> = key.chain(values).collect();
    let names: Vec<String> = written.iter().map(|(at, _)| name(*at)).collect();
    let overriding =
        if table.columns.iter().any(|c| c.identity_always) { " OVERRIDING SYSTEM VALUE" } else { "" };
    let conflict = defaults.map(|defaults| {
        // An equal key need not be the same text, and the new one counts.
        let keeps_key = table.key_text_equality();
        let sets =
            written.iter().map(|(at, _)| *at).filter(|at| !keeps_key || !table.primary_key.contains(at));
        let sets = sets.filter(settable).map(|at| format!("{0} = excluded.{0}", name(at)));
        let defaults = defaults.into_iter().filter(settable).map(|at| format!("{} = DEFAULT", name(at)));
        let sets: Vec<String> = sets.chain(defaults).collect();
        let action =
            if sets.is_empty() { "DO NOTHING".into() } else { format!("DO UPDATE SET {}", sets.join(", ")) };
        format!(" ON CONFLICT ({}) {action}", names[..table.primary_key.len()].join(", "))
    });
    format!(
        "INSERT INTO {} ({}){overriding} SELECT {} FROM {from}{}",
        Postgres.table(&table.id),
        names.join(", "),
        written.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "),
        conflict.unwrap_or_default(),
    )
}

fn update(table: &TableSchema, number: usize, given: &[usize], after: &str) -> String {
    let sets = given.iter().filter(|at| !table.columns[**at].identity_always);
    let sets: Vec<String> =
        sets.map(|at| format!("{} = {}", name_of(table, *at), logged::over(table, *at, "t"))).collect();
    let same = same_key(table, "t", "k");
    format!(
        "UPDATE {} t SET {} FROM g{number} v{after} WHERE {same}",
        Postgres.table(&table.id),
        sets.join(", ")
    )
}

pub(super) fn name_of(table: &TableSchema, at: usize) -> String {
    quote(table.columns[at].name.as_str())
}

fn same_key(table: &TableSchema, row: &str, part_of: &str) -> String {
    let parts = table.key_columns().enumerate();
    let each =
        parts.map(|(part, column)| format!("{row}.{} = v.{part_of}{part}", quote(column.name.as_str())));
    each.collect::<Vec<_>>().join(" AND ")
}
