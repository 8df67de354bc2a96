//! Changes of tables whose rows depend on more than their newest version, kept in order: where `apply_config` compares
//! versions, drops late ones, or computes keys, only the target can tell what becomes of a row. Pure.
//!
//! What it needs to know is in the steps, except for values that the source did not send. Those are in the row that the
//! target has before the stage, so a stage holds a step that leaves values out only if no other step of it came before
//! to the same row; nor does anything come to a row that brought values along from another key. Where that cannot be
//! told, a next stage begins, which sees what the last one left.

use std::collections::HashSet;

use super::change::{Binding, Change, Row};
use crate::model::TableSchema;

/// One thing that happens to a row, with keys and values as the source has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowStep {
    /// It is gone.
    Delete {
        /// Its key.
        key: Row,
    },
    /// A version of it, with all values.
    Put {
        /// Its key.
        key: Row,
        /// The values.
        row: Row,
    },
    /// A version of it with some of its values; the others stay as they are.
    Patch {
        /// Its key.
        key: Row,
        /// The values.
        row: Row,
    },
    /// A version of it that goes on from a row of another key, which is gone: values that are absent, and those of columns
    /// that only the target has, are those that the target has there before the stage.
    Move {
        /// The other key.
        from: Row,
        /// Its key.
        key: Row,
        /// The values.
        row: Row,
        /// Nothing that the source has is absent, so that it can also begin a row.
        whole: bool,
    },
}

impl RowStep {
    /// The key of the row.
    #[must_use]
    pub fn key(&self) -> &Row {
        match self {
            Self::Delete { key }
            | Self::Put { key, .. }
            | Self::Patch { key, .. }
            | Self::Move { key, .. } => key,
        }
    }
}

/// Whether the rows of a table must be applied in order.
pub(super) fn is_ordered(table: &TableSchema) -> bool {
    let transformed = |at: &usize| table.rule(*at).is_some_and(|rule| rule.expression.is_some());
    table.is_conditional() || table.primary_key.iter().any(transformed)
}

/// The steps of one table in one stage.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    steps: Vec<RowStep>,
    /// Keys of steps as the source spells them.
    touched: HashSet<Row>,
    /// Those of rows that came from other keys, with what only the target has.
    moved: HashSet<Row>,
}

impl Ordered {
    /// What a change amounts to, in order.
    pub(super) fn steps(binding: &Binding, change: Change) -> Vec<RowStep> {
        match change {
            Change::Insert { key, row } => vec![RowStep::Put { key, row }],
            Change::Update { key, row } if binding.is_whole(&row) => vec![RowStep::Put { key, row }],
            Change::Update { key, row } => vec![RowStep::Patch { key, row }],
            Change::Rekey { from, to, row } if from == to => {
                Self::steps(binding, Change::Update { key: to, row })
            }
            Change::Rekey { from, to, row } => {
                let whole = binding.is_whole(&row);
                if whole && binding.feeds_all() {
                    return vec![RowStep::Delete { key: from }, RowStep::Put { key: to, row }];
                }
                vec![RowStep::Delete { key: from.clone() }, RowStep::Move { from, key: to, row, whole }]
            }
            Change::Delete { key } => vec![RowStep::Delete { key }],
            Change::Truncate => Vec::new(),
        }
    }

    /// Whether what steps leave out is still what it was before the stage.
    pub(super) fn can_take(&self, table: &TableSchema, steps: &[RowStep]) -> bool {
        let among = |keys: &HashSet<Row>, key: &Row| {
            // Keys of different texts may be one key.
            if table.key_text_equality() { keys.contains(key) } else { !keys.is_empty() }
        };
        steps.iter().all(|step| match step {
            RowStep::Delete { .. } => true,
            RowStep::Put { key, .. } => !among(&self.moved, key),
            RowStep::Patch { key: from, .. } | RowStep::Move { from, .. } => !among(&self.touched, from),
        })
    }

    pub(super) fn push(&mut self, steps: Vec<RowStep>) {
        for step in &steps {
            if let RowStep::Move { key, .. } = step {
                self.moved.insert(key.clone());
            }
            self.touched.insert(step.key().clone());
        }
        self.steps.extend(steps);
    }

    pub(super) fn into_steps(self) -> Vec<RowStep> {
        self.steps
    }
}
