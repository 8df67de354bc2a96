//! What this process remembers of each schema, so that a request need not ask: mode, applied time, staged size. It
//! may be half a second old; nothing that decides about data depends on it alone, because every write is checked
//! against the frontier row in its own statement.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sink_core::checkpoint::{CheckpointStore as _, Mode, SqlCheckpoints};
use sink_core::failure::Failure;
use sink_core::model::{HlcTimestamp, SchemaId};

/// How old what we remember of the frontier may be.
const MAX_AGE: Duration = Duration::from_millis(500);
/// How old the size of the staging tables may be.
const MAX_SIZE_AGE: Duration = Duration::from_secs(5);

/// A schema's state a moment ago.
#[derive(Debug, Clone, Copy)]
pub struct SchemaState {
    /// How rows reach their tables; `None` if nothing was staged for the schema yet.
    pub mode: Option<Mode>,
    /// Every row up to this time is in the target.
    pub applied: HlcTimestamp,
}

/// Remembers states.
#[derive(Debug, Default)]
pub struct SchemaStates {
    states: Mutex<HashMap<SchemaId, (Instant, SchemaState)>>,
    sizes: Mutex<HashMap<SchemaId, (Instant, u64)>>,
    newest_marks: Mutex<HashMap<SchemaId, HlcTimestamp>>,
}

impl SchemaStates {
    /// The state of a schema, at most half a second old.
    ///
    /// # Errors
    /// If it has to be read and cannot be.
    pub async fn get(&self, checkpoints: &SqlCheckpoints, schema: &SchemaId) -> Result<SchemaState, Failure> {
        let known = lock(&self.states).get(schema).copied();
        if let Some((_, state)) = known.filter(|(at, _)| at.elapsed() < MAX_AGE) {
            return Ok(state);
        }
        let standing = checkpoints.standing(schema).await?;
        let state = SchemaState {
            mode: standing.map(|standing| standing.mode),
            applied: standing.map_or(HlcTimestamp::ZERO, |standing| standing.applied),
        };
        lock(&self.states).insert(schema.clone(), (Instant::now(), state));
        Ok(state)
    }

    /// Forgets a state that turned out to be wrong.
    pub fn forget(&self, schema: &SchemaId) {
        lock(&self.states).remove(schema);
    }

    /// Size of the schema's staging tables in bytes, at most five seconds old; zero where the product does not say.
    ///
    /// # Errors
    /// If it has to be read and cannot be.
    pub async fn staging_bytes(
        &self,
        checkpoints: &SqlCheckpoints,
        schema: &SchemaId,
    ) -> Result<u64, Failure> {
        let known = lock(&self.sizes).get(schema).copied();
        if let Some((_, bytes)) = known.filter(|(at, _)| at.elapsed() < MAX_SIZE_AGE) {
            return Ok(bytes);
        }
        // Others go on with the old value while this one asks.
        lock(&self.sizes).insert(schema.clone(), (Instant::now(), known.map_or(0, |(_, bytes)| bytes)));
        let bytes = checkpoints.staging_bytes(schema).await?.unwrap_or(0);
        lock(&self.sizes).insert(schema.clone(), (Instant::now(), bytes));
        Ok(bytes)
    }

    /// Whether a mark is news to this process.
    pub fn is_new_mark(&self, schema: &SchemaId, at: HlcTimestamp) -> bool {
        let mut marks = lock(&self.newest_marks);
        match marks.get_mut(schema) {
            Some(newest) if at <= *newest => false,
            Some(newest) => {
                *newest = at;
                true
            }
            None => {
                marks.insert(schema.clone(), at);
                true
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
