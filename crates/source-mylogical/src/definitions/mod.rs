//! Tables of the source as definitions that a target's dialect can write out. Pure.
//!
//! What the target has no like of is left out with a note, never guessed at: generated columns become ordinary ones, which
//! the feed fills; collations, comments and indexes over beginnings of columns are left out.

mod defaults;
mod names;
mod tables;
mod types;

pub use names::NameError;
#[cfg(test)]
pub(crate) use tables::tests::column as column_of_type;
pub(crate) use types::{labels, numbers};

use sink_core::model::{Definitions, Ident};

use crate::Flavor;
use crate::catalog::{TableDetails, TableFacts};

/// Where tables go, and what else is known of them.
pub struct Wanted<'a> {
    /// Which product the source is.
    pub flavor: Flavor,
    /// The target's database.
    pub database: &'a Ident,
    /// The schema of the target for a database of the source; none if it is not replicated.
    pub schema_of: &'a dyn Fn(&str) -> Option<Ident>,
    /// What `TableFacts` leave out.
    pub details: &'a TableDetails,
}

/// What these tables are made of. Those of databases that are not replicated are passed over.
///
/// # Errors
/// If a table or column has a name that the target cannot have.
pub fn definitions(tables: &[TableFacts], wanted: &Wanted<'_>) -> Result<Definitions, NameError> {
    let mut definitions = Definitions::default();
    for table in tables {
        if let Some(schema) = (wanted.schema_of)(&table.name.database) {
            definitions.tables.push(tables::table(table, schema, wanted)?);
        }
    }
    Ok(definitions)
}
