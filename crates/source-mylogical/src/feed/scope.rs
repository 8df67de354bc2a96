//! What of the source is carried, and where to. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::assemble::{Scope, TableName};

/// Databases of the source, each with the schema of the target that takes its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Databases(BTreeMap<String, String>);

/// A list of databases is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDatabases {
    /// A name is missing.
    #[error("write databases as a list: shop,crm=customers")]
    Empty,
    /// A database is named twice.
    #[error("database {0:?} is named twice")]
    Twice(String),
    /// Two databases would go to one schema, and tables of the same name would be merged.
    #[error("two databases go to schema {0:?}; give each a schema of its own: shop,crm=customers")]
    SharedSchema(String),
}

impl Databases {
    /// One database, to a schema.
    #[must_use]
    pub fn one(database: &str, schema: &str) -> Self {
        Self([(database.to_owned(), schema.to_owned())].into())
    }

    /// Reads `shop,crm=customers`: database `shop` goes to schema `shop`, database `crm` to schema `customers`.
    ///
    /// # Errors
    /// If a name is missing or comes twice.
    pub fn parse(list: &str) -> Result<Self, BadDatabases> {
        let mut databases = BTreeMap::new();
        let mut schemas = HashSet::new();
        for entry in list.split(',').map(str::trim) {
            let (database, schema) = entry.split_once('=').unwrap_or((entry, entry));
            let (database, schema) = (database.trim(), schema.trim());
            if database.is_empty() || schema.is_empty() {
                return Err(BadDatabases::Empty);
            }
            if databases.insert(database.to_owned(), schema.to_owned()).is_some() {
                return Err(BadDatabases::Twice(database.to_owned()));
            }
            if !schemas.insert(schema.to_owned()) {
                return Err(BadDatabases::SharedSchema(schema.to_owned()));
            }
        }
        Ok(Self(databases))
    }

    /// Where the tables of a database go; `None` if they are not carried.
    #[must_use]
    pub fn schema_of(&self, database: &str) -> Option<&str> {
        self.0.get(database).map(String::as_str)
    }

    /// The databases, in the order of their names, with their schemas.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(database, schema)| (database.as_str(), schema.as_str()))
    }

    /// The names of the databases.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// Tables of engines without transactions, as far as is known by now.
#[derive(Debug, Clone, Default)]
pub(crate) struct WithoutTransactions(Arc<RwLock<HashSet<TableName>>>);

impl WithoutTransactions {
    /// These.
    pub(crate) fn of(tables: impl Iterator<Item = TableName>) -> Self {
        Self(Arc::new(RwLock::new(tables.collect())))
    }

    /// Another engine may keep a table than did before.
    pub(crate) fn set(&self, table: &TableName, is_one: bool) {
        // Nothing is done under the lock that could leave half of it.
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_one {
            tables.insert(table.clone());
        } else {
            tables.remove(table);
        }
    }

    fn contains(&self, table: &TableName) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(table)
    }
}

/// What the assembler is told.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    pub(crate) databases: Arc<Databases>,
    pub(crate) without_transactions: WithoutTransactions,
}

impl Scope for Carried {
    fn has_database(&self, database: &str) -> bool {
        self.databases.schema_of(database).is_some()
    }

    fn has_table(&self, table: &TableName) -> bool {
        self.has_database(&table.database)
    }

    fn survives_rollback(&self, table: &TableName) -> bool {
        self.without_transactions.contains(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_go_to_schemas_of_their_own() {
        let databases = Databases::parse("shop, crm=customers").unwrap();
        assert_eq!(databases.iter().collect::<Vec<_>>(), [("crm", "customers"), ("shop", "shop")]);
        assert_eq!(databases.schema_of("mysql"), None);
        assert_eq!(Databases::parse("a,,b"), Err(BadDatabases::Empty));
        assert_eq!(Databases::parse("a=x,a=y"), Err(BadDatabases::Twice("a".to_owned())));
        assert_eq!(Databases::parse("a,b=a"), Err(BadDatabases::SharedSchema("a".to_owned())));
        assert_eq!(Databases::one("shop", "public").schema_of("shop"), Some("public"));
    }
}
