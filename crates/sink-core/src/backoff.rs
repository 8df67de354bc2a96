//! Pauses between attempts.

use std::time::Duration;

use rand::Rng as _;

/// Doubles up to the longest, with half of it by chance, so that processes do not march in step. `failures` counts from 1.
pub(crate) fn backoff((first, longest): (Duration, Duration), failures: u32) -> Duration {
    let full = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(longest);
    full / 2 + rand::rng().random_range(Duration::ZERO..=full / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses = (Duration::from_millis(50), Duration::from_secs(5));
        for failures in 1..100 {
            let pause = backoff(pauses, failures);
            assert!(pause >= pauses.0 / 2 && pause <= pauses.1, "{failures}: {pause:?}");
        }
    }
}
