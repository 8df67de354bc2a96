//! Statements that make tables on PostgreSQL.

use std::collections::BTreeSet;

use super::super::definitions::{CreatePlan, ExtensionNeed, Step};
use super::super::{quote, quote_literal};
use crate::model::definition::{
    CheckDefinition, ColumnDefinition, ColumnType, DefaultValue, Definitions, Domain, ExtensionType,
    ForeignKeyAction, ForeignKeyDefinition, IndexDefinition, PortableDefault, TableDefinition,
    TypeDefinition, TypeId, TypeKind, UniqueDefinition,
};
use crate::model::{Ident, SchemaId, TableId};

/// All statements for these tables. `known` tells which tables a foreign key may point at.
pub(in super::super) fn plan(definitions: &Definitions, known: &dyn Fn(&TableId) -> bool) -> CreatePlan {
    let blocked = |table: &TableDefinition| {
        table.columns.iter().find_map(|column| {
            opaque(definitions, &column.column_type)
                .map(|why| format!("column {}: {why}; make the table by hand", quote(column.name.as_str())))
        })
    };
    let blocked: Vec<(TableId, String)> = definitions
        .tables
        .iter()
        .filter_map(|table| blocked(table).map(|why| (table.id.clone(), why)))
        .collect();
    let definitions = &definitions.only(|id| !blocked.iter().any(|(table, _)| table == id));
    let extensions = extensions(&definitions.extension_types());
    let mut plan = CreatePlan { extensions, blocked, ..CreatePlan::default() };
    let (made, types) = (&definitions.tables, definitions.types_in_order());
    let schemas: BTreeSet<&SchemaId> = made
        .iter()
        .map(|table| &table.id.schema)
        .chain(types.iter().map(|definition| &definition.id.schema))
        .collect();
    plan.before_copy.extend(schemas.into_iter().map(schema));
    plan.before_copy.extend(types.into_iter().filter_map(user_type));
    plan.before_copy.extend(made.iter().map(create_table));
    for table in made {
        plan.after_copy.extend(second_phase(table));
    }
    for table in made {
        plan.after_copy.extend(table.foreign_keys.iter().map(|key| foreign_key(table, key, known)));
    }
    plan
}

/// Why a type cannot be made here.
fn opaque(definitions: &Definitions, column_type: &ColumnType) -> Option<String> {
    let ColumnType::User(id) = column_type.element() else { return None };
    let Some(definition) = definitions.user_type(id) else {
        return Some(format!("type {} is not known", type_name(id)));
    };
    match &definition.kind {
        TypeKind::Opaque(why) => Some(why.clone()),
        TypeKind::Enum(_) | TypeKind::Multirange(_) => None,
        TypeKind::Domain(domain) => opaque(definitions, &domain.base),
        TypeKind::Composite(attributes) => {
            attributes.iter().find_map(|attribute| opaque(definitions, &attribute.column_type))
        }
        TypeKind::Range { subtype, .. } => opaque(definitions, subtype),
    }
}

fn extensions(types: &[&ExtensionType]) -> Vec<ExtensionNeed> {
    let need = |used: &&ExtensionType| ExtensionNeed {
        extension: used.extension.clone(),
        statement: format!(
            "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}",
            quote(used.extension.as_str()),
            quote(used.id.schema.schema.as_str())
        ),
        probe: format!("SELECT to_regtype({}) IS NOT NULL", quote_literal(&type_name(&used.id))),
    };
    let mut needs: Vec<ExtensionNeed> = types.iter().map(need).collect();
    needs.sort_by(|a, b| (&a.statement, &a.probe).cmp(&(&b.statement, &b.probe)));
    needs.dedup_by(|a, b| a.statement == b.statement);
    needs
}

fn schema(schema: &SchemaId) -> Step {
    let name = schema.schema.as_str();
    let done = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {})",
        quote_literal(name)
    );
    let about = format!("schema {}", quote(name));
    // One that every database has needs no right to make it.
    Step::new(about, None, format!("CREATE SCHEMA IF NOT EXISTS {}", quote(name))).unless(done)
}

fn type_name(id: &TypeId) -> String {
    format!("{}.{}", quote(id.schema.schema.as_str()), quote(id.name.as_str()))
}

fn table_name(id: &TableId) -> String {
    format!("{}.{}", quote(id.schema.schema.as_str()), quote(id.table.as_str()))
}

/// The statement for a user's type; none if it comes with another.
fn user_type(definition: &TypeDefinition) -> Option<Step> {
    let name = type_name(&definition.id);
    let sql = match &definition.kind {
        TypeKind::Enum(labels) => {
            let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
            format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", "))
        }
        TypeKind::Domain(domain) => create_domain(&name, domain),
        TypeKind::Composite(attributes) => {
            let attribute = |a: &crate::model::definition::Attribute| {
                format!(
                    "{} {}{}",
                    quote(a.name.as_str()),
                    type_sql(&a.column_type),
                    collate(a.collation.as_deref())
                )
            };
            let attributes: Vec<String> = attributes.iter().map(attribute).collect();
            format!("CREATE TYPE {name} AS ({})", attributes.join(", "))
        }
        TypeKind::Range { subtype, multirange } => {
            let id = |name: &Ident| TypeId { schema: definition.id.schema.clone(), name: name.clone() };
            let multirange = multirange.as_ref().map(|name| type_name(&id(name)));
            let multirange = multirange.map(|name| format!(", MULTIRANGE_TYPE_NAME = {name}"));
            format!(
                "CREATE TYPE {name} AS RANGE (SUBTYPE = {}{})",
                type_sql(subtype),
                multirange.unwrap_or_default()
            )
        }
        TypeKind::Multirange(_) | TypeKind::Opaque(_) => return None,
    };
    let done = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         WHERE n.nspname = {} AND t.typname = {})",
        quote_literal(definition.id.schema.schema.as_str()),
        quote_literal(definition.id.name.as_str())
    );
    Some(Step::new(format!("type {name}"), None, sql).unless(done).noting(definition.notes.clone()))
}

fn create_domain(name: &str, domain: &Domain) -> String {
    let mut sql =
        format!("CREATE DOMAIN {name} AS {}{}", type_sql(&domain.base), collate(domain.collation.as_deref()));
    if let Some(default) = domain.default.as_ref().and_then(default_sql) {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if domain.not_null {
        sql.push_str(" NOT NULL");
    }
    for check in &domain.checks {
        sql.push(' ');
        sql.push_str(&check_sql(check));
    }
    sql
}

/// The type with its modifier, as `format_type` spells it.
pub(crate) fn type_sql(column_type: &ColumnType) -> String {
    let of = |name: &str, length: Option<u32>| match length {
        Some(length) => format!("{name}({length})"),
        None => name.to_owned(),
    };
    let clock = |name: &str, digits: Option<u8>, zone: bool| {
        format!("{} {} time zone", of(name, digits.map(u32::from)), if zone { "with" } else { "without" })
    };
    match column_type {
        ColumnType::Integer(16) => "smallint".into(),
        ColumnType::Integer(32) => "integer".into(),
        ColumnType::Integer(_) => "bigint".into(),
        ColumnType::Float(32) => "real".into(),
        ColumnType::Float(_) => "double precision".into(),
        ColumnType::Decimal(Some((precision, scale))) => format!("numeric({precision},{scale})"),
        ColumnType::Decimal(None) => "numeric".into(),
        ColumnType::Money => "money".into(),
        ColumnType::Bool => "boolean".into(),
        ColumnType::Char(length) => of("character", Some(*length)),
        ColumnType::Varchar(length) => of("character varying", *length),
        ColumnType::Text => "text".into(),
        ColumnType::Bytes => "bytea".into(),
        ColumnType::Date => "date".into(),
        ColumnType::Time(digits, zone) => clock("time", *digits, *zone),
        ColumnType::Timestamp(digits, zone) => clock("timestamp", *digits, *zone),
        ColumnType::Interval(rest) => format!("interval{rest}"),
        ColumnType::Uuid => "uuid".into(),
        ColumnType::Inet => "inet".into(),
        ColumnType::Json(false) => "json".into(),
        ColumnType::Json(true) => "jsonb".into(),
        ColumnType::Bit(length) => of("bit", Some(*length)),
        ColumnType::Varbit(length) => of("bit varying", *length),
        ColumnType::TextSearch(false) => "tsvector".into(),
        ColumnType::TextSearch(true) => "tsquery".into(),
        ColumnType::Builtin(name) => name.clone(),
        ColumnType::Extension(extension) => format!("{}{}", type_name(&extension.id), extension.modifier),
        ColumnType::User(id) => type_name(id),
        ColumnType::Array(element, dimensions) => {
            let brackets = usize::try_from((*dimensions).max(1)).unwrap_or(1);
            format!("{}{}", type_sql(element), "[]".repeat(brackets))
        }
    }
}

fn collate(collation: Option<&str>) -> String {
    collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default()
}

fn default_sql(default: &DefaultValue) -> Option<String> {
    let portable = || {
        default.portable.as_ref().map(|portable| match portable {
            PortableDefault::Null => "NULL".into(),
            PortableDefault::Text(text) => quote_literal(text),
            PortableDefault::Number(digits) => digits.clone(),
            PortableDefault::Bool(value) => value.to_string(),
            PortableDefault::Now => "now()".into(),
            PortableDefault::Today => "CURRENT_DATE".into(),
            PortableDefault::RandomUuid => "gen_random_uuid()".into(),
        })
    };
    default.postgres.clone().or_else(portable)
}

fn check_sql(check: &CheckDefinition) -> String {
    format!("CONSTRAINT {} CHECK ({})", quote(check.name.as_str()), check.expression)
}

fn column_sql(column: &ColumnDefinition) -> String {
    let mut sql = format!(
        "{} {}{}",
        quote(column.name.as_str()),
        type_sql(&column.column_type),
        collate(column.collation.as_deref())
    );
    if let Some(identity) = &column.identity {
        sql.push_str(&format!(
            " GENERATED BY DEFAULT AS IDENTITY (START WITH {} INCREMENT BY {})",
            identity.start, identity.increment
        ));
    } else if let Some(expression) = &column.generated {
        sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) STORED"));
    } else if let Some(default) = column.default.as_ref().and_then(default_sql) {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    sql
}

fn columns_sql(columns: &[Ident]) -> String {
    columns.iter().map(|column| quote(column.as_str())).collect::<Vec<_>>().join(", ")
}

fn create_table(table: &TableDefinition) -> Step {
    let name = table_name(&table.id);
    let mut parts: Vec<String> = table.columns.iter().map(column_sql).collect();
    let mut notes = table.notes.clone();
    match &table.primary_key {
        Some(key) => {
            let constraint = key.name.as_ref().map(|name| format!("CONSTRAINT {} ", quote(name.as_str())));
            let columns = columns_sql(&key.columns);
            parts.push(format!("{}PRIMARY KEY ({columns})", constraint.unwrap_or_default()));
        }
        None => {
            notes.push("has no primary key, so its changes cannot be applied; add one here or there".into())
        }
    }
    parts.extend(table.checks.iter().filter(|check| !check.not_valid).map(check_sql));
    for column in &table.columns {
        let note = column.identity.as_ref().map(|identity| &identity.note);
        notes.extend(note.map(|note| format!("column {}: {note}", quote(column.name.as_str()))));
    }
    let sql = format!("CREATE TABLE {name} (\n    {}\n)", parts.join(",\n    "));
    Step::new(format!("table {name}"), Some(&table.id), sql)
        .unless(relation_exists(&table.id.schema, table.id.table.as_str()))
        .noting(notes)
}

fn relation_exists(schema: &SchemaId, name: &str) -> String {
    format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {})",
        quote_literal(schema.schema.as_str()),
        quote_literal(name)
    )
}

fn constraint_exists(table: &TableId, name: &Ident) -> String {
    format!(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint c WHERE c.conrelid = to_regclass({}) AND c.conname = {})",
        quote_literal(&table_name(table)),
        quote_literal(name.as_str())
    )
}

/// What a table gets once its rows are there, without foreign keys.
fn second_phase(table: &TableDefinition) -> Vec<Step> {
    let mut steps: Vec<Step> = table.indexes.iter().map(|index| create_index(table, index)).collect();
    steps.extend(table.unique.iter().map(|unique| {
        let definition = unique.postgres.clone().unwrap_or_else(|| unique_sql(unique));
        add_constraint(table, &unique.name, &definition)
    }));
    steps.extend(
        table.exclusions.iter().map(|exclusion| add_constraint(table, &exclusion.name, &exclusion.postgres)),
    );
    let not_valid = table.checks.iter().filter(|check| check.not_valid);
    steps.extend(not_valid.map(|check| {
        add_constraint(table, &check.name, &format!("CHECK ({}) NOT VALID", check.expression))
            .noting(vec!["rows of the source may violate it, so it comes after the copy, NOT VALID".into()])
    }));
    steps
}

fn add_constraint(table: &TableDefinition, name: &Ident, definition: &str) -> Step {
    let about = format!("constraint {} of {}", quote(name.as_str()), table_name(&table.id));
    let sql =
        format!("ALTER TABLE {} ADD CONSTRAINT {} {definition}", table_name(&table.id), quote(name.as_str()));
    Step::new(about, Some(&table.id), sql).unless(constraint_exists(&table.id, name))
}

fn unique_sql(unique: &UniqueDefinition) -> String {
    let nulls = if unique.nulls_equal { " NULLS NOT DISTINCT" } else { "" };
    let deferrable = if unique.deferrable { " DEFERRABLE" } else { "" };
    format!("UNIQUE{nulls} ({}){deferrable}", columns_sql(&unique.columns))
}

fn create_index(table: &TableDefinition, index: &IndexDefinition) -> Step {
    let name = quote(index.name.as_str());
    let sql = index.postgres.clone().unwrap_or_else(|| index_sql(table, index));
    Step::new(format!("index {name} of {}", table_name(&table.id)), Some(&table.id), sql)
        .unless(relation_exists(&table.id.schema, index.name.as_str()))
}

fn index_sql(table: &TableDefinition, index: &IndexDefinition) -> String {
    let parts: Vec<String> = index
        .parts
        .iter()
        .map(|part| {
            let over = match &part.over {
                Ok(column) => quote(column.as_str()),
                Err(expression) => format!("({expression})"),
            };
            let order = if part.descending { " DESC" } else { "" };
            // Last by itself when ascending, first when descending.
            let nulls = match (part.nulls_first, part.descending) {
                (true, false) => " NULLS FIRST",
                (false, true) => " NULLS LAST",
                (true, true) | (false, false) => "",
            };
            format!("{over}{order}{nulls}")
        })
        .collect();
    let mut sql = format!(
        "CREATE {}INDEX {} ON {} USING {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote(index.name.as_str()),
        table_name(&table.id),
        quote(&index.method),
        parts.join(", ")
    );
    if !index.include.is_empty() {
        sql.push_str(&format!(" INCLUDE ({})", columns_sql(&index.include)));
    }
    if index.nulls_equal {
        sql.push_str(" NULLS NOT DISTINCT");
    }
    if let Some(predicate) = &index.predicate {
        sql.push_str(&format!(" WHERE {predicate}"));
    }
    sql
}

fn foreign_key(
    table: &TableDefinition,
    key: &ForeignKeyDefinition,
    known: &dyn Fn(&TableId) -> bool,
) -> Step {
    let definition = key.postgres.clone().unwrap_or_else(|| foreign_key_sql(key));
    let step = add_constraint(table, &key.name, &definition);
    if known(&key.parent) {
        return step;
    }
    let note = format!("left out: it points at {}, which the target lacks", table_name(&key.parent));
    Step::only_note(step.about, &table.id, note)
}

fn foreign_key_sql(key: &ForeignKeyDefinition) -> String {
    format!(
        "FOREIGN KEY ({}) REFERENCES {} ({}){}{}{}{}",
        columns_sql(&key.columns),
        table_name(&key.parent),
        columns_sql(&key.parent_columns),
        if key.match_full { " MATCH FULL" } else { "" },
        action(" ON UPDATE", key.on_update),
        action(" ON DELETE", key.on_delete),
        if key.deferrable { " DEFERRABLE" } else { "" },
    )
}

/// What a foreign key does, unless it is what it does by itself.
pub(in super::super) fn action(event: &str, action: ForeignKeyAction) -> String {
    let action = match action {
        ForeignKeyAction::NoAction => return String::new(),
        ForeignKeyAction::Restrict => "RESTRICT",
        ForeignKeyAction::Cascade => "CASCADE",
        ForeignKeyAction::SetNull => "SET NULL",
        ForeignKeyAction::SetDefault => "SET DEFAULT",
    };
    format!("{event} {action}")
}
