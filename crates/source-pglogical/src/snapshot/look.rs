//! Which tables there are in the snapshot, and what their pages are.

use std::collections::BTreeMap;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure};

use super::plan::Leaf;
use super::reader::failed;
use crate::catalog::{SourceCatalog, TableName};
use crate::transport::{Row, Session, sql};

const LOOK: &str = "look at the tables of the snapshot";

/// A table as the publication sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// Its number now.
    pub(super) oid: u32,
    /// Names of the columns that are sent.
    pub(super) columns: Vec<String>,
    /// A row is sent if it passes one of these; every row if there are none.
    pub(super) filters: Vec<String>,
    /// We may read it.
    pub(super) readable: bool,
}

/// The tables of a publication by name; of those only the ones that are wanted, unless none are named.
pub(super) fn published(
    catalog: &SourceCatalog,
    publication: &str,
    wanted: &[TableName],
) -> BTreeMap<TableName, Published> {
    let mut tables = BTreeMap::new();
    let Some(facts) = catalog.publication(publication) else { return tables };
    for table in &catalog.published.tables {
        let membership = table.publications.iter().find(|member| member.publication == publication);
        let Some(membership) = membership else { continue };
        if !wanted.is_empty() && !wanted.contains(&table.name) {
            continue;
        }
        let columns = table.sent(membership, facts.generated).map(|column| column.name.clone()).collect();
        let published = Published {
            oid: table.oid.0,
            columns,
            filters: membership.row_filter.iter().cloned().collect(),
            readable: table.readable,
        };
        tables.insert(table.name.clone(), published);
    }
    tables
}

/// A table in the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number then.
    pub(super) oid: u32,
    /// Its number is still that of a table of this name.
    pub(super) still_there: bool,
    /// Itself, or the partitions that hold its rows; without columns and filters.
    pub(super) leaves: Vec<Leaf>,
    /// Rows, as far as the source has an estimate.
    pub(super) estimated_rows: u64,
}

/// Looks at tables with the eyes of the snapshot: sizes are of now, everything else is as it was. One that did not exist
/// then is not in the answer.
pub(super) async fn look(
    session: &mut Session,
    tables: &[TableName],
    limit: Duration,
) -> Result<BTreeMap<TableName, Seen>, Failure> {
    let mut seen: BTreeMap<TableName, Seen> = BTreeMap::new();
    if tables.is_empty() {
        return Ok(seen);
    }
    for row in session.query(&question(tables), limit).await.map_err(failed(LOOK))? {
        let nonsense = || Failure::new(Disposition::Halt, LOOK, "the source's answer makes no sense");
        let (name, found) = parse(&row).ok_or_else(nonsense)?;
        let table = seen.entry(name).or_default();
        table.oid = found.root;
        table.still_there = found.still_there;
        table.estimated_rows = table.estimated_rows.saturating_add(found.estimated_rows);
        table.leaves.extend(found.leaf);
    }
    Ok(seen)
}

fn question(tables: &[TableName]) -> String {
    let name =
        |table: &TableName| format!("({}, {})", sql::literal(&table.schema), sql::literal(&table.name));
    let names: Vec<_> = tables.iter().map(name).collect();
    format!(
        "WITH RECURSIVE wanted(schema, name) AS (VALUES {names}), tree(schema, name, root, oid) AS (\
         SELECT w.schema, w.name, c.oid, c.oid FROM wanted w JOIN pg_namespace n ON n.nspname = w.schema \
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p') \
         UNION ALL SELECT t.schema, t.name, t.root, i.inhrelid FROM tree t \
         JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.oid) \
         SELECT t.schema, t.name, t.root, \
         COALESCE(to_regclass(format('%I.%I', t.schema, t.name))::oid = t.root, false), \
         c.relkind, c.oid, n.nspname, c.relname, c.relfilenode, \
         COALESCE(pg_relation_size(c.oid) / current_setting('block_size')::int8, 0), \
         COALESCE(pg_table_size(c.oid), 0), GREATEST(c.reltuples, 0)::int8 \
         FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
         ORDER BY t.schema, t.name, n.nspname, c.relname",
        names = names.join(", "),
    )
}

struct Found {
    root: u32,
    still_there: bool,
    leaf: Option<Leaf>,
    estimated_rows: u64,
}

fn parse(row: &Row) -> Option<(TableName, Found)> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    let table = TableName { schema: text(0)?.to_owned(), name: text(1)?.to_owned() };
    let leaf = Leaf {
        oid: text(5)?.parse().ok()?,
        file: text(8)?.parse().ok()?,
        schema: text(6)?.to_owned(),
        name: text(7)?.to_owned(),
        pages: text(9)?.parse().ok()?,
        bytes: text(10)?.parse().ok()?,
        columns: Vec::new(),
        filters: Vec::new(),
    };
    // Those in between hold no rows; their estimates are the sums of those below.
    let is_leaf = text(4)? == "r";
    let rows = text(11)?.parse().ok()?;
    let found = Found {
        root: text(2)?.parse().ok()?,
        still_there: text(3)? == "t",
        leaf: is_leaf.then_some(leaf),
        estimated_rows: if is_leaf { rows } else { 0 },
    };
    Some((table, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: [&str; 12]) -> Row {
        texts.map(|text| Some(text.to_owned())).to_vec()
    }

    #[test]
    fn a_partitioned_table_is_its_partitions() {
        let root = row(["s", "t", "1", "t", "p", "1", "s", "t", "0", "0", "0", "70"]);
        let (name, found) = parse(&root).unwrap();
        assert_eq!((name.name.as_str(), found.root, found.estimated_rows), ("t", 1, 0));
        assert_eq!(found.leaf, None);
        let leaf = row(["s", "t", "1", "t", "r", "2", "s", "t_1", "20", "3", "24576", "70"]);
        let (_, found) = parse(&leaf).unwrap();
        assert_eq!((found.estimated_rows, found.leaf.map(|leaf| leaf.pages)), (70, Some(3)));
        assert!(parse(&row(["s", "t", "x", "t", "r", "2", "s", "t", "0", "0", "0", "0"])).is_none());
    }

    #[test]
    fn names_are_texts_in_the_question() {
        let table = TableName { schema: "s'".into(), name: "t\\".into() };
        assert!(question(&[table]).contains("VALUES ('s''', E't\\\\')"));
    }
}
