//! Which columns of a table each shape of row feeds: the part of applying that needs no SQL.

use std::sync::Arc;

use super::matching::{Matching, ShapeError};
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Behaviours, Shape, TableSchema};

/// How the newest version of each key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fold {
    /// By the canonical text of the key.
    Text,
    /// By the key values, cast to their types: `1.0` and `1.00` are one numeric key.
    Value,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The member of the row's JSON object, as the source spells it.
    Member(String),
    /// The column's expression, which takes no input.
    Constant,
    /// All members that no other column takes.
    Extras,
}

/// A column and what it is fed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Where the value comes from.
    pub source: Source,
    /// Position in [`TableSchema::columns`].
    pub column: usize,
}

/// What rows of one shape write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapePlan {
    /// The shape.
    pub shape: Arc<Shape>,
    /// The columns written: first the key in key order, then the others in catalogue order.
    pub feeds: Vec<Feed>,
    /// Every column that can be written is fed.
    pub complete: bool,
    /// Members of the shape that no column takes, so that they go to the extras column. None when rows of the shape were
    /// staged; the target or the configuration may have changed since.
    pub left_over: Vec<String>,
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

impl ShapePlan {
    /// Finds what feeds each column.
    ///
    /// # Errors
    /// If a member has no column, two members feed one column, or a column that must be fed is not.
    pub fn new(table: &TableSchema, shape: &Arc<Shape>) -> Result<Self, ShapeError> {
        let members: Vec<&str> = shape.members().iter().map(String::as_str).collect();
        let matching = Matching::new(table, &members)?;
        let extras = table.rules().and_then(|rules| rules.extras);
        if shape.is_open() && extras.is_none() {
            return Err(ShapeError::NoExtras { table: table.id.to_string() });
        }
        let source = |column: usize| {
            if extras == Some(column) {
                Some(Source::Extras)
            } else if table.rule(column).is_some_and(|rule| rule.constant().is_some()) {
                Some(Source::Constant)
            } else {
                matching.member_of(column).map(|member| Source::Member(members[member].to_owned()))
            }
        };
        let others = (0..table.columns.len()).filter(|at| !table.primary_key.contains(at));
        let feeds = table.primary_key.iter().copied().chain(others);
        let feeds: Vec<Feed> =
            feeds.filter_map(|column| Some(Feed { source: source(column)?, column })).collect();
        let complete = table.writable().all(|(at, _)| feeds.iter().any(|feed| feed.column == at));
        let left_over = matching.extra().iter().map(|at| members[*at].to_owned()).collect();
        Ok(Self { shape: Arc::clone(shape), feeds, complete, left_over })
    }

    /// Members of the shape that do not go to the extras column.
    pub fn taken(&self) -> impl Iterator<Item = &str> {
        let members = self.shape.members().iter();
        members.filter(|member| !self.left_over.contains(member)).map(String::as_str)
    }

    /// Where a column's value comes from, if it is fed.
    #[must_use]
    pub fn source_of(&self, column: usize) -> Option<&Source> {
        self.feeds.iter().find(|feed| feed.column == column).map(|feed| &feed.source)
    }
}

impl TablePlan {
    /// Plans rows of these shapes.
    ///
    /// # Errors
    /// If a shape does not fit the table any more: the target's schema or the configuration changed after the rows were
    /// staged.
    pub fn new(
        table: Arc<TableSchema>,
        staging_table: String,
        guard_table: String,
        shapes: &[Arc<Shape>],
    ) -> Result<Self, Failure> {
        const MATCH: &str = "match staged rows with the target table";
        let place = Place { table: Some(table.id.clone()), ..Place::default() };
        if let Behaviours::Rejected(why) = &table.behaviours {
            return Err(Failure::new(Disposition::Halt, MATCH, &**why).at(place));
        }
        let plans = shapes.iter().map(|shape| ShapePlan::new(&table, shape)).collect::<Result<Vec<_>, _>>();
        let shapes = plans.map_err(|error| {
            let place = Place { column: error.column().map(str::to_owned), ..place };
            Failure::new(Disposition::Halt, MATCH, error).at(place)
        })?;
        let fold = if table.key_text_equality() { Fold::Text } else { Fold::Value };
        Ok(Self { table, staging_table, guard_table, shapes, fold })
    }

    /// Whether some shape leaves a column alone, so that a key that was deleted in between must be told apart.
    #[must_use]
    pub fn has_partial_shape(&self) -> bool {
        self.shapes.iter().any(|shape| !shape.complete)
    }

    /// Whether rows that were deleted in between must be told apart from others: what was there before then neither
    /// keeps its columns nor counts in a comparison.
    #[must_use]
    pub fn tells_reborn(&self) -> bool {
        self.has_partial_shape() || self.has_cas()
    }

    /// Whether rows handed over, with one version for each text of a key, can show a key deleted and written again.
    #[must_use]
    pub fn input_tells_reborn(&self) -> bool {
        self.table.is_conditional() && self.fold == Fold::Value
    }

    /// Whether an update needs a greater version than the stored row has.
    #[must_use]
    pub fn has_cas(&self) -> bool {
        self.table.rules().is_some_and(|rules| !rules.cas.is_empty())
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

    fn shape(members: &[&str]) -> Arc<Shape> {
        Arc::new(Shape::new(members.iter().map(|m| (*m).to_owned()).collect()))
    }

    #[test]
    fn computed_columns_are_accepted_and_not_written() {
        let plan = ShapePlan::new(&people(), &shape(&["id", "name", "twice"])).unwrap();
        assert_eq!(plan.feeds.iter().map(|f| f.column).collect::<Vec<_>>(), [0, 1]);
        assert!(plan.complete);
        assert!(!ShapePlan::new(&people(), &shape(&["id"])).unwrap().complete);
    }

    #[test]
    fn a_rejected_configuration_stops_the_table() {
        let rejected = TableSchema { behaviours: Behaviours::Rejected("no such column".into()), ..people() };
        let error = TablePlan::new(Arc::new(rejected), String::new(), String::new(), &[]).unwrap_err();
        assert_eq!(error.disposition(), Disposition::Halt);
    }

    #[test]
    fn an_open_shape_needs_somewhere_to_go() {
        let open = Arc::new(Shape::open(vec!["id".into()]));
        assert!(matches!(ShapePlan::new(&people(), &open), Err(ShapeError::NoExtras { .. })));
    }
}
