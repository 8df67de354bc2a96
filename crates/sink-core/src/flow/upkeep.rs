//! What goes on beside a feed for as long as the process lives: leases are renewed, the target's schema is read again.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::checkpoint::Leases;
use crate::clock::SystemClock;
use crate::failure::chain;
use crate::target::Target;

/// How often the target's schema is read again.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait for the target to take back leases and connections.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// The tasks beside a feed.
pub struct Upkeep {
    target: Arc<Target>,
    leases: Arc<Leases>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Leases go last, when everything that works under them has ended.
    lease_keeper: TaskTracker,
    leases_stop: CancellationToken,
}

impl Upkeep {
    /// Begins. `hostname` is shown to operators as the holder of leases.
    #[must_use]
    pub fn begin(target: Arc<Target>, hostname: String) -> Self {
        let leases = Arc::new(Leases::new(&target, Arc::new(SystemClock), hostname));
        let upkeep = Self {
            target,
            leases,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            lease_keeper: TaskTracker::new(),
            leases_stop: CancellationToken::new(),
        };
        let (leases, stop) = (Arc::clone(&upkeep.leases), upkeep.leases_stop.clone());
        upkeep.lease_keeper.spawn(async move { leases.keep(stop).await });
        upkeep.spawn(watch_schema(Arc::clone(&upkeep.target)));
        upkeep
    }

    /// The leases of this process.
    #[must_use]
    pub fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    /// Runs something beside the feed until [`end`](Self::end).
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(work).await;
        });
    }

    /// Ends everything, then gives back leases and connections. No step waits long.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        let drained = tokio::time::timeout(RELEASE_PATIENCE, self.tasks.wait()).await.is_ok();
        self.leases_stop.cancel();
        self.lease_keeper.close();
        let released = tokio::time::timeout(RELEASE_PATIENCE, self.lease_keeper.wait()).await.is_ok();
        // A statement that still runs at the server would hold this up; the server ends it when we are gone.
        let closed = tokio::time::timeout(RELEASE_PATIENCE, self.target.close()).await.is_ok();
        tracing::debug!(drained, released, closed, "said goodbye to the target");
    }
}

/// Reads the configuration and the target's schema again, as after SIGHUP.
pub async fn reload(target: &Target) {
    if let Err(error) = target.configs().load(target.home()).await {
        tracing::error!(error = %chain(&error), "apply_config was not read; what is in use stays");
    }
    if let Err(error) = target.home().schema().refresh(target.home()).await {
        tracing::warn!(error = %chain(&error), "the target's schema was not read");
    }
}

async fn watch_schema(target: Arc<Target>) {
    loop {
        tokio::time::sleep(SCHEMA_INTERVAL).await;
        reload(&target).await;
    }
}
