//! Errors that say what to do next.

use std::error::Error as StdError;
use std::fmt;

use crate::model::{Ident, TableId};

/// What the caller should do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Try the same work again after a pause: the connection broke, a deadlock was resolved against us.
    Retry,
    /// Try again after other work, such as the row of a parent table in another feed.
    Defer,
    /// The work itself is refused; trying again without a change elsewhere is pointless.
    Halt,
    /// Another process has taken over; stop working on this feed.
    Fenced,
}

/// Where in the target a failure happened, as far as the server told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: Option<TableId>,
    /// The column.
    pub column: Option<String>,
    /// The constraint or index.
    pub constraint: Option<String>,
    /// The row, as the first digits of the SHA-256 of its staged key: a key may be as private as a value.
    pub row: Option<String>,
    /// The SQLSTATE code.
    pub sqlstate: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.as_ref().map(ToString::to_string);
        let parts = [
            ("table", table.as_deref()),
            ("column", self.column.as_deref()),
            ("constraint", self.constraint.as_deref()),
            ("key digest", self.row.as_deref()),
            ("sqlstate", self.sqlstate.as_deref()),
        ];
        let mut separator = "";
        for (name, value) in parts.iter().filter_map(|(name, value)| value.map(|value| (name, value))) {
            write!(f, "{separator}{name} {value}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// A failed operation: what was tried, what to do about it, and why. `Display` gives one level; whoever prints
/// walks the chain (see [`chain`]). Never holds row values, tokens or connection strings.
#[derive(Debug)]
pub struct Failure {
    disposition: Disposition,
    operation: &'static str,
    place: Box<Place>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure of `operation` caused by `source`.
    #[must_use]
    pub fn new(
        disposition: Disposition,
        operation: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { disposition, operation, place: Box::default(), source: Some(source.into()) }
    }

    /// The feed has moved on without us.
    #[must_use]
    pub fn fenced(operation: &'static str) -> Self {
        Self { disposition: Disposition::Fenced, operation, place: Box::default(), source: None }
    }

    /// Adds where it happened.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Box::new(place);
        self
    }

    /// Fills in the database, which servers do not name in their errors.
    #[must_use]
    pub fn in_database(mut self, database: &Ident) -> Self {
        if let Some(table) = &mut self.place.table {
            table.schema.database = database.clone();
        }
        self
    }

    /// The SQLSTATE code, if a server gave one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.place.sqlstate.as_deref()
    }

    /// Whether the target refuses what the rows hold (data exceptions, constraints, exceptions raised by its
    /// triggers), rather than the statement as such.
    #[must_use]
    pub fn is_about_rows(&self) -> bool {
        let about_rows = |code: &str| code.starts_with("22") || code.starts_with("23") || code == "P0001";
        self.disposition == Disposition::Halt && self.sqlstate().is_some_and(about_rows)
    }

    /// What to do about it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// The same failure with another consequence.
    #[must_use]
    pub fn with_disposition(mut self, disposition: Disposition) -> Self {
        self.disposition = disposition;
        self
    }

    /// What was tried.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Where it happened.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if *self.place == Place::default() { Ok(()) } else { write!(f, " ({})", self.place) }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The whole chain of an error on one line, levels joined with `: `.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_each_level_once() {
        let inner = std::io::Error::other("connection reset");
        let failure = Failure::new(Disposition::Retry, "stage rows", inner).at(Place {
            column: Some("a".into()),
            sqlstate: Some("22003".into()),
            ..Place::default()
        });
        assert_eq!(chain(&failure), "stage rows (column a, sqlstate 22003): connection reset");
    }
}
