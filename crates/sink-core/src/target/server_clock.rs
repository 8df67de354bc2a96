//! The target's wall clock, which is what row times are judged by: our own may be wrong.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Product;
use super::pool::{Database, Target, failure};
use crate::failure::Failure;

/// How long one reading of the server's clock is extrapolated.
const MAX_AGE: Duration = Duration::from_secs(30);

/// The target's clock, read now and then and extrapolated in between.
#[derive(Debug, Default)]
pub struct ServerClock {
    last: Mutex<Option<(Instant, i64)>>,
}

impl ServerClock {
    /// Nanoseconds since 1970 by the target's clock.
    ///
    /// # Errors
    /// If it was not read lately and cannot be read now.
    pub async fn now_nanos(&self, target: &Target) -> Result<i64, Failure> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, nanos)) = last.filter(|(at, _)| at.elapsed() < MAX_AGE) {
            return Ok(nanos.saturating_add(nanos_of(at.elapsed())));
        }
        let nanos = read(target.home()).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), nanos));
        Ok(nanos)
    }
}

async fn read(database: &Database) -> Result<i64, Failure> {
    let sql = match database.dialect().product() {
        Product::PostgreSql => "SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::int8",
        Product::CockroachDb => "SELECT (extract(epoch FROM clock_timestamp())::DECIMAL * 1000000000)::INT8",
    };
    let nanos = sqlx::query_scalar(sql).fetch_one(database.control()).await;
    nanos.map_err(|e| failure("read the target's clock", e))
}

fn nanos_of(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
