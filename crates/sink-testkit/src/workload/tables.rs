//! The tables of the workload: their shape, their DDL at the target and what always holds for them.

use super::Invariant;
use crate::source::{Column, Reference, Table};

/// Position of `parents`, whose `child_count` counts `children`.
pub const PARENTS: usize = 0;
/// Position of `children`, each of which has a parent.
pub const CHILDREN: usize = 1;
/// Position of `tree`, whose rows may refer to another one.
pub const TREE: usize = 2;
/// Position of `products`, whose `sku` is unique.
pub const PRODUCTS: usize = 3;
/// Position of `accounts`, whose balances have a constant sum.
pub const ACCOUNTS: usize = 4;
/// Position of `wide`, with a composite key out of column order and every type.
pub const WIDE: usize = 5;

const fn required(name: &'static str, sql_type: &'static str) -> Column {
    Column { name, sql_type, nullable: false }
}

const fn optional(name: &'static str, sql_type: &'static str) -> Column {
    Column { name, sql_type, nullable: true }
}

fn keyed_by_id(name: &'static str, mut columns: Vec<Column>) -> Table {
    columns.insert(0, required("id", "int8"));
    Table { name, columns, key: vec![0], references: None, unique: None }
}

/// The tables, in an order in which they can be created. The names of a feed's topics.
#[must_use]
pub fn tables() -> Vec<Table> {
    vec![
        keyed_by_id("parents", vec![required("name", "text"), required("child_count", "int8")]),
        Table {
            references: Some(Reference { column: 1, table: PARENTS }),
            ..keyed_by_id("children", vec![required("parent_id", "int8"), required("payload", "text")])
        },
        Table {
            references: Some(Reference { column: 1, table: TREE }),
            ..keyed_by_id("tree", vec![optional("parent_id", "int8"), required("label", "text")])
        },
        Table {
            unique: Some(1),
            ..keyed_by_id("products", vec![required("sku", "text"), required("title", "text")])
        },
        keyed_by_id("accounts", vec![required("owner", "text"), required("balance", "numeric(18,2)")]),
        wide(),
    ]
}

fn wide() -> Table {
    Table {
        name: "wide",
        columns: vec![
            required("id", "uuid"),
            required("region", "text"),
            optional("c_int", "int8"),
            optional("c_numeric", "numeric"),
            optional("c_text", "text"),
            optional("c_bool", "bool"),
            optional("c_bytes", "bytea"),
            optional("c_time", "timestamptz"),
            optional("c_json", "jsonb"),
            optional("c_uuid", "uuid"),
            optional("c_array", "text[]"),
            // A name that must be quoted, and that sorts before all others in a feed.
            optional("C \"Float\"", "float8"),
        ],
        key: vec![1, 0],
        references: None,
        unique: None,
    }
}

/// An SQL identifier, quoted.
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements that create the schema and the tables with their constraints at the target. The
/// constraints are checked per statement (not deferrable), which is the hard case.
#[must_use]
pub fn ddl(schema: &str) -> Vec<String> {
    let tables = tables();
    let mut statements = vec![format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(schema))];
    statements.extend(tables.iter().map(|table| create_table(schema, &tables, table)));
    statements
}

fn create_table(schema: &str, tables: &[Table], table: &Table) -> String {
    let name = |position: &usize| quote_ident(table.columns[*position].name);
    let mut parts: Vec<String> = Vec::new();
    for column in &table.columns {
        let null = if column.nullable { "" } else { " NOT NULL" };
        parts.push(format!("{} {}{null}", quote_ident(column.name), column.sql_type));
    }
    parts.push(format!("PRIMARY KEY ({})", table.key.iter().map(name).collect::<Vec<_>>().join(", ")));
    if let Some(unique) = table.unique {
        parts.push(format!("UNIQUE ({})", name(&unique)));
    }
    if let Some(Reference { column, table: to }) = table.references {
        let to = qualified(schema, tables[to].name);
        parts.push(format!("FOREIGN KEY ({}) REFERENCES {to} (\"id\")", name(&column)));
    }
    format!("CREATE TABLE {} ({})", qualified(schema, table.name), parts.join(", "))
}

/// A table name with its schema, quoted.
pub(crate) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(table))
}

/// See [`Workload::invariants`](super::Workload::invariants).
pub(super) fn invariants(schema: &str, balance_cents: i64) -> Vec<Invariant> {
    let of = |table| qualified(schema, table);
    let (parents, children, tree, products, accounts) =
        (of("parents"), of("children"), of("tree"), of("products"), of("accounts"));
    vec![
        Invariant {
            name: "balances have a constant sum",
            sql: format!("SELECT count(*) = 0 OR sum(balance) * 100 = {balance_cents} AS ok FROM {accounts}"),
        },
        Invariant {
            name: "parents count their children",
            sql: format!(
                "SELECT NOT EXISTS (SELECT 1 FROM {parents} p WHERE p.child_count <> \
                 (SELECT count(*) FROM {children} c WHERE c.parent_id = p.id)) AS ok"
            ),
        },
        Invariant {
            name: "children have a parent",
            sql: format!(
                "SELECT NOT EXISTS (SELECT 1 FROM {children} c LEFT JOIN {parents} p ON p.id = c.parent_id \
                 WHERE p.id IS NULL) AS ok"
            ),
        },
        Invariant {
            name: "tree nodes refer to a node",
            sql: format!(
                "SELECT NOT EXISTS (SELECT 1 FROM {tree} t LEFT JOIN {tree} p ON p.id = t.parent_id \
                 WHERE t.parent_id IS NOT NULL AND p.id IS NULL) AS ok"
            ),
        },
        Invariant {
            name: "skus are unique",
            sql: format!("SELECT count(*) = count(DISTINCT sku) AS ok FROM {products}"),
        },
    ]
}
