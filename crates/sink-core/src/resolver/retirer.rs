//! Forgets what is applied, beside the applying so that marks do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::failure::chain;
use crate::model::{HlcTimestamp, SchemaId};
use crate::staging::{Retired, Stager};

/// Least pause between two passes: removing in bulk is cheaper, and nothing depends on it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest pause between two passes.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Retires up to each applied time that `applied` shows, until `stop`.
pub(super) async fn run<S: Stager>(
    stager: Arc<S>,
    schema: SchemaId,
    mut applied: watch::Receiver<HlcTimestamp>,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            // Late rows come without a step of the frontier, so it is not only that which is waited for.
            match tokio::time::timeout(LONGEST_PAUSE, applied.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => return,
            }
            if *applied.borrow() == HlcTimestamp::ZERO {
                continue;
            }
            // Until everything is forgotten, not only until the next mark: there may be none for long.
            loop {
                let upto = *applied.borrow_and_update();
                let done = match stager.retire(&schema, upto).await {
                    Ok(retired) => retired == Retired::All,
                    Err(error) => {
                        // Dead rows only take space; the next pass is soon enough.
                        tracing::warn!(%schema, error = %chain(&error), "applied rows were not removed from staging");
                        true
                    }
                };
                tokio::time::sleep(INTERVAL).await;
                if done {
                    break;
                }
            }
        }
    };
    stop.run_until_cancelled(work).await;
}
