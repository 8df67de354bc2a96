//! A slot whose tables are copied before its stream is opened.

use std::sync::Arc;

use sink_core::failure::Failure;
use sink_core::flow::copy::SnapshotStore;
use sink_core::flow::{FeedName, Identified, LogSource, Stored};

use super::{Snapshot, skip_before};
use crate::feed::Feed;
use crate::source::SlotSource;
use crate::watch::Guard;

/// What is done before the stream is opened.
pub enum First {
    /// The tables are there already: copied by hand, or by us before.
    Stream {
        /// Where it is noted what we copied.
        store: SnapshotStore,
        /// In whose name.
        feed: FeedName,
    },
    /// The tables are copied, unless that is done.
    Copy(Box<Snapshot>),
}

/// A source for the engine's loop. Copying is part of identifying it: whoever does that holds the feed's lease, and takes over
/// the position only afterwards.
pub struct SnapshotSource {
    slot: SlotSource,
    first: First,
    guard: Option<Arc<Guard>>,
}

impl SnapshotSource {
    /// Does `first`, then streams from `slot`.
    #[must_use]
    pub fn new(slot: SlotSource, first: First) -> Self {
        Self { slot, first, guard: None }
    }

    /// Opens no stream that the guard does not admit.
    #[must_use]
    pub fn guarded(mut self, guard: Arc<Guard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Copies the tables if that is to be done, and nothing else.
    ///
    /// # Errors
    /// As [`Snapshot::run`].
    pub async fn copy(&mut self) -> Result<(), Failure> {
        let skip = match &self.first {
            First::Stream { store, feed } => skip_before(&store.read(feed).await?)?,
            First::Copy(snapshot) => {
                let identity = self.slot.who().await?;
                if let Some(stored) = snapshot.positions.read(&snapshot.feed).await? {
                    self.slot.recognise(&stored)?;
                }
                Box::pin(snapshot.run(&identity)).await?
            }
        };
        self.slot.skip_before(skip);
        Ok(())
    }
}

impl LogSource for SnapshotSource {
    type Stream = Feed;

    async fn identify(&mut self) -> Result<Identified, Failure> {
        // In a box: it is much larger than what comes after.
        Box::pin(self.copy()).await?;
        self.slot.identify().await
    }

    fn recognise(&self, stored: &Stored) -> Result<(), Failure> {
        self.slot.recognise(stored)
    }

    async fn open(&mut self, stored: &Stored) -> Result<Feed, Failure> {
        if let Some(guard) = &self.guard {
            guard.admit(stored.epoch).await?;
        }
        let opened = self.slot.open(stored).await?;
        if let Some(guard) = &self.guard {
            guard.opened();
        }
        Ok(opened)
    }
}
