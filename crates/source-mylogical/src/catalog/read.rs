//! Questions to the catalogue.

use std::collections::HashMap;

use super::tables::{ColumnFacts, ForeignKeyFacts, Generated, IndexFacts, IndexPart, TableFacts, TableKind};
use super::{ANSWER_LIMIT, literal};
use crate::Flavor;
use crate::assemble::TableName;
use crate::charset::Charsets;
use crate::transport::{Session, TransportError};

/// Which character set belongs to which collation.
///
/// # Errors
/// The connection's.
pub async fn charsets(session: &mut Session) -> Result<Charsets, TransportError> {
    let sql = match session.flavor() {
        Flavor::MySql => "SELECT id, character_set_name FROM information_schema.collations",
        // The other view lacks those of version 11, and names of character sets where several share a collation.
        Flavor::MariaDb => {
            "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability"
        }
    };
    let rows: Vec<(u32, String)> = session.ask(sql, ANSWER_LIMIT).await?;
    Ok(Charsets::new(rows.iter().map(|(id, name)| (*id, name.as_str()))))
}

/// Everything in these databases that we may see: without SELECT on it, a table is as if it were not there.
///
/// # Errors
/// The connection's.
pub async fn tables(session: &mut Session, databases: &[String]) -> Result<Vec<TableFacts>, TransportError> {
    if databases.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    let asked = Asked { databases: format!("IN ({})", names.join(", ")), table: String::new() };
    asked.read(session).await
}

/// One table; `None` if it is not there, or not ours to see.
///
/// # Errors
/// The connection's.
pub async fn table(session: &mut Session, name: &TableName) -> Result<Option<TableFacts>, TransportError> {
    let (database, table) = (literal(&name.database), literal(&name.table));
    let asked = Asked { databases: format!("= {database}"), table: format!(" AND t.table_name = {table}") };
    Ok(asked.read(session).await?.pop())
}

/// Which tables a question is about, as SQL.
///
/// Each question is about one view of the catalogue alone, and none is prepared: MariaDB 11.8.6 was seen to crash at a
/// prepared join of two of them.
struct Asked {
    databases: String,
    table: String,
}

type Key = (String, String);
type TableRow = (String, String, String, Option<String>, Option<u64>, Option<u64>);
type ColumnRow = (
    String,
    String,
    String,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);
type IndexRow = (String, String, String, u64, Option<String>, Option<u64>, String);
type RuleRow = (String, String, String, String, String);
type KeyRow = (String, String, String, String, String, String, String);

impl Asked {
    async fn rows<R>(&self, session: &mut Session, sql: &str, order: &str) -> Result<Vec<R>, TransportError>
    where
        R: mysql_async::prelude::FromRow + Send + 'static,
    {
        let (databases, table) = (&self.databases, &self.table);
        session.ask(&format!("{sql} {databases}{table} ORDER BY {order}"), ANSWER_LIMIT).await
    }

    async fn read(&self, session: &mut Session) -> Result<Vec<TableFacts>, TransportError> {
        let engines = engines(session).await?;
        let mut columns = self.columns(session).await?;
        let mut indexes = self.indexes(session).await?;
        let mut foreign_keys = self.foreign_keys(session).await?;
        let rows: Vec<TableRow> = self
            .rows(
                session,
                "SELECT t.table_schema, t.table_name, t.table_type, t.engine, CAST(t.table_rows AS UNSIGNED), \
                 CAST(t.data_length AS UNSIGNED) FROM information_schema.tables t WHERE t.table_schema",
                "1, 2",
            )
            .await?;
        let table = |(database, table, kind, engine, rows, bytes): TableRow| {
            let key = (database.clone(), table.clone());
            let engine = engine.unwrap_or_default();
            TableFacts {
                name: TableName { database, table },
                kind: kind_of(&kind),
                transactional: engines.get(&engine).copied().unwrap_or(false),
                engine,
                rows: rows.unwrap_or(0),
                bytes: bytes.unwrap_or(0),
                columns: columns.remove(&key).unwrap_or_default(),
                indexes: indexes.remove(&key).unwrap_or_default(),
                foreign_keys: foreign_keys.remove(&key).unwrap_or_default(),
            }
        };
        Ok(rows.into_iter().map(table).collect())
    }

    async fn columns(&self, session: &mut Session) -> Result<HashMap<Key, Vec<ColumnFacts>>, TransportError> {
        let json = self.json_checks(session).await?;
        let rows: Vec<ColumnRow> = self
            .rows(
                session,
                "SELECT t.table_schema, t.table_name, t.column_name, t.data_type, t.column_type, t.is_nullable, \
                 t.generation_expression, t.extra, t.column_default, t.character_set_name \
                 FROM information_schema.columns t WHERE t.table_schema",
                "t.table_schema, t.table_name, t.ordinal_position",
            )
            .await?;
        let mut columns: HashMap<Key, Vec<ColumnFacts>> = HashMap::new();
        for row in rows {
            let (
                database,
                table,
                name,
                data_type,
                column_type,
                nullable,
                expression,
                extra,
                default,
                charset,
            ) = row;
            let extra = extra.unwrap_or_default();
            let key = (database, table);
            let is_json = json.get(&key).is_some_and(|columns| columns.contains(&name));
            let column = ColumnFacts {
                name,
                data_type: data_type.to_lowercase(),
                column_type,
                nullable: nullable == "YES",
                generated: generated(&extra),
                expression: expression.filter(|text| !text.is_empty()),
                extra,
                default,
                charset,
                json: is_json,
            };
            columns.entry(key).or_default().push(column);
        }
        Ok(columns)
    }

    /// Columns whose check says what MariaDB's type JSON says.
    async fn json_checks(&self, session: &mut Session) -> Result<HashMap<Key, Vec<String>>, TransportError> {
        if session.flavor() == Flavor::MySql {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, String, String)> = self
            .rows(
                session,
                "SELECT t.constraint_schema, t.table_name, t.check_clause \
                 FROM information_schema.check_constraints t WHERE t.constraint_schema",
                "1, 2",
            )
            .await?;
        let mut found: HashMap<Key, Vec<String>> = HashMap::new();
        for (database, table, clause) in rows {
            let column = clause.strip_prefix("json_valid(`").and_then(|rest| rest.strip_suffix("`)"));
            if let Some(column) = column {
                found.entry((database, table)).or_default().push(column.replace("``", "`"));
            }
        }
        Ok(found)
    }

    async fn indexes(&self, session: &mut Session) -> Result<HashMap<Key, Vec<IndexFacts>>, TransportError> {
        let rows: Vec<IndexRow> = self
            .rows(
                session,
                "SELECT t.table_schema, t.table_name, t.index_name, CAST(t.non_unique AS UNSIGNED), t.column_name, \
                 CAST(t.sub_part AS UNSIGNED), t.index_type FROM information_schema.statistics t WHERE t.table_schema",
                "t.table_schema, t.table_name, t.index_name, t.seq_in_index",
            )
            .await?;
        let mut indexes: HashMap<Key, Vec<IndexFacts>> = HashMap::new();
        for (database, table, name, non_unique, column, prefix, method) in rows {
            let of_table = indexes.entry((database, table)).or_default();
            let part = IndexPart { column, prefix };
            match of_table.last_mut().filter(|last| last.name == name) {
                Some(last) => last.parts.push(part),
                None => {
                    of_table.push(IndexFacts { name, unique: non_unique == 0, method, parts: vec![part] })
                }
            }
        }
        Ok(indexes)
    }

    async fn foreign_keys(
        &self,
        session: &mut Session,
    ) -> Result<HashMap<Key, Vec<ForeignKeyFacts>>, TransportError> {
        let rules: Vec<RuleRow> = self
            .rows(
                session,
                "SELECT t.constraint_schema, t.table_name, t.constraint_name, t.update_rule, t.delete_rule \
                 FROM information_schema.referential_constraints t WHERE t.constraint_schema",
                "1, 2, 3",
            )
            .await?;
        if rules.is_empty() {
            return Ok(HashMap::new());
        }
        let rules: HashMap<(Key, String), (String, String)> = rules
            .into_iter()
            .map(|(database, table, name, on_update, on_delete)| {
                (((database, table), name), (on_update, on_delete))
            })
            .collect();
        let rows: Vec<KeyRow> = self
            .rows(
                session,
                "SELECT t.table_schema, t.table_name, t.constraint_name, t.column_name, t.referenced_column_name, \
                 t.referenced_table_schema, t.referenced_table_name FROM information_schema.key_column_usage t \
                 WHERE t.referenced_column_name IS NOT NULL AND t.table_schema",
                "t.table_schema, t.table_name, t.constraint_name, t.ordinal_position",
            )
            .await?;
        let mut keys: HashMap<Key, Vec<ForeignKeyFacts>> = HashMap::new();
        for (database, table, name, column, to, to_database, to_table) in rows {
            let key = (database, table);
            let (on_update, on_delete) = rules.get(&(key.clone(), name.clone())).cloned().unwrap_or_default();
            let of_table = keys.entry(key).or_default();
            match of_table.last_mut().filter(|last| last.name == name) {
                Some(last) => last.columns.push((column, to)),
                None => of_table.push(ForeignKeyFacts {
                    name,
                    columns: vec![(column, to)],
                    referenced: TableName { database: to_database, table: to_table },
                    on_update,
                    on_delete,
                }),
            }
        }
        Ok(keys)
    }
}

async fn engines(session: &mut Session) -> Result<HashMap<String, bool>, TransportError> {
    let sql = "SELECT engine, transactions FROM information_schema.engines";
    let rows: Vec<(String, Option<String>)> = session.ask(sql, ANSWER_LIMIT).await?;
    Ok(rows.into_iter().map(|(name, does)| (name, does.as_deref() == Some("YES"))).collect())
}

fn kind_of(text: &str) -> TableKind {
    match text {
        "BASE TABLE" => TableKind::Base,
        "VIEW" | "SYSTEM VIEW" => TableKind::View,
        "SYSTEM VERSIONED" => TableKind::Versioned,
        "SEQUENCE" => TableKind::Sequence,
        _ => TableKind::Other,
    }
}

fn generated(extra: &str) -> Generated {
    if extra.contains("VIRTUAL GENERATED") {
        Generated::Virtual
    } else if extra.contains("STORED GENERATED") || extra.contains("PERSISTENT") {
        Generated::Stored
    } else {
        Generated::No
    }
}
