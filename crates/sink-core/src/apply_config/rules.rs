//! What the rows of one table mean for it. Pure.

use crate::model::expression::ExpressionError;
use crate::model::{ColumnRule, Deadline, Expression, TableRules, TableSchema, ValueClass};

/// A row of `apply_config`.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigRow {
    /// `target_db`.
    pub database: String,
    /// `target_schema`.
    pub schema: String,
    /// `target_table`.
    pub table: String,
    /// `target_column`.
    pub column: String,
    /// `cas_order`: place in the version tuple, from 1; 0 if it is no part of it.
    pub cas_order: i64,
    /// `deadline`: the interval in the target's words.
    pub deadline: String,
    /// `deadline` in seconds; months and years as the target converts them. 0 is none.
    pub deadline_seconds: f64,
    /// `expr`: the substitute expression, or empty.
    pub expr: String,
    /// `extras`: takes what no other column takes.
    pub extras: bool,
    /// `ignore`: is not written.
    pub ignore: bool,
    /// `src_name`: the member it takes, or empty.
    pub src_name: String,
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("column {0:?}: the table has no such column, which {1} needs")]
    NoColumn(String, &'static str),
    #[error("column {0:?} is configured twice, in two spellings")]
    Twice(String),
    #[error("column {0:?} is computed by the target, so {1} has no effect on it; remove it")]
    Computed(String, &'static str),
    #[error("column {0:?}: {1} cannot be combined with {2} on one column")]
    Contradiction(String, &'static str, &'static str),
    #[error("column {0:?} is part of the primary key and cannot be ignored")]
    IgnoredKey(String),
    #[error("column {0:?}: cas_order must not be negative")]
    NegativeCas(String),
    #[error("cas_order must count from 1 without gaps; {0} is {1}")]
    CasOrder(usize, &'static str),
    #[error("column {0:?}: the deadline must not be negative")]
    NegativeDeadline(String),
    #[error("columns {0:?} and {1:?} both have extras; one column takes them all")]
    SecondExtras(String, String),
    #[error("column {0:?} is of type {1}; extras need a column of type jsonb")]
    ExtrasType(String, String),
    #[error("column {0:?} is part of the primary key and cannot take extras")]
    ExtrasKey(String),
    #[error("column {0:?}: {1}")]
    Expression(String, ExpressionError),
}

/// Reads the rows of one table.
///
/// # Errors
/// One message for each thing that is wrong; none of them names a row value.
pub fn rules_of(rows: &[ConfigRow], table: &TableSchema) -> Result<TableRules, Vec<String>> {
    let mut reading = Reading {
        table,
        rules: TableRules {
            columns: vec![ColumnRule::default(); table.columns.len()],
            cas: Vec::new(),
            deadlines: Vec::new(),
            extras: None,
            ignored: Vec::new(),
        },
        seen: vec![false; table.columns.len()],
        cas: Vec::new(),
        problems: Vec::new(),
    };
    rows.iter().for_each(|row| reading.row(row));
    reading.order_cas();
    if reading.problems.is_empty() {
        Ok(reading.rules)
    } else {
        Err(reading.problems.iter().map(ToString::to_string).collect())
    }
}

struct Reading<'a> {
    table: &'a TableSchema,
    rules: TableRules,
    seen: Vec<bool>,
    /// Place and column.
    cas: Vec<(i64, usize)>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn row(&mut self, row: &ConfigRow) {
        let name = || row.column.clone();
        let Some(column) = self.table.column(&row.column) else {
            // Only `ignore` may name what the target does not have.
            match first_behaviour(row) {
                Some(behaviour) => self.problems.push(Problem::NoColumn(name(), behaviour)),
                None if row.ignore => self.rules.ignored.push(source_of(row).to_owned()),
                None => {}
            }
            return;
        };
        if std::mem::replace(&mut self.seen[column], true) {
            self.problems.push(Problem::Twice(name()));
            return;
        }
        if self.table.columns[column].generated {
            if let Some(behaviour) = first_behaviour(row) {
                self.problems.push(Problem::Computed(name(), behaviour));
            }
            return;
        }
        if row.ignore {
            self.ignore(row, column);
        }
        if row.extras {
            self.extras(row, column);
        }
        if !row.src_name.is_empty() {
            self.rules.columns[column].source = Some(row.src_name.clone());
        }
        if !row.expr.is_empty() {
            match Expression::parse(&row.expr) {
                Ok(expression) => self.rules.columns[column].expression = Some(expression),
                Err(error) => self.problems.push(Problem::Expression(name(), error)),
            }
        }
        self.conditions(row, column);
    }

    fn ignore(&mut self, row: &ConfigRow, column: usize) {
        let others = ConfigRow { src_name: String::new(), ..row.clone() };
        if let Some(other) = first_behaviour(&others) {
            self.problems.push(Problem::Contradiction(row.column.clone(), "ignore", other));
        }
        if self.table.primary_key.contains(&column) {
            self.problems.push(Problem::IgnoredKey(row.column.clone()));
        }
        self.rules.columns[column].ignored = true;
    }

    fn extras(&mut self, row: &ConfigRow, column: usize) {
        let others = ConfigRow { extras: false, ..row.clone() };
        if let Some(other) = first_behaviour(&others) {
            self.problems.push(Problem::Contradiction(row.column.clone(), "extras", other));
        }
        if self.table.primary_key.contains(&column) {
            self.problems.push(Problem::ExtrasKey(row.column.clone()));
        }
        let schema = &self.table.columns[column];
        if schema.class != (ValueClass::Json { binary: true }) {
            self.problems.push(Problem::ExtrasType(row.column.clone(), schema.sql_type.clone()));
        }
        match self.rules.extras {
            Some(first) => {
                let first = self.table.columns[first].name.to_string();
                self.problems.push(Problem::SecondExtras(first, row.column.clone()));
            }
            None => self.rules.extras = Some(column),
        }
    }

    fn conditions(&mut self, row: &ConfigRow, column: usize) {
        match row.cas_order {
            0 => {}
            place if place < 0 => self.problems.push(Problem::NegativeCas(row.column.clone())),
            place => self.cas.push((place, column)),
        }
        if row.deadline_seconds < 0.0 {
            self.problems.push(Problem::NegativeDeadline(row.column.clone()));
        } else if row.deadline_seconds > 0.0 {
            self.rules.deadlines.push(Deadline { column, interval: row.deadline.clone() });
        }
    }

    fn order_cas(&mut self) {
        self.cas.sort_unstable();
        for place in 1..=self.cas.len() {
            let wanted = i64::try_from(place).unwrap_or(i64::MAX);
            let what = match self.cas.iter().filter(|(given, _)| *given == wanted).count() {
                1 => continue,
                0 => "missing",
                _ => "given twice",
            };
            self.problems.push(Problem::CasOrder(place, what));
            return;
        }
        self.rules.cas = self.cas.iter().map(|(_, column)| *column).collect();
    }
}

/// The member that a row is about.
fn source_of(row: &ConfigRow) -> &str {
    if row.src_name.is_empty() { &row.column } else { &row.src_name }
}

/// Something in the row that needs a column of the target.
fn first_behaviour(row: &ConfigRow) -> Option<&'static str> {
    [
        (row.cas_order != 0, "cas_order"),
        (row.deadline_seconds != 0.0, "deadline"),
        (!row.expr.is_empty(), "expr"),
        (row.extras, "extras"),
        (!row.src_name.is_empty() && !row.ignore, "src_name"),
    ]
    .into_iter()
    .find_map(|(there, name)| there.then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::examples::{column, table};

    fn my_table() -> TableSchema {
        let int = ValueClass::Integer(64);
        let mut my_table = table(
            "my_table",
            1,
            vec![
                column("id", "bigint", int),
                column("major", "bigint", int),
                column("minor", "bigint", int),
                column("updated_at", "timestamp with time zone", ValueClass::Timestamp),
                column("overflow", "jsonb", ValueClass::Json { binary: true }),
                column("twice", "bigint", int),
            ],
        );
        my_table.columns[5].generated = true;
        my_table
    }

    fn row(column: &str) -> ConfigRow {
        ConfigRow {
            database: "db".into(),
            schema: "public".into(),
            table: "my_table".into(),
            column: column.into(),
            cas_order: 0,
            deadline: "00:00:00".into(),
            deadline_seconds: 0.0,
            expr: String::new(),
            extras: false,
            ignore: false,
            src_name: String::new(),
        }
    }

    fn problems(rows: &[ConfigRow]) -> String {
        rules_of(rows, &my_table()).unwrap_err().join("\n")
    }

    #[test]
    fn all_behaviours_together() {
        let rows = [
            ConfigRow { cas_order: 2, ..row("minor") },
            ConfigRow { cas_order: 1, src_name: "Major".into(), expr: "$0 + 1".into(), ..row("MAJOR") },
            ConfigRow { deadline: "00:01:00".into(), deadline_seconds: 60.0, ..row("updated_at") },
            ConfigRow { extras: true, ..row("overflow") },
            ConfigRow { ignore: true, ..row("only_at_the_source") },
            ConfigRow { ignore: true, src_name: "other".into(), ..row("not_here") },
            row("nothing_configured"),
        ];
        let rules = rules_of(&rows, &my_table()).unwrap();
        assert_eq!(rules.cas, [1, 2]);
        assert_eq!(rules.deadlines, [Deadline { column: 3, interval: "00:01:00".into() }]);
        assert_eq!(rules.extras, Some(4));
        assert_eq!(rules.ignored, ["only_at_the_source", "other"]);
        assert_eq!(rules.columns[1].source.as_deref(), Some("Major"));
        assert_eq!(rules.columns[1].expression.as_ref().unwrap().to_string(), "$0 + 1");
    }

    #[test]
    fn every_mistake_has_its_message() {
        for (rows, message) in [
            (vec![ConfigRow { cas_order: 1, ..row("gone") }], "no such column, which cas_order needs"),
            (vec![ConfigRow { expr: "1".into(), ..row("gone") }], "which expr needs"),
            (vec![ConfigRow { cas_order: 2, ..row("major") }], "without gaps; 1 is missing"),
            (
                vec![ConfigRow { cas_order: 1, ..row("major") }, ConfigRow { cas_order: 1, ..row("minor") }],
                "1 is given twice",
            ),
            (vec![ConfigRow { cas_order: -1, ..row("major") }], "must not be negative"),
            (vec![ConfigRow { deadline_seconds: -1.0, ..row("updated_at") }], "must not be negative"),
            (
                vec![
                    ConfigRow { extras: true, ..row("overflow") },
                    ConfigRow { extras: true, ..row("major") },
                ],
                "both have extras",
            ),
            (vec![ConfigRow { extras: true, ..row("major") }], "type jsonb"),
            (vec![ConfigRow { extras: true, expr: "'{}'".into(), ..row("overflow") }], "combined with expr"),
            (vec![ConfigRow { ignore: true, ..row("id") }], "primary key"),
            (vec![ConfigRow { ignore: true, cas_order: 1, ..row("major") }], "combined with cas_order"),
            (vec![ConfigRow { expr: "$0; x".into(), ..row("major") }], "semicolon"),
            (vec![ConfigRow { src_name: "x".into(), ..row("twice") }], "computed by the target"),
            (vec![row("major"), row("MAJOR")], "two spellings"),
        ] {
            let problems = problems(&rows);
            assert!(problems.contains(message), "{rows:?}: {problems}");
        }
    }
}
