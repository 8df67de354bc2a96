//! Statements that make tables on CockroachDB. All may be repeated; each is run by itself.

use std::collections::BTreeSet;

use super::super::definitions::{CreatePlan, Step};
use super::super::postgres::definitions::action;
use super::super::{quote, quote_literal};
use super::portable;
use super::types::{domains, map, type_name};
use crate::model::definition::{
    CheckDefinition, ColumnDefinition, DefaultValue, Definitions, ForeignKeyDefinition, IndexDefinition,
    PortableDefault, TableDefinition, TypeDefinition, TypeKind, UniqueDefinition,
};
use crate::model::{Ident, SchemaId, TableId};

/// All statements for these tables. `known` tells which tables a foreign key may point at.
pub(in super::super) fn plan(definitions: &Definitions, known: &dyn Fn(&TableId) -> bool) -> CreatePlan {
    let mut plan = CreatePlan::default();
    let types = definitions.types_in_order();
    let enums = |definition: &&&TypeDefinition| matches!(definition.kind, TypeKind::Enum(_));
    let schemas: BTreeSet<&SchemaId> = definitions
        .tables
        .iter()
        .map(|table| &table.id.schema)
        .chain(types.iter().filter(enums).map(|definition| &definition.id.schema))
        .collect();
    // Every database has the schema `public`.
    let schemas = schemas.into_iter().filter(|schema| schema.schema.as_str() != "public");
    plan.before_copy.extend(schemas.map(|schema| {
        let name = format!("{}.{}", quote(schema.database.as_str()), quote(schema.schema.as_str()));
        Step::new(format!("schema {name}"), None, format!("CREATE SCHEMA IF NOT EXISTS {name}"))
    }));
    plan.before_copy.extend(types.into_iter().filter_map(user_type));
    plan.before_copy.extend(definitions.tables.iter().map(|table| create_table(definitions, table)));
    for table in &definitions.tables {
        plan.after_copy.extend(second_phase(table));
    }
    for table in &definitions.tables {
        plan.after_copy.extend(table.foreign_keys.iter().map(|key| foreign_key(table, key, known)));
    }
    plan
}

fn user_type(definition: &TypeDefinition) -> Option<Step> {
    let TypeKind::Enum(labels) = &definition.kind else { return None };
    let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
    let name = type_name(&definition.id);
    let sql = format!("CREATE TYPE IF NOT EXISTS {name} AS ENUM ({})", labels.join(", "));
    Some(Step::new(format!("type {name}"), None, sql))
}

fn table_name(id: &TableId) -> String {
    let (database, schema) = (&id.schema.database, &id.schema.schema);
    format!("{}.{}.{}", quote(database.as_str()), quote(schema.as_str()), quote(id.table.as_str()))
}

fn columns_sql(columns: &[Ident]) -> String {
    columns.iter().map(|column| quote(column.as_str())).collect::<Vec<_>>().join(", ")
}

fn column_names(table: &TableDefinition) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

fn create_table(definitions: &Definitions, table: &TableDefinition) -> Step {
    let (name, columns) = (table_name(&table.id), column_names(table));
    let (mut parts, mut notes) = (Vec::new(), table.notes.clone());
    for column in &table.columns {
        parts.extend(column_sql(definitions, column, &columns, &mut notes));
    }
    if let Some(key) = &table.primary_key {
        let constraint = key.name.as_ref().map(|name| format!("CONSTRAINT {} ", quote(name.as_str())));
        let columns = columns_sql(&key.columns);
        parts.push(format!("{}PRIMARY KEY ({columns})", constraint.unwrap_or_default()));
    } else {
        notes.push("has no primary key, so its changes cannot be applied; add one here or there".into());
    }
    for check in &table.checks {
        parts.extend(check_sql(check, &columns, None, &mut notes));
    }
    for column in &table.columns {
        let value = quote(column.name.as_str());
        for check in domains(definitions, &column.column_type).into_iter().flat_map(|domain| &domain.checks) {
            let own = CheckDefinition { name: joined_name(&column.name, &check.name), ..check.clone() };
            parts.extend(check_sql(&own, &columns, Some(&value), &mut notes));
        }
    }
    let sql = format!("CREATE TABLE IF NOT EXISTS {name} (\n    {}\n)", parts.join(",\n    "));
    Step::new(format!("table {name}"), Some(&table.id), sql).noting(notes)
}

/// A name for a check of a domain that is said of a column.
fn joined_name(column: &Ident, check: &Ident) -> Ident {
    Ident::new(format!("{column}_{check}")).unwrap_or_else(|_| check.clone())
}

/// A column; none if it is left out.
fn column_sql(
    definitions: &Definitions,
    column: &ColumnDefinition,
    columns: &[&str],
    notes: &mut Vec<String>,
) -> Option<String> {
    let name = quote(column.name.as_str());
    let mut note = |text: String| notes.push(format!("column {name}: {text}"));
    let mapped = map(definitions, &column.column_type);
    if let Some(text) = mapped.note {
        note(text);
    }
    if let Some(collation) = &column.collation {
        note(format!("collation {collation} is left out; texts are ordered by code point"));
    }
    let mut sql = format!("{name} {}", mapped.sql);
    if let Some(expression) = &column.generated {
        let Some(expression) = portable::expression(expression, columns, None) else {
            note(format!(
                "left out: it is computed by an expression that may mean something else here: {expression}"
            ));
            return None;
        };
        sql.push_str(&format!(" AS ({expression}) STORED"));
    } else if let Some(identity) = &column.identity {
        note(identity.note.clone());
        sql.push_str(&format!(
            " GENERATED BY DEFAULT AS IDENTITY (START WITH {} INCREMENT BY {})",
            identity.start, identity.increment
        ));
    } else {
        let own = column.default.as_ref();
        let inherited =
            || domains(definitions, &column.column_type).into_iter().find_map(|d| d.default.as_ref());
        if let Some(default) = own.or_else(inherited) {
            match default_sql(default) {
                Ok(default) => sql.push_str(&format!(" DEFAULT {default}")),
                Err(text) => note(format!("its default is left out: {text}")),
            }
        }
    }
    let not_null = domains(definitions, &column.column_type).iter().any(|domain| domain.not_null);
    if !column.nullable || not_null {
        sql.push_str(" NOT NULL");
    }
    Some(sql)
}

fn default_sql(default: &DefaultValue) -> Result<String, String> {
    match &default.portable {
        Some(PortableDefault::Null) => Ok("NULL".into()),
        Some(PortableDefault::Text(text)) => Ok(quote_literal(text)),
        Some(PortableDefault::Number(digits)) => Ok(digits.clone()),
        Some(PortableDefault::Bool(value)) => Ok(value.to_string()),
        Some(PortableDefault::Now) => Ok("now()".into()),
        Some(PortableDefault::Today) => Ok("current_date()".into()),
        Some(PortableDefault::RandomUuid) => Ok("gen_random_uuid()".into()),
        None => Err(default.postgres.clone().unwrap_or_default()),
    }
}

fn check_sql(
    check: &CheckDefinition,
    columns: &[&str],
    value: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<String> {
    let name = quote(check.name.as_str());
    if check.not_valid {
        notes.push(format!("check {name} is left out: rows of the source may violate it"));
        return None;
    }
    let Some(expression) = portable::expression(&check.expression, columns, value) else {
        notes
            .push(format!("check {name} is left out: it may mean something else here: {}", check.expression));
        return None;
    };
    Some(format!("CONSTRAINT {name} CHECK ({expression})"))
}

fn second_phase(table: &TableDefinition) -> Vec<Step> {
    let mut steps: Vec<Step> = table.indexes.iter().map(|index| create_index(table, index)).collect();
    steps.extend(table.unique.iter().map(|unique| unique_index(table, unique)));
    steps.extend(table.exclusions.iter().map(|exclusion| {
        let about = format!("constraint {} of {}", quote(exclusion.name.as_str()), table_name(&table.id));
        Step::only_note(about, &table.id, "left out: there are no exclusion constraints here".into())
    }));
    steps
}

fn unique_index(table: &TableDefinition, unique: &UniqueDefinition) -> Step {
    let (name, target) = (quote(unique.name.as_str()), table_name(&table.id));
    let about = format!("constraint {name} of {target}");
    if unique.nulls_equal {
        return Step::only_note(about, &table.id, "left out: NULLs are never equal here".into());
    }
    let columns = columns_sql(&unique.columns);
    let step = Step::new(
        about,
        Some(&table.id),
        format!("CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {target} ({columns})"),
    );
    if unique.deferrable { step.noting(vec!["is checked at once here, never deferred".into()]) } else { step }
}

/// What an index is over as SQL, or why there is none like it.
fn index_parts(table: &TableDefinition, index: &IndexDefinition) -> Result<String, String> {
    let mut parts = Vec::new();
    for part in &index.parts {
        let Ok(column) = &part.over else { return Err("it is over an expression".into()) };
        if !part.usual_order {
            return Err("it has an operator class or collation of its own".into());
        }
        let order = if part.descending { " DESC" } else { "" };
        parts.push(format!("{}{order}", quote(column.as_str())));
    }
    let method = match index.method.as_str() {
        "btree" | "hash" => "",
        "gin" => " USING GIN",
        other => return Err(format!("there is no access method {other} for it")),
    };
    if index.unique && index.nulls_equal {
        return Err("NULLs are never equal here".into());
    }
    let mut sql = format!("{}{method} ({})", table_name(&table.id), parts.join(", "));
    if !index.include.is_empty() {
        sql.push_str(&format!(" STORING ({})", columns_sql(&index.include)));
    }
    if let Some(predicate) = &index.predicate {
        let same = portable::expression(predicate, &column_names(table), None);
        let same = same.ok_or_else(|| format!("its condition may mean something else here: {predicate}"))?;
        sql.push_str(&format!(" WHERE {same}"));
    }
    Ok(sql)
}

fn create_index(table: &TableDefinition, index: &IndexDefinition) -> Step {
    let name = quote(index.name.as_str());
    let about = format!("index {name} of {}", table_name(&table.id));
    match index_parts(table, index) {
        Ok(rest) => {
            let unique = if index.unique { "UNIQUE " } else { "" };
            let sql = format!("CREATE {unique}INDEX IF NOT EXISTS {name} ON {rest}");
            Step::new(about, Some(&table.id), sql)
        }
        Err(why) => Step::only_note(about, &table.id, format!("left out: {why}")),
    }
}

fn foreign_key(
    table: &TableDefinition,
    key: &ForeignKeyDefinition,
    known: &dyn Fn(&TableId) -> bool,
) -> Step {
    let (name, target, parent) = (quote(key.name.as_str()), table_name(&table.id), table_name(&key.parent));
    let about = format!("constraint {name} of {target}");
    if !known(&key.parent) {
        let note = format!("left out: it points at {parent}, which the target lacks");
        return Step::only_note(about, &table.id, note);
    }
    let sql = format!(
        "ALTER TABLE {target} ADD CONSTRAINT IF NOT EXISTS {name} FOREIGN KEY ({}) REFERENCES {parent} ({}){}{}{}",
        columns_sql(&key.columns),
        columns_sql(&key.parent_columns),
        if key.match_full { " MATCH FULL" } else { "" },
        action(" ON DELETE", key.on_delete),
        action(" ON UPDATE", key.on_update),
    );
    let step = Step::new(about, Some(&table.id), sql);
    if key.deferrable { step.noting(vec!["is checked at once here, never deferred".into()]) } else { step }
}
