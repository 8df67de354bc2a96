//! The published tables, and where their rows go.

use std::collections::BTreeMap;
use std::sync::Arc;

use sink_core::failure::chain;
use sink_core::flow::keys::{check_keyless, keyed};
use sink_core::flow::preflight::target::{WriteMode, quoted};
use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};
use sink_core::flow::{Binding, SourceTable};
use sink_core::model::{Behaviours, Ident, SchemaId, TableSchema};

use super::publications::{ACCEPT, severity_of_doubt};
use super::{Facts, Plan, columns, slot};
use crate::catalog::{Column, GeneratedColumns, Membership, SourceCatalog, Table, TableKind};
use crate::pgoutput::ReplicaIdentity;
use crate::relations::{KeyFit, Relation};
use crate::transport::sql::{identifier, qualified};

/// Looks at one table; also returns the target table that its rows go to.
pub(super) fn findings(
    facts: Facts<'_>,
    plan: &Plan<'_>,
    table: &Table,
) -> (Vec<Finding>, Option<Arc<TableSchema>>) {
    let sent = sent(facts.source, table);
    let mut found = published(facts.source, plan, table);
    found.extend(reading(facts.source, plan, table));
    let target = target_of(facts, plan, table).map(|target| keyed(&target, &as_sent(table, &sent)));
    match &target {
        Some(target) => {
            found.extend(identity(facts.source, table, &sent, Some(target)));
            found.extend(key(facts, plan, table, &sent, target));
            found.extend(columns::findings(facts, table, &sent, target));
            found.extend(binding(table, &sent, target, &found));
        }
        None => {
            found.extend(identity(facts.source, table, &sent, None));
            found.extend(missing(facts, plan, table, &sent));
        }
    }
    (found, target)
}

fn membership_generated(source: &SourceCatalog, membership: &Membership) -> GeneratedColumns {
    source.publication(&membership.publication).map_or(GeneratedColumns::None, |found| found.generated)
}

/// The columns that are sent, by whichever publication.
fn sent<'a>(source: &SourceCatalog, table: &'a Table) -> Vec<&'a Column> {
    let sends = |membership: &Membership, column: &Column| {
        let generated = membership_generated(source, membership);
        table.sent(membership, generated).any(|sent| sent.name == column.name)
    };
    let any = |column: &&Column| table.publications.iter().any(|membership| sends(membership, column));
    table.columns.iter().filter(any).collect()
}

/// As the stream will describe it.
fn as_sent(table: &Table, sent: &[&Column]) -> SourceTable {
    let relation = table.as_relation(sent.iter().copied());
    SourceTable {
        schema: table.name.schema.clone(),
        name: table.name.name.clone(),
        columns: relation.columns.iter().map(|column| column.name.clone()).collect(),
        forms: Vec::new(),
        old_rows: relation.old_rows(),
    }
}

fn target_of(facts: Facts<'_>, plan: &Plan<'_>, table: &Table) -> Option<Arc<TableSchema>> {
    let schema = Ident::new(&table.name.schema).ok()?;
    let schema = SchemaId { database: plan.target_database.clone(), schema };
    facts.target.table(&schema, &table.name.name).cloned()
}

/// How it is published.
fn published(source: &SourceCatalog, plan: &Plan<'_>, table: &Table) -> Vec<Finding> {
    let mut found = Vec::new();
    for membership in &table.publications {
        if let Some(filter) = &membership.row_filter {
            let what = format!("only rows with {filter} are sent; a row that leaves the filter is deleted");
            found.push(Finding::new(Severity::Info, "source_row_filter", &table.name, what));
        }
        if let Some(listed) = &membership.columns {
            let left: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            let left: Vec<&str> =
                left.into_iter().filter(|name| !listed.iter().any(|listed| listed == name)).collect();
            let what = format!("only its columns {} are sent, not {}", names(listed), names(&left));
            found.push(Finding::new(Severity::Info, "source_column_list", &table.name, what));
        }
        found.extend(added_late(source, plan, table, membership));
    }
    found.extend(two_lists(table));
    let via_root =
        |membership: &Membership| source.publication(&membership.publication).is_some_and(|p| p.via_root);
    if table.kind == TableKind::Partitioned && table.publications.iter().any(via_root) {
        for partition in &table.partitions_differ {
            let what = format!(
                "its replica identity is not that of {}, under whose name its rows are sent; old rows are what the \
                 partition says",
                table.name
            );
            let finding = Finding::new(Severity::Warning, "source_partition_identity", partition, what);
            found.push(match same_identity(table) {
                Some(clause) => finding.mend(
                    Side::Source,
                    [format!("ALTER TABLE {} REPLICA IDENTITY {clause}", partition.quoted())],
                ),
                None => finding,
            });
        }
    }
    found
}

/// An index has another name in each partition.
fn same_identity(table: &Table) -> Option<&'static str> {
    match table.identity {
        ReplicaIdentity::Default => Some("DEFAULT"),
        ReplicaIdentity::Full => Some("FULL"),
        ReplicaIdentity::Nothing => Some("NOTHING"),
        ReplicaIdentity::Index => None,
    }
}

fn names<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "those to come".to_owned() } else { names.join(", ") }
}

fn added_late(
    source: &SourceCatalog,
    plan: &Plan<'_>,
    table: &Table,
    membership: &Membership,
) -> Option<Finding> {
    let publication = source.publication(&membership.publication)?;
    // If the publication itself is in doubt, that is said once.
    if publication.older_than_slot != Some(true) || membership.older_than_slot != Some(false) {
        return None;
    }
    let what = format!(
        "it may have come into publication {:?} after slot {:?} was made: changes written before that are not sent; \
         {ACCEPT}",
        membership.publication, plan.slot
    );
    let code = "source_table_newer_than_slot";
    Some(Finding::new(severity_of_doubt(plan)?, code, &table.name, what).remedy(slot::anew(plan.slot)))
}

/// The server refuses to send a table by two lists, in mid-stream.
fn two_lists(table: &Table) -> Option<Finding> {
    let [first, rest @ ..] = table.publications.as_slice() else { return None };
    let other = rest.iter().find(|other| other.columns != first.columns)?;
    let listing = if other.columns.is_some() { other } else { first };
    let what = format!(
        "publications {:?} and {:?} send different columns of it, which the server refuses",
        first.publication, other.publication
    );
    let drop =
        format!("ALTER PUBLICATION {} DROP TABLE {}", identifier(&listing.publication), table.name.quoted());
    Some(
        Finding::new(Severity::Error, "source_column_lists_differ", &table.name, what)
            .mend(Side::Source, [drop]),
    )
}

/// What a copy needs; a stream needs no right to read tables.
fn reading(source: &SourceCatalog, plan: &Plan<'_>, table: &Table) -> Vec<Finding> {
    let mut found = Vec::new();
    if !plan.snapshot.copies() {
        return found;
    }
    let role = identifier(&source.role.name);
    if !table.readable {
        let what = format!("role {:?} may not read it, as the snapshot must", source.role.name);
        let grants = [
            format!("GRANT USAGE ON SCHEMA {} TO {role}", identifier(&table.name.schema)),
            format!("GRANT SELECT ON {} TO {role}", table.name.quoted()),
        ];
        found.push(
            Finding::new(Severity::Error, "source_unreadable", &table.name, what).mend(Side::Source, grants),
        );
    }
    if table.row_security {
        let what = format!("row security hides rows from role {:?}", source.role.name);
        found.push(
            Finding::new(Severity::Error, "source_row_security", &table.name, what)
                .mend(Side::Source, [format!("ALTER ROLE {role} BYPASSRLS")]),
        );
    }
    found
}

/// Whether a publication sends changes of rows that exist.
fn sends_changes(source: &SourceCatalog, table: &Table) -> bool {
    let publications =
        table.publications.iter().filter_map(|membership| source.publication(&membership.publication));
    publications.into_iter().any(|publication| publication.updates || publication.deletes)
}

/// Tables whose rows the source cannot name: it refuses to change them while they are published.
fn identity(
    source: &SourceCatalog,
    table: &Table,
    sent: &[&Column],
    target: Option<&Arc<TableSchema>>,
) -> Option<Finding> {
    let relation = table.as_relation(sent.iter().copied());
    if relation.key_fit(&[]) != KeyFit::InsertOnly || !sends_changes(source, table) {
        return None;
    }
    let name = table.name.quoted();
    let (why, mend) = match (&table.primary_key, table.identity) {
        (Some(key), _) if key.deferrable => {
            let (constraint, columns) = (identifier(&key.name), quoted_list(&key.columns));
            let anew = format!(
                "ALTER TABLE {name} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint} PRIMARY KEY ({columns})"
            );
            ("its primary key is DEFERRABLE", anew)
        }
        (Some(_), ReplicaIdentity::Nothing) => {
            ("its replica identity is NOTHING", format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT"))
        }
        (Some(_) | None, _) => ("it has no primary key", format!("ALTER TABLE {name} REPLICA IDENTITY FULL")),
    };
    let what =
        format!("{why}, so the source refuses every UPDATE and DELETE of its rows while it is published");
    let mut finding = Finding::new(Severity::Warning, "source_insert_only", &table.name, what);
    let key = target.map(|target| target_key(target, &relation)).filter(|key| !key.is_empty());
    if let (None, Some(key)) = (&table.primary_key, key) {
        let add = format!("ALTER TABLE {name} ADD PRIMARY KEY ({})", quoted_list(&key));
        finding = finding.remedy(Remedy::run(Side::Source, [add]).note("the target's key"));
    }
    Some(finding.mend(Side::Source, [mend]))
}

fn quoted_list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| identifier(name)).collect();
    quoted.join(", ")
}

/// The target's key in the source's names; a column that is not sent keeps the target's.
fn target_key(target: &TableSchema, relation: &Relation) -> Vec<String> {
    target.primary_key.iter().map(|at| source_name(target.source_of(*at), relation)).collect()
}

/// As rows are matched: the exact name, else the only one that differs in case alone.
fn source_name(wanted: &str, relation: &Relation) -> String {
    if relation.position(wanted).is_some() {
        return wanted.to_owned();
    }
    let folded = wanted.to_lowercase();
    let mut hits = relation.columns.iter().filter(|column| column.name.to_lowercase() == folded);
    let hit = hits.next().filter(|_| hits.next().is_none());
    hit.map_or_else(|| wanted.to_owned(), |column| column.name.clone())
}

/// The columns by which the source names rows.
fn source_key(table: &Table) -> Vec<String> {
    let key = table.primary_key.as_ref().map(|key| key.columns.clone());
    let identity = || {
        let columns = table.columns.iter().filter(|column| column.in_identity);
        columns.map(|column| column.name.clone()).collect()
    };
    key.unwrap_or_else(identity)
}

/// Whether the target's rows can be found by what the source sends of old ones.
fn key(
    facts: Facts<'_>,
    plan: &Plan<'_>,
    table: &Table,
    sent: &[&Column],
    target: &TableSchema,
) -> Option<Finding> {
    let target_name = quoted(&target.id);
    if target.primary_key.is_empty() {
        let together = plan.mode == WriteMode::Transactional;
        let (severity, what) = match check_keyless(target, &as_sent(table, sent), together) {
            Ok(()) => (
                Severity::Warning,
                "the target table has no key: rows that are the same are counted, and each batch that changes or removes \
                 some reads the whole table"
                    .to_owned(),
            ),
            Err(why) => (Severity::Error, why),
        };
        let finding = Finding::new(severity, "target_key_missing", &table.name, what);
        let key = source_key(table);
        if key.is_empty() {
            return Some(finding);
        }
        let add = format!("ALTER TABLE {target_name} ADD PRIMARY KEY ({})", quoted_list(&key));
        return Some(finding.mend(Side::Target, [add]));
    }
    let relation = table.as_relation(sent.iter().copied());
    let key = target_key(target, &relation);
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    match relation.key_fit(&key) {
        KeyFit::Covered | KeyFit::WholeRow | KeyFit::InsertOnly => None,
        KeyFit::NotSent(columns) => Some(not_sent(facts.source, table, &columns)),
        KeyFit::ChangesUnseen(columns) => {
            let what = format!(
                "key columns {} of the target can change without the old value being sent: the row with the old key \
                 would stay",
                names(&columns)
            );
            let own = table.primary_key.as_ref().filter(|own| !own.deferrable);
            let covers =
                own.is_some_and(|own| key.iter().all(|name| own.columns.iter().any(|it| it == name)));
            let identity = if covers { "DEFAULT" } else { "FULL" };
            let alter = format!("ALTER TABLE {} REPLICA IDENTITY {identity}", table.name.quoted());
            let mut finding = Finding::new(Severity::Error, "source_key_changes_unseen", &table.name, what)
                .mend(Side::Source, [alter]);
            let by_identity: Vec<String> =
                relation.identity_positions().map(|at| relation.columns[at].name.clone()).collect();
            if let Some(own) = facts.target_facts.keys.get(&target.id) {
                let anew = format!(
                    "ALTER TABLE {target_name} DROP CONSTRAINT {}, ADD PRIMARY KEY ({})",
                    identifier(&own.name),
                    quoted_list(&by_identity)
                );
                finding = finding.mend(Side::Target, [anew]);
            }
            Some(finding)
        }
    }
}

fn not_sent(source: &SourceCatalog, table: &Table, columns: &[String]) -> Finding {
    let what = format!("key columns {} of the target are not sent", names(columns));
    let finding = Finding::new(Severity::Error, "source_key_not_sent", &table.name, what);
    let exist = columns.iter().all(|name| table.column(name).is_some());
    let listing = table.publications.iter().find(|membership| membership.columns.is_some());
    let (true, Some(membership)) = (exist, listing) else { return finding };
    let listed = membership.columns.iter().flatten().chain(columns).cloned();
    let listed: Vec<String> = listed.collect();
    let filter = membership.row_filter.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    let (publication, name) = (identifier(&membership.publication), table.name.quoted());
    let again = [
        format!("ALTER PUBLICATION {publication} DROP TABLE {name}"),
        format!("ALTER PUBLICATION {publication} ADD TABLE {name} ({}){filter}", quoted_list(&listed)),
    ];
    let remedy = Remedy::run(Side::Source, again);
    finding.remedy(match source.slot {
        Some(_) => {
            remedy.note("rows written in between, and those the slot holds, are not sent: make the slot anew")
        }
        None => remedy,
    })
}

/// There is no table to write.
fn missing(facts: Facts<'_>, plan: &Plan<'_>, table: &Table, sent: &[&Column]) -> Vec<Finding> {
    let code = "target_table_missing";
    if plan.create_tables {
        let what = "the target has no such table; it will be made";
        return vec![Finding::new(Severity::Info, code, &table.name, what)];
    }
    let mut statements = Vec::new();
    if !facts.target_facts.schemas.contains(&table.name.schema) {
        statements.push(format!("CREATE SCHEMA {}", identifier(&table.name.schema)));
    }
    statements.push(columns::create_table(table, sent));
    let mut remedy = Remedy::run(Side::Target, statements);
    let foreign = columns::foreign_types(facts.source, sent);
    if !foreign.is_empty() {
        remedy = remedy.note(format!("make these types first: {}", foreign.join(", ")));
    }
    let mut finding =
        Finding::new(Severity::Error, code, &table.name, "the target has no such table").remedy(remedy);
    if let Some(parent) = &table.parent {
        let parent = Ident::new(&parent.schema).ok().and_then(|schema| {
            let schema = SchemaId { database: plan.target_database.clone(), schema };
            facts.target.table(&schema, &parent.name)
        });
        if parent.is_some() {
            finding = finding.remedy(via_root(table));
        }
    }
    vec![finding]
}

/// The target has the partitioned table, perhaps parted in another way.
fn via_root(table: &Table) -> Remedy {
    let statement = |membership: &Membership| {
        format!(
            "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
            identifier(&membership.publication)
        )
    };
    Remedy::run(Side::Source, table.publications.iter().map(statement))
        .note("sends rows of partitions as rows of the partitioned table, which the target has")
}

/// Whatever else keeps rows from being matched with the target, in the words of those who match them.
fn binding(table: &Table, sent: &[&Column], target: &Arc<TableSchema>, found: &[Finding]) -> Option<Finding> {
    let names: Vec<&str> = sent.iter().map(|column| column.name.as_str()).collect();
    let error = Binding::new(Arc::clone(target), &names).err()?;
    let said = ["target_key_missing", "target_column_missing", "source_key_not_sent"];
    let explained = found.iter().any(|finding| said.contains(&finding.code)) || target.key_deferrable;
    if explained && matches!(target.behaviours, Behaviours::Plain) {
        return None;
    }
    Some(Finding::new(Severity::Error, "target_table_refused", &table.name, chain(&error)))
}

/// Several source tables whose names differ in case alone, and one target table.
pub(super) fn shared(facts: Facts<'_>, plan: &Plan<'_>) -> Vec<Finding> {
    let mut by_target: BTreeMap<_, Vec<&Table>> = BTreeMap::new();
    for table in &facts.source.published.tables {
        if let Some(target) = target_of(facts, plan, table) {
            by_target.entry(target.id.clone()).or_default().push(table);
        }
    }
    let mut found = Vec::new();
    for (target, tables) in by_target.iter().filter(|(_, tables)| tables.len() > 1) {
        let astray = tables.iter().filter(|table| table.name.name != target.table.as_str());
        for table in astray {
            let what = format!(
                "its rows would go to {}, where those of another table go; make a table of its exact name",
                qualified(target.schema.schema.as_str(), target.table.as_str())
            );
            let sent = sent(facts.source, table);
            found.push(
                Finding::new(Severity::Error, "target_table_shared", &table.name, what)
                    .mend(Side::Target, [columns::create_table(table, &sent)]),
            );
        }
    }
    found
}
