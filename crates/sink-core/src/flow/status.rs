//! What operators see of a feed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::position::Position;
use super::writer::Done;
use crate::clock::{Clock as _, SystemClock};
use crate::metrics::flow as metrics;

/// What a feed is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting to its source, or about to try again.
    Connecting,
    /// Another process carries the feed; this one waits to take over.
    Standby,
    /// Copying tables.
    Snapshot,
    /// Carrying changes.
    Streaming,
    /// The target refuses what comes next, or the change does not fit it.
    Stalled,
}

impl Phase {
    /// The word for logs and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Standby => "standby",
            Self::Snapshot => "snapshot",
            Self::Streaming => "streaming",
            Self::Stalled => "stalled",
        }
    }
}

/// A feed at one moment.
#[derive(Debug, Clone)]
pub struct FlowState {
    /// What it is doing.
    pub phase: Phase,
    /// Position stored in the target, if any.
    pub position: Option<Position>,
    /// When the newest transaction in the target was committed at the source, in microseconds since 1970.
    pub committed_at_micros: Option<i64>,
    /// Transactions are not kept together at the moment.
    pub apart: bool,
    /// Something was received that the target does not have.
    pub outstanding: bool,
    /// When the target last had everything that was received, by our clock, since 1970.
    pub current_at: Duration,
    /// Transactions since the process started.
    pub transactions: u64,
    /// Changes since the process started.
    pub changes: u64,
    /// Why it does not move, in words.
    pub problem: Option<String>,
    /// After a copy of the tables without a snapshot of the source: whether the stream is past where it ended, so that the
    /// target is as the source was. None if there was no such copy.
    pub consistent: Option<bool>,
}

/// The state of one feed, shared by whoever works on it and whoever asks.
#[derive(Debug)]
pub struct FlowStatus {
    feed: String,
    state: Mutex<FlowState>,
}

impl FlowStatus {
    /// A feed of this name that has not begun.
    #[must_use]
    pub fn new(feed: impl Into<String>) -> Self {
        let state = FlowState {
            phase: Phase::Connecting,
            position: None,
            committed_at_micros: None,
            apart: false,
            outstanding: false,
            current_at: Duration::ZERO,
            transactions: 0,
            changes: 0,
            problem: None,
            consistent: None,
        };
        let status = Self { feed: feed.into(), state: Mutex::new(state) };
        metrics::begin(&status.feed);
        status
    }

    /// The feed's name.
    #[must_use]
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// How it is now.
    #[must_use]
    pub fn state(&self) -> FlowState {
        self.lock().clone()
    }

    /// How far the target is behind while something is outstanding: the age of its newest transaction, but no longer than
    /// since it last had everything. Else nothing.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let state = self.lock();
        lag(&state, SystemClock.wall())
    }

    /// What it does from now on.
    pub fn set_phase(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        if phase == Phase::Streaming {
            state.problem = None;
        }
        metrics::set_phase(&self.feed, phase);
    }

    pub(super) fn set_apart(&self, apart: bool) {
        self.lock().apart = apart;
        metrics::apart(&self.feed, apart);
    }

    /// The stream is open. A feed that the target has refused still stands still, until it gets further.
    pub(super) fn opened(&self) {
        if self.state().phase != Phase::Stalled {
            self.set_phase(Phase::Streaming);
        }
    }

    /// Why it does not move.
    pub fn set_problem(&self, problem: String) {
        let mut state = self.lock();
        state.problem = Some(problem);
        metrics::lag(&self.feed, lag(&state, SystemClock.wall()));
    }

    /// Whether the target is as the source was, after a copy of many moments.
    pub fn set_consistent(&self, consistent: bool) {
        self.lock().consistent = Some(consistent);
        metrics::consistent(&self.feed, consistent);
    }

    /// The position in the target.
    pub fn stored(&self, position: &Position) {
        self.lock().position = Some(position.clone());
    }

    /// What the target had refused is behind.
    pub(super) fn recovered(&self) {
        if self.state().phase == Phase::Stalled {
            tracing::info!(feed = %self.feed, "the target takes changes again");
            self.set_phase(Phase::Streaming);
        }
    }

    pub(super) fn written(&self, done: &Done) {
        let mut state = self.lock();
        state.transactions += done.transactions;
        state.changes += done.changes;
        state.committed_at_micros = done.committed_at_micros.or(state.committed_at_micros);
        metrics::written(&self.feed, done.transactions, done.changes);
        for (table, rows) in &done.missing {
            metrics::missing(table, *rows);
            tracing::warn!(%table, rows, "rows that the source changed are not in the target");
        }
    }

    pub(super) fn breathe(&self, outstanding: bool) {
        let mut state = self.lock();
        state.outstanding = outstanding;
        if !outstanding {
            state.current_at = SystemClock.wall();
        }
        metrics::lag(&self.feed, lag(&state, SystemClock.wall()));
    }

    fn lock(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lag(state: &FlowState, now: Duration) -> Duration {
    let Some(committed) = state.committed_at_micros.filter(|_| state.outstanding) else {
        return Duration::ZERO;
    };
    let committed = Duration::from_micros(u64::try_from(committed).unwrap_or(0));
    now.saturating_sub(committed.max(state.current_at))
}
