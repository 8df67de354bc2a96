//! A table with all it has.

use sink_core::model::definition::{
    CheckDefinition, ColumnDefinition, ForeignKeyAction, ForeignKeyDefinition, Identity, IndexDefinition,
    IndexPart, PrimaryKey, TableDefinition, UniqueDefinition,
};
use sink_core::model::{ColumnType, Ident, SchemaId, TableId};

use super::names::{kept, made};
use super::{NameError, Wanted, defaults, types};
use crate::catalog::{ColumnFacts, ForeignKeyFacts, Generated, IndexFacts, TableFacts};

/// The definition of one table.
pub(super) fn table(
    facts: &TableFacts,
    schema: Ident,
    wanted: &Wanted<'_>,
) -> Result<TableDefinition, NameError> {
    let schema = SchemaId { database: wanted.database.clone(), schema };
    let id = TableId { schema, table: kept(&facts.name.table, &facts.name, false)? };
    let mut table = TableDefinition {
        id,
        columns: Vec::new(),
        primary_key: None,
        checks: Vec::new(),
        unique: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        exclusions: Vec::new(),
        notes: Vec::new(),
    };
    for column in &facts.columns {
        add_column(&mut table, facts, column, wanted)?;
    }
    let key = facts.key();
    table.primary_key = key.map(|index| PrimaryKey { name: None, columns: columns_of(index) });
    for index in &facts.indexes {
        if index.name != "PRIMARY" && key.is_none_or(|key| key.name != index.name) {
            add_index(&mut table, facts, index);
        }
    }
    for key in &facts.foreign_keys {
        add_foreign_key(&mut table, key, wanted);
    }
    note_collations(&mut table, facts, wanted);
    Ok(table)
}

fn add_column(
    table: &mut TableDefinition,
    facts: &TableFacts,
    column: &ColumnFacts,
    wanted: &Wanted<'_>,
) -> Result<(), NameError> {
    let name = kept(&column.name, &facts.name, true)?;
    let mut note = |text: String| table.notes.push(format!("column {:?}: {text}", column.name));
    let mapped = types::column_type(column);
    if let Some(text) = mapped.note {
        note(text);
    }
    let extra = column.extra.to_ascii_lowercase();
    let mut identity = None;
    let mut default = None;
    if column.generated != Generated::No {
        let expression = column.expression.as_deref().unwrap_or_default();
        note(format!("the source computes it as {expression}; here the feed fills it"));
    } else if extra.contains("auto_increment") {
        match mapped.column_type {
            ColumnType::Integer(_) => identity = Some(counted(facts, column, wanted)),
            _ => note(
                "the source counts it; an identity column cannot be numeric, so it has no default here"
                    .into(),
            ),
        }
    } else {
        match defaults::default(column, &mapped.column_type, wanted.flavor) {
            Ok(found) => default = found,
            Err(text) => note(text),
        }
    }
    if extra.contains("on update") {
        note("ON UPDATE CURRENT_TIMESTAMP is left out; after the cut-over it takes a trigger".into());
    }
    if !mapped.labels.is_empty()
        && let Some(name) = made(&facts.name.table, &column.name, "check")
    {
        let expression = allowed(&column.name, &mapped.labels);
        table.checks.push(CheckDefinition { name, expression, not_valid: false });
    }
    table.columns.push(ColumnDefinition {
        name,
        column_type: mapped.column_type,
        collation: None,
        nullable: column.nullable,
        default,
        identity,
        generated: None,
    });
    Ok(())
}

fn counted(facts: &TableFacts, column: &ColumnFacts, wanted: &Wanted<'_>) -> Identity {
    let literal = |text: &str| text.replace('\'', "''");
    let ident = |text: &str| text.replace('"', "\"\"");
    let schema = (wanted.schema_of)(&facts.name.database);
    let schema = schema.as_ref().map_or("public", Ident::as_str);
    let (table, name) = (&facts.name.table, &column.name);
    let quoted = format!("\"{}\".\"{}\"", ident(schema), ident(table));
    let note = format!(
        "numbers go on from the highest at the cut-over: SELECT setval(pg_get_serial_sequence('{}', '{}'), max(\"{}\")) \
         FROM {quoted};",
        literal(&quoted),
        literal(name),
        ident(name),
    );
    Identity { start: 1, increment: 1, note }
}

/// Exactly what the source can hold, its error value included.
fn allowed(column: &str, labels: &[String]) -> String {
    let literal = |label: &str| format!("'{}'", label.replace('\'', "''"));
    let mut all: Vec<String> = labels.iter().map(|label| literal(label)).collect();
    if !labels.iter().any(String::is_empty) {
        all.push(literal(""));
    }
    format!("\"{}\" IN ({})", column.replace('"', "\"\""), all.join(", "))
}

/// The whole columns of an index.
fn columns_of(index: &IndexFacts) -> Vec<Ident> {
    index.parts.iter().filter_map(|part| Ident::new(part.column.as_deref()?).ok()).collect()
}

/// An index is made if its columns are whole ones and its method has a like.
fn add_index(table: &mut TableDefinition, facts: &TableFacts, index: &IndexFacts) {
    let columns = columns_of(index);
    let why = if index.parts.iter().any(|part| part.prefix.is_some()) {
        "it is over the beginnings of columns"
    } else if columns.len() < index.parts.len() {
        "it is over expressions"
    } else if !matches!(index.method.as_str(), "BTREE" | "HASH") {
        "the target has no like of its kind"
    } else if index.parts.iter().any(|part| is_document(facts, part.column.as_deref())) {
        "it is over documents"
    } else {
        ""
    };
    let name = made(&facts.name.table, &index.name, "");
    let (Some(name), "") = (name, why) else {
        let kind = if index.unique { "unique index" } else { "index" };
        table.notes.push(format!("{kind} {:?} is left out: {why} ({})", index.name, index.method));
        return;
    };
    if index.unique {
        table.unique.push(UniqueDefinition {
            name,
            columns,
            nulls_equal: false,
            deferrable: false,
            postgres: None,
        });
        return;
    }
    let part = |column: Ident| IndexPart {
        over: Ok(column),
        descending: false,
        nulls_first: false,
        usual_order: true,
    };
    table.indexes.push(IndexDefinition {
        name,
        unique: false,
        nulls_equal: false,
        method: "btree".into(),
        parts: columns.into_iter().map(part).collect(),
        include: Vec::new(),
        predicate: None,
        postgres: None,
    });
}

fn is_document(facts: &TableFacts, column: Option<&str>) -> bool {
    let found = facts.columns.iter().find(|known| Some(known.name.as_str()) == column);
    found.is_some_and(|column| column.json || column.data_type == "json")
}

fn add_foreign_key(table: &mut TableDefinition, key: &ForeignKeyFacts, wanted: &Wanted<'_>) {
    let Some(schema) = (wanted.schema_of)(&key.referenced.database) else {
        let why = format!("it points at database {:?}, which is not replicated", key.referenced.database);
        table.notes.push(format!("foreign key {:?} is left out: {why}", key.name));
        return;
    };
    let ident = |name: &String| Ident::new(name).ok();
    let columns: Option<Vec<_>> = key.columns.iter().map(|(column, _)| ident(column)).collect();
    let parent_columns: Option<Vec<_>> = key.columns.iter().map(|(_, column)| ident(column)).collect();
    let name = if key.name.len() <= 63 { Ident::new(&key.name).ok() } else { made("", &key.name, "") };
    let schema = SchemaId { database: wanted.database.clone(), schema };
    let parent = Ident::new(&key.referenced.table).ok().map(|table| TableId { schema, table });
    if let (Some(name), Some(columns), Some(parent), Some(parent_columns)) =
        (name, columns, parent, parent_columns)
    {
        table.foreign_keys.push(ForeignKeyDefinition {
            name,
            columns,
            parent,
            parent_columns,
            on_delete: action(&key.on_delete),
            on_update: action(&key.on_update),
            match_full: false,
            deferrable: false,
            postgres: None,
        });
    }
}

/// RESTRICT and NO ACTION are the same at the source; here NO ACTION lets a statement put things right by its end.
fn action(rule: &str) -> ForeignKeyAction {
    match rule {
        "CASCADE" => ForeignKeyAction::Cascade,
        "SET NULL" => ForeignKeyAction::SetNull,
        "SET DEFAULT" => ForeignKeyAction::SetDefault,
        _ => ForeignKeyAction::NoAction,
    }
}

/// Texts that are equal at the source and not here matter where rows are told apart by them.
fn note_collations(table: &mut TableDefinition, facts: &TableFacts, wanted: &Wanted<'_>) {
    let unique: Vec<&str> = facts
        .indexes
        .iter()
        .filter(|index| index.unique)
        .flat_map(|index| index.parts.iter().filter_map(|part| part.column.as_deref()))
        .collect();
    for column in facts.columns.iter().filter(|column| unique.contains(&column.name.as_str())) {
        let collation = wanted.details.collation(&facts.name, &column.name);
        if let Some(collation) = collation.filter(|name| !name.ends_with("_bin") && *name != "binary") {
            table.notes.push(format!(
                "column {:?}: collation {collation} is left out: texts that it calls equal are different here",
                column.name
            ));
        }
    }
    if let Some(comment) = wanted.details.comment(&facts.name).filter(|comment| !comment.is_empty()) {
        table.notes.push(format!("its comment is left out: {comment}"));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A column of a type as the catalogue spells it.
    pub(crate) fn column(name: &str, column_type: &str) -> ColumnFacts {
        let data_type = column_type.split(['(', ' ']).next().unwrap_or_default();
        ColumnFacts {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
            nullable: true,
            generated: Generated::No,
            expression: None,
            extra: String::new(),
            default: None,
            charset: None,
            json: false,
        }
    }

    #[test]
    fn the_error_value_of_an_enum_is_allowed_as_well() {
        let labels = ["a".to_owned(), "d'e".to_owned()];
        assert_eq!(allowed("c", &labels), "\"c\" IN ('a', 'd''e', '')");
        assert_eq!(allowed("c", &["".to_owned()]), "\"c\" IN ('')");
    }

    #[test]
    fn refusing_at_once_is_refusing_at_the_end() {
        assert_eq!(action("RESTRICT"), ForeignKeyAction::NoAction);
        assert_eq!(action("SET NULL"), ForeignKeyAction::SetNull);
    }
}
