//! Everything that differs between target products: SQL text, quoting, and what an error code means. Pure.

pub mod advice;
mod area;
pub mod cockroach;
mod compare;
pub mod definitions;
pub mod positions;
pub mod postgres;
pub mod preflight;
mod slice;
pub mod snapshots;

use std::fmt;

use crate::apply::plan::TablePlan;
use crate::failure::Disposition;
use crate::model::{Deadline, Expression, Ident, TableId, TableSchema};

pub use area::HomeTable;
pub use slice::{Answer, ArrayForm, InputColumn, Param, Rows, SliceOptions, Statement, Writes};

/// The products that can be a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// CockroachDB 23.1 or later.
    CockroachDb,
    /// PostgreSQL 15 or later.
    PostgreSql,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CockroachDb => "CockroachDB",
            Self::PostgreSql => "PostgreSQL",
        })
    }
}

impl Product {
    /// The product from the text of `version()`, if it is one we can write to.
    #[must_use]
    pub fn from_version(version: &str) -> Option<Self> {
        match version.split_whitespace().next() {
            Some("CockroachDB") => Some(Self::CockroachDb),
            Some("PostgreSQL") => Some(Self::PostgreSql),
            _ => None,
        }
    }
}

/// Where staging, marks and frontiers live: the database named by `--stagingDB` on CockroachDB, a schema of that
/// name inside each target database on PostgreSQL (so that staging and target commit together).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagingArea {
    product: Product,
    name: Ident,
}

impl StagingArea {
    /// The area called `name`.
    #[must_use]
    pub fn new(product: Product, name: Ident) -> Self {
        Self { product, name }
    }

    /// The product it is on.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// Its name, as given to `--stagingDB`.
    #[must_use]
    pub fn name(&self) -> &Ident {
        &self.name
    }

    /// The quoted name of a table in it.
    #[must_use]
    pub fn table(&self, table: &str) -> String {
        match self.product {
            Product::CockroachDb => format!("{}.\"public\".{}", quote(self.name.as_str()), quote(table)),
            Product::PostgreSql => format!("{}.{}", quote(self.name.as_str()), quote(table)),
        }
    }

    /// The statement that creates the area.
    #[must_use]
    pub fn create_statement(&self) -> String {
        let kind = match self.product {
            Product::CockroachDb => "DATABASE",
            Product::PostgreSql => "SCHEMA",
        };
        format!("CREATE {kind} IF NOT EXISTS {}", quote(self.name.as_str()))
    }
}

/// Quotes an identifier; both products double an embedded quote.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text literal. Only for names inside functions that take them as text; values are always bound.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    // The E form reads backslashes the same way whatever standard_conforming_strings says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// One product's SQL. Implementations hold no state.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Which product.
    fn product(&self) -> Product;

    /// The quoted name of a target table as seen from the connection that writes it.
    fn table(&self, table: &TableId) -> String;

    /// What to do about an error with this SQLSTATE.
    fn classify(&self, sqlstate: &str) -> Disposition {
        classify(sqlstate)
    }

    /// Tables of the staging area that do not depend on target tables.
    fn area_ddl(&self, area: &StagingArea) -> Vec<String>;

    /// Further tables of the staging area of the home database.
    fn home_tables(&self, area: &StagingArea) -> Vec<HomeTable> {
        area::home_tables(area)
    }

    /// A query that is planned only if a column's expression is one that can stand for its value: of the column's type
    /// and for one row.
    fn check_expression(&self, table: &TableSchema, column: usize, expression: &Expression) -> String;

    /// Queries that are planned only if the values of a column can be compared as versions.
    fn check_cas(&self, table: &TableSchema, column: usize) -> Vec<String>;

    /// A query that is planned only if the values of a column can be compared with points in time.
    fn check_deadline(&self, table: &TableSchema, deadline: &Deadline) -> String;

    /// The staging and guard tables of one target table, given their names in the area.
    fn staging_ddl(&self, area: &StagingArea, staging_table: &str, guard_table: &str) -> Vec<String>;

    /// Statements that stage rows of one table; the last one counts. Parameters: target database, target schema,
    /// staging table name, then arrays nanos, logical, key, long key, row, before, shape, and the arrays bucket
    /// and shape of the windows touched. With `replace`, a row already staged at the same time and key is replaced.
    fn stage(&self, area: &StagingArea, staging_table: &str, replace: bool) -> String;

    /// The statements that apply one slice, to run in this order in one transaction (a single statement needs no
    /// explicit one).
    fn slice(&self, area: &StagingArea, plans: &[TablePlan], options: SliceOptions) -> Vec<Statement>;

    /// Removes up to `$7` rows with time above `($5, $6)` and at or below `($3, $4)`, if the CTE `passed`, which stands
    /// before it, has a row.
    fn retire(&self, area: &StagingArea, staging_table: &str) -> String;
}

/// Error classes shared by both products.
fn classify(sqlstate: &str) -> Disposition {
    match sqlstate {
        // Serialisation and deadlock, ambiguous result, server going down or starting, too many clients, lock or
        // statement timeouts, stale cached plan, in-transaction timeouts.
        "40001" | "40003" | "40P01" | "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "55P03" | "57014"
        | "25P03" | "25P04" => Disposition::Retry,
        // A transaction elsewhere in the pool failed under us.
        "25P02" => Disposition::Retry,
        // The parent row may be in another feed.
        "23503" => Disposition::Defer,
        code if code.starts_with("08") => Disposition::Retry,
        // Out of memory, disk full: the work is fine, the server is not.
        code if code.starts_with("53") || code.starts_with("58") => Disposition::Retry,
        _ => Disposition::Halt,
    }
}

/// The SQL of a product.
#[must_use]
pub fn dialect(product: Product) -> &'static dyn Dialect {
    match product {
        Product::CockroachDb => &cockroach::Cockroach,
        Product::PostgreSql => &postgres::Postgres,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_hostile_names() {
        assert_eq!(quote("a\"; DROP TABLE t; --"), "\"a\"\"; DROP TABLE t; --\"");
        assert_eq!(quote_literal("it's \\ here"), "E'it''s \\\\ here'");
    }

    #[test]
    fn the_product_is_read_from_version() {
        assert_eq!(
            Product::from_version("PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64"),
            Some(Product::PostgreSql)
        );
        assert_eq!(Product::from_version("CockroachDB CCL v23.1.11 (x86_64)"), Some(Product::CockroachDb));
        assert_eq!(Product::from_version("8.0.36-MySQL"), None);
        assert_eq!(Product::from_version(""), None);
    }

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        for code in ["40001", "40P01", "57P01", "08006", "53100"] {
            assert_eq!(classify(code), Disposition::Retry, "{code}");
        }
        assert_eq!(classify("23503"), Disposition::Defer);
        for code in ["23505", "22003", "23514", "42703", "42501"] {
            assert_eq!(classify(code), Disposition::Halt, "{code}");
        }
    }
}
