//! The nouns of replication. No I/O, no SQL, no clock.

pub mod behaviours;
pub mod definition;
pub mod expression;
pub mod ident;
pub mod mutation;
pub mod schema;
pub mod time;

pub use behaviours::{Behaviours, ColumnRule, Deadline, TableRules};
pub use definition::{ColumnType, Definitions, TableDefinition, TypeId};
pub use expression::Expression;
pub use ident::{Ident, SchemaId, TableId};
pub use mutation::{Batch, Change, Mutation, RowKey, Shape};
pub use schema::{ColumnSchema, DatabaseSchema, TableSchema, UniqueKey, ValueClass};
pub use time::HlcTimestamp;
