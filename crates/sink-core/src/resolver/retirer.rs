//! Forgets what is applied, beside the applying so that marks do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::failure::chain;
use crate::model::{HlcTimestamp, SchemaId};
use crate::staging::Stager;

/// Least pause between two passes: removing in bulk is cheaper, and nothing depends on it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Retires up to each applied time that `applied` shows, until `stop`.
pub(super) async fn run<S: Stager>(
    stager: Arc<S>,
    schema: SchemaId,
    mut applied: watch::Receiver<HlcTimestamp>,
    stop: CancellationToken,
) {
    let work = async {
        while applied.changed().await.is_ok() {
            let upto = *applied.borrow_and_update();
            if let Err(error) = stager.retire(&schema, upto).await {
                // Dead rows only take space; the next pass removes them.
                tracing::warn!(%schema, error = %chain(&error), "applied rows were not removed from staging");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    stop.run_until_cancelled(work).await;
}
