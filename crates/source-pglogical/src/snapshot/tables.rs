//! Which tables the target needs, and what they are made of.

use sink_core::failure::{Disposition, Failure};
use sink_core::model::{Definitions, Ident};

use super::Snapshot;
use super::publication::chosen_tables;
use super::reader::failed;
use super::settings::Settings;
use crate::catalog::{self, SourceCatalog, TableName, Wanted};
use crate::definitions::{self, WantedTable};
use crate::transport::{Config, Session, sql};

const READ: &str = "read what the tables of the source are made of";

/// What the tables of a publication are made of, or of those it will have, if it is missing and `may_publish`. `database` is the
/// target's. Changes nothing.
///
/// # Errors
/// If the publication is missing and not made by us, a named table does not exist, or the source cannot be asked.
pub async fn table_definitions(
    source: &Config,
    settings: &Settings,
    database: &Ident,
    may_publish: bool,
) -> Result<Definitions, Failure> {
    let mut session = catalog::connect(source).await.map_err(failed(READ))?;
    let publications = [settings.publication.clone()];
    let wanted = Wanted { slot: &settings.slot, publications: &publications };
    let catalog = catalog::read(&mut session, wanted, settings.question_limit).await;
    let catalog = catalog.map_err(|e| Failure::new(e.disposition(), READ, e))?;
    let tables = if catalog.publication(&settings.publication).is_some() {
        published(&catalog, settings)
    } else if may_publish {
        let (tables, _) = chosen_tables(&mut session, settings).await?;
        tables.into_iter().map(|name| WantedTable { name, columns: None }).collect()
    } else {
        let reason = format!(
            "the source has no publication {:?}; make it there: CREATE PUBLICATION {} FOR TABLE …",
            settings.publication,
            sql::identifier(&settings.publication)
        );
        return Err(Failure::new(Disposition::Halt, READ, reason));
    };
    read(&mut session, settings, database, &tables).await
}

async fn read(
    session: &mut Session,
    settings: &Settings,
    database: &Ident,
    tables: &[WantedTable],
) -> Result<Definitions, Failure> {
    let read = definitions::read(session, database, tables, settings.question_limit).await;
    read.map_err(|e| Failure::new(e.disposition(), READ, e))
}

/// The published tables, of those only the ones that are named, if any are.
fn published(catalog: &SourceCatalog, settings: &Settings) -> Vec<WantedTable> {
    let named = |name: &TableName| settings.tables.is_empty() || settings.tables.contains(name);
    let wanted = |table: &&catalog::Table| settings.may_be_copied(&table.name) && named(&table.name);
    catalog.published.tables.iter().filter(wanted).map(WantedTable::from).collect()
}

impl Snapshot {
    /// Makes the tables that the target lacks, if that is asked for.
    pub(super) async fn create_tables(
        &self,
        session: &mut Session,
        catalog: &SourceCatalog,
    ) -> Result<(), Failure> {
        let Some(maker) = &self.maker else { return Ok(()) };
        let database = self.store.database().name();
        let tables = published(catalog, &self.settings);
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
        let wanted = table_definitions(&self.source, &self.settings, database, false).await?;
        maker.complete(&wanted).await
    }
}
