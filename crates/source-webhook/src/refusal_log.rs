//! How often refused deliveries are logged. Whoever can reach the port can be refused as often as they like, and a feed
//! in trouble is refused again and again for one reason; neither may fill the disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may be written at once.
const BURST: u32 = 50;
/// After a burst, one line is written in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Decides which refusals are logged.
#[derive(Debug)]
pub(crate) struct RefusalLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Lines that may be written now.
    left: u32,
    /// When `left` was last made larger.
    since: Instant,
    /// Refusals that were not logged since the last line.
    passed_over: u64,
}

impl Default for RefusalLog {
    fn default() -> Self {
        Self { state: Mutex::new(State { left: BURST, since: Instant::now(), passed_over: 0 }) }
    }
}

impl RefusalLog {
    /// Whether a refusal at this moment is to be logged; if so, how many were passed over before it.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(state.since).as_nanos() / INTERVAL.as_nanos();
        if earned > 0 {
            state.left = state.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            state.since = now;
        }
        if state.left == 0 {
            state.passed_over += 1;
            return None;
        }
        state.left -= 1;
        Some(std::mem::take(&mut state.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_thinned_out_and_counted() {
        let (log, start) = (RefusalLog::default(), Instant::now());
        let logged = (0..1000).filter(|_| log.admit(start).is_some()).count();
        assert_eq!(logged, usize::try_from(BURST).unwrap());
        assert_eq!(log.admit(start + INTERVAL), Some(950));
        assert_eq!(log.admit(start + INTERVAL), None);
        let later = start + INTERVAL * 1000;
        assert_eq!(log.admit(later), Some(1));
        assert_eq!((0..1000).filter(|_| log.admit(later).is_some()).count(), 49);
    }
}
