//! What has been received and is not being written yet. Pure.

use std::time::{Duration, Instant};

use super::change::{Binding, Change};
use super::fold::{Folder, Limits, TableNet};

/// Longest time that whole transactions wait for more while the source is behind. Larger batches cost the target less
/// per row; nobody waits for single rows of a backlog.
const HOLD: Duration = Duration::from_millis(50);

/// Changes taken out of a batch, to be written together.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) nets: Vec<TableNet>,
    pub(super) transactions: u64,
    pub(super) changes: u64,
    /// Commit time of the newest transaction, if one ended.
    pub(super) committed_at_micros: Option<i64>,
}

/// Collects transactions and folds them.
#[derive(Debug)]
pub(super) struct Batch {
    folder: Folder,
    inside: bool,
    transactions: u64,
    changes: u64,
    committed_at_micros: Option<i64>,
    /// When its first transaction ended.
    since: Option<Instant>,
}

impl Batch {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            folder: Folder::new(limits),
            inside: false,
            transactions: 0,
            changes: 0,
            committed_at_micros: None,
            since: None,
        }
    }

    pub(super) fn begin(&mut self) {
        self.inside = true;
    }

    pub(super) fn push(&mut self, binding: &Binding, change: Change) {
        self.changes += 1;
        self.folder.push(binding, change);
    }

    pub(super) fn commit(&mut self, at_micros: i64, now: Instant) {
        self.inside = false;
        self.transactions += 1;
        self.committed_at_micros = Some(at_micros);
        self.since.get_or_insert(now);
    }

    /// A transaction has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// There are no changes. There may be the beginning of a transaction, or transactions without any change.
    pub(super) fn is_empty(&self) -> bool {
        self.folder.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.folder.is_full()
    }

    /// Whether whole transactions are to be written now.
    pub(super) fn is_due(&self, behind: bool, now: Instant) -> bool {
        let held = || self.since.is_none_or(|since| now.duration_since(since) >= HOLD);
        !self.inside && !self.is_empty() && (!behind || self.is_full() || held())
    }

    /// When whole transactions will have waited long enough.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.filter(|_| !self.inside && !self.is_empty()).map(|since| since + HOLD)
    }

    /// Takes everything out. The transaction under way, if there is one, goes on in an empty batch.
    pub(super) fn take(&mut self) -> Taken {
        let taken = Taken {
            nets: self.folder.take(),
            transactions: std::mem::take(&mut self.transactions),
            changes: std::mem::take(&mut self.changes),
            committed_at_micros: self.committed_at_micros.take(),
        };
        self.since = None;
        taken
    }
}
