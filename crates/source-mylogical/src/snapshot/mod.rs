//! The initial snapshot: copies the tables while the source is written, without a lock and without a transaction that lasts.
//!
//! ```text
//! position G0, stored ─► chunks in key order, each with the key it ends at ─► position G1, stored
//!        │                                                                          │
//!        └────────── the stream starts here …          … and when it is past this, ─┘ the target is as the source was
//! ```
//!
//! Every chunk is of another moment. Whatever changed since G0 is in the log behind G0, with whole rows: a changed row is
//! written whether it is there or not, and a deleted one need not be there. So each row ends as the source has it once the
//! stream is past G1, behind which no chunk has looked. Until then a table may hold rows of different moments, so foreign
//! keys and unique indexes are made when the stream is past G1 ([`SnapshotSource`]).

mod consistent;
mod cut;
mod encode;
mod key;
mod layout;
mod part;
mod position;
mod prepare;
mod reader;
mod settings;
mod source;
mod tables;
mod watch;
mod work;

pub use consistent::Consistent;
pub use reader::ChunkReader;
pub use settings::{Settings, TableListError, parse_tables};
pub use source::{First, SnapshotSource};
pub use tables::table_definitions;

use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure, chain};
use sink_core::flow::copy::{Board, SnapshotStore, is_done};
use sink_core::flow::{FeedName, FlowStatus, Phase, PositionStore, TableMaker};
use tokio_util::sync::CancellationToken;

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
    /// Copies what is not copied yet. Does nothing if all is done already. Tries again for ever while a connection is the
    /// only trouble. `identity` is who the source is, as the position keeps it.
    ///
    /// # Errors
    /// What a person has to mend; `Fenced` if another process took over; `Retry` if told to stop.
    pub async fn run(&self, identity: &str) -> Result<(), Failure> {
        let mut pause = PAUSE.0;
        while !is_done(&self.store.read(&self.feed).await?) {
            self.status.set_phase(Phase::Snapshot);
            let attempt = self.stop.run_until_cancelled(Box::pin(self.attempt(identity))).await;
            match attempt {
                None => return Err(told_to_stop()),
                Some(Ok(())) => {
                    tracing::info!(
                        "the snapshot is done; following the log to where the target is consistent"
                    );
                    return Ok(());
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
        Ok(())
    }
}

fn told_to_stop() -> Failure {
    Failure::new(Disposition::Retry, "copy the tables", "told to stop; the next start goes on with it")
}
