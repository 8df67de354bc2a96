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
    /// The beginning of the newest transaction has been taken out.
    parted: bool,
    /// So many transactions are still to be written one by one.
    alone: usize,
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
            parted: false,
            alone: 0,
            transactions: 0,
            changes: 0,
            committed_at_micros: None,
            since: None,
        }
    }

    /// Batches grow as large as this from now on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.folder.set_limits(limits);
    }

    /// The next `transactions` are written one by one: one among them was refused, and those before it need not wait.
    pub(super) fn set_alone(&mut self, transactions: usize) {
        self.alone = transactions;
    }

    /// Transactions are written one by one.
    pub(super) fn is_alone(&self) -> bool {
        self.alone > 0
    }

    pub(super) fn begin(&mut self) {
        self.inside = true;
    }

    pub(super) fn push(&mut self, binding: &Binding, change: Change) {
        self.changes += 1;
        self.folder.push(binding, change);
    }

    /// See [`Folder::fits`].
    pub(super) fn fits(&self, binding: &Binding) -> bool {
        self.folder.fits(binding.table())
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

    /// Nothing more is to be taken in before this is written. Between transactions if it is large enough, so that it ends
    /// with one; behind the end of one whose beginning has been written, for else the next one would be drawn into the
    /// same target transaction, and the one after that, without an end; inside of one only if that is large by itself.
    pub(super) fn is_full(&self) -> bool {
        let ended = || self.parted || self.folder.is_full() || (self.alone > 0 && !self.is_empty());
        if self.inside { self.folder.is_overfull() } else { ended() }
    }

    /// Whether whole transactions are to be written now.
    pub(super) fn is_due(&self, behind: bool, now: Instant) -> bool {
        let held = || self.since.is_none_or(|since| now.duration_since(since) >= HOLD);
        !self.inside && (self.is_full() || (!self.is_empty() && (!behind || held())))
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
        if !self.inside {
            self.alone = self.alone.saturating_sub(1);
        }
        self.parted = self.inside;
        taken
    }
}
