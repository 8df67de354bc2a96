//! What this process remembers of each schema, so that a request need not ask: mode, applied time, staged size. It
//! may be half a second old; nothing that decides about data depends on it alone, because every write is checked
//! against the frontier row in its own statement.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sink_core::checkpoint::{CheckpointStore as _, Mode, SqlCheckpoints};
use sink_core::failure::Failure;
use sink_core::model::{HlcTimestamp, SchemaId};

use crate::mark_series::{MarkSeries, Note};

/// How old what we remember of the frontier may be.
const MAX_AGE: Duration = Duration::from_millis(500);
/// How old the size of the staging tables may be.
const MAX_SIZE_AGE: Duration = Duration::from_secs(5);

/// Said at `/_/readyz`.
const INTERLEAVED: &str = "resolved marks of two rising series arrive in turn: two changefeeds seem to feed this schema, \
                           and rows of the slower one that come after a mark of the other are lost; use one changefeed \
                           per target schema";

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
    marks: Mutex<HashMap<SchemaId, MarkSeries>>,
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

    /// How many schemas are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.states).len()
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

    /// What a mark is, compared with those this process has seen.
    pub fn note_mark(&self, schema: &SchemaId, at: HlcTimestamp) -> Note {
        let mut marks = lock(&self.marks);
        match marks.get_mut(schema) {
            Some(series) => series.note(at, Instant::now()),
            None => marks.entry(schema.clone()).or_default().note(at, Instant::now()),
        }
    }

    /// What operators should know of a schema that its stored state does not tell.
    pub fn warnings(&self, schema: &SchemaId) -> Vec<&'static str> {
        let marks = lock(&self.marks);
        let interleaved = marks.get(schema).is_some_and(|series| series.is_interleaved(Instant::now()));
        interleaved.then_some(INTERLEAVED).into_iter().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
