//! What is wrong between a source and a target, before anything is streamed. Pure: the facts are read before.
//!
//! Findings come in the order in which they are best mended: server, role, publications, slot, tables, sequences.

mod columns;
mod publications;
mod server;
mod slot;
mod tables;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sink_core::flow::OnTruncate;
use sink_core::flow::preflight::Report;
use sink_core::flow::preflight::target::{self, Intent, TargetFacts, WriteMode};
use sink_core::model::{DatabaseSchema, Ident, TableSchema};

use crate::catalog::SourceCatalog;

/// Whether tables are copied before their changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMode {
    /// No: publication and slot exist, and somebody else has copied the tables.
    Never,
    /// Yes; publication and slot are made if they are missing.
    Initial,
    /// Yes, and nothing is followed.
    Only,
}

impl SnapshotMode {
    fn copies(self) -> bool {
        match self {
            Self::Never => false,
            Self::Initial | Self::Only => true,
        }
    }
}

/// What is known of changes of the publications since the slot was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// An earlier start has noted what was published, or a copy will: changes are found by comparing.
    Compared,
    /// Only what the catalogue says of what is there now.
    Unknown,
    /// As `Unknown`, and whatever changed is to be taken as it is.
    Accepted,
}

/// What is going to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The slot to read from.
    pub slot: &'a str,
    /// The publications to read.
    pub publications: &'a [String],
    /// The database to write.
    pub target_database: &'a Ident,
    /// How it is written.
    pub mode: WriteMode,
    /// Whether tables are copied first.
    pub snapshot: SnapshotMode,
    /// Whether changes of the publications can be told.
    pub since_slot: Since,
    /// Whether missing tables of the target are made.
    pub create_tables: bool,
    /// What becomes of TRUNCATE.
    pub on_truncate: OnTruncate,
}

/// Both sides as they are.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The source.
    pub source: &'a SourceCatalog,
    /// The target's tables.
    pub target: &'a DatabaseSchema,
    /// What else there is to know of the target.
    pub target_facts: &'a TargetFacts,
}

/// Looks at everything.
#[must_use]
pub fn examine(facts: Facts<'_>, plan: &Plan<'_>) -> Report {
    let source = facts.source;
    let mut found = server::findings(source, plan);
    found.extend(publications::findings(source, plan));
    found.extend(slot::findings(source, plan));
    let mut written: Vec<Arc<TableSchema>> = Vec::new();
    for table in &source.published.tables {
        let (of_table, target) = tables::findings(facts, plan, table);
        found.extend(of_table);
        written.extend(target);
    }
    found.extend(tables::shared(facts, plan));
    written.sort_by(|a, b| a.id.cmp(&b.id));
    written.dedup_by(|a, b| a.id == b.id);
    let intent = Intent { mode: plan.mode, copies: plan.snapshot.copies() };
    found.extend(target::findings(facts.target_facts, &written, intent));
    found.extend(server::sequences(source));
    found.into_iter().collect()
}
