//! What is wrong between a source and a target, before anything is streamed. Pure: the facts are read before.

use std::sync::Arc;

use sink_core::failure::chain;
use sink_core::flow::Binding;
use sink_core::flow::preflight::target::{self, Intent, TargetFacts};
use sink_core::flow::preflight::{Finding, Remedy, Report, Severity, Side};
use sink_core::model::{DatabaseSchema, Ident, SchemaId, TableSchema};

use crate::catalog::{Cascades, ServerFacts, TableFacts, TableKind, quoted, server_findings, table_findings};
use crate::feed::Databases;

/// What is going to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What is carried, and where to.
    pub databases: &'a Databases,
    /// The database to write.
    pub target_database: &'a Ident,
    /// How it is written.
    pub intent: Intent,
    /// Somebody answers for changes that follow from foreign keys and are not logged.
    pub allow_unlogged_cascades: bool,
    /// Whether missing tables of the target are made.
    pub create_tables: bool,
}

/// Both sides as they are.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The source.
    pub server: &'a ServerFacts,
    /// What it shows of the databases that are carried.
    pub tables: &'a [TableFacts],
    /// The target's tables.
    pub target: &'a DatabaseSchema,
    /// What else there is to know of the target.
    pub target_facts: &'a TargetFacts,
}

/// Looks at everything: the server, what it shows, table by table, then the target.
#[must_use]
pub fn examine(facts: Facts<'_>, plan: &Plan<'_>) -> Report {
    let mut found = server_findings(facts.server);
    found.extend(hidden(facts, plan));
    let cascades = Cascades::of(facts.server, plan.allow_unlogged_cascades);
    let mut written = Vec::new();
    let carried = |table: &&TableFacts| matches!(table.kind, TableKind::Base | TableKind::Versioned);
    for table in facts.tables.iter().filter(carried) {
        match target_of(table, facts, plan) {
            Some(target) => {
                found.extend(table_findings(table, cascades));
                found.extend(misfit(table, &target));
                written.push(target);
            }
            None if plan.create_tables => found.extend(table_findings(table, cascades)),
            None => found.push(missing(table, plan)),
        }
    }
    written.sort_by(|a, b| a.id.cmp(&b.id));
    written.dedup_by(|a, b| a.id == b.id);
    found.extend(target::findings(facts.target_facts, &written, plan.intent));
    found.into_iter().collect()
}

fn subject(table: &TableFacts) -> String {
    format!("{}.{}", table.name.database, table.name.table)
}

fn target_of(table: &TableFacts, facts: Facts<'_>, plan: &Plan<'_>) -> Option<Arc<TableSchema>> {
    let schema = Ident::new(plan.databases.schema_of(&table.name.database)?).ok()?;
    let schema = SchemaId { database: plan.target_database.clone(), schema };
    facts.target.table(&schema, &table.name.table).cloned()
}

/// Without SELECT on it, a table is as if it were not there.
fn hidden(facts: Facts<'_>, plan: &Plan<'_>) -> Vec<Finding> {
    let shown = |database: &str| facts.tables.iter().any(|table| table.name.database == database);
    let hidden = plan.databases.iter().filter(|(database, _)| !shown(database));
    let finding = |(database, _): (&str, &str)| {
        let what = "the source shows no table in this database: it has none, is called otherwise, or SELECT on it was not \
                    granted";
        let grant = format!("GRANT SELECT ON {}.* TO the account of --sourceConn", quoted(database));
        let remedy = Remedy::run(Side::Source, [grant]).note("see what it may: SHOW GRANTS");
        Finding::new(Severity::Warning, "source_database_empty", database, what).remedy(remedy)
    };
    hidden.map(finding).collect()
}

fn missing(table: &TableFacts, plan: &Plan<'_>) -> Finding {
    let schema = plan.databases.schema_of(&table.name.database).unwrap_or_default();
    let what = format!(
        "the target has no table {schema}.{}; the feed will stand still at the first row of it",
        table.name.table
    );
    let remedy = Remedy::run(Side::Target, []).note("create it there, or use --createTables");
    Finding::new(Severity::Warning, "target_table_missing", subject(table), what).remedy(remedy)
}

fn misfit(table: &TableFacts, target: &Arc<TableSchema>) -> Option<Finding> {
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let refused = Binding::new(Arc::clone(target), &columns).err()?;
    Some(Finding::new(Severity::Error, "target_columns", subject(table), chain(&refused)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sink_core::flow::preflight::target::WriteMode;

    use super::*;
    use crate::Flavor;
    use crate::assemble::TableName;
    use crate::gtid::GtidSet;

    #[test]
    fn tables_without_a_target_and_databases_without_tables_are_told() {
        let server = ServerFacts {
            flavor: Flavor::MariaDb,
            release: (11, 8),
            variables: HashMap::new(),
            executed: GtidSet::empty(Flavor::MariaDb),
            purged: None,
        };
        let table = TableFacts {
            name: TableName { database: "shop".to_owned(), table: "t".to_owned() },
            kind: TableKind::Base,
            engine: "InnoDB".to_owned(),
            transactional: true,
            rows: 0,
            bytes: 0,
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        };
        let (schema, target_facts) = (DatabaseSchema::default(), TargetFacts::default());
        let databases = Databases::parse("shop,crm=customers").unwrap();
        let facts = Facts { server: &server, tables: &[table], target: &schema, target_facts: &target_facts };
        let plan = Plan {
            databases: &databases,
            target_database: &Ident::new("d").unwrap(),
            intent: Intent { mode: WriteMode::Transactional, copies: false },
            allow_unlogged_cascades: false,
            create_tables: false,
        };
        let codes: Vec<&str> = examine(facts, &plan).findings().iter().map(|finding| finding.code).collect();
        for code in ["source_log_bin", "source_database_empty", "target_table_missing"] {
            assert!(codes.contains(&code), "{codes:?}");
        }
        let made = examine(facts, &Plan { create_tables: true, ..plan });
        assert!(made.findings().iter().all(|finding| finding.code != "target_table_missing"));
    }
}
