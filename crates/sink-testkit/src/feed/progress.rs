//! How far a feed has come: what is acknowledged, and which resolved time that allows.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use sink_core::model::HlcTimestamp;

use super::changes::ChangeLog;

/// Invariant: `unacked` counts, by time, the changes that were read in this run and not acknowledged in it.
#[derive(Debug)]
pub(super) struct Progress {
    /// By position in the change log: acknowledged in any run.
    acked: Vec<bool>,
    unacked: BTreeMap<HlcTimestamp, usize>,
    /// Commits that were read, the scan included.
    released: usize,
    /// The newest resolved time of this run.
    pub(super) resolved: HlcTimestamp,
    /// Persisted resolved times, rising.
    pub(super) checkpoints: Vec<HlcTimestamp>,
}

impl Progress {
    pub(super) fn new(log: &ChangeLog) -> Self {
        Self {
            acked: vec![false; log.changes().len()],
            unacked: BTreeMap::new(),
            released: 0,
            resolved: HlcTimestamp::ZERO,
            checkpoints: Vec::new(),
        }
    }

    pub(super) fn released(&self) -> usize {
        self.released
    }

    /// The next commit was read.
    pub(super) fn release(&mut self) {
        self.released += 1;
    }

    /// A change is on its way.
    pub(super) fn expect(&mut self, at: HlcTimestamp) {
        *self.unacked.entry(at).or_default() += 1;
    }

    pub(super) fn ack(&mut self, change: usize, at: HlcTimestamp) {
        self.acked[change] = true;
        let count = self.unacked.get_mut(&at).expect("only expected changes are acknowledged");
        *count -= 1;
        if *count == 0 {
            self.unacked.remove(&at);
        }
    }

    pub(super) fn is_acked(&self, change: usize) -> bool {
        self.acked[change]
    }

    pub(super) fn nothing_unacked(&self) -> bool {
        self.unacked.is_empty()
    }

    /// Commits, the scan included, that a resolved time may cover by now.
    pub(super) fn settled(&self, log: &ChangeLog) -> usize {
        self.unacked.keys().next().map_or(self.released, |at| log.commits_upto(at.predecessor()))
    }

    /// A resolved time that covers what is settled: that of the last such commit, the last moment before the
    /// next, or one in between.
    pub(super) fn draw_mark(&self, rng: &mut StdRng, log: &ChangeLog) -> Option<HlcTimestamp> {
        let settled = self.settled(log);
        let low = log.commits()[settled.checked_sub(1)?].0;
        let Some((next, _)) = log.commits().get(settled) else {
            return Some(if rng.random_bool(0.5) { low } else { between(low, low.nanos() + 1_000_000) });
        };
        Some(match rng.random_range(0..3) {
            0 => low,
            1 => next.predecessor(),
            _ => between(low, next.nanos()),
        })
    }

    /// A resolved time was made; it is persisted before it is sent.
    pub(super) fn mark(&mut self, at: HlcTimestamp) {
        self.resolved = at;
        self.checkpoints.push(at);
    }

    /// Forgets this run and resumes at a persisted time; answers the changes that were read after it.
    pub(super) fn rewind(&mut self, log: &ChangeLog, to: HlcTimestamp) -> std::ops::Range<usize> {
        self.unacked.clear();
        self.resolved = to;
        self.checkpoints.retain(|checkpoint| *checkpoint <= to);
        let first = log.changes().partition_point(|change| change.at <= to);
        let last = self.released.checked_sub(1).map_or(0, |commit| log.commits()[commit].1.end);
        first..last.max(first)
    }
}

/// A time after one and before a nanosecond, or the former if there is none.
fn between(low: HlcTimestamp, end_nanos: i64) -> HlcTimestamp {
    let middle = low.nanos() + (end_nanos - low.nanos()) / 2;
    if middle <= low.nanos() {
        return low;
    }
    HlcTimestamp::new(middle, 0).expect("a positive time")
}
