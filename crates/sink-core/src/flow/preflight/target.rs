//! What a target may have against being written by a log, whatever the log is. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Finding, Remedy, Severity, Side};
use crate::flow::Mode;
use crate::model::{TableId, TableSchema};
use crate::target::dialect::quote;

/// How a feed writes its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Whole transactions.
    Transactional,
    /// Rows of several keys at once, until the feed has caught up or for ever.
    Parallel,
}

impl From<Mode> for WriteMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Transactional => Self::Transactional,
            Mode::Immediate | Mode::Backfill { .. } => Self::Parallel,
        }
    }
}

/// An enabled trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// `ENABLE ALWAYS`.
    pub always: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// What follows the name where it is made.
    pub definition: String,
    /// The table it refers to.
    pub references: TableId,
    /// It can be checked at the end of a transaction.
    pub deferrable: bool,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// The constraint's name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// What our role lacks at a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lacking {
    /// USAGE of its schema.
    pub usage: bool,
    /// SELECT.
    pub select: bool,
    /// INSERT.
    pub insert: bool,
    /// UPDATE.
    pub update: bool,
    /// DELETE.
    pub delete: bool,
    /// TRUNCATE.
    pub truncate: bool,
    /// Freedom from row security, which hides rows from us.
    pub row_security: bool,
}

/// Facts about a target that are not part of [`TableSchema`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// Who we are there.
    pub role: String,
    /// Whether we may mark rows with a replication origin.
    pub may_mark: bool,
    /// All schemas.
    pub schemas: BTreeSet<String>,
    /// Triggers by table.
    pub triggers: Vec<(TableId, Trigger)>,
    /// Foreign keys by referring table.
    pub foreign_keys: Vec<(TableId, ForeignKey)>,
    /// What we lack, for tables of which we lack something.
    pub lacking: BTreeMap<TableId, Lacking>,
    /// Columns that are NOT NULL without a default.
    pub required: HashMap<TableId, Vec<String>>,
    /// Identity columns.
    pub identities: HashMap<TableId, Vec<String>>,
    /// Primary keys.
    pub keys: HashMap<TableId, KeyFacts>,
}

/// What a feed is going to do.
#[derive(Debug, Clone, Copy)]
pub struct Intent {
    /// How it writes.
    pub mode: WriteMode,
    /// Whether tables are copied first, each for itself.
    pub copies: bool,
}

/// A table as text of SQL, in the database of the session.
#[must_use]
pub fn quoted(id: &TableId) -> String {
    format!("{}.{}", quote(id.schema.schema.as_str()), quote(id.table.as_str()))
}

/// A table for people, without the database.
#[must_use]
pub fn subject(id: &TableId) -> String {
    format!("{}.{}", id.schema.schema, id.table)
}

/// Looks at the tables that are going to be written.
#[must_use]
pub fn findings(facts: &TargetFacts, written: &[Arc<TableSchema>], intent: Intent) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in written {
        found.extend(key(facts, table));
        found.extend(privileges(facts, &table.id));
        found.extend(triggers(facts, &table.id));
    }
    let ids: BTreeSet<&TableId> = written.iter().map(|table| &table.id).collect();
    for (table, key) in &facts.foreign_keys {
        found.extend(foreign_key(table, key, &ids, intent));
    }
    found
}

/// What is to be granted if rows are to be marked with a replication origin.
#[must_use]
pub fn replication_origin(facts: &TargetFacts) -> Option<Finding> {
    if facts.may_mark {
        return None;
    }
    let role = quote(&facts.role);
    let what = "it may not mark rows with a replication origin (--replicationOrigin)";
    let functions = "pg_replication_origin_create(text), pg_replication_origin_session_setup(text)";
    let grants = [
        format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}"),
        format!("GRANT SELECT ON pg_replication_origin TO {role}"),
    ];
    let remedy = Remedy::run(Side::Target, grants).note("as a superuser");
    Some(Finding::new(Severity::Error, "target_replication_origin", &facts.role, what).remedy(remedy))
}

/// A key that checks late cannot say which row a new one takes the place of.
fn key(facts: &TargetFacts, table: &TableSchema) -> Option<Finding> {
    if !table.key_deferrable {
        return None;
    }
    let what = "its primary key is DEFERRABLE, so rows cannot be found by it";
    let finding = Finding::new(Severity::Error, "target_key_deferrable", subject(&table.id), what);
    let Some(key) = facts.keys.get(&table.id) else { return Some(finding) };
    let columns: Vec<String> = key.columns.iter().map(|column| quote(column)).collect();
    let (name, columns) = (quote(&key.name), columns.join(", "));
    Some(finding.mend(
        Side::Target,
        [format!(
            "ALTER TABLE {} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} PRIMARY KEY ({columns})",
            quoted(&table.id)
        )],
    ))
}

fn privileges(facts: &TargetFacts, id: &TableId) -> Vec<Finding> {
    let Some(lacking) = facts.lacking.get(id) else { return Vec::new() };
    let role = quote(&facts.role);
    let mut found = Vec::new();
    if lacking.usage {
        let what = format!("role {:?} may not use the schema", facts.role);
        let grant = format!("GRANT USAGE ON SCHEMA {} TO {role}", quote(id.schema.schema.as_str()));
        found.push(
            Finding::new(Severity::Error, "target_schema_privileges", &id.schema.schema, what)
                .mend(Side::Target, [grant]),
        );
    }
    let each = [
        (lacking.select, "SELECT"),
        (lacking.insert, "INSERT"),
        (lacking.update, "UPDATE"),
        (lacking.delete, "DELETE"),
    ];
    let names: Vec<&str> = each.iter().filter(|(lacks, _)| *lacks).map(|(_, name)| *name).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        let what = format!("role {:?} lacks {names}", facts.role);
        let grant = format!("GRANT {names} ON {} TO {role}", quoted(id));
        found.push(
            Finding::new(Severity::Error, "target_privileges", subject(id), what).mend(Side::Target, [grant]),
        );
    }
    if lacking.row_security {
        let what = format!("row security may hide rows from role {:?} or refuse them", facts.role);
        found.push(
            Finding::new(Severity::Error, "target_row_security", subject(id), what)
                .mend(Side::Target, [format!("ALTER ROLE {role} BYPASSRLS")]),
        );
    }
    found
}

fn triggers(facts: &TargetFacts, id: &TableId) -> Vec<Finding> {
    let of_table = facts.triggers.iter().filter(|(table, _)| table == id);
    let finding = |trigger: &Trigger| {
        let what = format!(
            "trigger {:?} fires for rows that the source's own triggers have seen already; what it does is done twice",
            trigger.name
        );
        let (table, name) = (quoted(id), quote(&trigger.name));
        let always = if trigger.always { "ALWAYS " } else { "" };
        let off = Remedy::run(Side::Target, [format!("ALTER TABLE {table} DISABLE TRIGGER {name}")])
            .afterwards([format!("ALTER TABLE {table} ENABLE {always}TRIGGER {name}")]);
        Finding::new(Severity::Warning, "target_trigger", subject(id), what).remedy(off)
    };
    of_table.map(|(_, trigger)| finding(trigger)).collect()
}

/// A transaction that is too large for one statement is written by several.
fn immediate_key(table: &TableId, key: &ForeignKey) -> Finding {
    let what = format!(
        "foreign key {:?} is checked at the end of each statement: a transaction too large for one, whose rows come before \
         their parents, would stand still",
        key.name
    );
    let alter = format!("ALTER TABLE {} ALTER CONSTRAINT {} DEFERRABLE", quoted(table), quote(&key.name));
    Finding::new(Severity::Info, "target_foreign_key_immediate", subject(table), what)
        .mend(Side::Target, [alter])
}

fn foreign_key(
    table: &TableId,
    key: &ForeignKey,
    written: &BTreeSet<&TableId>,
    intent: Intent,
) -> Option<Finding> {
    let (child, parent) = (written.contains(table), written.contains(&key.references));
    let name = &key.name;
    let other = subject(&key.references);
    let (severity, code, what) = match (child, parent) {
        (false, false) => return None,
        (true, true) | (true, false) if intent.copies => (
            Severity::Error,
            "target_foreign_key",
            format!(
                "foreign key {name:?} to {other}: tables are copied side by side, children before parents"
            ),
        ),
        (true, true) => match intent.mode {
            WriteMode::Transactional if key.deferrable => return None,
            WriteMode::Transactional => return Some(immediate_key(table, key)),
            WriteMode::Parallel => (
                Severity::Warning,
                "target_foreign_key",
                format!(
                    "foreign key {name:?} to {other}: rows are written in no order, so children wait for parents"
                ),
            ),
        },
        (true, false) => (
            Severity::Warning,
            "target_foreign_key",
            format!(
                "foreign key {name:?} refers to {other}, which this feed does not write: its rows must be there"
            ),
        ),
        (false, true) => (
            Severity::Warning,
            "target_foreign_key",
            format!(
                "foreign key {name:?} to {other}: this feed does not write the table, whose rows would keep others from being deleted"
            ),
        ),
    };
    let (table_name, name) = (quoted(table), quote(name));
    let again = format!("ALTER TABLE {table_name} ADD CONSTRAINT {name} {}", key.definition);
    let remedy = Remedy::run(Side::Target, [format!("ALTER TABLE {table_name} DROP CONSTRAINT {name}")])
        .afterwards([again]);
    Some(Finding::new(severity, code, subject(table), what).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ValueClass;
    use crate::model::schema::examples::{column, table};

    fn written(name: &str) -> Arc<TableSchema> {
        Arc::new(table(name, 1, vec![column("id", "int8", ValueClass::Integer(64))]))
    }

    fn facts(child: &TableSchema, parent: &TableSchema) -> TargetFacts {
        let key = ForeignKey {
            name: "fk".into(),
            definition: "FOREIGN KEY (id) REFERENCES p(id)".into(),
            references: parent.id.clone(),
            deferrable: false,
        };
        TargetFacts {
            role: "sink".into(),
            foreign_keys: vec![(child.id.clone(), key)],
            ..TargetFacts::default()
        }
    }

    fn severities(written: &[Arc<TableSchema>], facts: &TargetFacts, intent: Intent) -> Vec<Severity> {
        findings(facts, written, intent).iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn foreign_keys_matter_where_rows_come_out_of_order() {
        let (child, parent) = (written("c"), written("p"));
        let facts = facts(&child, &parent);
        let both = [child, Arc::clone(&parent)];
        let whole = Intent { mode: WriteMode::Transactional, copies: false };
        assert_eq!(severities(&both, &facts, whole), [Severity::Info]);
        let mut deferrable = facts.clone();
        deferrable.foreign_keys[0].1.deferrable = true;
        assert_eq!(severities(&both, &deferrable, whole), []);
        assert_eq!(severities(&both, &facts, Intent { copies: true, ..whole }), [Severity::Error]);
        assert_eq!(
            severities(&both, &facts, Intent { mode: WriteMode::Parallel, ..whole }),
            [Severity::Warning]
        );
        assert_eq!(severities(&both[..1], &facts, whole), [Severity::Warning]);
        assert_eq!(severities(&[parent], &facts, whole), [Severity::Warning]);
        assert_eq!(severities(&[], &facts, whole), []);
    }

    #[test]
    fn a_dropped_key_and_a_disabled_trigger_can_be_restored() {
        let (child, parent) = (written("c"), written("p"));
        let mut facts = facts(&child, &parent);
        facts.triggers.push((child.id.clone(), Trigger { name: "T".into(), always: true }));
        let intent = Intent { mode: WriteMode::Transactional, copies: true };
        let found = findings(&facts, &[child], intent);
        let undo: Vec<&str> =
            found.iter().flat_map(|f| &f.remedies[0].afterwards).map(String::as_str).collect();
        assert_eq!(
            undo,
            [
                "ALTER TABLE \"public\".\"c\" ENABLE ALWAYS TRIGGER \"T\"",
                "ALTER TABLE \"public\".\"c\" ADD CONSTRAINT \"fk\" FOREIGN KEY (id) REFERENCES p(id)"
            ]
        );
    }

    #[test]
    fn only_what_is_lacking_is_granted() {
        let table = written("t");
        let mut facts = TargetFacts { role: "sink".into(), ..TargetFacts::default() };
        facts
            .lacking
            .insert(table.id.clone(), Lacking { update: true, truncate: true, ..Lacking::default() });
        let intent = Intent { mode: WriteMode::Transactional, copies: false };
        let found = findings(&facts, &[table], intent);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].remedies[0].statements, ["GRANT UPDATE ON \"public\".\"t\" TO \"sink\""]);
    }
}
