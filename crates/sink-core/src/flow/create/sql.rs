//! Runs the statements that make tables, each by itself: CockroachDB wants no DDL in transactions, and a statement that is
//! done need not be done again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::Missing;
use crate::failure::{Disposition, Failure, Place, chain};
use crate::model::{Definitions, Ident, SchemaId, TableId};
use crate::target::Database;
use crate::target::dialect::definitions::{
    CreatePlan, Step, plan, registry_begin, registry_ddl, registry_finish, registry_unfinished,
};
use crate::target::pool::{failure, run_ddl};

const LOOK: &str = "compare the tables of the source with those of the target";
const CREATE: &str = "create a table like that of the source";
const REMEMBER: &str = "remember which tables were created";
/// Attempts at a statement that somebody else runs at the same moment, and the pause between them, times their number.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Makes tables in one database.
#[derive(Clone)]
pub struct TableMaker {
    database: Arc<Database>,
}

impl TableMaker {
    /// Makes tables in `database`.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// What would be done. Changes nothing.
    ///
    /// # Errors
    /// If the target's catalogue cannot be read.
    pub async fn missing(&self, wanted: &Definitions) -> Result<Missing, Failure> {
        let present = self.database.schema().refresh(&self.database).await?;
        Ok(Missing::new(self.database.dialect().product(), wanted, &present))
    }

    /// Whether a table that we made lacks its second phase.
    ///
    /// # Errors
    /// If the target cannot be asked.
    pub async fn is_unfinished(&self) -> Result<bool, Failure> {
        let mut connection = self.database.connection().await?;
        Ok(!self.unfinished(&mut connection).await?.is_empty())
    }

    /// Makes the tables that are missing, with their keys. Answers which.
    ///
    /// # Errors
    /// Before anything is made: if the target lacks an extension, or a table cannot be made. Later: if a statement is refused;
    /// the same call again goes on from there.
    pub async fn before_copy(&self, wanted: &Definitions) -> Result<BTreeSet<TableId>, Failure> {
        let missing = self.missing(wanted).await?;
        if missing.tables.is_empty() {
            return Ok(missing.tables);
        }
        let mut connection = self.database.connection().await?;
        check(&mut connection, &missing.plan).await?;
        run_ddl(&mut connection, vec![registry_ddl(self.database.area())], REMEMBER).await?;
        for table in &missing.tables {
            self.remember(&mut connection, registry_begin(self.database.area()), table).await?;
        }
        for step in &missing.plan.before_copy {
            run(&mut connection, step).await.map_err(|e| e.in_database(self.database.name()))?;
        }
        drop(connection);
        self.database.schema().refresh(&self.database).await?;
        Ok(missing.tables)
    }

    /// Gives the tables that we made their indexes and constraints, foreign keys last. Tables that had them all are left alone.
    /// Answers which tables were completed.
    ///
    /// # Errors
    /// If a statement is refused; `Defer` if rows lack their parents, which a later moment of the source may mend. The same
    /// call again goes on from there.
    pub async fn after_copy(&self, wanted: &Definitions) -> Result<BTreeSet<TableId>, Failure> {
        let mut connection = self.database.connection().await?;
        let unfinished = self.unfinished(&mut connection).await?;
        let ours = wanted.only(|id| unfinished.contains(id));
        if ours.tables.is_empty() {
            return Ok(BTreeSet::new());
        }
        let present = self.database.schema().refresh(&self.database).await?;
        let there = |id: &TableId| present.tables_of(&id.schema).any(|table| table.id == *id);
        let plan = plan(self.database.dialect().product(), &ours, &there);
        for step in &plan.after_copy {
            run(&mut connection, step).await.map_err(|e| e.in_database(self.database.name()))?;
        }
        let done: BTreeSet<TableId> = ours.tables.iter().map(|table| table.id.clone()).collect();
        for table in &done {
            self.remember(&mut connection, registry_finish(self.database.area()), table).await?;
        }
        drop(connection);
        self.database.schema().refresh(&self.database).await?;
        Ok(done)
    }

    /// As [`after_copy`](Self::after_copy), and tells which tables were completed. Rows without a parent are no error: tables
    /// that were copied at several points of the log only agree once the stream has passed the last of them, so the next
    /// start tries again.
    ///
    /// # Errors
    /// If the target refuses a statement for another reason.
    pub async fn complete(&self, wanted: &Definitions) -> Result<(), Failure> {
        match self.after_copy(wanted).await {
            Ok(tables) => {
                for table in tables {
                    tracing::info!(%table, "completed a table with its indexes and constraints");
                }
                Ok(())
            }
            Err(error) if error.disposition() == Disposition::Defer => {
                tracing::warn!(error = %chain(&error), "a foreign key does not hold yet; the next start adds it");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn remember(
        &self,
        connection: &mut PgConnection,
        sql: String,
        table: &TableId,
    ) -> Result<(), Failure> {
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(table.schema.database.as_str())
            .bind(table.schema.schema.as_str())
            .bind(table.table.as_str());
        query.execute(connection).await.map(drop).map_err(|e| failure(REMEMBER, e))
    }

    /// The tables that we made and that lack their second phase. None if we never made any.
    async fn unfinished(&self, connection: &mut PgConnection) -> Result<BTreeSet<TableId>, Failure> {
        let query = sqlx::query(AssertSqlSafe(registry_unfinished(self.database.area())));
        let rows = match query.bind(self.database.name().as_str()).fetch_all(connection).await {
            Ok(rows) => rows,
            Err(error) => {
                let error = failure(REMEMBER, error);
                // The table of the staging area is made with the first table.
                return if error.sqlstate() == Some("42P01") { Ok(BTreeSet::new()) } else { Err(error) };
            }
        };
        let ident = |text: String| Ident::new(text).map_err(|e| Failure::new(Disposition::Halt, REMEMBER, e));
        rows.iter()
            .map(|row| {
                let schema = SchemaId { database: self.database.name().clone(), schema: ident(row.get(0))? };
                Ok(TableId { schema, table: ident(row.get(1))? })
            })
            .collect()
    }
}

/// Refuses before anything is made.
async fn check(connection: &mut PgConnection, plan: &CreatePlan) -> Result<(), Failure> {
    if let Some((table, why)) = plan.blocked.first() {
        let place = Place { table: Some(table.clone()), ..Place::default() };
        return Err(Failure::new(Disposition::Halt, CREATE, why.as_str()).at(place));
    }
    for need in &plan.extensions {
        if !answers_true(connection, &need.probe).await? {
            let reason = format!(
                "the target lacks types of the extension {:?}; run there, as its owner: {}",
                need.extension.as_str(),
                need.statement
            );
            return Err(Failure::new(Disposition::Halt, CREATE, reason));
        }
    }
    Ok(())
}

async fn answers_true(connection: &mut PgConnection, probe: &str) -> Result<bool, Failure> {
    let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(probe.to_owned())).persistent(false);
    query.fetch_one(connection).await.map_err(|e| failure(LOOK, e))
}

/// Runs a statement unless it is done. Two sessions that make the same thing at the same moment both end well.
async fn run(connection: &mut PgConnection, step: &Step) -> Result<(), Failure> {
    let Some(sql) = &step.sql else { return Ok(()) };
    let mut attempt = 0;
    loop {
        attempt += 1;
        if let Some(done) = &step.done
            && answers_true(connection, done).await?
        {
            return Ok(());
        }
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut *connection).await else {
            return Ok(());
        };
        let error = failure(CREATE, error);
        let race =
            matches!(error.sqlstate(), Some("42710" | "42P07" | "42P06" | "23505" | "40001" | "40P01"));
        if !race || attempt == ATTEMPTS {
            return Err(told(error, step, sql));
        }
        tokio::time::sleep(PAUSE * attempt).await;
    }
}

/// The server's refusal, with the table and the statement.
fn told(error: Failure, step: &Step, sql: &str) -> Failure {
    let place = Place { table: step.table.clone(), ..error.place().clone() };
    let disposition = error.disposition();
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    Failure::new(disposition, CREATE, format!("{}: {why}; the statement was: {sql}", step.about)).at(place)
}
