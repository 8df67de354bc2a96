//! Tables of the source as definitions that a target's dialect can write out.
//!
//! Everything here but [`read`] is pure: rows of the catalogue in, definitions out. What only this server has (functions and
//! operators of users and extensions, sequences, collations) is left out with a note, never guessed at.

mod build;
mod defaults;
mod tables;
mod types;

use std::time::Duration;

use sink_core::model::{Definitions, Ident};

use crate::catalog::{CatalogError, Table, TableName, definitions as rows};
use crate::transport::Session;

/// A table to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTable {
    /// Its name, at the source and at the target.
    pub name: TableName,
    /// Columns that are sent, if not all are: the others must be able to stay empty.
    pub columns: Option<Vec<String>>,
}

impl From<&Table> for WantedTable {
    /// All columns that any of the table's publications sends.
    fn from(table: &Table) -> Self {
        let lists: Option<Vec<&Vec<String>>> =
            table.publications.iter().map(|membership| membership.columns.as_ref()).collect();
        let columns = lists
            .filter(|lists| !lists.is_empty())
            .map(|lists| lists.into_iter().flatten().cloned().collect());
        Self { name: table.name.clone(), columns }
    }
}

/// Reads what the tables are made of, in one transaction of the source. Tables that are not there are passed over.
/// `database` is the target's. Each question may take as long as `limit`.
///
/// # Errors
/// If a question fails or is answered with nonsense. The session is of no use then.
pub async fn read(
    session: &mut Session,
    database: &Ident,
    tables: &[WantedTable],
    limit: Duration,
) -> Result<Definitions, CatalogError> {
    let names: Vec<TableName> = tables.iter().map(|table| table.name.clone()).collect();
    let rows = rows::read(session, &names, limit).await?;
    build::definitions(&rows, database, tables)
}
