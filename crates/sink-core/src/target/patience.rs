//! Waits for a target that does not answer yet.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Target, TargetConfig};
use crate::failure::{Disposition, Failure, chain};

/// How long a target that does not answer is waited for at start; a supervisor takes over after that.
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between attempts.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

impl Target {
    /// Connects; tries again until the target answers or patience ends. `None` if told to stop before.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_patiently(
        config: TargetConfig,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let deadline = Instant::now() + CONNECT_PATIENCE;
        loop {
            match Self::connect(config.clone()).await {
                Ok(target) => return Ok(Some(target)),
                Err(failure) if failure.disposition() == Disposition::Retry && Instant::now() < deadline => {
                    tracing::warn!(error = %chain(&failure), "the target does not answer; trying again");
                }
                Err(failure) => return Err(failure),
            }
            if stop.run_until_cancelled(tokio::time::sleep(CONNECT_PAUSE)).await.is_none() {
                return Ok(None);
            }
        }
    }
}
