//! A look beside the stream that can end the feed.

use std::pin::pin;
use std::time::Duration;

use sink_core::failure::{Failure, chain};
use tokio_util::sync::CancellationToken;

/// Carries a feed until it ends, or until a look finds that rows may be missing: then `stop` lets it end in good order, for
/// which it has `grace`.
///
/// # Errors
/// The feed's, or what the look has found.
pub async fn beside(
    feed: impl Future<Output = Result<(), Failure>>,
    look: impl Future<Output = Failure>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<(), Failure> {
    let mut feed = pin!(feed);
    let gap = tokio::select! {
        ended = &mut feed => return ended,
        gap = look => gap,
    };
    stop.cancel();
    match tokio::time::timeout(grace, feed).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::warn!(error = %chain(&failure), "the feed ended with an error as well"),
        Err(_) => tracing::warn!("work in flight took too long and is left to the next start"),
    }
    Err(gap)
}
