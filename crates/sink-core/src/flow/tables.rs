//! Which table of the target a table of the source goes to.

use std::sync::Arc;

use tokio::sync::watch;

use super::change::{Binding, SourceColumn};
use super::stream::SourceTable;
use crate::failure::{Disposition, Failure, Place};
use crate::model::{Ident, SchemaId, TableId};
use crate::target::Database;

const BIND: &str = "find the target of a table";

/// Finds targets by name: the same schema and table in one database.
pub(super) struct Tables {
    database: Arc<Database>,
    changes: watch::Receiver<u64>,
}

impl Tables {
    /// Tables of `database`.
    pub(super) fn new(database: Arc<Database>) -> Self {
        let changes = database.schema().changes();
        Self { database, changes }
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
        Some(bind(table, source))
    }

    /// Binds after reading the target's catalogue again, unless that happened a moment ago. Nothing that is bound to
    /// the former state may be outstanding.
    pub(super) async fn bind(&self, source: &SourceTable) -> Result<Arc<Binding>, Failure> {
        let schema = self.schema_of(source)?;
        let current = self.database.schema().refresh_if_stale(&self.database).await?;
        match current.table(&schema, &source.name) {
            Some(table) => bind(table, source),
            None => Err(self.missing(&schema, source)),
        }
    }

    fn schema_of(&self, source: &SourceTable) -> Result<SchemaId, Failure> {
        let schema = Ident::new(&source.schema).map_err(|e| Failure::new(Disposition::Halt, BIND, e))?;
        Ok(SchemaId { database: self.database.name().clone(), schema })
    }

    fn missing(&self, schema: &SchemaId, source: &SourceTable) -> Failure {
        let reason = "the source has changes of the table and the target has no such table; create it there, or take \
                      the table out of what is replicated";
        let table = Ident::new(&source.name).ok();
        let table = table.map(|table| TableId { schema: schema.clone(), table });
        Failure::new(Disposition::Halt, BIND, reason).at(Place { table, ..Place::default() })
    }
}

fn bind(table: &Arc<crate::model::TableSchema>, source: &SourceTable) -> Result<Arc<Binding>, Failure> {
    let form = |at: usize| source.forms.get(at).copied().unwrap_or_default();
    let columns = source.columns.iter().enumerate();
    let columns: Vec<SourceColumn<'_>> =
        columns.map(|(at, name)| SourceColumn { name, form: form(at) }).collect();
    Binding::typed(Arc::clone(table), &columns).map(Arc::new)
}
