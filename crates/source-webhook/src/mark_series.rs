//! Do the marks of a schema come from one feed or from two? Pure.
//!
//! One feed's marks rise. After a restart they begin again lower, once, and rise past where they were; repeats are
//! marks that were seen before. Two feeds show two series that rise side by side: again and again a mark comes from
//! below the newest one that was never seen before, higher than the one that came from below last time. Jobs that
//! restart over and over look like that too, but they pause for seconds that double each time, so only crossings within
//! a short time count. Nothing is ever refused for this: it is no proof.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sink_core::model::HlcTimestamp;

/// Crossings within [`CROSSINGS_WITHIN`] that are taken for two feeds. A job that fails at once after each start needs
/// 315 s for as many restarts (5 + 10 + … + 160).
const CROSSINGS: usize = 6;
/// How long a crossing counts.
const CROSSINGS_WITHIN: Duration = Duration::from_secs(300);
/// Marks remembered, to know repeats.
const REMEMBERED: usize = 256;

/// What a mark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Above everything before.
    Newest,
    /// Seen before, or older: harmless.
    Backwards,
    /// Older, and one more sign of a second feed.
    Interleaved,
}

/// The marks of one schema, in the order in which they came to this process.
#[derive(Debug, Default)]
pub struct MarkSeries {
    newest: Option<HlcTimestamp>,
    /// The last mark from below the newest.
    lower: Option<HlcTimestamp>,
    /// Whether the last mark that was news came from below.
    below: bool,
    seen: VecDeque<HlcTimestamp>,
    crossings: VecDeque<Instant>,
}

impl MarkSeries {
    /// Takes note of a mark that came at a moment.
    pub fn note(&mut self, mark: HlcTimestamp, now: Instant) -> Note {
        if self.seen.contains(&mark) {
            return Note::Backwards;
        }
        self.seen.push_back(mark);
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
        if self.newest.is_none_or(|newest| mark > newest) {
            self.newest = Some(mark);
            self.below = false;
            return Note::Newest;
        }
        let rising = self.lower.is_none_or(|lower| mark > lower);
        let crossing = !std::mem::replace(&mut self.below, true);
        self.lower = Some(mark);
        if !rising {
            // A series of one feed that began again.
            self.crossings.clear();
        }
        if crossing {
            self.crossings.push_back(now);
            if self.crossings.len() > CROSSINGS {
                self.crossings.pop_front();
            }
        }
        if crossing && self.is_interleaved(now) { Note::Interleaved } else { Note::Backwards }
    }

    /// Whether two series of marks rise side by side.
    #[must_use]
    pub fn is_interleaved(&self, now: Instant) -> bool {
        let recent = |at: &&Instant| now.saturating_duration_since(**at) <= CROSSINGS_WITHIN;
        self.crossings.iter().filter(recent).count() >= CROSSINGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Notes marks, one per step; whether they were taken for two feeds at any time.
    fn alarms(marks: &[(u64, Duration)]) -> bool {
        let (mut series, start) = (MarkSeries::default(), Instant::now());
        marks.iter().fold(false, |alarm, (mark, at)| {
            let mark = HlcTimestamp::new(i64::try_from(*mark).unwrap(), 0).unwrap();
            let now = start + *at;
            let note = series.note(mark, now);
            alarm || note == Note::Interleaved || series.is_interleaved(now)
        })
    }

    fn each(marks: impl IntoIterator<Item = u64>, step: Duration) -> Vec<(u64, Duration)> {
        (0..).zip(marks).map(|(at, mark)| (mark, step * at)).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn two_feeds_are_noticed() {
        // One lags, both are even, one sends twice as often as the other.
        for lag in [1, 5, 1_000] {
            let both = (100..120_u64).flat_map(|at| [at * 10_000, at * 10_000 - lag]);
            assert!(alarms(&each(both, SECOND)), "{lag}");
        }
        let uneven = (100..140_u64).flat_map(|at| [at * 10, at * 10 + 1, (at - 50) * 10 + 5]);
        assert!(alarms(&each(uneven, SECOND * 10)));
        // They overtake each other.
        let around = (100..120_u64)
            .flat_map(|at| if at % 2 == 0 { [at * 10, at * 10 - 3] } else { [at * 10 - 2, at * 10 - 5] });
        assert!(alarms(&each(around, SECOND)));
    }

    #[test]
    fn it_is_forgotten_when_one_of_them_ends() {
        let (mut series, start) = (MarkSeries::default(), Instant::now());
        for (mark, at) in each((100..120_u64).flat_map(|at| [at * 10, at * 10 - 5]), SECOND) {
            series.note(HlcTimestamp::new(i64::try_from(mark).unwrap(), 0).unwrap(), start + at);
        }
        assert!(series.is_interleaved(start + SECOND * 40));
        assert!(!series.is_interleaved(start + SECOND * 40 + CROSSINGS_WITHIN));
    }

    #[test]
    fn one_feed_is_never_taken_for_two() {
        let repeats = (0..200_u64).flat_map(|at| [1_000 + at, 1_000 + at - at % 7, 1_000 + at / 2]);
        assert!(!alarms(&each(repeats.skip(14), SECOND)), "repeats");
        // From an earlier checkpoint, with other times than before, again and again from the same one.
        let replays = (0..50_u64).flat_map(|run| (0..20).map(move |at| 1_000 + at * 10 + run % 10));
        assert!(!alarms(&each(replays, SECOND)), "replays");
        // A crash loop at the source that gets a little further each time, with its growing pauses.
        let mut at = Duration::ZERO;
        let mut marks = Vec::new();
        for run in 0..12_u32 {
            at += (SECOND * 5 * 2_u32.pow(run.min(7))).min(SECOND * 600);
            for mark in 0..3 {
                marks.push((u64::from(1_000 + run * 20 + mark * 13), at + SECOND * mark));
            }
        }
        assert!(!alarms(&marks), "a crash loop");
    }

    proptest! {
        #[test]
        fn a_rising_feed_with_repeats_of_what_was_sent_never_alarms(
            steps in proptest::collection::vec((1_u64..50, proptest::option::of(0_usize..20)), 1..100),
        ) {
            let (mut now, mut sent, mut all) = (0, Vec::new(), Vec::new());
            for (step, repeat) in steps {
                now += step;
                sent.push(now);
                all.push(now);
                if let Some(back) = repeat {
                    all.push(sent[sent.len().saturating_sub(back + 1)]);
                }
            }
            prop_assert!(!alarms(&each(all, Duration::from_millis(10))));
        }
    }
}
