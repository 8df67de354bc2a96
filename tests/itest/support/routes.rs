//! Which process gets a request, as a load balancer would decide.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

/// How long a process that did not answer is passed over, unless all are.
const SHUNNED_FOR: Duration = Duration::from_secs(1);

/// The processes behind one URL.
#[derive(Debug)]
pub(crate) struct Routes {
    addresses: Vec<SocketAddr>,
    shunned_until: Mutex<Vec<Option<Instant>>>,
}

impl Routes {
    /// Routes to processes that keep their addresses over restarts.
    pub(crate) fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Routes {
        let addresses: Vec<_> = addresses.into_iter().collect();
        let shunned_until = Mutex::new(vec![None; addresses.len()]);
        Routes { addresses, shunned_until }
    }

    /// Every address, in random order, those that lately did not answer last.
    pub(super) fn choose(&self, rng: &mut impl Rng) -> Vec<SocketAddr> {
        let now = Instant::now();
        let shunned = self.shunned_until.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<(bool, u32, SocketAddr)> = Vec::with_capacity(self.addresses.len());
        for (address, until) in self.addresses.iter().zip(shunned.iter()) {
            order.push((until.is_some_and(|until| until > now), rng.random(), *address));
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, address)| address).collect()
    }

    /// This one did not answer.
    pub(super) fn shun(&self, address: SocketAddr) {
        let mut shunned = self.shunned_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = self.addresses.iter().position(|known| *known == address) {
            shunned[at] = Some(Instant::now() + SHUNNED_FOR);
        }
    }
}
