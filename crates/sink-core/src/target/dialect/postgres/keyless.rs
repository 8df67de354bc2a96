//! Rows of tables without a key: so many of each are added or removed, one parameter for each of the many.
//!
//! Rows are compared by the text of all their values: two rows are the same if they are written the same. That holds for
//! types without equality (json, xml, point), tells apart what is equal but not the same (1.0 and 1.00), takes NULLs as
//! equal, and is one value that can be hashed, so that one scan of the table finds all rows that are to be removed.

use std::collections::BTreeMap;

use super::super::{Dialect as _, quote};
use super::changes::Builder;
use super::steps::Counts;
use super::{Postgres, value};
use crate::flow::{Row, TableNet, Value};
use crate::model::TableSchema;

impl<'a> Builder<'a> {
    /// Writes the tally of a table.
    pub(super) fn keyless(&mut self, net: &'a TableNet) -> Counts {
        let table = Whole { table: &net.table };
        let (mut gone, mut missing) = (Vec::new(), vec!["0".to_owned()]);
        if net.emptied {
            let target = Postgres.table(&net.table.id);
            gone.push(self.write(&format!("DELETE FROM {target} t USING fence RETURNING 1")));
        }
        let groups = grouped(net);
        for ((_, given), rows) in groups.iter().filter(|((adds, _), _)| !adds) {
            let group = self.whole_rows(&net.table, given, rows);
            let removed = self.write(&table.removal(group, given));
            missing.push(format!("(SELECT count(*) FROM g{group}) - (SELECT count(*) FROM w{removed})"));
            gone.push(removed);
        }
        // Reading what was removed has it removed first, so that its unique values are free.
        let freed = |number: &usize| format!(" CROSS JOIN (SELECT count(*) FROM w{number}) AS freed{number}");
        let freed: String = gone.iter().map(freed).collect();
        for ((_, given), rows) in groups.iter().filter(|((adds, _), _)| *adds) {
            let group = self.whole_rows(&net.table, given, rows);
            self.write(&table.addition(group, given, &freed));
        }
        Counts { missing: missing.join(" + "), discarded: None }
    }

    fn write(&mut self, sql: &str) -> usize {
        let number = self.groups;
        self.groups += 1;
        self.ctes.push(format!("w{number} AS ({sql})"));
        number
    }

    /// `g<n>`: rows as values of their types, `c<i>`.
    fn whole_rows(&mut self, table: &TableSchema, given: &[usize], rows: &[&'a Row]) -> usize {
        let number = self.groups;
        self.groups += 1;
        let (mut names, mut casts, mut params) = (Vec::new(), Vec::new(), Vec::new());
        for at in given {
            let values = rows.iter().map(|row| match row.value(*at) {
                Value::Text(text) => Some(text),
                Value::Null | Value::Absent => None,
            });
            params.push(self.array(values.collect()));
            casts.push(format!("u.c{at}::{} AS c{at}", value::cast_type(&table.columns[*at].sql_type)));
            names.push(format!("c{at}"));
        }
        self.ctes.push(format!(
            "g{number} AS MATERIALIZED (SELECT {} FROM fence, unnest({}) AS u({}))",
            casts.join(", "),
            params.join(", "),
            names.join(", ")
        ));
        number
    }
}

/// Statements about whole rows of a table.
struct Whole<'a> {
    table: &'a TableSchema,
}

impl Whole<'_> {
    fn name(&self, at: usize) -> String {
        quote(self.table.columns[at].name.as_str())
    }

    /// So many of each, wherever they are. The condition is in a form that is hashed and not made a join.
    fn removal(&self, group: usize, given: &[usize]) -> String {
        let target = Postgres.table(&self.table.id);
        let whole = |of: &dyn Fn(usize) -> String| {
            let values: Vec<String> = given.iter().map(|at| of(*at)).collect();
            format!("ROW({})::text COLLATE \"C\"", values.join(", "))
        };
        let theirs = whole(&|at| format!("t.{}", self.name(at)));
        // As it would be stored: with the length of the column.
        let wanted = whole(&|at| format!("v.c{at}::{}", self.table.columns[at].sql_type));
        format!(
            "DELETE FROM {target} t USING (SELECT x.part, x.place FROM (SELECT u.part, u.place, \
             row_number() OVER (PARTITION BY u.whole ORDER BY u.place) AS at, \
             count(*) FILTER (WHERE u.place IS NULL) OVER (PARTITION BY u.whole) AS n \
             FROM (SELECT t.tableoid AS part, t.ctid AS place, {theirs} AS whole FROM {target} t \
             WHERE ({theirs} IN (SELECT {wanted} FROM g{group} v)) IS TRUE \
             UNION ALL SELECT NULL, NULL, {wanted} FROM g{group} v) u) x \
             WHERE x.place IS NOT NULL AND x.at <= x.n) d WHERE t.tableoid = d.part AND t.ctid = d.place RETURNING 1"
        )
    }

    fn addition(&self, group: usize, given: &[usize], freed: &str) -> String {
        let names: Vec<String> = given.iter().map(|at| self.name(*at)).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        let always = self.table.columns.iter().any(|column| column.identity_always);
        let values: Vec<String> = given.iter().map(|at| format!("v.c{at}")).collect();
        format!(
            "INSERT INTO {}{names}{} SELECT {} FROM g{group} v{freed}",
            Postgres.table(&self.table.id),
            if always { " OVERRIDING SYSTEM VALUE" } else { "" },
            values.join(", ")
        )
    }
}

/// By whether they are added, and by the columns they are given.
fn grouped(net: &TableNet) -> BTreeMap<(bool, Vec<usize>), Vec<&Row>> {
    let mut groups: BTreeMap<(bool, Vec<usize>), Vec<&Row>> = BTreeMap::new();
    for (row, count) in &net.tally {
        let given = net.table.writable().map(|(at, _)| at).filter(|at| row.value(*at) != Value::Absent);
        let group = groups.entry((*count > 0, given.collect())).or_default();
        // There are at most as many as there were changes.
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        group.extend(std::iter::repeat_n(row, count));
    }
    groups
}
