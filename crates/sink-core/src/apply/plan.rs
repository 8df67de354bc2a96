//! Which columns of a table each shape of row feeds: the part of applying that needs no SQL.

use std::sync::Arc;

use crate::failure::{Disposition, Failure, Place};
use crate::model::{Shape, TableSchema};

/// How the newest version of each key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fold {
    /// By the canonical text of the key.
    Text,
    /// By the key values, cast to their types: `1.0` and `1.00` are one numeric key.
    Value,
}

/// A member of the row's JSON object and the column it feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The member as the source spells it.
    pub member: String,
    /// Position in [`TableSchema::columns`].
    pub column: usize,
}

/// What rows of one shape write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapePlan {
    /// [`Shape::id`].
    pub id: i64,
    /// The columns written: first the key in key order, then the others in catalogue order.
    pub feeds: Vec<Feed>,
    /// Every column that can be written is fed.
    pub complete: bool,
}

/// How the rows of one table are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    /// The table.
    pub table: Arc<TableSchema>,
    /// Name of its staging table in the staging area.
    pub staging_table: String,
    /// Name of its guard table in the staging area.
    pub guard_table: String,
    /// The shapes its rows may have.
    pub shapes: Vec<ShapePlan>,
    /// How versions of a key are found to be of one key.
    pub fold: Fold,
}

/// Why a row's members do not fit a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// There is no such column.
    #[error("table {table} has no column for the member {member:?}; add the column to the target first")]
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
    #[error("the row lacks column {column:?} of the primary key of table {table}")]
    MissingKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl ShapeError {
    /// The column or member the error is about.
    #[must_use]
    pub fn column(&self) -> &str {
        match self {
            Self::UnknownMember { member, .. } => member,
            Self::SameColumn { column, .. } | Self::MissingKey { column, .. } => column,
        }
    }
}

impl ShapePlan {
    /// Finds the column of each member.
    ///
    /// # Errors
    /// If a member has no column, two members feed one column, or a key column has no member.
    pub fn new(table: &TableSchema, shape: &Shape) -> Result<Self, ShapeError> {
        let mut member_of: Vec<Option<&str>> = vec![None; table.columns.len()];
        for member in shape.members() {
            let name = || table.id.to_string();
            let at = table
                .column(member)
                .ok_or_else(|| ShapeError::UnknownMember { table: name(), member: member.clone() })?;
            if let Some(first) = member_of[at].replace(member) {
                return Err(ShapeError::SameColumn {
                    table: name(),
                    column: table.columns[at].name.to_string(),
                    first: first.to_owned(),
                    second: member.clone(),
                });
            }
        }
        let missing = table.primary_key.iter().find(|at| member_of[**at].is_none());
        if let Some(at) = missing {
            let (table, column) = (table.id.to_string(), table.columns[*at].name.to_string());
            return Err(ShapeError::MissingKey { table, column });
        }
        let others = (0..table.columns.len()).filter(|at| !table.primary_key.contains(at));
        let feeds = table.primary_key.iter().copied().chain(others).filter_map(|column| {
            let member = member_of[column].filter(|_| !table.columns[column].generated)?;
            Some(Feed { member: member.to_owned(), column })
        });
        let complete = table.writable().all(|(at, _)| member_of[at].is_some());
        Ok(Self { id: shape.id(), feeds: feeds.collect(), complete })
    }
}

impl TablePlan {
    /// Plans rows of these shapes.
    ///
    /// # Errors
    /// If a shape does not fit the table any more: the target's schema changed after the rows were staged.
    pub fn new(
        table: Arc<TableSchema>,
        staging_table: String,
        guard_table: String,
        shapes: &[Arc<Shape>],
    ) -> Result<Self, Failure> {
        let plans = shapes.iter().map(|shape| ShapePlan::new(&table, shape)).collect::<Result<Vec<_>, _>>();
        let shapes = plans.map_err(|error| {
            let place = Place {
                table: Some(table.id.clone()),
                column: Some(error.column().to_owned()),
                ..Place::default()
            };
            Failure::new(Disposition::Halt, "match staged rows with the target table", error).at(place)
        })?;
        let fold = if table.key_text_equality() { Fold::Text } else { Fold::Value };
        Ok(Self { table, staging_table, guard_table, shapes, fold })
    }

    /// Whether some shape leaves a column alone, so that a key that was deleted in between must be told apart.
    #[must_use]
    pub fn has_partial_shape(&self) -> bool {
        self.shapes.iter().any(|shape| !shape.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ValueClass;
    use crate::model::schema::examples::{column, table};

    fn people() -> TableSchema {
        let int = ValueClass::Integer(64);
        let mut people = table(
            "people",
            1,
            vec![
                column("id", "int8", int),
                column("name", "text", ValueClass::Text),
                column("twice", "int8", int),
            ],
        );
        people.columns[2].generated = true;
        people
    }

    fn shape(members: &[&str]) -> Shape {
        Shape::new(members.iter().map(|m| (*m).to_owned()).collect())
    }

    #[test]
    fn computed_columns_are_accepted_and_not_written() {
        let plan = ShapePlan::new(&people(), &shape(&["id", "name", "twice"])).unwrap();
        assert_eq!(plan.feeds.iter().map(|f| f.column).collect::<Vec<_>>(), [0, 1]);
        assert!(plan.complete);
        assert!(!ShapePlan::new(&people(), &shape(&["id"])).unwrap().complete);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = ShapePlan::new(&people(), &shape(&["id", "age"])).unwrap_err();
        assert_eq!(error.column(), "age");
        assert!(error.to_string().contains("db.public.people"));
        assert!(matches!(
            ShapePlan::new(&people(), &shape(&["id", "name", "NAME"])),
            Err(ShapeError::SameColumn { .. })
        ));
        assert!(matches!(ShapePlan::new(&people(), &shape(&["name"])), Err(ShapeError::MissingKey { .. })));
    }
}
