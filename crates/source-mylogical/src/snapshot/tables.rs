//! Which tables the target needs, and what they are made of.

use sink_core::failure::{Disposition, Failure};
use sink_core::model::{Definitions, Ident};

use super::prepare::{PREPARE, Tables};
use super::{Settings, Snapshot};
use crate::catalog::{self, TableDetails, TableFacts, TableKind};
use crate::definitions::{self, Wanted};
use crate::transport::{Config, Session};

const READ: &str = "read what the tables of the source are made of";

/// What the tables that would be copied are made of. `database` is the target's. Changes nothing.
///
/// # Errors
/// If the source cannot be asked, or a name does not fit the target.
pub async fn table_definitions(
    source: &Config,
    settings: &Settings,
    database: &Ident,
) -> Result<Definitions, Failure> {
    let mut session = Session::connect(source).await.map_err(|e| e.failed(READ))?;
    let tables = catalog::tables(&mut session, &settings.databases.names()).await;
    let tables = tables.map_err(|e| e.failed(READ))?;
    let chosen = |table: &TableFacts| {
        table.kind == TableKind::Base && (settings.tables.is_empty() || settings.tables.contains(&table.name))
    };
    let tables: Vec<TableFacts> = tables.into_iter().filter(chosen).collect();
    let read = read(&mut session, settings, database, &tables).await;
    session.close().await;
    read
}

async fn read(
    session: &mut Session,
    settings: &Settings,
    database: &Ident,
    tables: &[TableFacts],
) -> Result<Definitions, Failure> {
    let details = TableDetails::read(session, &settings.databases.names()).await;
    let details = details.map_err(|e| e.failed(READ))?;
    let schema_of =
        |name: &str| settings.databases.schema_of(name).and_then(|schema| Ident::new(schema).ok());
    let wanted = Wanted { flavor: session.flavor(), database, schema_of: &schema_of, details: &details };
    definitions::definitions(tables, &wanted).map_err(|e| Failure::new(Disposition::Halt, PREPARE, e))
}

impl Snapshot {
    /// Makes the tables that the target lacks, if that is asked for.
    pub(super) async fn create_tables(&self, session: &mut Session, tables: &Tables) -> Result<(), Failure> {
        let Some(maker) = &self.maker else { return Ok(()) };
        let database = self.store.database().name();
        for table in tables.values() {
            // What cannot be copied is not made either.
            super::prepare::check_key(table)?;
        }
        let tables: Vec<TableFacts> = tables.values().cloned().collect();
        let wanted = read(session, &self.settings, database, &tables).await?;
        for table in maker.before_copy(&wanted).await? {
            tracing::info!(%table, "created a table");
        }
        Ok(())
    }

    /// Gives the tables that we made their indexes and constraints, if that is asked for.
    pub(super) async fn complete_tables(&self) -> Result<(), Failure> {
        let Some(maker) = &self.maker else { return Ok(()) };
        if !maker.is_unfinished().await? {
            return Ok(());
        }
        let database = self.store.database().name();
        let wanted = table_definitions(&self.source, &self.settings, database).await?;
        tracing::info!("making the indexes and constraints of the tables that were copied");
        maker.complete(&wanted).await
    }
}
