//! Tables with their columns, keys, indexes and foreign keys.

use std::collections::BTreeMap;

use sink_core::model::definition::{
    ColumnDefinition, ExclusionDefinition, ForeignKeyAction, ForeignKeyDefinition, Identity, IndexDefinition,
    IndexPart, PrimaryKey, TableDefinition, UniqueDefinition,
};
use sink_core::model::{Ident, SchemaId, TableId};

use super::WantedTable;
use super::build::{Types, check, default, ident, kept, schema, usual_collation};
use crate::catalog::CatalogError;
use crate::catalog::definitions::DefinitionRows;
use crate::catalog::fields::Fields;

type Tables = BTreeMap<u32, TableDefinition>;

/// All tables, in the order of their names.
pub(super) fn read(
    rows: &DefinitionRows,
    types: &Types,
    wanted: &[WantedTable],
) -> Result<Vec<TableDefinition>, CatalogError> {
    let mut tables = Tables::new();
    for row in &rows.tables {
        let mut fields = Fields::new("the tables to be made", row);
        let oid = fields.parsed()?;
        let id = TableId { schema: schema(&mut fields, &types.database)?, table: ident(&mut fields)? };
        tables.insert(oid, empty(id));
    }
    columns(rows, types, &mut tables)?;
    keys(rows, &mut tables)?;
    checks(rows, &mut tables)?;
    exclusions(rows, &mut tables)?;
    indexes(rows, &mut tables)?;
    foreign_keys(rows, &types.database, &mut tables)?;
    let mut tables: Vec<TableDefinition> = tables.into_values().collect();
    tables.iter_mut().for_each(|table| spare_unsent(table, wanted));
    tables.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(tables)
}

fn empty(id: TableId) -> TableDefinition {
    TableDefinition {
        id,
        columns: Vec::new(),
        primary_key: None,
        checks: Vec::new(),
        unique: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        exclusions: Vec::new(),
        notes: Vec::new(),
    }
}

/// Columns that the source does not send must be able to stay empty.
fn spare_unsent(table: &mut TableDefinition, wanted: &[WantedTable]) {
    let is_it = |wanted: &&WantedTable| {
        wanted.name.schema == table.id.schema.schema.as_str() && wanted.name.name == table.id.table.as_str()
    };
    let Some(sent) = wanted.iter().find(is_it).and_then(|wanted| wanted.columns.as_ref()) else { return };
    let key = table.primary_key.as_ref().map(|key| key.columns.clone()).unwrap_or_default();
    for column in &mut table.columns {
        if sent.iter().any(|name| name == column.name.as_str()) || column.generated.is_some() {
            continue;
        }
        table.notes.push(format!("column {:?} is not published, so it stays empty", column.name.as_str()));
        column.nullable |= column.identity.is_none() && !key.contains(&column.name);
    }
}

fn columns(rows: &DefinitionRows, types: &Types, tables: &mut Tables) -> Result<(), CatalogError> {
    for row in &rows.columns {
        let mut fields = Fields::new("the columns to be made", row);
        let Some(table) = tables.get_mut(&fields.parsed()?) else { continue };
        let mut notes = Vec::new();
        let column = column(&mut fields, types, &mut notes)?;
        let name = column.name.as_str();
        table.notes.extend(notes.into_iter().map(|note| format!("column {name:?}: {note}")));
        table.columns.push(column);
    }
    Ok(())
}

fn column(
    fields: &mut Fields<'_>,
    types: &Types,
    notes: &mut Vec<String>,
) -> Result<ColumnDefinition, CatalogError> {
    let name = ident(fields)?;
    let (oid, text, dimensions) = (fields.parsed()?, fields.text()?, fields.parsed()?);
    let column_type = types.column_type(oid, text, dimensions);
    let not_null = fields.flag()?;
    let (expression, uses) = (fields.maybe_text()?, fields.maybe_text()?);
    let (identity, generated) = (fields.maybe_text()?, fields.maybe_text()?);
    let (collation, usual) = (fields.maybe_text()?, fields.flag()?);
    let collation = usual_collation(collation, usual, notes);
    let (sequence, start, increment) = (fields.maybe_text()?, fields.maybe_parsed()?, fields.maybe_parsed()?);
    let serial = expression.is_some_and(|text| text.starts_with("nextval("));
    let mut column = ColumnDefinition {
        name,
        column_type,
        collation,
        nullable: !not_null,
        default: None,
        identity: None,
        generated: None,
    };
    let counted = identity.is_some() || serial && Types::is_integer(&column.column_type);
    match (sequence, generated) {
        (_, Some(kind)) => column.generated = generated_as(kind, expression, uses, notes),
        (Some(sequence), None) if counted => {
            column.identity = Some(counted_by(sequence, start, increment, identity, notes));
        }
        (_, None) => column.default = default(expression, uses, notes),
    }
    Ok(column)
}

fn counted_by(
    sequence: &str,
    start: Option<i64>,
    increment: Option<i64>,
    identity: Option<&str>,
    notes: &mut Vec<String>,
) -> Identity {
    match identity {
        Some("a") => {
            notes.push("GENERATED ALWAYS becomes BY DEFAULT, so that rows keep their numbers".to_owned());
        }
        Some(_) => {}
        None => notes.push("the default nextval() becomes an identity".to_owned()),
    }
    Identity {
        start: start.unwrap_or(1),
        increment: increment.unwrap_or(1),
        note: format!(
            "counts from the start here; at the cut-over, carry on after the last value of sequence {sequence}"
        ),
    }
}

fn generated_as(
    kind: &str,
    expression: Option<&str>,
    uses: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<String> {
    let expression = expression?;
    if let Some(uses) = uses {
        notes.push(format!("is not computed here and stays empty, for it uses {uses}: {expression}"));
        return None;
    }
    if kind == "v" {
        notes.push("is computed when read at the source, and stored here".to_owned());
    }
    Some(expression.to_owned())
}

fn keys(rows: &DefinitionRows, tables: &mut Tables) -> Result<(), CatalogError> {
    for row in &rows.keys {
        let mut fields = Fields::new("the keys", row);
        let Some(table) = tables.get_mut(&fields.parsed()?) else { continue };
        let (name, kind, deferrable) = (ident(&mut fields)?, fields.letter()?, fields.flag()?);
        let (nulls_equal, text) = (fields.flag()?, fields.string()?);
        let (column, included) = (ident(&mut fields)?, fields.flag()?);
        if kind == 'p' {
            if table.primary_key.is_none() && deferrable {
                table.notes.push("the primary key is not deferrable here".to_owned());
            }
            let key = PrimaryKey { name: Some(name), columns: Vec::new() };
            let key = table.primary_key.get_or_insert(key);
            if !included {
                key.columns.push(column);
            }
            continue;
        }
        if table.unique.last().is_none_or(|unique| unique.name != name) {
            let postgres = Some(text);
            table.unique.push(UniqueDefinition {
                name,
                columns: Vec::new(),
                nulls_equal,
                deferrable,
                postgres,
            });
        }
        if let Some(unique) = table.unique.last_mut().filter(|_| !included) {
            unique.columns.push(column);
        }
    }
    Ok(())
}

fn checks(rows: &DefinitionRows, tables: &mut Tables) -> Result<(), CatalogError> {
    for row in &rows.checks {
        let (table, _, check) = check(&mut Fields::new("the checks", row))?;
        let Some(table) = tables.get_mut(&table) else { continue };
        let check = kept(vec![check], &mut table.notes, |_| None);
        table.checks.extend(check);
    }
    Ok(())
}

fn exclusions(rows: &DefinitionRows, tables: &mut Tables) -> Result<(), CatalogError> {
    for row in &rows.exclusions {
        let mut fields = Fields::new("the exclusion constraints", row);
        let Some(table) = tables.get_mut(&fields.parsed()?) else { continue };
        let (name, postgres, uses) = (ident(&mut fields)?, fields.string()?, fields.maybe_text()?);
        match uses {
            Some(uses) => table.notes.push(format!("constraint {name} is left out: it uses {uses}")),
            None => table.exclusions.push(ExclusionDefinition { name, postgres }),
        }
    }
    Ok(())
}

fn indexes(rows: &DefinitionRows, tables: &mut Tables) -> Result<(), CatalogError> {
    let mut parts = index_parts(rows)?;
    for row in &rows.indexes {
        let mut fields = Fields::new("the indexes", row);
        let oid: u32 = fields.parsed()?;
        let Some(table) = tables.get_mut(&fields.parsed()?) else { continue };
        let (name, spelled, unique) = (ident(&mut fields)?, fields.text()?, fields.flag()?);
        let (nulls_equal, method) = (fields.flag()?, fields.string()?);
        let (statement, predicate) = (fields.text()?, fields.maybe_string()?);
        if let Some(uses) = fields.maybe_text()? {
            table.notes.push(format!("index {:?} is left out: it uses {uses}", name.as_str()));
            continue;
        }
        let (parts, include) = parts.remove(&oid).unwrap_or_default();
        let postgres = Some(for_whole_table(statement, spelled, unique));
        table.indexes.push(IndexDefinition {
            name,
            unique,
            nulls_equal,
            method,
            parts,
            include,
            predicate,
            postgres,
        });
    }
    Ok(())
}

/// The statement without the `ONLY` that it has for a partitioned table, which is a plain one here.
fn for_whole_table(statement: &str, spelled: &str, unique: bool) -> String {
    let head = format!("CREATE {}INDEX {spelled} ON ", if unique { "UNIQUE " } else { "" });
    match statement.strip_prefix(&head).and_then(|rest| rest.strip_prefix("ONLY ")) {
        Some(rest) => head + rest,
        None => statement.to_owned(),
    }
}

/// By index: what it is over, and what is stored along.
type Parts = BTreeMap<u32, (Vec<IndexPart>, Vec<Ident>)>;

fn index_parts(rows: &DefinitionRows) -> Result<Parts, CatalogError> {
    const DESCENDING: i16 = 1;
    const NULLS_FIRST: i16 = 2;
    let mut all = Parts::new();
    for row in &rows.index_parts {
        let mut fields = Fields::new("the columns of indexes", row);
        let (parts, include) = all.entry(fields.parsed()?).or_default();
        let column = fields.maybe_text()?.map(Ident::new).transpose();
        let column = column.map_err(|_| fields.malformed("a name"))?;
        let (expression, option): (String, i16) = (fields.string()?, fields.parsed()?);
        let (usual_order, included) = (fields.flag()?, fields.flag()?);
        match column {
            Some(column) if included => include.push(column),
            column => parts.push(IndexPart {
                over: column.ok_or(expression),
                descending: option & DESCENDING != 0,
                nulls_first: option & NULLS_FIRST != 0,
                usual_order,
            }),
        }
    }
    Ok(all)
}

fn foreign_keys(rows: &DefinitionRows, database: &Ident, tables: &mut Tables) -> Result<(), CatalogError> {
    for row in &rows.foreign_keys {
        let mut fields = Fields::new("the foreign keys", row);
        let Some(table) = tables.get_mut(&fields.parsed()?) else { continue };
        let (name, column) = (ident(&mut fields)?, ident(&mut fields)?);
        let schema: SchemaId = schema(&mut fields, database)?;
        let parent = TableId { schema, table: ident(&mut fields)? };
        let parent_column = ident(&mut fields)?;
        let (on_delete, on_update) = (action(&mut fields)?, action(&mut fields)?);
        let (match_full, deferrable) = (fields.letter()? == 'f', fields.flag()?);
        if table.foreign_keys.last().is_none_or(|key| key.name != name) {
            table.foreign_keys.push(ForeignKeyDefinition {
                name,
                columns: Vec::new(),
                parent,
                parent_columns: Vec::new(),
                on_delete,
                on_update,
                match_full,
                deferrable,
                postgres: Some(fields.string()?),
            });
        }
        if let Some(key) = table.foreign_keys.last_mut() {
            key.columns.push(column);
            key.parent_columns.push(parent_column);
        }
    }
    Ok(())
}

fn action(fields: &mut Fields<'_>) -> Result<ForeignKeyAction, CatalogError> {
    match fields.letter()? {
        'a' => Ok(ForeignKeyAction::NoAction),
        'r' => Ok(ForeignKeyAction::Restrict),
        'c' => Ok(ForeignKeyAction::Cascade),
        'n' => Ok(ForeignKeyAction::SetNull),
        'd' => Ok(ForeignKeyAction::SetDefault),
        _ => Err(fields.malformed("an action of a foreign key that is known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_behind_the_name_is_taken_out() {
        let name = "\"i ON ONLY \"";
        let statement = format!("CREATE INDEX {name} ON ONLY public.t USING btree (a)");
        let expected = format!("CREATE INDEX {name} ON public.t USING btree (a)");
        assert_eq!(for_whole_table(&statement, name, false), expected);
        assert_eq!(for_whole_table(&expected, name, false), expected);
    }
}
