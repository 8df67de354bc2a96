//! Who works on a schema. A lease only saves work: two processes that both believe to hold one do no harm, because
//! the frontier row accepts the writes of the newest epoch alone.

mod sql;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::sql::LeaseTable;
use crate::clock::Clock;
use crate::failure::{Failure, chain};
use crate::target::Target;

/// How long a lease is good for after each renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(10);
/// How often leases are renewed.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(3);

/// The leases of this process.
pub struct Leases {
    table: LeaseTable,
    clock: Arc<dyn Clock>,
    held: Mutex<HashMap<String, Held>>,
}

struct Held {
    /// By our own monotonic clock, counted from before the renewal was sent.
    until: Instant,
    lost: CancellationToken,
}

impl Leases {
    /// Leases kept in the home database of `target`.
    #[must_use]
    pub fn new(target: &Target, clock: Arc<dyn Clock>, hostname: String) -> Self {
        Self { table: LeaseTable::new(Arc::clone(target.home()), hostname), clock, held: Mutex::default() }
    }

    /// Takes or renews a lease. The token is cancelled when the lease is lost; `None` if another process holds it.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn acquire(&self, name: &str) -> Result<Option<CancellationToken>, Failure> {
        let sent = self.clock.monotonic();
        if !self.table.acquire(name).await? {
            self.drop_lease(name);
            return Ok(None);
        }
        let mut held = self.lock();
        let until = sent + LEASE_DURATION;
        let entry =
            held.entry(name.to_owned()).or_insert_with(|| Held { until, lost: CancellationToken::new() });
        entry.until = until;
        Ok(Some(entry.lost.clone()))
    }

    /// Renews every lease until `stop`, and gives up those that could not be renewed in time; then releases all.
    pub async fn keep(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(RENEW_INTERVAL)).await.is_some() {
            let names: Vec<String> = self.lock().keys().cloned().collect();
            if names.is_empty() {
                continue;
            }
            let sent = self.clock.monotonic();
            match tokio::time::timeout(RENEW_INTERVAL, self.table.renew(&names)).await {
                Ok(Ok(renewed)) => self.note_renewed(&names, &renewed, sent + LEASE_DURATION),
                Ok(Err(error)) => tracing::warn!(error = %chain(&error), "leases were not renewed"),
                Err(_) => tracing::warn!("leases were not renewed in time"),
            }
            self.give_up_expired();
        }
        self.release_all().await;
    }

    /// How many leases this process holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// The names of the leases this process holds, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Lets a lease expire: whoever worked under it is gone.
    pub fn stop_renewing(&self, name: &str) {
        self.drop_lease(name);
    }

    async fn release_all(&self) {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        for name in &names {
            self.drop_lease(name);
        }
        // The others would wait for the expiry otherwise; nothing depends on it.
        if let Ok(Err(error)) = tokio::time::timeout(RENEW_INTERVAL, self.table.release(&names)).await {
            tracing::warn!(error = %chain(&error), "leases were not released");
        }
    }

    fn note_renewed(&self, asked: &[String], renewed: &[String], until: Instant) {
        for name in asked {
            if !renewed.contains(name) {
                tracing::info!(lease = %name, "another process took over");
                self.drop_lease(name);
            } else if let Some(held) = self.lock().get_mut(name) {
                held.until = until;
            }
        }
    }

    fn give_up_expired(&self) {
        let now = self.clock.monotonic();
        self.lock().retain(|name, held| {
            let good = now < held.until;
            if !good {
                tracing::warn!(lease = %name, "gave up a lease that could not be renewed");
                held.lost.cancel();
            }
            good
        });
    }

    fn drop_lease(&self, name: &str) {
        if let Some(held) = self.lock().remove(name) {
            held.lost.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
