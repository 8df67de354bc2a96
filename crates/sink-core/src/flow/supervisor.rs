//! Keeps a feed going: takes its lease, connects, carries, and begins again after whatever passes by itself.
//!
//! ```text
//! lease ─► identify the source ─► take over the position (raises the epoch) ─► open the stream ─► replicate
//!   ▲                                                                                              │
//!   └───────────────────── pause, longer each time, at most --retryDelay ◄─────────────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::position::{FeedName, Stored};
use super::replicate::{Broken, Care, FlowConfig, Mode, Replication};
use super::sql::{FlowApplier, lacks_later_parts};
use super::status::{FlowStatus, Phase};
use super::stream::LogSource;
use super::tables::Tables;
use super::writer::Writer;
use crate::backoff::backoff;
use crate::checkpoint::Leases;
use crate::failure::{Disposition, Failure, chain};
use crate::metrics::flow as metrics;
use crate::target::Database;

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How often a lease that another process holds is tried.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// A feed with what it needs.
pub struct Supervisor<S> {
    /// The source.
    pub source: S,
    /// The database that is written.
    pub database: Arc<Database>,
    /// Writes it.
    pub applier: Arc<FlowApplier>,
    /// Keeps other processes of the same feed waiting.
    pub leases: Arc<Leases>,
    /// Which position.
    pub feed: FeedName,
    /// How to carry.
    pub config: FlowConfig,
    /// Longest pause between two attempts.
    pub retry_delay: Duration,
    /// What operators see.
    pub status: Arc<FlowStatus>,
}

/// How one attempt ended.
enum Attempt {
    Stopped,
    LostLease,
    Failed(Broken),
}

impl<S: LogSource> Supervisor<S> {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// What the source refuses for good: going on would lose or invent changes, so a person has to decide.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        let lease = format!("feed:{}", self.feed.feed);
        let mut failures = 0_u32;
        let mut care = Care::None;
        let mut large_parts = false;
        while !stop.is_cancelled() {
            let lost = match self.leases.acquire(&lease).await {
                Ok(Some(lost)) => lost,
                Ok(None) => {
                    self.status.set_phase(Phase::Standby);
                    pause(LEASE_PAUSE, &stop).await;
                    continue;
                }
                Err(error) => {
                    failures += 1;
                    self.complain(failures, &error);
                    pause(self.backoff(failures), &stop).await;
                    continue;
                }
            };
            let carried = self.status.state().transactions;
            let mut changes = self.database.schema().changes();
            changes.mark_unchanged();
            let broken = match self.attempt(&lost, &stop, (care, large_parts)).await {
                Attempt::Stopped => break,
                Attempt::LostLease => {
                    tracing::info!(feed = %self.feed.feed, "another process took over");
                    continue;
                }
                Attempt::Failed(broken) => broken,
            };
            let progress = self.status.state().transactions > carried;
            failures = if progress { 1 } else { failures + 1 };
            let larger = matches!(&broken, Broken::Target(refused) if lacks_later_parts(refused));
            if larger && (progress || !large_parts) {
                tracing::info!(feed = %self.feed.feed, "a part of a transaction needs later ones; trying larger parts");
                large_parts = true;
                continue;
            }
            large_parts = large_parts && !progress;
            care = self.care_after(care, &broken);
            self.after(broken, failures, &mut changes, &stop).await?;
        }
        Ok(())
    }

    /// One connection to the source, from beginning to end.
    async fn attempt(
        &mut self,
        lost: &CancellationToken,
        stop: &CancellationToken,
        care: (Care, bool),
    ) -> Attempt {
        let ending = stop.child_token();
        let carry = self.carry(&ending, care);
        tokio::pin!(carry);
        let result = tokio::select! {
            result = &mut carry => result,
            // Whoever leads now has raised the epoch or will: nothing of ours can be stored any more.
            () = lost.cancelled() => return Attempt::LostLease,
        };
        match result {
            Ok(()) if stop.is_cancelled() => Attempt::Stopped,
            Ok(()) => Attempt::LostLease,
            Err(Broken::Source(failure) | Broken::Target(failure))
                if failure.disposition() == Disposition::Fenced =>
            {
                Attempt::LostLease
            }
            // What was broken off because we were told to is no trouble.
            Err(Broken::Source(failure))
                if stop.is_cancelled() && failure.disposition() == Disposition::Retry =>
            {
                Attempt::Stopped
            }
            Err(broken) => Attempt::Failed(broken),
        }
    }

    async fn carry(
        &mut self,
        stop: &CancellationToken,
        (care, large_parts): (Care, bool),
    ) -> Result<(), Broken> {
        let prepared = stop.run_until_cancelled(self.open()).await;
        let Some((stream, stored)) = prepared.transpose()? else { return Ok(()) };
        let (position, epoch) = (&stored.position, stored.epoch);
        if self.status.state().phase == Phase::Stalled {
            tracing::debug!(feed = %self.feed.feed, %position, epoch, "trying again");
        } else {
            tracing::info!(feed = %self.feed.feed, %position, epoch, "streaming");
        }
        self.status.stored(&stored.position);
        self.status.opened();
        let feed = Arc::new(self.feed.clone());
        let writer = Writer::new(Arc::clone(&self.applier), feed, &stored, self.config.apply_timeout);
        let keyless = self.config.mode == Mode::Transactional;
        let tables = Tables::new(Arc::clone(&self.database), keyless);
        let status = Arc::clone(&self.status);
        let replication = Replication::new(stream, (writer, &stored), tables, self.config, status);
        let replication = replication.with_care(care).with_large_parts(large_parts);
        Box::pin(replication.run(stop)).await
    }

    /// Takes over the position and opens the stream there.
    async fn open(&mut self) -> Result<(S::Stream, Stored), Broken> {
        let store = self.applier.positions();
        let identified = self.source.identify().await.map_err(Broken::Source)?;
        if let Some(stored) = store.read(&self.feed).await.map_err(Broken::Target)? {
            self.source.recognise(&stored).map_err(Broken::Source)?;
        }
        let taken = store.take_over(&self.feed, &identified.identity, &identified.first).await;
        // Fills the catalogue before the first row needs it.
        let stored = taken.map_err(Broken::Target)?;
        self.database.schema().refresh(&self.database).await.map_err(Broken::Target)?;
        let opened = self.source.open(&stored).await;
        metrics::connected(&self.feed.feed, if opened.is_ok() { "opened" } else { "failed" });
        Ok((opened.map_err(Broken::Source)?, stored))
    }

    /// Says what happened, once, and waits; a change of the target's schema ends the wait for a target that refuses.
    async fn after(
        &self,
        broken: Broken,
        failures: u32,
        changes: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        match broken {
            Broken::Source(failure) if failure.disposition() == Disposition::Halt => return Err(failure),
            Broken::Target(failure) if is_lasting(&failure) => {
                self.stalled(&failure);
                tokio::select! {
                    () = pause(self.backoff(failures.max(5)), stop) => {}
                    changed = changes.changed() => drop(changed),
                }
            }
            Broken::Source(failure) | Broken::Target(failure) => {
                self.complain(failures, &failure);
                pause(self.backoff(failures), stop).await;
            }
        }
        Ok(())
    }

    fn care_after(&self, care: Care, broken: &Broken) -> Care {
        match (broken, care) {
            (Broken::Target(failure), Care::None) if is_lasting(failure) => Care::Narrowing,
            (Broken::Target(failure), Care::Narrowing | Care::Narrowed) if is_lasting(failure) => {
                Care::Narrowed
            }
            (Broken::Source(_) | Broken::Target(_), _) if self.status.state().phase == Phase::Stalled => care,
            (Broken::Source(_) | Broken::Target(_), _) => Care::None,
        }
    }

    fn stalled(&self, failure: &Failure) {
        let problem = chain(failure);
        if self.status.state().problem.as_deref() != Some(problem.as_str()) {
            tracing::error!(
                feed = %self.feed.feed, error = %problem,
                "the changes that follow cannot be applied; the feed stands still and tries again"
            );
        }
        self.status.set_phase(Phase::Stalled);
        self.status.set_problem(problem);
    }

    fn complain(&self, failures: u32, failure: &Failure) {
        if self.status.state().phase != Phase::Stalled {
            self.status.set_phase(Phase::Connecting);
        }
        self.status.set_problem(chain(failure));
        if failures == 1 {
            tracing::warn!(feed = %self.feed.feed, error = %chain(failure), "the feed was interrupted; trying again");
        } else {
            tracing::debug!(feed = %self.feed.feed, failures, error = %chain(failure), "still interrupted");
        }
    }

    fn backoff(&self, failures: u32) -> Duration {
        backoff((FIRST_PAUSE, self.retry_delay), failures)
    }
}

/// The target refuses the changes, as far as it is and they are.
fn is_lasting(failure: &Failure) -> bool {
    match failure.disposition() {
        Disposition::Halt | Disposition::Defer => true,
        Disposition::Retry | Disposition::Fenced => false,
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    stop.run_until_cancelled(tokio::time::sleep(time)).await;
}
