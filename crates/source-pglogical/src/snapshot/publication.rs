//! Makes a publication of the tables that can be followed.

use sink_core::failure::{Disposition, Failure};

use super::reader::failed;
use super::settings::Settings;
use crate::catalog::{Table, TableKind, TableName, TableScope, read_tables};
use crate::pgoutput::ReplicaIdentity;
use crate::transport::{Session, sql};

const MAKE: &str = "make the publication";

/// Makes it: for the tables that are named, or for all that have a usable key. Changes of partitions are published as
/// those of the whole table, so that the target may be partitioned in another way, or not at all.
///
/// # Errors
/// If a named table does not exist, none is left, or the source refuses.
pub(super) async fn make(session: &mut Session, settings: &Settings) -> Result<(), Failure> {
    let (tables, left_out) = chosen_tables(session, settings).await?;
    for table in left_out {
        tracing::warn!(%table, "left out of the publication: it has no key by which rows could be found again");
    }
    let statement = statement(&settings.publication, &tables);
    let done = session.query(&statement, settings.question_limit).await;
    done.map(drop).map_err(|error| match error.sqlstate() {
        Some("42501") => {
            let reason = format!("have an owner of the tables run: {statement}: {error}");
            Failure::new(Disposition::Halt, MAKE, reason)
        }
        // Another process was faster.
        Some("42710") => Failure::new(Disposition::Retry, MAKE, error),
        Some(_) | None => failed(MAKE)(error),
    })?;
    tracing::info!(publication = settings.publication, tables = tables.len(), "made the publication");
    Ok(())
}

/// Those to publish, and those that cannot be. Changes nothing.
///
/// # Errors
/// If a named table does not exist, none is left, or the source cannot be asked.
pub(super) async fn chosen_tables(
    session: &mut Session,
    settings: &Settings,
) -> Result<(Vec<TableName>, Vec<TableName>), Failure> {
    let scope = match settings.tables.as_slice() {
        [] => TableScope::All,
        named => TableScope::Named(named.to_vec()),
    };
    let found = read_tables(session, &scope, settings.question_limit).await;
    let mut found = found.map_err(|e| Failure::new(e.disposition(), MAKE, e))?.tables;
    found.retain(|table| settings.may_be_copied(&table.name));
    let (tables, left_out) = chosen(&settings.tables, &found)?;
    Ok((tables.into_iter().cloned().collect(), left_out.into_iter().cloned().collect()))
}

fn chosen<'a>(
    named: &[TableName],
    found: &'a [Table],
) -> Result<(Vec<&'a TableName>, Vec<&'a TableName>), Failure> {
    let refuse = |reason: String| Failure::new(Disposition::Halt, MAKE, reason);
    if let Some(missing) = named.iter().find(|name| found.iter().all(|table| table.name != **name)) {
        return Err(refuse(format!("the source has no table {missing}; --tables names it")));
    }
    let candidates = found.iter().filter(|table| !named.is_empty() || table.parent.is_none());
    let (usable, rest): (Vec<_>, Vec<_>) = candidates.partition(|table| has_usable_key(table));
    if let (Some(table), false) = (rest.first(), named.is_empty()) {
        return Err(refuse(format!(
            "table {} has no key by which rows could be found again; give it a primary key that is not deferrable, or \
             take it off --tables",
            table.name
        )));
    }
    if usable.is_empty() {
        return Err(refuse("the source has no table with a primary key".to_owned()));
    }
    let names = |tables: Vec<&'a Table>| tables.into_iter().map(|table| &table.name).collect();
    Ok((names(usable), names(rest)))
}

/// Whether updates and deletes name the row by the primary key.
fn has_usable_key(table: &Table) -> bool {
    let Some(key) = &table.primary_key else { return false };
    let identity = match table.identity {
        ReplicaIdentity::Default | ReplicaIdentity::Full => true,
        ReplicaIdentity::Index => table.identity_index.as_ref() == Some(&key.name),
        ReplicaIdentity::Nothing => false,
    };
    let same_below = table.kind == TableKind::Ordinary || table.partitions_differ.is_empty();
    identity && same_below && !key.deferrable && !table.unlogged
}

fn statement(publication: &str, tables: &[TableName]) -> String {
    let tables: Vec<_> = tables.iter().map(|table| format!("ONLY {}", table.quoted())).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
        sql::identifier(publication),
        tables.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_named_alone() {
        let table = TableName { schema: "S".into(), name: "a\"b".into() };
        assert_eq!(
            statement("P", &[table.clone(), table]),
            "CREATE PUBLICATION \"P\" FOR TABLE ONLY \"S\".\"a\"\"b\", ONLY \"S\".\"a\"\"b\" \
             WITH (publish_via_partition_root = true)"
        );
    }
}
