//! The initial snapshot: copies the published tables as they are at one point of the log, from which the stream goes on.
//!
//! ```text
//! publication ─► slot, exports its snapshot ─► workers import it ─► COPY by ranges of pages ─► target
//!                 its consistent point = where the stream starts
//! ```
//!
//! The publication comes first: a slot decodes with the catalogue of its time. Every table is noted in the target with the
//! point of its copy. Tables that a crash leaves unfinished are copied anew in the snapshot of a temporary slot, hence
//! with a later point, while the first slot keeps the log; [`skip_before`] says what the stream leaves out then.

mod look;
mod plan;
mod publication;
mod reader;
mod settings;
mod skip;
mod slot;
mod source;
mod tables;
mod work;

pub use reader::{Piece, PieceReader};
pub use settings::{Settings, TableListError, parse_tables};
pub use skip::skip_before;
pub use source::{First, SnapshotSource};
pub use tables::table_definitions;

use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::copy::{Board, SnapshotStore, is_done};
use sink_core::flow::{FeedName, FlowStatus, Phase, PositionStore, TableMaker};
use tokio_util::sync::CancellationToken;

use crate::feed::SkipBefore;
use crate::transport::Config;

/// First pause between attempts, and the longest; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A snapshot to be made, or gone on with.
pub struct Snapshot {
    /// The source.
    pub source: Config,
    /// What to copy.
    pub settings: Settings,
    /// States of the tables.
    pub store: SnapshotStore,
    /// Positions of the feed, which fence each step.
    pub positions: PositionStore,
    /// The feed.
    pub feed: FeedName,
    /// Makes tables that the target lacks, if that is asked for.
    pub maker: Option<TableMaker>,
    /// What operators see.
    pub status: Arc<FlowStatus>,
    /// Who is told how far it is.
    pub board: Arc<Board>,
    /// Ends it.
    pub stop: CancellationToken,
}

impl Snapshot {
    /// Copies what is not copied yet, and says what the stream has to skip. Does nothing if all is done already. Tries again
    /// for ever while a connection is the only trouble. `identity` is who the source is, as the position keeps it.
    ///
    /// # Errors
    /// What a person has to mend; `Fenced` if another process took over; `Retry` if told to stop.
    pub async fn run(&self, identity: &str) -> Result<SkipBefore, Failure> {
        let skip = self.copy(identity).await?;
        // Not only after a copy: the last start may have ended in between.
        let completed = self.stop.run_until_cancelled(self.complete_tables()).await;
        completed.unwrap_or_else(|| Err(told_to_stop()))?;
        Ok(skip)
    }

    async fn copy(&self, identity: &str) -> Result<SkipBefore, Failure> {
        let records = self.store.read(&self.feed).await?;
        if is_done(&records) {
            return skip_before(&records);
        }
        let mut pause = PAUSE.0;
        loop {
            self.status.set_phase(Phase::Snapshot);
            let attempt = self.stop.run_until_cancelled(Box::pin(self.attempt(identity))).await;
            match attempt {
                None => return Err(told_to_stop()),
                Some(Ok(Some(skip))) => {
                    tracing::info!(tables = skip.len(), "the snapshot is done");
                    return Ok(skip);
                }
                Some(Ok(None)) => {
                    tracing::info!("some tables changed their form meanwhile and are copied anew");
                }
                Some(Err(error)) if error.disposition() == Disposition::Retry => {
                    self.status.set_problem(chain(&error));
                    tracing::warn!(error = %chain(&error), "the snapshot was broken off; going on with it shortly");
                }
                Some(Err(error)) => return Err(error),
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Err(told_to_stop());
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

fn told_to_stop() -> Failure {
    Failure::new(Disposition::Retry, "copy the tables", "told to stop; the next start goes on with it")
}
