//! What the operator wants done to the rows of a table on their way to it: the checked form of `apply_config`.

use std::sync::Arc;

use super::expression::Expression;

/// How a table's rows are applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviours {
    /// As they come.
    #[default]
    Plain,
    /// By these rules.
    Configured(Arc<TableRules>),
    /// Not at all: the configuration cannot be used, and applying without it would do something else than the
    /// operator asked for. Holds why.
    Rejected(Arc<str>),
}

/// The rules of one table. Positions are those of the table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRules {
    /// One for each column of the table, in order.
    pub columns: Vec<ColumnRule>,
    /// Columns whose values, compared as a tuple, must grow with each update.
    pub cas: Vec<usize>,
    /// Columns that must not be older than an interval.
    pub deadlines: Vec<Deadline>,
    /// The column that takes, as one JSON object, every member no other column takes.
    pub extras: Option<usize>,
    /// Members that are passed over.
    pub ignored: Vec<String>,
}

/// What a column gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnRule {
    /// The member it takes, if that is not called like the column.
    pub source: Option<String>,
    /// It is never written.
    pub ignored: bool,
    /// What is written in place of the value.
    pub expression: Option<Expression>,
}

impl ColumnRule {
    /// The expression, if it takes no input.
    #[must_use]
    pub fn constant(&self) -> Option<&Expression> {
        self.expression.as_ref().filter(|expression| expression.is_constant())
    }
}

/// A column that must be younger than an interval, by the target's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// The column.
    pub column: usize,
    /// The interval in the target's own words.
    pub interval: String,
}

impl TableRules {
    /// Whether what is written depends on more than the newest version of a row.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        !self.cas.is_empty() || !self.deadlines.is_empty()
    }
}
