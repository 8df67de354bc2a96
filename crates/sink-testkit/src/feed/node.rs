//! One node of the source cluster: reads its share of the changes, makes batches, keeps requests apart.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::changes::ChangeLog;
use super::config::Config;
use super::encode;

/// Rows that travel in one request.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Positions in the change log.
    pub(super) changes: Vec<usize>,
    pub(super) body: Arc<str>,
    hashes: BTreeSet<u32>,
}

/// Invariant: within `pending`, `partial` and `queued` taken together, the changes of a key rise in time from
/// queued to pending, because they enter in order of time and nothing overtakes within a key.
#[derive(Debug)]
pub(super) struct Node {
    /// Read but not yet in a batch.
    pending: VecDeque<usize>,
    partial: Vec<usize>,
    partial_age: u32,
    queued: VecDeque<Batch>,
    /// The hashes of the requests in flight, by worker.
    workers: Vec<Option<BTreeSet<u32>>>,
}

impl Node {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            pending: VecDeque::new(),
            partial: Vec::new(),
            partial_age: 0,
            queued: VecDeque::new(),
            workers: vec![None; workers],
        }
    }

    pub(super) fn read(&mut self, change: usize) {
        self.pending.push_back(change);
    }

    pub(super) fn backlog(&self) -> usize {
        self.pending.len()
    }

    /// Fills batches while there is room for them in the queue.
    pub(super) fn fill(&mut self, config: &Config, log: &ChangeLog) {
        while self.has_room() {
            let Some(change) = self.pending.pop_front() else { return };
            self.partial.push(change);
            if self.partial.len() >= config.flush_messages {
                self.flush(config, log);
            }
        }
    }

    /// The simulated flush timer.
    pub(super) fn tick(&mut self, config: &Config, log: &ChangeLog) {
        if !self.partial.is_empty() {
            self.partial_age += 1;
            if self.partial_age >= config.flush_steps {
                self.flush(config, log);
            }
        }
    }

    /// Queues a batch that is not full; whether there was one.
    pub(super) fn flush(&mut self, config: &Config, log: &ChangeLog) -> bool {
        if self.partial.is_empty() {
            return false;
        }
        let changes = std::mem::take(&mut self.partial);
        self.partial_age = 0;
        let rows = || changes.iter().map(|&change| &log.changes()[change]);
        let body = encode::batch(&config.encoding, log.tables(), rows()).into();
        let hashes = rows().map(|change| change.key_hash).collect();
        self.queued.push_back(Batch { changes, body, hashes });
        true
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued.len() < 2 * self.workers.len()
    }

    /// Positions in the queue of the batches that may be sent now: a worker is free, and no request in
    /// flight and no earlier batch has a key in common with them.
    pub(super) fn sendable(&self) -> Vec<usize> {
        if self.workers.iter().all(Option::is_some) {
            return Vec::new();
        }
        let mut taken: BTreeSet<u32> = self.workers.iter().flatten().flatten().copied().collect();
        let mut free = Vec::new();
        for (position, batch) in self.queued.iter().enumerate() {
            if taken.is_disjoint(&batch.hashes) {
                free.push(position);
            }
            taken.extend(&batch.hashes);
        }
        free
    }

    /// Takes a sendable batch and the worker that sends it.
    pub(super) fn take(&mut self, position: usize) -> (Batch, usize) {
        let batch = self.queued.remove(position).expect("the position is in the queue");
        let worker = self.workers.iter().position(Option::is_none).expect("a worker is free");
        self.workers[worker] = Some(batch.hashes.clone());
        (batch, worker)
    }

    pub(super) fn release(&mut self, worker: usize) {
        assert!(self.workers[worker].take().is_some(), "worker {worker} had nothing in flight");
    }
}
