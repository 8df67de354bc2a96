//! Which member of a row feeds which column of its table. Pure.

use std::collections::HashMap;

use crate::model::TableSchema;

/// Why a row's members do not fit a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// There is no such column.
    #[error(
        "table {table} has no column for the member {member:?}; add the column to the target first, or configure \
         what becomes of the member (ignore, src_name or extras in apply_config)"
    )]
    UnknownMember {
        /// The table.
        table: String,
        /// The member.
        member: String,
    },
    /// Two members feed one column.
    #[error("the members {first:?} and {second:?} both feed column {column:?} of table {table}")]
    SameColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// One member.
        first: String,
        /// The other.
        second: String,
    },
    /// A column of the primary key has no member.
    #[error("the row lacks {member:?}, which feeds column {column:?} of the primary key of table {table}")]
    MissingKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The member it takes.
        member: String,
    },
    /// A column that decides whether the row is written has no member.
    #[error(
        "the row lacks {member:?}, which feeds column {column:?} of table {table}, whose {behaviour} in apply_config \
         needs it"
    )]
    MissingCondition {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The member it takes.
        member: String,
        /// `cas_order` or `deadline`.
        behaviour: &'static str,
    },
    /// The row has a member of the name of the extras column.
    #[error(
        "the row has a member {member:?}, and table {table} collects what no column takes in a column of that name; \
         choose another column for extras in apply_config"
    )]
    ExtrasTaken {
        /// The table.
        table: String,
        /// The member.
        member: String,
    },
    /// Rows with members that no column takes were staged while there was an extras column.
    #[error(
        "rows of table {table} with members that no column takes were staged while apply_config had an extras column \
         for them; configure it again until they are applied"
    )]
    NoExtras {
        /// The table.
        table: String,
    },
}

impl ShapeError {
    /// The column or member the error is about.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::UnknownMember { member, .. } | Self::ExtrasTaken { member, .. } => Some(member),
            Self::SameColumn { column, .. }
            | Self::MissingKey { column, .. }
            | Self::MissingCondition { column, .. } => Some(column),
            Self::NoExtras { .. } => None,
        }
    }
}

/// Which member feeds which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// By column: the position of its member.
    by_column: Vec<Option<usize>>,
    /// Positions of members that go to the extras column.
    extra: Vec<usize>,
}

/// The columns that take a member of one name.
struct Takers<'a> {
    source: &'a str,
    columns: Vec<usize>,
}

impl Matching {
    /// Finds the columns of each member: those that take a member of exactly this name, else those that take the only
    /// name equal to it in any case.
    ///
    /// # Errors
    /// If a member has no place, two members feed one column, or a column that must be fed is not.
    pub fn new(table: &TableSchema, members: &[&str]) -> Result<Self, ShapeError> {
        let mut takers: Vec<Takers<'_>> = Vec::new();
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for column in 0..table.columns.len() {
            let source = table.source_of(column);
            let at = *by_name.entry(source).or_insert_with(|| {
                takers.push(Takers { source, columns: Vec::new() });
                takers.len() - 1
            });
            takers[at].columns.push(column);
        }
        let mut matching = Self { by_column: vec![None; table.columns.len()], extra: Vec::new() };
        for (position, member) in members.iter().enumerate() {
            let taken = by_name.get(member).copied().or_else(|| in_any_case(&takers, member));
            match taken {
                Some(at) => matching.feed(table, members, position, &takers[at].columns)?,
                None => matching.leave_over(table, member, position)?,
            }
        }
        let matching = matching.only_written(table);
        matching.check(table)?;
        Ok(matching)
    }

    fn feed(
        &mut self,
        table: &TableSchema,
        members: &[&str],
        position: usize,
        columns: &[usize],
    ) -> Result<(), ShapeError> {
        let member = || members[position].to_owned();
        for column in columns.iter().copied() {
            if table.rules().is_some_and(|rules| rules.extras == Some(column)) {
                return Err(ShapeError::ExtrasTaken { table: table.id.to_string(), member: member() });
            }
            if let Some(first) = self.by_column[column].replace(position) {
                return Err(ShapeError::SameColumn {
                    table: table.id.to_string(),
                    column: table.columns[column].name.to_string(),
                    first: members[first].to_owned(),
                    second: member(),
                });
            }
        }
        Ok(())
    }

    /// A member that no column takes.
    fn leave_over(&mut self, table: &TableSchema, member: &str, position: usize) -> Result<(), ShapeError> {
        let rules = table.rules();
        let folded = member.to_lowercase();
        if rules.is_some_and(|rules| rules.ignored.iter().any(|name| name.to_lowercase() == folded)) {
            return Ok(());
        }
        if rules.is_some_and(|rules| rules.extras.is_some()) {
            self.extra.push(position);
            return Ok(());
        }
        Err(ShapeError::UnknownMember { table: table.id.to_string(), member: member.to_owned() })
    }

    fn check(&self, table: &TableSchema) -> Result<(), ShapeError> {
        let lacks = |column: &usize| self.member_of(*column).is_none() && !table.writes_always(*column);
        let name = |column: usize| table.columns[column].name.to_string();
        if let Some(column) = table.primary_key.iter().copied().find(lacks) {
            let member = table.source_of(column).to_owned();
            return Err(ShapeError::MissingKey { table: table.id.to_string(), column: name(column), member });
        }
        let Some(rules) = table.rules() else { return Ok(()) };
        let cas = rules.cas.iter().map(|column| (*column, "cas_order"));
        let deadlines = rules.deadlines.iter().map(|deadline| (deadline.column, "deadline"));
        let Some((column, behaviour)) = cas.chain(deadlines).find(|(column, _)| lacks(column)) else {
            return Ok(());
        };
        Err(ShapeError::MissingCondition {
            table: table.id.to_string(),
            column: name(column),
            member: table.source_of(column).to_owned(),
            behaviour,
        })
    }

    /// The member that feeds a column; none if the column is computed, ignored, or has an expression without input.
    #[must_use]
    pub fn member_of(&self, column: usize) -> Option<usize> {
        self.by_column[column]
    }

    /// Members that go to the extras column.
    #[must_use]
    pub fn extra(&self) -> &[usize] {
        &self.extra
    }

    /// Forgets the members of columns that are not written from one.
    fn only_written(mut self, table: &TableSchema) -> Self {
        for (column, member) in self.by_column.iter_mut().enumerate() {
            let rule = table.rule(column);
            if table.columns[column].generated
                || rule.is_some_and(|rule| rule.ignored || rule.constant().is_some())
            {
                *member = None;
            }
        }
        self
    }
}

/// The takers of the only name that is equal to the member's in any case.
fn in_any_case(takers: &[Takers<'_>], member: &str) -> Option<usize> {
    let folded = member.to_lowercase();
    let mut hits = takers.iter().enumerate().filter(|(_, takers)| takers.source.to_lowercase() == folded);
    hits.next().filter(|_| hits.next().is_none()).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::schema::examples::{column, table};
    use crate::model::{Behaviours, ColumnRule, Deadline, Expression, TableRules, ValueClass};

    /// Columns id, name, at, doc; one rule each.
    fn people(change: impl FnOnce(&mut TableRules)) -> TableSchema {
        let text = ValueClass::Text;
        let mut people = table(
            "people",
            1,
            ["id", "name", "at", "doc"].map(|name| column(name, "text", text)).into_iter().collect(),
        );
        let mut rules = TableRules {
            columns: vec![ColumnRule::default(); 4],
            cas: Vec::new(),
            deadlines: Vec::new(),
            extras: None,
            ignored: Vec::new(),
        };
        change(&mut rules);
        people.behaviours = Behaviours::Configured(Arc::new(rules));
        people
    }

    fn columns(table: &TableSchema, members: &[&str]) -> Result<Vec<Option<usize>>, ShapeError> {
        Matching::new(table, members).map(|matching| matching.by_column)
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let plain = people(|_| {});
        let error = columns(&plain, &["id", "age"]).unwrap_err();
        assert_eq!(error.column(), Some("age"));
        assert!(error.to_string().contains("db.public.people"));
        assert!(matches!(columns(&plain, &["id", "name", "NAME"]), Err(ShapeError::SameColumn { .. })));
        assert!(matches!(columns(&plain, &["name"]), Err(ShapeError::MissingKey { .. })));
        assert_eq!(columns(&plain, &["NAME", "ID"]), Ok(vec![Some(1), Some(0), None, None]));
    }

    #[test]
    fn a_renamed_column_takes_its_source_alone() {
        let renamed = people(|rules| rules.columns[1].source = Some("title".into()));
        assert_eq!(columns(&renamed, &["id", "title"]), Ok(vec![Some(0), Some(1), None, None]));
        assert!(matches!(columns(&renamed, &["id", "name"]), Err(ShapeError::UnknownMember { .. })));
        let key = people(|rules| rules.columns[0].source = Some("nr".into()));
        assert_eq!(columns(&key, &["NR"]), Ok(vec![Some(0), None, None, None]));
        let twice = people(|rules| rules.columns[1].source = Some("id".into()));
        assert_eq!(columns(&twice, &["id"]), Ok(vec![Some(0), Some(0), None, None]));
    }

    #[test]
    fn ignored_and_constant_columns_take_nothing() {
        let rules = people(|rules| {
            rules.columns[1].ignored = true;
            rules.columns[2].expression = Some(Expression::parse("now()").unwrap());
            rules.ignored = vec!["age".into()];
        });
        assert_eq!(
            columns(&rules, &["id", "name", "at", "AGE"]),
            Ok(vec![Some(0), None, None, None]),
            "their members are known all the same"
        );
        let key = people(|rules| rules.columns[0].expression = Some(Expression::parse("7").unwrap()));
        assert_eq!(columns(&key, &["name"]), Ok(vec![None, Some(0), None, None]));
    }

    #[test]
    fn what_is_left_over_goes_to_the_extras() {
        let extras = people(|rules| {
            rules.extras = Some(3);
            rules.ignored = vec!["age".into()];
        });
        let matching = Matching::new(&extras, &["id", "shoe", "age", "hat"]).unwrap();
        assert_eq!(matching.extra(), [1, 3]);
        assert!(matches!(columns(&extras, &["id", "doc"]), Err(ShapeError::ExtrasTaken { .. })));
    }

    #[test]
    fn conditions_must_be_fed() {
        let cas = people(|rules| rules.cas = vec![1]);
        assert!(matches!(
            columns(&cas, &["id"]),
            Err(ShapeError::MissingCondition { behaviour: "cas_order", .. })
        ));
        assert!(columns(&cas, &["id", "name"]).is_ok());
        let deadline = people(|rules| {
            rules.deadlines = vec![Deadline { column: 2, interval: "1 min".into() }];
        });
        let error = columns(&deadline, &["id"]).unwrap_err();
        assert_eq!(error.column(), Some("at"));
    }
}
