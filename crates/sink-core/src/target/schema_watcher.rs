//! The last known schema of a database, with what `apply_config` says of its tables. Read again every minute, on SIGHUP,
//! before a row is refused for an unknown table or column (at most once a second), and when a statement fails in a way
//! that says the schema moved.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::catalog;
use super::pool::Database;
use crate::failure::Failure;
use crate::model::{DatabaseSchema, SchemaId, TableSchema};

/// Least time between two reads that rows ask for.
const LEAST_REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Holds the schema and says when it changed.
pub struct SchemaWatcher {
    current: RwLock<Option<Arc<DatabaseSchema>>>,
    /// Held while the catalogue is read; the time of the last read.
    last_read: Mutex<Option<Instant>>,
    changes: watch::Sender<u64>,
}

impl Default for SchemaWatcher {
    fn default() -> Self {
        Self { current: RwLock::default(), last_read: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

impl SchemaWatcher {
    /// The last known schema, read now if it never was.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn current(&self, database: &Database) -> Result<Arc<DatabaseSchema>, Failure> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        self.refresh_unless_read_within(database, LEAST_REFRESH_INTERVAL).await
    }

    /// The last known schema, if it was ever read.
    #[must_use]
    pub fn known(&self) -> Option<Arc<DatabaseSchema>> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Reads the catalogue now.
    ///
    /// # Errors
    /// If the catalogue cannot be read; the last known schema stays.
    pub async fn refresh(&self, database: &Database) -> Result<Arc<DatabaseSchema>, Failure> {
        self.refresh_unless_read_within(database, Duration::ZERO).await
    }

    /// Reads the catalogue unless that happened a moment ago; for rows that name what we do not know.
    ///
    /// # Errors
    /// If the catalogue cannot be read; the last known schema stays.
    pub async fn refresh_if_stale(&self, database: &Database) -> Result<Arc<DatabaseSchema>, Failure> {
        self.refresh_unless_read_within(database, LEAST_REFRESH_INTERVAL).await
    }

    /// Finds a table, reading the catalogue again before saying that there is none.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn table(
        &self,
        database: &Database,
        schema: &SchemaId,
        name: &str,
    ) -> Result<Option<Arc<TableSchema>>, Failure> {
        if let Some(table) = self.current(database).await?.table(schema, name) {
            return Ok(Some(Arc::clone(table)));
        }
        Ok(self.refresh_if_stale(database).await?.table(schema, name).cloned())
    }

    /// Counts changes of the schema; wakes whoever waits for one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn refresh_unless_read_within(
        &self,
        database: &Database,
        age: Duration,
    ) -> Result<Arc<DatabaseSchema>, Failure> {
        let mut last_read = self.last_read.lock().await;
        if let (Some(at), Some(known)) = (*last_read, self.known())
            && at.elapsed() < age
        {
            return Ok(known);
        }
        let mut read = catalog::read(database).await?;
        database.configs().overlay(database, &mut read).await?;
        let read = Arc::new(read);
        *last_read = Some(Instant::now());
        if let Some(known) = self.known().filter(|known| **known == *read) {
            // Keeps what was derived from the old value valid.
            return Ok(known);
        }
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&read));
        self.changes.send_modify(|generation| *generation += 1);
        Ok(read)
    }
}
