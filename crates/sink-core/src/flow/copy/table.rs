//! Tables on their way from source to target. Pure.

use std::fmt;
use std::sync::Arc;

use crate::apply::matching::Matching;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Behaviours, TableSchema};

/// A table by the name under which the source's log speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceName {
    /// Its schema, or database where there are no schemas.
    pub schema: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How far a table's copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableState {
    /// Nothing was written.
    Pending,
    /// Some of it may have been written.
    Copying,
    /// All of it is there.
    Copied {
        /// What was committed before is in the copy.
        consistent_point: String,
    },
    /// The source dropped it before it was copied; nothing of it is there.
    Gone {
        /// Changes before this were of the dropped table.
        consistent_point: String,
    },
}

impl TableState {
    /// Its name in the target.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Copying => "copying",
            Self::Copied { .. } => "copied",
            Self::Gone { .. } => "gone",
        }
    }

    /// The state of a name, with the point that belongs to it.
    #[must_use]
    pub fn from_name(name: &str, consistent_point: Option<String>) -> Option<Self> {
        match (name, consistent_point) {
            ("pending", _) => Some(Self::Pending),
            ("copying", _) => Some(Self::Copying),
            ("copied", Some(consistent_point)) => Some(Self::Copied { consistent_point }),
            ("gone", Some(consistent_point)) => Some(Self::Gone { consistent_point }),
            _ => None,
        }
    }

    /// The point before which the log's changes are skipped; none while there is work to do.
    #[must_use]
    pub fn consistent_point(&self) -> Option<&str> {
        match self {
            Self::Pending | Self::Copying => None,
            Self::Copied { consistent_point } | Self::Gone { consistent_point } => Some(consistent_point),
        }
    }
}

/// What the target knows of a table's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRecord {
    /// Which table.
    pub table: SourceName,
    /// How far.
    pub state: TableState,
    /// Rows copied; zero until all are.
    pub rows: u64,
    /// Bytes of text copied; zero until all are.
    pub bytes: u64,
}

/// Whether every table is copied, or gone. A feed without any never began.
#[must_use]
pub fn is_done(records: &[TableRecord]) -> bool {
    !records.is_empty() && records.iter().all(|record| record.state.consistent_point().is_some())
}

/// A target table and which of its columns take which of the source's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    /// The table.
    pub schema: Arc<TableSchema>,
    /// By field of the copied text: the target's column and the source's, as positions.
    pub columns: Vec<(usize, usize)>,
}

impl TargetTable {
    /// Matches by name, as the stream does.
    ///
    /// # Errors
    /// If a column has no place, or `apply_config` asks for more than other names.
    pub fn new(schema: Arc<TableSchema>, columns: &[&str]) -> Result<Self, Failure> {
        const MATCH: &str = "match a table of the source with the target table";
        let place = Place { table: Some(schema.id.clone()), ..Place::default() };
        let refuse = |why: &str| Failure::new(Disposition::Halt, MATCH, why).at(place.clone());
        match &schema.behaviours {
            Behaviours::Plain => {}
            Behaviours::Rejected(why) => return Err(refuse(why)),
            Behaviours::Configured(rules) => {
                let computed = rules.columns.iter().any(|rule| rule.expression.is_some());
                if computed || rules.extras.is_some() {
                    return Err(refuse(
                        "apply_config has expressions or extras for the table, which a copy cannot follow; copy this \
                         table by hand, or add these rules after the snapshot",
                    ));
                }
            }
        }
        let matching = Matching::new(&schema, columns).map_err(|error| {
            let place = Place { column: error.column().map(str::to_owned), ..place.clone() };
            Failure::new(Disposition::Halt, MATCH, error).at(place)
        })?;
        let fed = schema.writable().filter_map(|(at, _)| Some((at, matching.member_of(at)?)));
        let columns: Vec<_> = fed.collect();
        if columns.is_empty() {
            return Err(refuse("the target table has no column that takes one of the source's"));
        }
        Ok(Self { schema, columns })
    }

    /// The target's columns in the order of the text.
    #[must_use]
    pub fn target_columns(&self) -> Vec<usize> {
        self.columns.iter().map(|(target, _)| *target).collect()
    }

    /// The source's columns in the order of the text.
    #[must_use]
    pub fn source_columns(&self) -> Vec<usize> {
        self.columns.iter().map(|(_, source)| *source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ValueClass;
    use crate::model::schema::examples::{column, table};

    #[test]
    fn columns_are_matched_by_name_and_computed_ones_left_out() {
        let int = ValueClass::Integer(64);
        let mut schema = table(
            "t",
            1,
            vec![column("id", "int8", int), column("sum", "int8", int), column("v", "int8", int)],
        );
        schema.columns[1].generated = true;
        let target = TargetTable::new(Arc::new(schema), &["V", "sum", "id"]).unwrap();
        assert_eq!((target.target_columns(), target.source_columns()), (vec![0, 2], vec![2, 0]));
    }

    #[test]
    fn a_column_without_a_place_is_refused() {
        let schema = table("t", 1, vec![column("id", "int8", ValueClass::Integer(64))]);
        let refused = TargetTable::new(Arc::new(schema), &["id", "v"]).unwrap_err();
        assert_eq!(refused.disposition(), Disposition::Halt);
        assert_eq!(refused.place().column.as_deref(), Some("v"));
    }

    #[test]
    fn states_are_found_again_by_their_names() {
        let at = || "1/2".to_owned();
        for state in [
            TableState::Pending,
            TableState::Copying,
            TableState::Copied { consistent_point: at() },
            TableState::Gone { consistent_point: at() },
        ] {
            let point = state.consistent_point().map(str::to_owned);
            assert_eq!(TableState::from_name(state.name(), point), Some(state));
        }
        assert_eq!(TableState::from_name("copied", None), None);
    }

    #[test]
    fn a_copy_is_done_when_every_table_is() {
        let record = |state| {
            let table = SourceName { schema: "s".into(), name: "t".into() };
            TableRecord { table, state, rows: 0, bytes: 0 }
        };
        let copied = record(TableState::Copied { consistent_point: "1".into() });
        assert!(is_done(std::slice::from_ref(&copied)) && !is_done(&[]));
        assert!(!is_done(&[copied.clone(), record(TableState::Pending)]));
        assert!(!is_done(&[copied, record(TableState::Copying)]));
    }
}
