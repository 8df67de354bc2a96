//! What is to be copied, and what keeps it from going well, before anything is made or written.

use std::collections::BTreeMap;

use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::copy::SourceName;
use sink_core::flow::copy::store::{not_empty, target_table};

use super::Snapshot;
use crate::assemble::TableName;
use crate::catalog::{
    self, Cascades, ServerFacts, TableFacts, TableKind, quoted, refuse, server_findings, table_findings,
};
use crate::transport::Session;

pub(super) const PREPARE: &str = "prepare the initial snapshot";

pub(super) fn halt(reason: impl Into<String>) -> Failure {
    Failure::new(Disposition::Halt, PREPARE, reason.into())
}

/// Tables by the name under which the engine knows them: the target's schema, and their own.
pub(super) type Tables = BTreeMap<SourceName, TableFacts>;

impl Snapshot {
    /// The name under which the engine knows a table.
    pub(super) fn source_name(&self, name: &TableName) -> Option<SourceName> {
        let schema = self.settings.databases.schema_of(&name.database)?;
        Some(SourceName { schema: schema.to_owned(), name: name.table.clone() })
    }

    /// The tables that there are to copy.
    pub(super) async fn tables(&self, session: &mut Session) -> Result<Tables, Failure> {
        let databases = self.settings.databases.names();
        let all = catalog::tables(session, &databases).await.map_err(|e| e.failed(PREPARE))?;
        let chosen = |table: &TableFacts| {
            matches!(table.kind, TableKind::Base | TableKind::Versioned)
                && (self.settings.tables.is_empty() || self.settings.tables.contains(&table.name))
        };
        let named = |table: TableFacts| Some((self.source_name(&table.name)?, table));
        Ok(all.into_iter().filter(chosen).filter_map(named).collect())
    }

    /// Refuses what cannot be copied or followed; all of it at once, so that one look mends it.
    pub(super) async fn check(&self, session: &mut Session, tables: &Tables) -> Result<(), Failure> {
        let server = ServerFacts::read(session).await.map_err(|e| e.failed(PREPARE))?;
        refuse(PREPARE, &server_findings(&server))?;
        let cascades = Cascades::of(&server, self.settings.allow_unlogged_cascades);
        let findings: Vec<_> = tables.values().flat_map(|table| table_findings(table, cascades)).collect();
        refuse(PREPARE, &findings)?;
        for name in &self.settings.tables {
            if !tables.values().any(|table| table.name == *name) {
                return Err(halt(format!(
                    "table {}.{} is named by --tables, and the source shows no such table: it is not there, or SELECT on \
                     it was not granted to us (SHOW GRANTS tells)",
                    name.database, name.table
                )));
            }
        }
        if tables.is_empty() {
            let databases = self.settings.databases.names().join(", ");
            return Err(halt(format!(
                "the source shows no table in {databases}: there is none, or SELECT was not granted to us (SHOW GRANTS \
                 tells)"
            )));
        }
        let mut findings = Vec::new();
        for (name, table) in tables {
            match self.check_table(name, table).await {
                Ok(()) => {}
                Err(finding) if finding.disposition() == Disposition::Halt => findings.push(chain(&finding)),
                Err(error) => return Err(error),
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(halt(findings.join("; "))) }
    }

    async fn check_table(&self, name: &SourceName, table: &TableFacts) -> Result<(), Failure> {
        check_key(table)?;
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let target = target_table(self.store.database(), name, &columns).await?;
        let facts = self.store.facts(&target.schema.id).await?;
        if facts.holds_rows {
            return Err(not_empty(&target.schema.id));
        }
        if !facts.drop_foreign_keys.is_empty() {
            return Err(halt(format!(
                "{name} has foreign keys at the target, which do not hold while tables are copied; before the snapshot: \
                 {}; when the feed says that the target is consistent: {}",
                facts.drop_foreign_keys.join("; "),
                facts.add_foreign_keys.join("; "),
            )));
        }
        if !facts.triggers.is_empty() {
            tracing::warn!(table = %name, triggers = ?facts.triggers, "triggers at the target fire for each copied row");
        }
        Ok(())
    }
}

/// Chunks are cut, and rows found again, by a key.
pub(super) fn check_key(table: &TableFacts) -> Result<(), Failure> {
    if table.key().is_some() {
        return Ok(());
    }
    let name = format!("{}.{}", quoted(&table.name.database), quoted(&table.name.table));
    let why = if table.has_prefix_key() {
        "has only the beginnings of columns in its primary key, so its rows cannot be told apart by it"
    } else {
        "has no primary key and no unique index over columns that are NOT NULL, so its rows cannot be told apart"
    };
    Err(halt(format!(
        "table {name} {why}; give it one at the source (ALTER TABLE {name} ADD PRIMARY KEY (…);) or leave it out by --tables"
    )))
}
