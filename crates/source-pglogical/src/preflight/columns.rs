//! The columns of a published table and those of its target.

use sink_core::flow::preflight::target::quoted;
use sink_core::flow::preflight::{Finding, Remedy, Severity, Side};
use sink_core::model::{Behaviours, ColumnSchema, TableSchema};

use super::Facts;
use crate::catalog::{Column, Computed, Identity, SourceCatalog, Table, TypeFacts};
use crate::transport::sql::identifier;

pub(super) fn findings(
    facts: Facts<'_>,
    table: &Table,
    sent: &[&Column],
    target: &TableSchema,
) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(missing(table, sent, target));
    for column in &table.columns {
        let Some(at) = taker(target, &column.name) else { continue };
        let is_sent = sent.iter().any(|sent| sent.name == column.name);
        let to = &target.columns[at];
        found.extend(computed(facts.source, table, column, is_sent, target, to));
        if is_sent && column.computed.is_none() {
            found.extend(computed_anew(table, target, to));
            found.extend(identity(table, column, target, to));
            found.extend(nullability(facts, table, column, target, at));
        }
    }
    found.extend(required(facts, table, sent, target));
    found.extend(types(table, sent, target));
    found
}

/// The column that takes a member: as rows are matched.
fn taker(target: &TableSchema, name: &str) -> Option<usize> {
    let sources = || (0..target.columns.len()).map(|at| (at, target.source_of(at)));
    sources().find(|(_, source)| *source == name).map(|(at, _)| at).or_else(|| {
        let folded = name.to_lowercase();
        let mut hits = sources().filter(|(_, source)| source.to_lowercase() == folded);
        hits.next().filter(|_| hits.next().is_none()).map(|(at, _)| at)
    })
}

/// Columns that have no place. With rules for the table, whoever applies them says so.
fn missing(table: &Table, sent: &[&Column], target: &TableSchema) -> Vec<Finding> {
    if !matches!(target.behaviours, Behaviours::Plain) {
        return Vec::new();
    }
    let homeless = sent.iter().filter(|column| taker(target, &column.name).is_none());
    let finding = |column: &&Column| {
        let add = format!(
            "ALTER TABLE {} ADD COLUMN {} {}",
            quoted(&target.id),
            identifier(&column.name),
            column.sql_type
        );
        Finding::new(
            Severity::Error,
            "target_column_missing",
            subject(table, &column.name),
            "the target table has no such column",
        )
        .mend(Side::Target, [add])
    };
    homeless.map(finding).collect()
}

fn subject(table: &Table, column: &str) -> String {
    format!("{}.{column}", table.name)
}

fn alter(target: &TableSchema, column: &ColumnSchema, what: &str) -> String {
    format!("ALTER TABLE {} ALTER COLUMN {} {what}", quoted(&target.id), identifier(column.name.as_str()))
}

/// What the source computes and does not send.
fn computed(
    source: &SourceCatalog,
    table: &Table,
    column: &Column,
    is_sent: bool,
    target: &TableSchema,
    to: &ColumnSchema,
) -> Option<Finding> {
    let computed = column.computed.as_ref().filter(|_| !is_sent && !to.generated)?;
    let (Computed::Stored(expression) | Computed::Virtual(expression)) = computed;
    let what =
        "the source computes it and does not send it, and the target does not compute it: it stays empty";
    let name = identifier(to.name.as_str());
    let anew = format!(
        "ALTER TABLE {} DROP COLUMN {name}, ADD COLUMN {name} {} GENERATED ALWAYS AS ({expression}) STORED",
        quoted(&target.id),
        column.sql_type
    );
    let mut finding =
        Finding::new(Severity::Warning, "source_computed_not_sent", subject(table, &column.name), what)
            .mend(Side::Target, [anew]);
    let stored = matches!(computed, Computed::Stored(_));
    let listed = table.publications.iter().any(|membership| membership.columns.is_some());
    if stored && !listed && source.server.is_at_least(18) {
        let send = table.publications.iter().map(|membership| {
            format!(
                "ALTER PUBLICATION {} SET (publish_generated_columns = stored)",
                identifier(&membership.publication)
            )
        });
        finding = finding.mend(Side::Source, send);
    }
    Some(finding)
}

/// What the target computes although the source has values of its own.
fn computed_anew(table: &Table, target: &TableSchema, to: &ColumnSchema) -> Option<Finding> {
    to.generated.then(|| {
        let what = "the target computes it; the source's own values are not written";
        Finding::new(Severity::Warning, "target_column_computed", subject(table, to.name.as_str()), what)
            .mend(Side::Target, [alter(target, to, "DROP EXPRESSION")])
    })
}

fn identity(table: &Table, column: &Column, target: &TableSchema, to: &ColumnSchema) -> Option<Finding> {
    (to.identity_always && column.identity != Some(Identity::Always)).then(|| {
        let what = "it is GENERATED ALWAYS AS IDENTITY in the target alone: new rows carry their value, updates of it \
                    do not";
        Finding::new(Severity::Warning, "target_identity_always", subject(table, &column.name), what)
            .mend(Side::Target, [alter(target, to, "SET GENERATED BY DEFAULT")])
    })
}

fn nullability(
    facts: Facts<'_>,
    table: &Table,
    column: &Column,
    target: &TableSchema,
    at: usize,
) -> Option<Finding> {
    let to = &target.columns[at];
    if to.nullable || column.not_null || to.generated {
        return None;
    }
    let subject = subject(table, &column.name);
    let code = "target_not_null";
    Some(if target.primary_key.contains(&at) {
        let what = "it is part of the target's key and can be NULL at the source: such a row stops the feed";
        let set = format!(
            "ALTER TABLE {} ALTER COLUMN {} SET NOT NULL",
            table.name.quoted(),
            identifier(&column.name)
        );
        Finding::new(Severity::Warning, code, subject, what).mend(Side::Source, [set])
    } else {
        let what = "it can be NULL at the source and not in the target: such a row stops the feed";
        let identities = facts.target_facts.identities.get(&target.id);
        let is_identity = identities.is_some_and(|names| names.iter().any(|name| name == to.name.as_str()));
        let drops = if is_identity { &["DROP IDENTITY", "DROP NOT NULL"][..] } else { &["DROP NOT NULL"] };
        let drops = drops.iter().map(|what| alter(target, to, what));
        Finding::new(Severity::Warning, code, subject, what).mend(Side::Target, drops)
    })
}

/// Columns of the target that no row brings and that cannot be left out.
fn required(facts: Facts<'_>, table: &Table, sent: &[&Column], target: &TableSchema) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in facts.target_facts.required.get(&target.id).into_iter().flatten() {
        let Some(at) = target.columns.iter().position(|column| column.name.as_str() == name) else {
            continue;
        };
        let fed = sent.iter().any(|column| taker(target, &column.name) == Some(at));
        if fed || target.writes_always(at) || target.primary_key.contains(&at) {
            continue;
        }
        let what = "the target demands a value that the source does not send";
        let drop = alter(target, &target.columns[at], "DROP NOT NULL");
        found.push(
            Finding::new(Severity::Error, "target_column_required", subject(table, name), what)
                .remedy(Remedy::run(Side::Target, [drop]).note("or give it a default")),
        );
    }
    found
}

/// Values travel as text, so types need not be equal; the operator should know.
fn types(table: &Table, sent: &[&Column], target: &TableSchema) -> Option<Finding> {
    let differs = |column: &&&Column| {
        let to = &target.columns[taker(target, &column.name)?];
        (to.sql_type != column.sql_type)
            .then(|| format!("{} {} → {}", column.name, column.sql_type, to.sql_type))
    };
    let differing: Vec<String> = sent.iter().filter_map(|column| differs(&column)).collect();
    (!differing.is_empty()).then(|| {
        let what = format!(
            "types differ; a value that the target cannot read stops the feed: {}",
            differing.join(", ")
        );
        Finding::new(Severity::Info, "target_types_differ", &table.name, what)
    })
}

/// A table for the rows that are sent: columns, what is NOT NULL, and a key if there is one.
pub(super) fn create_table(table: &Table, sent: &[&Column]) -> String {
    let mut parts: Vec<String> = sent
        .iter()
        .map(|column| {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", identifier(&column.name), column.sql_type)
        })
        .collect();
    let is_sent = |name: &String| sent.iter().any(|column| column.name == *name);
    let own = table.primary_key.as_ref().map(|key| key.columns.clone());
    let by_identity = || {
        let columns = sent.iter().filter(|column| column.in_identity);
        columns.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    let key = own.filter(|key| key.iter().all(is_sent)).unwrap_or_else(by_identity);
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|name| identifier(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!("CREATE TABLE {} ({})", table.name.quoted(), parts.join(", "))
}

/// Types of columns that not every PostgreSQL has.
pub(super) fn foreign_types(source: &SourceCatalog, sent: &[&Column]) -> Vec<String> {
    let types = &source.published.types;
    let beneath = |facts: &TypeFacts| facts.element.and_then(|element| types.get(&element)).cloned();
    let mut names: Vec<String> = sent
        .iter()
        .filter_map(|column| types.get(&column.type_oid))
        .map(|facts| beneath(facts).unwrap_or_else(|| facts.clone()))
        .filter(|facts| !facts.is_built_in())
        .map(|facts| facts.name.quoted())
        .collect();
    names.sort();
    names.dedup();
    names
}
