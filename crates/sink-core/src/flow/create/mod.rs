//! Makes tables at the target like those of the source: first what rows need, and once they are there, the rest.
//!
//! Only tables that are missing are made, and only those we made get a second phase: which ones is kept in the staging area
//! before a table is made, so that a crash at any point is repaired by doing the same again.

pub mod sql;

pub use sql::TableMaker;

use std::collections::BTreeSet;

use crate::model::Definitions;
use crate::model::{DatabaseSchema, TableId};
use crate::target::Product;
use crate::target::dialect::definitions::{CreatePlan, plan};

/// What is to be done, as the target is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Tables that the target lacks.
    pub tables: BTreeSet<TableId>,
    /// The statements for them.
    pub plan: CreatePlan,
}

impl Missing {
    /// Compares what is wanted with what is there.
    #[must_use]
    pub fn new(product: Product, wanted: &Definitions, present: &DatabaseSchema) -> Self {
        let there = |id: &TableId| present.tables_of(&id.schema).any(|table| table.id == *id);
        let lacking = wanted.only(|id| !there(id));
        let tables = lacking.tables.iter().map(|table| table.id.clone()).collect();
        Self { tables, plan: plan(product, &lacking, &there) }
    }
}
