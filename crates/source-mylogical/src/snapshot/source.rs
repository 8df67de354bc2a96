//! A log whose tables are copied before its stream is opened.

use std::sync::Arc;

use sink_core::failure::{Disposition, Failure};
use sink_core::flow::copy::SnapshotStore;
use sink_core::flow::{FeedName, FlowStatus, Identified, LogSource, Stored};

use super::Snapshot;
use super::consistent::{Consistent, Points, Waiting, reached};
use crate::Flavor;

/// What is done before the stream is opened.
pub enum First {
    /// The tables are there already: copied by hand, or by us before.
    Stream {
        /// Where it is noted what we copied.
        store: SnapshotStore,
        /// In whose name.
        feed: FeedName,
        /// What operators see.
        status: Arc<FlowStatus>,
    },
    /// The tables are copied, unless that is done.
    Copy(Arc<Snapshot>),
}

/// A source for the engine's loop. Copying is part of identifying it: whoever does that holds the feed's lease, and takes over
/// the position only afterwards.
pub struct SnapshotSource<S> {
    source: S,
    first: First,
}

impl<S: LogSource> SnapshotSource<S> {
    /// Does `first`, then streams from `source`.
    #[must_use]
    pub fn new(source: S, first: First) -> Self {
        Self { source, first }
    }

    /// Copies the tables if that is to be done, and nothing else.
    ///
    /// # Errors
    /// As [`Snapshot::run`].
    pub async fn copy(&mut self) -> Result<Identified, Failure> {
        let identified = self.source.identify().await?;
        if let First::Copy(snapshot) = &self.first {
            if let Some(stored) = snapshot.positions.read(&snapshot.feed).await? {
                self.source.recognise(&stored)?;
            }
            Box::pin(snapshot.run(&identified.identity)).await?;
        }
        Ok(identified)
    }
}

impl First {
    fn store(&self) -> (&SnapshotStore, &FeedName, &Arc<FlowStatus>) {
        match self {
            Self::Stream { store, feed, status } => (store, feed, status),
            Self::Copy(snapshot) => (&snapshot.store, &snapshot.feed, &snapshot.status),
        }
    }

    /// Where the copies of tables ended; none if we copied nothing.
    async fn points(&self, stored: &Stored) -> Result<Option<Points>, Failure> {
        let (store, feed, _) = self.store();
        let records = store.read(feed).await?;
        if records.is_empty() {
            return Ok(None);
        }
        let points: Option<Vec<&str>> =
            records.iter().map(|record| record.state.consistent_point()).collect();
        let Some(points) = points else {
            let reason = "the snapshot of this feed is not done; go on with it by --snapshotMode initial";
            return Err(Failure::new(Disposition::Halt, "open the source's log", reason));
        };
        let flavor = if stored.source_identity.contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
        Points::parse(flavor, points.into_iter()).map(Some)
    }
}

impl<S: LogSource> LogSource for SnapshotSource<S> {
    type Stream = Consistent<S::Stream>;

    async fn identify(&mut self) -> Result<Identified, Failure> {
        // In a box: it is much larger than what comes after.
        Box::pin(self.copy()).await
    }

    fn recognise(&self, stored: &Stored) -> Result<(), Failure> {
        self.source.recognise(stored)
    }

    async fn open(&mut self, stored: &Stored) -> Result<Self::Stream, Failure> {
        let points = self.first.points(stored).await?;
        let (_, _, status) = self.first.store();
        let status = Arc::clone(status);
        let snapshot = match &self.first {
            First::Stream { .. } => None,
            First::Copy(snapshot) => Some(Arc::clone(snapshot)),
        };
        let waiting = match points {
            None => None,
            Some(points) if points.are_passed(&stored.position) => {
                // Not only when the stream gets there: the last process may have ended in between.
                reached(&status, &stored.position, snapshot.as_deref()).await;
                None
            }
            Some(points) => {
                status.set_consistent(false);
                Some(Waiting { points, snapshot })
            }
        };
        let stream = self.source.open(stored).await?;
        Ok(Consistent::new(stream, status, waiting))
    }
}
