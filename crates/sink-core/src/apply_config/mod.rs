//! The operator's choices per column: the table `apply_config` of the home database, checked against the target and
//! laid over its schema.
//!
//! ```text
//!  apply_config ─► store: rows ─► rules: what they mean for a table ─► store: does the target take the SQL?
//!                                                                            │
//!                  catalogue ─────────────────────────────────────► active: TableSchema::behaviours
//! ```
//!
//! A table's rows are taken as a whole. If they cannot be used, the last set that could stays in use; a table that never
//! had one takes no rows at all, because applying them without the rules would do something else than was asked for.

mod active;
mod rules;
mod store;

pub use active::{ApplyConfigs, ConfiguredTable, State};
pub use rules::{ConfigRow, rules_of};
