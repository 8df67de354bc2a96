//! Which table of the target a table of the source goes to.

use std::sync::Arc;

use tokio::sync::watch;

use super::change::{Binding, SourceColumn};
use super::keys::{check_keyless, keyed};
use super::stream::{Definition, SourceTable};
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Ident, SchemaId, TableId, TableSchema};
use crate::target::Database;
use crate::target::dialect::advice;

const BIND: &str = "find the target of a table";

/// Finds targets by name: the same schema and table in one database.
pub(super) struct Tables {
    database: Arc<Database>,
    changes: watch::Receiver<u64>,
    keyless: bool,
}

impl Tables {
    /// Tables of `database`; with `keyless`, those without a key as well.
    pub(super) fn new(database: Arc<Database>, keyless: bool) -> Self {
        let changes = database.schema().changes();
        Self { database, changes, keyless }
    }

    /// Whether the target has changed since [`have_changed`](Self::have_changed) was asked last.
    pub(super) fn are_outdated(&self) -> bool {
        self.changes.has_changed().unwrap_or(false)
    }

    /// Whether the target has changed since the last time this was asked.
    pub(super) fn have_changed(&mut self) -> bool {
        let changed = self.are_outdated();
        self.changes.mark_unchanged();
        changed
    }

    /// Binds by what is known, without asking the target.
    pub(super) fn bind_known(&self, source: &SourceTable) -> Option<Result<Arc<Binding>, Failure>> {
        let known = self.database.schema().known()?;
        let schema = self.schema_of(source).ok()?;
        let table = known.table(&schema, &source.name)?;
        Some(bind(table, source, self.keyless))
    }

    /// Binds after reading the target's catalogue again: whoever changed the source may have changed the target a moment
    /// before. Nothing that is bound to the former state may be outstanding.
    pub(super) async fn bind(&self, source: &SourceTable) -> Result<Arc<Binding>, Failure> {
        let schema = self.schema_of(source)?;
        let current = self.database.schema().refresh(&self.database).await?;
        match current.table(&schema, &source.name) {
            Some(table) => bind(table, source, self.keyless),
            None => Err(self.missing(&schema, source, &Definition::default())),
        }
    }

    /// Says why a table could not be bound once more, with the statement that mends it.
    pub(super) fn advise(&self, source: &SourceTable, definition: &Definition, refused: Failure) -> Failure {
        let (Some(known), Ok(schema)) = (self.database.schema().known(), self.schema_of(source)) else {
            return refused;
        };
        let Some(table) = known.table(&schema, &source.name) else {
            return self.missing(&schema, source, definition);
        };
        match lacking(table, source, definition) {
            Some(reason) => {
                let place = Place { table: Some(table.id.clone()), ..Place::default() };
                Failure::new(Disposition::Halt, BIND, reason).at(place)
            }
            None => refused,
        }
    }

    fn schema_of(&self, source: &SourceTable) -> Result<SchemaId, Failure> {
        let schema = Ident::new(&source.schema).map_err(|e| Failure::new(Disposition::Halt, BIND, e))?;
        Ok(SchemaId { database: self.database.name().clone(), schema })
    }

    fn missing(&self, schema: &SchemaId, source: &SourceTable, definition: &Definition) -> Failure {
        const WHAT: &str = "the source has changes of the table, and the target has no such table";
        let columns = typed(definition, &source.columns);
        let key: Vec<&str> = definition.key.iter().map(String::as_str).collect();
        let reason = match columns {
            Some(columns) => {
                let create = advice::create_table(&source.schema, &source.name, &columns, &key);
                let mut reason = format!("{WHAT}; run on the target: {create}");
                if let Some(leave_out) = &definition.leave_out {
                    reason.push_str(&format!(
                        " If it is not to be replicated, also run on the source: {leave_out} and drop it on the target \
                         when the feed has passed"
                    ));
                }
                reason
            }
            None => format!("{WHAT}; create it there"),
        };
        let table = Ident::new(&source.name).ok();
        let table = table.map(|table| TableId { schema: schema.clone(), table });
        Failure::new(Disposition::Halt, BIND, reason).at(Place { table, ..Place::default() })
    }
}

/// Columns of the source with their types; none unless all are known.
fn typed<'a>(definition: &'a Definition, columns: &'a [String]) -> Option<Vec<(&'a str, &'a str)>> {
    let known = |name: &'a String| {
        let found = definition.columns.iter().find(|(known, _)| known == name);
        found.map(|(_, sql_type)| (name.as_str(), sql_type.as_str()))
    };
    let all: Option<Vec<_>> = columns.iter().map(known).collect();
    all.filter(|all| !all.is_empty())
}

/// What to run if columns of the source have no place in the target.
fn lacking(table: &TableSchema, source: &SourceTable, definition: &Definition) -> Option<String> {
    let fed = |at: usize| {
        let name = table.source_of(at).to_lowercase();
        source.columns.iter().any(|column| column.to_lowercase() == name)
    };
    let taken = |name: &String| {
        let folded = name.to_lowercase();
        (0..table.columns.len()).any(|at| table.source_of(at).to_lowercase() == folded)
    };
    let lacking: Vec<String> = source.columns.iter().filter(|name| !taken(name)).cloned().collect();
    let columns = typed(definition, &lacking)?;
    let mut reason = format!(
        "the target table has no place for what the source has in {}; run on the target: {}",
        lacking.join(", "),
        advice::add_columns(&table.id, &columns)
    );
    let mut unfed = table.writable().filter(|(at, _)| !fed(*at));
    if let ([to], Some((_, from)), None) = (&lacking[..], unfed.next(), unfed.next()) {
        let rename = advice::rename_column(&table.id, from.name.as_str(), to);
        reason.push_str(&format!(" If the source has given a column another name: {rename}"));
    }
    reason.push_str(" (or say in apply_config what becomes of it)");
    Some(reason)
}

fn bind(table: &Arc<TableSchema>, source: &SourceTable, keyless: bool) -> Result<Arc<Binding>, Failure> {
    let form = |at: usize| source.forms.get(at).copied().unwrap_or_default();
    let columns = source.columns.iter().enumerate();
    let columns: Vec<SourceColumn<'_>> =
        columns.map(|(at, name)| SourceColumn { name, form: form(at) }).collect();
    let binding = Binding::typed(keyed(table, source), &columns)?;
    if binding.is_keyless() {
        check_keyless(table, source, keyless).map_err(|reason| {
            let place = Place { table: Some(table.id.clone()), ..Place::default() };
            Failure::new(Disposition::Halt, BIND, reason).at(place)
        })?;
    }
    Ok(Arc::new(binding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::stream::OldRows;
    use crate::model::schema::examples;
    use crate::model::{ColumnSchema, UniqueKey, ValueClass};

    /// `id, a, b`, of which the first may be the primary key.
    fn table(keys: usize, unique_keys: Vec<UniqueKey>) -> Arc<TableSchema> {
        let column = |name| ColumnSchema {
            nullable: false,
            ..examples::column(name, "int4", ValueClass::Integer(32))
        };
        let columns = ["id", "a", "b"].map(column).into();
        Arc::new(TableSchema { unique_keys, ..examples::table("t", keys, columns) })
    }

    fn source(old_rows: OldRows) -> SourceTable {
        let columns = ["a", "b", "id"].map(str::to_owned).into();
        SourceTable {
            schema: "public".to_owned(),
            name: "t".to_owned(),
            columns,
            forms: Vec::new(),
            old_rows,
        }
    }

    #[test]
    fn tables_without_a_key_need_whole_rows_and_whole_transactions() {
        let none = table(0, Vec::new());
        let bound = |old_rows, keyless| bind(&none, &source(old_rows), keyless).map(|to| to.is_keyless());
        assert!(bound(OldRows::Whole, true).unwrap() && bound(OldRows::None, true).unwrap());
        assert!(bound(OldRows::Whole, false).is_err());
        let refused = crate::failure::chain(&bound(OldRows::Key(vec![2]), true).unwrap_err());
        assert!(refused.contains(r#"ALTER TABLE "public"."t" ADD PRIMARY KEY ("id");"#), "{refused}");
    }

    #[test]
    fn columns_without_a_place_are_added_or_renamed() {
        let definition = |columns: &[(&str, &str)]| Definition {
            columns: columns
                .iter()
                .map(|(name, sql_type)| ((*name).to_owned(), (*sql_type).to_owned()))
                .collect(),
            ..Definition::default()
        };
        let types =
            definition(&[("a", "integer"), ("b", "integer"), ("id", "integer"), ("c", "numeric(10,2)")]);
        let mut wider = source(OldRows::Whole);
        assert_eq!(lacking(&table(1, Vec::new()), &wider, &types), None);
        wider.columns.push("c".to_owned());
        let reason = lacking(&table(1, Vec::new()), &wider, &types).unwrap();
        assert!(reason.contains(r#"ALTER TABLE "public"."t" ADD COLUMN "c" numeric(10,2);"#), "{reason}");
        assert!(!reason.contains("RENAME"), "{reason}");
        wider.columns.remove(1);
        let reason = lacking(&table(1, Vec::new()), &wider, &types).unwrap();
        assert!(reason.contains(r#"RENAME COLUMN "b" TO "c";"#), "{reason}");
    }
}
