//! The log must not be deleted before the stream has read it. While tables are copied, nobody reads it.

use std::time::Duration;

use sink_core::failure::Failure;
use tokio::time::{Instant, sleep};

use super::Snapshot;
use super::prepare::halt;
use crate::catalog::ServerFacts;
use crate::gtid::GtidSet;
use crate::transport::Session;

const WATCH: &str = "look how long the source keeps its log";
/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// A second of the variable that counts days.
const DAY: u64 = 86_400;

impl Snapshot {
    /// Warns when the copy takes as long as half the time for which the source keeps its log. Ends only with a failure:
    /// what has happened since the copy began is gone from the log.
    pub(super) async fn watch_log(&self, first: &GtidSet) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut warned: Option<Instant> = None;
        loop {
            sleep(EVERY).await;
            // What hinders the look hinders the copy as well, which says so.
            let Ok(mut session) = Session::connect(&self.source).await else { continue };
            let facts = ServerFacts::read(&mut session).await;
            session.close().await;
            let Ok(facts) = facts.inspect_err(|error| {
                let failure = sink_core::failure::chain(error);
                tracing::debug!(error = %failure, "{WATCH}");
            }) else {
                continue;
            };
            if let (Some(purged), GtidSet::MySql(first)) = (&facts.purged, first)
                && !purged.is_subset(first)
            {
                return Err(halt(
                    "the source has deleted binary logs that were written since the copy began, so the copy cannot be \
                     completed; raise binlog_expire_logs_seconds, give the feed another name (--loopName), empty the target \
                     tables and begin anew",
                ));
            }
            let kept = kept(&facts);
            if let Some(kept) = kept.filter(|kept| begun.elapsed() > *kept / 2)
                && warned.is_none_or(|at| at.elapsed() > EVERY * 10)
            {
                warned = Some(Instant::now());
                tracing::warn!(
                    copying_seconds = begun.elapsed().as_secs(),
                    kept_seconds = kept.as_secs(),
                    "the source may delete its binary logs before the copy is done; raise \
                     binlog_expire_logs_seconds there"
                );
            }
        }
    }
}

/// How long the source keeps its log; `None`: for ever, or it does not tell.
fn kept(facts: &ServerFacts) -> Option<Duration> {
    let number = |name: &str| facts.variable(name).and_then(|text| text.parse::<f64>().ok());
    let seconds = number("binlog_expire_logs_seconds").filter(|seconds| *seconds > 0.0);
    let days = number("expire_logs_days").filter(|days| *days > 0.0);
    let day = Duration::from_secs(DAY);
    let from_seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    from_seconds.or_else(|| days.map(|days| day.mul_f64(days.min(36_500.0))))
}
