//! The only source of "now".

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads this process's clocks. Deadlines use [`Clock::monotonic`]; nothing that decides about data may depend on
/// the wall clock of this machine, only on the target's.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time since 1970.
    fn wall(&self) -> Duration;
    /// Time that never goes back.
    fn monotonic(&self) -> Instant;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}
