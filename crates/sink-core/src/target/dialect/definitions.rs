//! The statements that make tables: in two phases, so that what is only slow while rows come in bulk, or holds only once all
//! tables are there, comes after the copy.

use std::fmt;

use super::{Product, StagingArea, cockroach, postgres};
use crate::model::definition::Definitions;
use crate::model::{Ident, TableId};

/// One thing to do, or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is about, such as `table "a"."b"`.
    pub about: String,
    /// The table that it belongs to, if to one.
    pub table: Option<TableId>,
    /// What is left out or different, and why.
    pub notes: Vec<String>,
    /// The statement; none if there is nothing to run.
    pub sql: Option<String>,
    /// A query that answers `true` if the statement need not run; without it the statement may be repeated.
    pub done: Option<String>,
}

/// An extension that the target must have before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionNeed {
    /// Its name.
    pub extension: Ident,
    /// The statement that an operator runs.
    pub statement: String,
    /// A query that answers `true` if its type is there.
    pub probe: String,
}

/// All statements, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreatePlan {
    /// What must be there first, and is not made by us.
    pub extensions: Vec<ExtensionNeed>,
    /// Tables that cannot be made, and why.
    pub blocked: Vec<(TableId, String)>,
    /// Schemas, types, and tables with their primary keys.
    pub before_copy: Vec<Step>,
    /// Indexes, unique constraints, and last foreign keys. Each may be repeated.
    pub after_copy: Vec<Step>,
}

/// The statements that make these tables on a product. `present` tells which other tables the target has, so that foreign keys
/// to them can be made.
#[must_use]
pub fn plan(product: Product, definitions: &Definitions, present: &dyn Fn(&TableId) -> bool) -> CreatePlan {
    let known = |table: &TableId| definitions.tables.iter().any(|made| made.id == *table) || present(table);
    match product {
        Product::CockroachDb => cockroach::definitions::plan(definitions, &known),
        Product::PostgreSql => postgres::definitions::plan(definitions, &known),
    }
}

impl Step {
    /// A statement about a table.
    pub(super) fn new(about: String, table: Option<&TableId>, sql: String) -> Self {
        Self { about, table: table.cloned(), notes: Vec::new(), sql: Some(sql), done: None }
    }

    /// With a query that tells whether it is done.
    pub(super) fn unless(mut self, done: String) -> Self {
        self.done = Some(done);
        self
    }

    /// With things to know.
    pub(super) fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// Nothing to run, but something to know.
    pub(super) fn only_note(about: String, table: &TableId, note: String) -> Self {
        Self { about, table: Some(table.clone()), notes: vec![note], sql: None, done: None }
    }
}

/// A text on one line, so that it stays a comment.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "-- {}: {}", line(&self.about), line(note))?;
        }
        match &self.sql {
            Some(sql) => writeln!(f, "{sql};"),
            None => Ok(()),
        }
    }
}

/// A script: SQL in order, with what is to be known as comments.
impl fmt::Display for CreatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for need in &self.extensions {
            writeln!(
                f,
                "-- The target needs an extension first; run as its owner: {};",
                line(&need.statement)
            )?;
        }
        for (table, why) in &self.blocked {
            writeln!(f, "-- Not made: table {}: {}", line(&table.to_string()), line(why))?;
        }
        writeln!(f, "-- Before the copy.")?;
        for step in &self.before_copy {
            write!(f, "{step}")?;
        }
        writeln!(f, "-- After the copy.")?;
        for step in &self.after_copy {
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

/// The table of the staging area that remembers which tables we made, so that what comes after the copy is made for them alone,
/// and after a crash as well.
#[must_use]
pub fn registry_ddl(area: &StagingArea) -> String {
    let text = match area.product() {
        Product::CockroachDb => "STRING",
        Product::PostgreSql => "text",
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {} (target_db {text} NOT NULL, target_schema {text} NOT NULL, \
         target_table {text} NOT NULL, finished bool NOT NULL DEFAULT false, \
         PRIMARY KEY (target_db, target_schema, target_table))",
        registry(area)
    )
}

/// Says that a table is being made. Parameters: database, schema, table.
#[must_use]
pub fn registry_begin(area: &StagingArea) -> String {
    format!(
        "INSERT INTO {} (target_db, target_schema, target_table) VALUES ($1, $2, $3) \
         ON CONFLICT (target_db, target_schema, target_table) DO UPDATE SET finished = false",
        registry(area)
    )
}

/// The tables whose second phase is still to come: schema, table. Parameter: database.
#[must_use]
pub fn registry_unfinished(area: &StagingArea) -> String {
    format!(
        "SELECT target_schema, target_table FROM {} WHERE target_db = $1 AND NOT finished ORDER BY 1, 2",
        registry(area)
    )
}

/// Says that a table has all it gets. Parameters: database, schema, table.
#[must_use]
pub fn registry_finish(area: &StagingArea) -> String {
    format!(
        "UPDATE {} SET finished = true WHERE target_db = $1 AND target_schema = $2 AND target_table = $3",
        registry(area)
    )
}

fn registry(area: &StagingArea) -> String {
    area.table("created_tables")
}
