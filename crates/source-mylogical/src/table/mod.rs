//! What has to be known to read the rows of a table, made once from its table map.

mod error;
mod hints;
mod kind;
mod plan;

pub use error::{PlanError, PlanProblem};
pub use hints::{ColumnHints, Hints, Special, TargetColumn, TargetKind};
pub(crate) use kind::Kind;
pub use plan::{Plan, PlannedColumn};
