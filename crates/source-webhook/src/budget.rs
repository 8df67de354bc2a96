//! One bound on the bytes of all requests in flight, so that memory does not depend on how many arrive.

use std::sync::Arc;
use std::time::Duration;

use sink_service::body::BodyBudget;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit of the semaphore.
const UNIT_BYTES: usize = 1024;
/// Longest wait for a grant. The source gives up after three seconds and would send the same bytes again.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The bytes that all requests together may hold.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    free: Arc<Semaphore>,
    total: u32,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: ByteBudget,
    held: Option<OwnedSemaphorePermit>,
    held_units: u32,
}

impl ByteBudget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total = units(bytes).max(1);
        Self {
            free: Arc::new(Semaphore::new(usize::try_from(total).unwrap_or(Semaphore::MAX_PERMITS))),
            total,
        }
    }

    /// Nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), held: None, held_units: 0 }
    }
}

impl Share {
    /// How many more units are needed for `bytes` more; a request larger than the budget passes when it is alone.
    fn wanted(&self, bytes: usize) -> u32 {
        units(bytes).min(self.budget.total.saturating_sub(self.held_units))
    }

    fn keep(&mut self, permit: OwnedSemaphorePermit, wanted: u32) {
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.held_units += wanted;
    }
}

impl BodyBudget for Share {
    async fn take(&mut self, bytes: usize) -> bool {
        let wanted = self.wanted(bytes);
        let grant = Arc::clone(&self.budget.free).acquire_many_owned(wanted);
        match tokio::time::timeout(MAX_WAIT, grant).await {
            Ok(Ok(permit)) => {
                self.keep(permit, wanted);
                true
            }
            _ => false,
        }
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.wanted(bytes);
        let Ok(permit) = Arc::clone(&self.budget.free).try_acquire_many_owned(wanted) else { return false };
        self.keep(permit, wanted);
        true
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_its_share_and_gives_it_back() {
        let budget = ByteBudget::new(10 * UNIT_BYTES);
        let mut first = budget.share();
        assert!(first.take(8 * UNIT_BYTES).await);
        let mut second = budget.share();
        assert!(!second.take(3 * UNIT_BYTES).await);
        assert!(second.take(2 * UNIT_BYTES).await);
        assert!(!second.grow(1));
        drop(first);
        assert!(second.grow(8 * UNIT_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_larger_than_the_budget_passes_alone() {
        let budget = ByteBudget::new(10 * UNIT_BYTES);
        let mut large = budget.share();
        assert!(large.take(1000 * UNIT_BYTES).await);
        assert!(large.grow(1000 * UNIT_BYTES));
        assert!(!budget.share().take(1).await);
        drop(large);
        assert!(budget.share().take(1).await);
    }
}
