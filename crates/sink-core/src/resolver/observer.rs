//! Shows how far every schema is, from time to time: what waits, and how old it is. Nothing is decided by it.
//!
//! Every process shows the same figures of the database, so that none is missing while a lease changes hands; only
//! the time of the newest delivery is each process's own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::checkpoint::SqlCheckpoints;
use crate::checkpoint::overview::{Counting, SchemaStatus};
use crate::failure::{Failure, chain};
use crate::metrics;
use crate::model::{HlcTimestamp, SchemaId};
use crate::target::Target;

/// How often the figures are taken.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Remembers what this process received.
#[derive(Debug, Default)]
pub(super) struct Observer {
    /// The newest time received for each schema; only schemas that exist are noted, so this is bounded by them.
    received: Mutex<HashMap<SchemaId, HlcTimestamp>>,
}

impl Observer {
    /// A row or mark of this time has arrived.
    pub(super) fn note_received(&self, schema: &SchemaId, at: HlcTimestamp) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        match received.get_mut(schema) {
            Some(newest) => *newest = at.max(*newest),
            None => drop(received.insert(schema.clone(), at)),
        }
    }

    /// Takes the figures of all databases. One that does not answer is passed over; its last figures stay.
    pub(super) async fn observe(&self, target: &Target, checkpoints: &SqlCheckpoints) {
        for database in target.databases().await {
            match checkpoints.overview(&database, Counting::Quick).await {
                Ok(schemas) => schemas.iter().for_each(|status| self.show(status)),
                Err(error) => unseen(&database.name().to_string(), &error),
            }
        }
        for pool in target.pools().await {
            metrics::set_pool(target.host(), &pool);
        }
    }

    fn show(&self, status: &SchemaStatus) {
        let schema = &status.schema;
        if let Some(pending) = status.pending {
            metrics::set_schema("stage_pending_rows", schema, as_number(pending.rows));
            let oldest = pending.oldest.unwrap_or_default().as_secs_f64();
            metrics::set_schema("stage_oldest_pending_seconds", schema, oldest);
        }
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).get(schema).copied();
        let age =
            |at: HlcTimestamp| status.now.saturating_sub(Duration::from_nanos(at.nanos().unsigned_abs()));
        let lags = [("received", received.map(age)), ("staged", status.staged_lag), ("applied", status.lag)];
        for (stage, lag) in lags {
            if let Some(lag) = lag {
                metrics::set_lag(schema, stage, lag);
            }
        }
    }
}

fn unseen(database: &str, error: &Failure) {
    tracing::debug!(database, error = %chain(error), "the state of the schemas was not read");
}

/// Exact up to four thousand million rows, which is enough for a gauge.
fn as_number(rows: u64) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}
