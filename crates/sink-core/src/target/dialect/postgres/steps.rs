//! The part of a statement that writes a table whose rows depend on more than their newest version.
//!
//! ```text
//! s<n>   the steps in order, as values of their types and as expressions make them; read through the fence
//! f<n>   … and what a step leaves out, from the row that the target has (only if a step leaves anything out)
//! y<n>   … and what came after each
//! z<n>   … and which versions count
//! x<n>   the best version of each row, or that the row is gone
//! d<n>, u<n>_<m>, b<n>_<m>   one DELETE; per set of columns one INSERT for rows that go on, and one for those born anew
//! ```
//!
//! The result is that of the steps one after the other:
//!
//! * what came before a row's last deletion has no effect;
//! * of the versions after it, those that miss a deadline are dropped;
//! * of the rest, the greatest version tuple wins, the earliest among equals (without tuples: the newest);
//! * it is written if the row was deleted before, is absent, or is less than it at the target;
//! * if nothing is left and the row was deleted, it is gone.
//!
//! A version that goes on from what is stored can be judged with the others: no step before it in the statement was
//! about that row (see `flow::ordered`), so what is stored is what it goes on from.

use std::collections::BTreeSet;

use super::super::compare::{comparable, greater, without_nan};
use super::super::{Dialect as _, quote_literal};
use super::changes::{Builder, name_of, others, text};
use super::{Postgres, logged, value};
use crate::flow::change::kept_extras;
use crate::flow::{Row, RowStep, TableNet, Value};
use crate::model::TableSchema;

/// Expressions of what happened to a table.
pub(super) struct Counts {
    /// Rows that should have been there and were not.
    pub(super) missing: String,
    /// Versions that others beat, and versions that were late; none for a table without steps.
    pub(super) discarded: Option<[String; 2]>,
}

/// The row has these columns, and those of expressions without input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    /// How the step goes on from what is stored: `p` not at all, `f` from the same key, `m` from another one, `w` from
    /// another one if it is there.
    kind: char,
    given: Vec<usize>,
}

/// What a label becomes when what it goes on from is known: columns that are written for a new row, and those that are
/// changed.
struct Written {
    label: String,
    names: Vec<usize>,
    sets: Vec<usize>,
}

/// The steps of a table on their way into a statement.
struct Plan<'a> {
    number: usize,
    net: &'a TableNet,
    table: &'a TableSchema,
    labels: Vec<Label>,
    constants: Vec<usize>,
    /// Columns besides the key, in the order of the table.
    columns: Vec<usize>,
}

impl<'a> Builder<'a> {
    /// Writes the steps of a table.
    pub(super) fn ordered(&mut self, net: &'a TableNet) -> Counts {
        let number = self.groups;
        self.groups += 1;
        let plan = Plan::new(number, net);
        let steps = plan.steps(self);
        self.ctes.push(steps);
        if plan.goes_on() {
            self.ctes.push(plan.filled());
        }
        self.ctes.extend([plan.history(), plan.candidates(), plan.best()]);
        let removal = plan.removal();
        let after = match &removal {
            // Reading what was removed has it removed first, so that its unique values are free.
            Some(_) => format!(" CROSS JOIN (SELECT count(*) FROM d{number}) AS freed"),
            None => String::new(),
        };
        self.ctes.extend(removal);
        let mut counted = Vec::new();
        for (at, written) in plan.written().iter().enumerate() {
            for (cte, reborn) in [("u", false), ("b", true)] {
                let cte = format!("{cte}{number}_{at}");
                self.ctes.push(format!("{cte} AS ({})", plan.write(written, reborn, &after)));
                counted.push(format!("(SELECT count(*) FROM {cte})"));
            }
        }
        plan.counts(&counted)
    }
}

impl<'a> Plan<'a> {
    fn new(number: usize, net: &'a TableNet) -> Self {
        let table = &*net.table;
        let constant = |at: &usize| table.rule(*at).is_some_and(|rule| rule.constant().is_some());
        let constants: Vec<usize> = others(table).filter(constant).collect();
        let labels: BTreeSet<Label> =
            net.steps.iter().filter_map(|step| label(table, &constants, step)).collect();
        let labels: Vec<Label> = labels.into_iter().collect();
        let mut columns: BTreeSet<usize> = constants.iter().copied().collect();
        if labels.iter().any(Label::goes_on) {
            columns.extend(others(table));
        }
        columns.extend(labels.iter().flat_map(|label| label.given.iter().copied()));
        if let Some(rules) = table.rules() {
            let conditions = rules.cas.iter().copied().chain(rules.deadlines.iter().map(|d| d.column));
            columns.extend(conditions.filter(|at| !table.primary_key.contains(at)));
        }
        Self { number, net, table, labels, constants, columns: columns.into_iter().collect() }
    }

    /// Whether a step goes on from what is stored.
    fn goes_on(&self) -> bool {
        self.labels.iter().any(Label::goes_on)
    }

    /// The CTE whose rows are the steps with all their values.
    fn whole(&self) -> String {
        format!("{}{}", if self.goes_on() { "f" } else { "s" }, self.number)
    }

    fn parts(&self) -> std::ops::Range<usize> {
        0..self.table.primary_key.len()
    }

    fn key_list(&self, alias: &str) -> String {
        let each = self.parts().map(|part| format!("{alias}.k{part}"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The expression of a column of a step.
    fn column(&self, at: usize, alias: &str) -> String {
        match self.table.primary_key.iter().position(|key| *key == at) {
            Some(part) => format!("{alias}.k{part}"),
            None => format!("{alias}.c{at}"),
        }
    }

    /// Names of the labels that a test is true of, as a list in SQL.
    fn labels_where(&self, test: impl Fn(&Label) -> bool) -> Option<String> {
        let each = self.labels.iter().enumerate().filter(|(_, label)| test(label));
        let each: Vec<String> = each.map(|(number, label)| format!("'{}'", label.name(number))).collect();
        (!each.is_empty()).then(|| each.join(", "))
    }

    /// `s<n>`: `g` is the label, NULL for a deletion; `k<i>` the key, `b<i>` the key that it goes on from, `c<i>` the
    /// other columns, `x` the names of extras that stay.
    fn steps(&self, builder: &mut Builder<'a>) -> String {
        let table = self.table;
        let steps = || self.net.steps.iter();
        let mut inputs: Vec<(String, Vec<Option<&'a str>>)> = Vec::new();
        let mut values = vec!["u.s".to_owned(), "u.g".to_owned()];
        let part_of = |key: Option<&'a Row>, part: usize| key.and_then(|key| text(key, part));
        for part in self.parts() {
            let at = table.primary_key[part];
            inputs.push((format!("k{part}"), steps().map(|step| part_of(Some(step.key()), part)).collect()));
            values.push(format!("{} AS k{part}", self.key(at, &format!("u.k{part}"))));
        }
        if self.goes_on() {
            for part in self.parts() {
                let at = table.primary_key[part];
                inputs.push((format!("b{part}"), steps().map(|step| part_of(from(step), part)).collect()));
                values.push(format!("{} AS b{part}", self.key(at, &format!("u.b{part}"))));
            }
        }
        for at in self.columns.iter().copied() {
            values.push(format!("{} AS c{at}", self.value(at)));
            if self.labels.iter().any(|label| label.given.contains(&at)) {
                let texts = steps().map(|step| row(step).and_then(|row| text(row, at)));
                inputs.push((format!("c{at}"), texts.collect()));
            }
        }
        if self.goes_on() {
            let kept = steps().map(|step| row(step).and_then(|row| kept_extras(table, row)));
            inputs.push(("x".into(), kept.collect()));
            values.push("u.x::jsonb AS x".into());
        }
        let (names, arrays): (Vec<String>, Vec<_>) = inputs.into_iter().unzip();
        let params: Vec<String> = arrays.into_iter().map(|array| builder.array(array)).collect();
        let labels = builder.labels(steps().map(|step| {
            let wanted = label(table, &self.constants, step)?;
            let number = self.labels.binary_search(&wanted).ok()?;
            Some(wanted.name(number))
        }));
        format!(
            "s{} AS MATERIALIZED (SELECT {} FROM fence, unnest({labels}, {}) WITH ORDINALITY AS u(g, {}, s))",
            self.number,
            values.join(", "),
            params.join(", "),
            names.join(", ")
        )
    }

    fn key(&self, at: usize, text: &str) -> String {
        let value = logged::value(self.table, at, text);
        // Keys are equal as the target says.
        let collate = self.table.columns[at].collation.as_ref();
        format!("{value}{}", collate.map(|collation| format!(" COLLATE {collation}")).unwrap_or_default())
    }

    /// The value of a column in a step. An expression is not asked where there is no value.
    fn value(&self, at: usize) -> String {
        if self.constants.contains(&at) {
            return format!("CASE WHEN u.g IS NOT NULL THEN {} END", logged::value(self.table, at, ""));
        }
        let sql_type = value::cast_type(&self.table.columns[at].sql_type);
        let Some(giving) = self.labels_where(|label| label.given.contains(&at)) else {
            return format!("NULL::{sql_type}");
        };
        let value = logged::value(self.table, at, &format!("u.c{at}"));
        if self.table.rule(at).is_some_and(|rule| rule.expression.is_some()) {
            return format!("CASE WHEN u.g IN ({giving}) THEN {value} END");
        }
        value
    }

    /// `f<n>`: what steps leave out is that of the stored row; `there` says whether they have what they go on from.
    fn filled(&self) -> String {
        let table = self.table;
        let stored = if self.net.emptied {
            "false".to_owned()
        } else {
            let same =
                self.parts().map(|part| format!("o.{} = s.b{part}", name_of(table, table.primary_key[part])));
            same.collect::<Vec<_>>().join(" AND ")
        };
        let found = format!("o.{} IS NOT NULL", name_of(table, table.primary_key[0]));
        let found_for = |kinds: &[char]| match self.labels_where(|label| kinds.contains(&label.kind)) {
            Some(labels) => format!("s.g IN ({labels})"),
            None => "false".into(),
        };
        let moved = found_for(&['m', 'w']);
        let mut values = vec![
            "s.s".to_owned(),
            format!("CASE WHEN {moved} AND {found} THEN 'all' ELSE s.g END AS g"),
            format!("COALESCE(NOT ({}) OR {found}, true) AS there", found_for(&['f', 'm'])),
        ];
        values.extend(self.parts().map(|part| format!("s.k{part}")));
        let extras = table.rules().and_then(|rules| rules.extras);
        for at in self.columns.iter().copied() {
            let given = if extras == Some(at) {
                format!("s.c{at} || {}", logged::kept(table, at, "o", "s.x"))
            } else {
                format!("s.c{at}")
            };
            let lacking = |label: &Label| label.goes_on() && !label.given.contains(&at);
            let lacking = self.labels_where(lacking).filter(|_| !self.constants.contains(&at));
            values.push(match lacking {
                Some(labels) => {
                    format!(
                        "CASE WHEN s.g IN ({labels}) THEN o.{} ELSE {given} END AS c{at}",
                        name_of(table, at)
                    )
                }
                None => format!("{given} AS c{at}"),
            });
        }
        format!(
            "f{n} AS MATERIALIZED (SELECT {} FROM s{n} s LEFT JOIN {} o ON {stored})",
            values.join(", "),
            Postgres.table(&table.id),
            n = self.number
        )
    }

    /// `y<n>`: steps with the number of deletions after each, whether there is any deletion of the row, and whether they
    /// are young enough.
    fn history(&self) -> String {
        let deadlines = self.table.rules().map_or(&[][..], |rules| &rules.deadlines);
        let young = deadlines.iter().map(|deadline| {
            let value = self.column(deadline.column, "v");
            format!("{value} > now() - {}::interval", quote_literal(&deadline.interval))
        });
        let young: Vec<String> = young.collect();
        let fresh = match young.is_empty() {
            true => "true".to_owned(),
            false => format!("COALESCE({}, false)", young.join(" AND ")),
        };
        let keys = self.key_list("v");
        let reborn = match self.net.emptied {
            true => "true".to_owned(),
            false => format!("bool_or(v.g IS NULL) OVER (PARTITION BY {keys})"),
        };
        format!(
            "y{} AS MATERIALIZED (SELECT v.*, {fresh} AS fresh, count(*) FILTER (WHERE v.g IS NULL) OVER \
             (PARTITION BY {keys} ORDER BY v.s DESC ROWS UNBOUNDED PRECEDING) AS deletions, {reborn} AS reborn FROM {} v)",
            self.number,
            self.whole()
        )
    }

    /// `z<n>`: steps with whether they are versions that count, and how many such there are after each.
    fn candidates(&self) -> String {
        let there = if self.goes_on() { " AND y.there" } else { "" };
        let candidate = format!("y.g IS NOT NULL AND y.deletions = 0 AND y.fresh{there}");
        format!(
            "z{n} AS MATERIALIZED (SELECT y.*, ({candidate}) AS candidate, count(*) FILTER (WHERE {candidate}) OVER \
             (PARTITION BY {} ORDER BY y.s DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later FROM y{n} y)",
            self.key_list("y"),
            n = self.number
        )
    }

    /// `x<n>`: the best version of each row, or its deletion.
    fn best(&self) -> String {
        let cas = self.table.rules().map_or(&[][..], |rules| &rules.cas);
        let tuple = cas.iter().map(|at| {
            let schema = &self.table.columns[*at];
            let value = without_nan(schema.class, &self.column(*at, "z"));
            // Ordered as the target orders the stored values.
            let collate = schema.collation.as_ref().map(|collation| format!(" COLLATE {collation}"));
            format!("{value}{} DESC NULLS LAST, ", collate.unwrap_or_default())
        });
        let order = match cas.is_empty() {
            true => "z.s DESC".to_owned(),
            false => format!("{}z.s", tuple.collect::<String>()),
        };
        let keys = self.key_list("z");
        format!(
            "x{n} AS MATERIALIZED (SELECT DISTINCT ON ({keys}) z.* FROM z{n} z WHERE z.candidate OR z.reborn \
             ORDER BY {keys}, z.candidate DESC, {order})",
            n = self.number
        )
    }

    /// `d<n>`: removes what is gone.
    fn removal(&self) -> Option<String> {
        let target = Postgres.table(&self.table.id);
        let parts = self
            .parts()
            .map(|part| format!("t.{} = x.k{part}", name_of(self.table, self.table.primary_key[part])));
        let same = parts.collect::<Vec<_>>().join(" AND ");
        let n = self.number;
        if self.net.emptied {
            return Some(format!(
                "d{n} AS (DELETE FROM {target} t USING fence WHERE NOT EXISTS (SELECT 1 FROM x{n} x WHERE x.candidate \
                 AND {same}) RETURNING 1)"
            ));
        }
        let any = self.net.steps.iter().any(|step| matches!(step, RowStep::Delete { .. }));
        any.then(|| {
            format!(
                "d{n} AS (DELETE FROM {target} t USING x{n} x WHERE NOT x.candidate AND {same} RETURNING 1)"
            )
        })
    }

    /// What the labels become.
    fn written(&self) -> Vec<Written> {
        let with_constants = |given: &[usize]| {
            let all: BTreeSet<usize> = given.iter().chain(&self.constants).copied().collect();
            all.into_iter().collect::<Vec<usize>>()
        };
        let all: Vec<usize> = others(self.table).collect();
        let mut written = Vec::new();
        for (number, label) in self.labels.iter().enumerate() {
            let sets = with_constants(&label.given);
            let names = match label.kind {
                'f' => all.clone(),
                // Only ever written as `all`.
                'm' => continue,
                _ => sets.clone(),
            };
            written.push(Written { label: label.name(number), names, sets });
        }
        if self.labels.iter().any(|label| matches!(label.kind, 'm' | 'w')) {
            written.push(Written { label: "all".into(), names: all.clone(), sets: all });
        }
        written
    }

    /// One INSERT … ON CONFLICT. With `reborn`, what is stored has been deleted meanwhile: columns that are not given are
    /// set to their defaults, and nothing is compared.
    fn write(&self, written: &Written, reborn: bool, after: &str) -> String {
        let table = self.table;
        let key = table.primary_key.iter().copied();
        let names: Vec<usize> = key.clone().chain(written.names.iter().copied()).collect();
        let settable = |at: &usize| !table.columns[*at].identity_always;
        // An equal key need not be the same text, and the new one counts.
        let keys = key.clone().filter(|_| !table.key_text_equality());
        let sets = if reborn { &written.names } else { &written.sets };
        let sets = keys.chain(sets.iter().copied()).filter(settable);
        let mut sets: Vec<String> =
            sets.map(|at| format!("{0} = excluded.{0}", name_of(table, at))).collect();
        if reborn {
            let lacking = others(table).filter(|at| !written.names.contains(at)).filter(settable);
            sets.extend(lacking.map(|at| format!("{} = DEFAULT", name_of(table, at))));
        }
        let cas = table.rules().is_some_and(|rules| !rules.cas.is_empty());
        let condition = match cas && !reborn {
            true => {
                let wins = greater(table, |_, at| comparable(table, at, "excluded"), "t");
                format!(" WHERE {wins}")
            }
            false => String::new(),
        };
        let action = match sets.is_empty() {
            true => "DO NOTHING".to_owned(),
            false => format!("DO UPDATE SET {}{condition}", sets.join(", ")),
        };
        let overriding =
            if table.columns.iter().any(|c| c.identity_always) { " OVERRIDING SYSTEM VALUE" } else { "" };
        let list =
            |of: &dyn Fn(usize) -> String| names.iter().map(|at| of(*at)).collect::<Vec<_>>().join(", ");
        let conflict: Vec<String> = key.map(|at| name_of(table, at)).collect();
        format!(
            "INSERT INTO {} AS t ({}){overriding} SELECT {} FROM x{} x{after} WHERE x.candidate AND {}x.reborn \
             AND x.g = '{}' ON CONFLICT ({}) {action} RETURNING 1",
            Postgres.table(&table.id),
            list(&|at| name_of(table, at)),
            list(&|at| self.column(at, "x")),
            self.number,
            if reborn { "" } else { "NOT " },
            written.label,
            conflict.join(", "),
        )
    }

    fn counts(&self, written: &[String]) -> Counts {
        let n = self.number;
        let rules = self.table.rules();
        let lost = match self.goes_on() {
            true => format!("(SELECT count(*) FROM f{n} WHERE NOT there)"),
            false => "0".into(),
        };
        let beaten = match rules.is_some_and(|rules| !rules.cas.is_empty()) {
            true => {
                let written = if written.is_empty() { "0".to_owned() } else { written.join(" - ") };
                format!("(SELECT count(*) + COALESCE(sum(later), 0) FROM x{n} WHERE candidate) - {written}")
            }
            false => "0".into(),
        };
        // A row that a late version did not make cannot be changed later.
        let [missing, late] = match rules.is_some_and(|rules| !rules.deadlines.is_empty()) {
            true => {
                let there = if self.goes_on() { " AND there" } else { "" };
                let late = format!(
                    "(SELECT count(*) FROM y{n} WHERE g IS NOT NULL AND deletions = 0 AND NOT fresh{there})"
                );
                ["0".to_owned(), format!("{late} + {lost}")]
            }
            false => [lost, "0".to_owned()],
        };
        Counts { missing, discarded: Some([beaten, late]) }
    }
}

impl Label {
    fn goes_on(&self) -> bool {
        self.kind != 'p'
    }

    fn name(&self, number: usize) -> String {
        format!("{}{number}", self.kind)
    }
}

/// The label of a version; none for a deletion.
fn label(table: &TableSchema, constants: &[usize], step: &RowStep) -> Option<Label> {
    let (kind, row) = match step {
        RowStep::Delete { .. } => return None,
        RowStep::Put { row, .. } => ('p', row),
        RowStep::Patch { row, .. } => ('f', row),
        RowStep::Move { row, whole: true, .. } => ('w', row),
        RowStep::Move { row, whole: false, .. } => ('m', row),
    };
    let given = others(table).filter(|at| !constants.contains(at) && row.value(*at) != Value::Absent);
    Some(Label { kind, given: given.collect() })
}

/// The key that a step goes on from.
fn from(step: &RowStep) -> Option<&Row> {
    match step {
        RowStep::Delete { .. } | RowStep::Put { .. } => None,
        RowStep::Patch { key, .. } => Some(key),
        RowStep::Move { from, .. } => Some(from),
    }
}

fn row(step: &RowStep) -> Option<&Row> {
    match step {
        RowStep::Delete { .. } => None,
        RowStep::Put { row, .. } | RowStep::Patch { row, .. } | RowStep::Move { row, .. } => Some(row),
    }
}
