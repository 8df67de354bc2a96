//! Reads tables, keys and foreign keys from the target's catalogue.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::dialect::{Product, quote};
use super::pool::{Database, failure};
use crate::failure::{Disposition, Failure};
use crate::model::{
    Behaviours, ColumnSchema, DatabaseSchema, Ident, SchemaId, TableId, TableSchema, UniqueKey, ValueClass,
};

const READ: &str = "read the target's catalogue";

/// Columns of every ordinary table: schema, table, column, type, base type below all domains, type kind, type category, generated,
/// identity always, deterministic collation, nullable, collation if not that of the type. (`pg_catalog` of PostgreSQL 15.)
const POSTGRES_COLUMNS: &str = "\
WITH RECURSIVE domains(oid, base) AS (SELECT oid, typbasetype FROM pg_type WHERE typtype = 'd' \
UNION ALL SELECT d.oid, t.typbasetype FROM domains d JOIN pg_type t ON t.oid = d.base AND t.typtype = 'd') \
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), b.typname::text, \
b.typtype::text, b.typcategory::text, a.attgenerated <> '', a.attidentity = 'a', COALESCE(l.collisdeterministic, true), NOT a.attnotnull, \
CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
JOIN pg_type t ON t.oid = a.atttypid \
LEFT JOIN domains d ON d.oid = t.oid AND NOT EXISTS (SELECT 1 FROM pg_type s WHERE s.oid = d.base AND s.typtype = 'd') \
JOIN pg_type b ON b.oid = COALESCE(d.base, t.oid) \
LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace \
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', $1) \
ORDER BY n.nspname, c.relname, a.attnum";

/// Unique indexes over plain columns: schema, table, index, primary, immediate, columns in key order, nulls equal.
const KEYS: &str = "\
SELECT n.nspname::text, c.relname::text, x.relname::text, i.indisprimary, i.indimmediate, \
ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) \
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts ORDER BY k.place), \
i.indnullsnotdistinct \
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid \
JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', $1)";

/// Foreign keys: child schema and table, parent schema and table, action on delete and on update, columns
/// of the parent.
const FOREIGN_KEYS: &str = "\
SELECT cn.nspname::text, cc.relname::text, pn.nspname::text, pc.relname::text, f.confdeltype::text, f.confupdtype::text, \
ARRAY(SELECT a.attname::text FROM unnest(f.confkey) AS k(number) \
JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number) \
FROM pg_constraint f JOIN pg_class cc ON cc.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = cc.relnamespace \
JOIN pg_class pc ON pc.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE f.contype = 'f'";

/// Reads all tables of a database.
///
/// # Errors
/// If a query fails.
pub(super) async fn read(database: &Database) -> Result<DatabaseSchema, Failure> {
    let mut connection = database.connection().await?;
    let tables = match database.dialect().product() {
        Product::PostgreSql => read_postgres(&mut connection, database).await?,
        Product::CockroachDb => read_cockroach(&mut connection, database).await?,
    };
    Ok(DatabaseSchema::new(tables.into_values()))
}

type Tables = HashMap<(String, String), TableSchema>;

async fn read_postgres(connection: &mut PgConnection, database: &Database) -> Result<Tables, Failure> {
    let fail = |e| failure(READ, e);
    let area = database.area().name().as_str();
    let mut tx = connection.begin().await.map_err(fail)?;
    // One snapshot for all queries; and types outside pg_catalog are to be printed with their schema.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *tx)
        .await
        .map_err(fail)?;
    sqlx::query("SET LOCAL search_path = pg_catalog").execute(&mut *tx).await.map_err(fail)?;
    let columns = sqlx::query(POSTGRES_COLUMNS).bind(area).fetch_all(&mut *tx).await.map_err(fail)?;
    let keys = sqlx::query(KEYS).bind(area).fetch_all(&mut *tx).await.map_err(fail)?;
    let foreign_keys = sqlx::query(FOREIGN_KEYS).fetch_all(&mut *tx).await.map_err(fail)?;
    tx.commit().await.map_err(fail)?;
    let mut tables = Tables::new();
    for row in &columns {
        let column = postgres_column(row)?;
        table_of(&mut tables, database.name(), row)?.columns.push(column);
    }
    add_keys(&mut tables, &keys);
    add_foreign_keys(&mut tables, database.name(), &foreign_keys)?;
    Ok(tables)
}

/// CockroachDB keeps one catalogue per database, so the names are prefixed. Not run on a server yet.
async fn read_cockroach(connection: &mut PgConnection, database: &Database) -> Result<Tables, Failure> {
    let fail = |e| failure(READ, e);
    let prefix = quote(database.name().as_str());
    let columns = format!(
        "SELECT c.table_schema::STRING, c.table_name::STRING, c.column_name::STRING, c.crdb_sql_type::STRING, \
         c.udt_name::STRING, (COALESCE(c.generation_expression, '') <> '') AS computed, \
         (c.is_identity = 'YES' AND c.identity_generation = 'ALWAYS') AS identity_always, \
         c.is_nullable = 'YES' AS nullable FROM {prefix}.information_schema.columns c JOIN {prefix}.information_schema.tables t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE' \
         WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema', 'crdb_internal', 'pg_extension') \
         ORDER BY c.table_schema, c.table_name, c.ordinal_position"
    );
    let in_database = |sql: &str| {
        ["pg_index", "pg_class", "pg_namespace", "pg_attribute", "pg_constraint"].iter().fold(
            // Its catalogue has no such column: NULLs are always distinct there.
            sql.replace("i.indnullsnotdistinct", "false"),
            |sql, table| {
                sql.replace(&format!("FROM {table} "), &format!("FROM {prefix}.pg_catalog.{table} "))
                    .replace(&format!("JOIN {table} "), &format!("JOIN {prefix}.pg_catalog.{table} "))
            },
        )
    };
    let columns = sqlx::query(AssertSqlSafe(columns)).fetch_all(&mut *connection).await.map_err(fail)?;
    let keys = sqlx::query(AssertSqlSafe(in_database(KEYS)))
        .bind("")
        .fetch_all(&mut *connection)
        .await
        .map_err(fail)?;
    let foreign_keys = sqlx::query(AssertSqlSafe(in_database(FOREIGN_KEYS)))
        .fetch_all(&mut *connection)
        .await
        .map_err(fail)?;
    let mut tables = Tables::new();
    for row in &columns {
        let column = cockroach_column(row)?;
        table_of(&mut tables, database.name(), row)?.columns.push(column);
    }
    add_keys(&mut tables, &keys);
    add_foreign_keys(&mut tables, database.name(), &foreign_keys)?;
    Ok(tables)
}

/// The table that a row's first two columns name.
fn table_of<'t>(
    tables: &'t mut Tables,
    database: &Ident,
    row: &PgRow,
) -> Result<&'t mut TableSchema, Failure> {
    let (schema, table): (String, String) = (row.get(0), row.get(1));
    let id = table_id(database, &schema, &table)?;
    Ok(tables.entry((schema, table)).or_insert_with(|| TableSchema {
        id,
        columns: Vec::new(),
        primary_key: Vec::new(),
        key_deferrable: false,
        unique_keys: Vec::new(),
        references: Vec::new(),
        delete_has_effects: false,
        behaviours: Behaviours::Plain,
    }))
}

fn ident(text: &str) -> Result<Ident, Failure> {
    Ident::new(text).map_err(|e| Failure::new(Disposition::Halt, READ, e))
}

fn table_id(database: &Ident, schema: &str, table: &str) -> Result<TableId, Failure> {
    let schema = SchemaId { database: database.clone(), schema: ident(schema)? };
    Ok(TableId { schema, table: ident(table)? })
}

fn postgres_column(row: &PgRow) -> Result<ColumnSchema, Failure> {
    let (base, kind, category): (String, String, String) = (row.get(4), row.get(5), row.get(6));
    let deterministic: bool = row.get(9);
    let class = match (base.as_str(), kind.as_str(), category.as_str()) {
        ("int2", ..) => ValueClass::Integer(16),
        ("int4", ..) => ValueClass::Integer(32),
        ("int8", ..) => ValueClass::Integer(64),
        ("float4" | "float8", ..) => ValueClass::Float,
        ("numeric", ..) => ValueClass::Numeric,
        ("bool", ..) => ValueClass::Bool,
        ("bytea", ..) => ValueClass::Bytes,
        ("text" | "varchar" | "bpchar" | "name" | "citext", ..) => ValueClass::Text,
        ("timestamp" | "timestamptz", ..) => ValueClass::Timestamp,
        ("json", ..) => ValueClass::Json { binary: false },
        ("jsonb", ..) => ValueClass::Json { binary: true },
        ("geometry", ..) => ValueClass::Geo { geography: false },
        ("geography", ..) => ValueClass::Geo { geography: true },
        (_, _, "A") => ValueClass::Array,
        (_, "c", _) => ValueClass::Composite,
        _ => ValueClass::Scalar,
    };
    let text_equality = match base.as_str() {
        "int2" | "int4" | "int8" | "bool" | "bytea" | "uuid" | "date" => true,
        "text" | "varchar" => deterministic,
        _ => kind == "e",
    };
    Ok(ColumnSchema {
        name: ident(row.get(2))?,
        sql_type: row.get(3),
        class,
        text_equality,
        collation: row.get(11),
        generated: row.get(7),
        nullable: row.get(10),
        update_has_effects: false,
        identity_always: row.get(8),
    })
}

fn cockroach_column(row: &PgRow) -> Result<ColumnSchema, Failure> {
    let (sql_type, udt): (String, String) = (row.get(3), row.get(4));
    let head = sql_type.split(['(', ' ']).next().unwrap_or_default().to_ascii_uppercase();
    let class = match head.as_str() {
        _ if sql_type.ends_with("[]") => ValueClass::Array,
        "INT2" => ValueClass::Integer(16),
        "INT4" => ValueClass::Integer(32),
        "INT8" | "INT" => ValueClass::Integer(64),
        "FLOAT4" | "FLOAT8" | "FLOAT" => ValueClass::Float,
        "DECIMAL" => ValueClass::Numeric,
        "BOOL" => ValueClass::Bool,
        "BYTES" => ValueClass::Bytes,
        "STRING" | "VARCHAR" | "CHAR" | "NAME" | "CITEXT" => ValueClass::Text,
        "TIMESTAMP" | "TIMESTAMPTZ" => ValueClass::Timestamp,
        "JSONB" | "JSON" => ValueClass::Json { binary: true },
        "GEOMETRY" => ValueClass::Geo { geography: false },
        "GEOGRAPHY" => ValueClass::Geo { geography: true },
        _ => ValueClass::Scalar,
    };
    let collated = sql_type.to_ascii_uppercase().contains("COLLATE");
    let text_equality = !collated
        && matches!(
            head.as_str(),
            "INT2" | "INT4" | "INT8" | "INT" | "BOOL" | "BYTES" | "UUID" | "DATE" | "STRING" | "VARCHAR"
        );
    let name = ident(row.get(2))?;
    // Hash-shard columns are computed whatever the catalogue says of them.
    let shard = name.as_str().starts_with("crdb_internal_") && udt.starts_with("int");
    let computed: bool = row.get(5);
    Ok(ColumnSchema {
        name,
        sql_type,
        class,
        text_equality,
        // Part of the type there.
        collation: None,
        generated: computed || shard,
        nullable: row.get(7),
        update_has_effects: false,
        identity_always: row.try_get(6).unwrap_or(false),
    })
}

/// Rows of [`KEYS`] into the tables; keys over columns we do not know are passed over.
fn add_keys(tables: &mut Tables, rows: &[PgRow]) {
    for row in rows {
        let Some(table) = tables.get_mut(&(row.get(0), row.get(1))) else { continue };
        let names: Vec<String> = row.get(5);
        let columns: Option<Vec<usize>> =
            names.iter().map(|name| table.columns.iter().position(|c| c.name.as_str() == name)).collect();
        let Some(mut columns) = columns else { continue };
        if row.get(3) {
            columns.retain(|at| !table.columns[*at].generated);
            table.primary_key = columns;
            table.key_deferrable = !row.get::<bool, _>(4);
        } else {
            let (nulls_equal, immediate): (bool, bool) = (row.get(6), row.get(4));
            table.unique_keys.push(UniqueKey {
                name: row.get(2),
                columns,
                nulls_equal,
                deferrable: !immediate,
            });
        }
    }
    for table in tables.values_mut() {
        table.unique_keys.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// Rows of [`FOREIGN_KEYS`] into the tables.
fn add_foreign_keys(tables: &mut Tables, database: &Ident, rows: &[PgRow]) -> Result<(), Failure> {
    for row in rows {
        let (child, parent): ((String, String), (String, String)) =
            ((row.get(0), row.get(1)), (row.get(2), row.get(3)));
        let parent_id = table_id(database, &parent.0, &parent.1)?;
        if let Some(child) = tables.get_mut(&child) {
            child.references.push(parent_id);
        }
        let Some(parent) = tables.get_mut(&parent) else { continue };
        // 'a' is NO ACTION, 'r' RESTRICT; the others change or remove rows of the child.
        let has_effects = |at: usize| !matches!(row.get::<String, _>(at).as_str(), "a" | "r");
        parent.delete_has_effects |= has_effects(4);
        if has_effects(5) {
            let referenced: Vec<String> = row.get(6);
            let columns =
                parent.columns.iter_mut().filter(|c| referenced.iter().any(|name| name == c.name.as_str()));
            columns.for_each(|column| column.update_has_effects = true);
        }
    }
    for table in tables.values_mut() {
        table.references.sort();
        table.references.dedup();
    }
    Ok(())
}
