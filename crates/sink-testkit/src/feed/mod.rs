//! A changefeed as a pure state machine. It emits what a real one may emit, in any order a real one may use,
//! and nothing else; [`SelfCheck`] holds it to that. It opens no socket and keeps no time: each call of
//! [`Feed::next`] is a moment, and the caller decides how long a request takes and how it ends.
//!
//! ```
//! use sink_testkit::feed::{Config, Faults, Feed, Reply, Step};
//! use sink_testkit::{Workload, WorkloadConfig};
//!
//! let workload = Workload::generate(7, &WorkloadConfig::default());
//! let config = Config { faults: Faults::CHAOS, ..Config::default() };
//! let mut feed = Feed::new(7, config, &workload);
//! let mut under_way = Vec::new();
//! loop {
//!     match feed.next() {
//!         Step::Send(delivery) => under_way.push(delivery),
//!         // A test posts `delivery.body`; here every request succeeds, the newest first.
//!         Step::AwaitReplies => feed.reply(under_way.pop().expect("one is under way").id, Reply::Ok),
//!         Step::Done { last_resolved } => {
//!             assert!(last_resolved >= workload.source().last_commit());
//!             break;
//!         }
//!     }
//! }
//! ```

mod changes;
mod check;
mod config;
mod delivery;
mod encode;
mod faults;
mod node;
mod progress;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use sink_core::model::HlcTimestamp;

use crate::source::Source;
use crate::workload::Workload;
use faults::Strays;
use node::{Batch, Node};
use progress::Progress;

pub use changes::{Change, ChangeLog};
pub use check::{SelfCheck, Violation};
pub use config::{Config, Encoding, Envelope, Fault, Faults, RestartFrom};
pub use delivery::{Connection, Delivery, DeliveryId, DeliveryKind, Origin, Reply, Step};
pub use upload::{Layout, Upload, uploads};

/// What a request carries.
#[derive(Debug)]
enum Payload {
    Rows { batch: Batch, node: usize, worker: usize },
    Resolved(HlcTimestamp),
}

/// A request the feed wants acknowledged.
#[derive(Debug)]
struct Request {
    payload: Payload,
    attempts: u32,
    /// Whether an attempt is under way; else the next one is due.
    under_way: bool,
}

/// Something that can be sent now.
enum Candidate {
    Attempt(u64),
    Batch { node: usize, position: usize },
    Mark(HlcTimestamp),
    Stray(usize),
}

/// The state machine. Invariant: every change that was read is acknowledged, or in a node, or in a request.
pub struct Feed {
    config: Config,
    rng: StdRng,
    log: Arc<ChangeLog>,
    nodes: Vec<Node>,
    progress: Progress,
    requests: BTreeMap<u64, Request>,
    /// What has no reply yet, and the request that waits for it; strays and given-up attempts have none.
    under_way: BTreeMap<DeliveryId, Option<u64>>,
    strays: Strays,
    run: u32,
    step: u64,
    next_request: u64,
    next_delivery: u64,
    drawn_restarts: u32,
    /// Commits that were read when partial batches were last flushed for a mark.
    flushed_at: usize,
    lose_next_mark: bool,
    check: Option<SelfCheck>,
}

impl Feed {
    /// A feed that begins with a scan at the workload's time.
    ///
    /// # Panics
    /// If the configuration has no node, worker, attempt or row per batch.
    #[must_use]
    pub fn new(seed: u64, config: Config, workload: &Workload) -> Self {
        Self::of_source(seed, config, workload.source(), workload.scan_at())
    }

    /// A feed on any source that begins with a scan at this time.
    ///
    /// # Panics
    /// As [`Feed::new`].
    #[must_use]
    pub fn of_source(seed: u64, config: Config, source: &Source, scan_at: HlcTimestamp) -> Self {
        assert!(config.nodes > 0 && config.workers > 0, "a feed needs a node and a worker: {config:?}");
        assert!(config.flush_messages > 0 && config.max_attempts > 0, "nothing could be sent: {config:?}");
        let log = Arc::new(ChangeLog::new(source, scan_at));
        let check = config.self_check.then(|| SelfCheck::new(log.clone(), config.encoding.clone()));
        Self {
            rng: StdRng::seed_from_u64(seed),
            nodes: (0..config.nodes).map(|_| Node::new(config.workers)).collect(),
            progress: Progress::new(&log),
            requests: BTreeMap::new(),
            under_way: BTreeMap::new(),
            strays: Strays::default(),
            run: 0,
            step: 0,
            next_request: 0,
            next_delivery: 0,
            drawn_restarts: 0,
            flushed_at: 0,
            lose_next_mark: false,
            check,
            config,
            log,
        }
    }

    /// Everything this feed has to send.
    #[must_use]
    pub fn log(&self) -> &ChangeLog {
        &self.log
    }

    /// Which run of the job this is, from zero.
    #[must_use]
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Lets one moment pass.
    ///
    /// # Panics
    /// If the feed is about to break a promise of changefeeds, with the values.
    #[expect(clippy::should_implement_trait, reason = "a feed does not end with None; it waits for replies")]
    pub fn next(&mut self) -> Step {
        self.step += 1;
        self.strike();
        self.read();
        loop {
            let candidates = self.candidates();
            if !candidates.is_empty() {
                let chosen = self.rng.random_range(0..candidates.len());
                let candidate = candidates.into_iter().nth(chosen).expect("the position is in the list");
                return Step::Send(self.send(candidate));
            }
            if self.read_commit() || self.flush() {
                continue;
            }
            if !self.under_way.is_empty() {
                return Step::AwaitReplies;
            }
            if !self.begin_last_mark() {
                return self.done();
            }
        }
    }

    /// Tells what became of a delivery.
    ///
    /// # Panics
    /// If the delivery already has its reply.
    pub fn reply(&mut self, id: DeliveryId, reply: Reply) {
        if let Some(check) = &mut self.check {
            check.replied(id, reply);
        }
        let waiting = self.under_way.remove(&id).unwrap_or_else(|| panic!("{id:?} is not under way"));
        let Some(request) = waiting else { return };
        if reply == Reply::Ok {
            return self.acknowledge(request);
        }
        let entry = self.requests.get_mut(&request).expect("a request waits for its attempt");
        entry.under_way = false;
        if entry.attempts >= self.config.max_attempts {
            let from = self.draw_restart();
            self.restart(from);
        }
    }

    fn acknowledge(&mut self, request: u64) {
        let request = self.requests.remove(&request).expect("a request waits for its attempt");
        match request.payload {
            Payload::Rows { batch, node, worker } => {
                for &change in &batch.changes {
                    self.progress.ack(change, self.log.changes()[change].at);
                }
                self.nodes[node].release(worker);
                let newest = batch.changes.iter().map(|&change| self.log.changes()[change].at).max();
                let newest = newest.expect("a batch has rows");
                self.strays.remember(&mut self.rng, batch.body, batch.changes.len(), newest);
            }
            Payload::Resolved(at) => self.strays.acknowledged(at),
        }
    }

    /// Reads what this moment brings and lets the flush timers run.
    fn read(&mut self) {
        for _ in 0..self.rng.random_range(self.config.commits_per_step.clone()) {
            self.read_commit();
        }
        for node in &mut self.nodes {
            // Nodes are not equally fast.
            if self.rng.random_bool(0.8) {
                node.fill(&self.config, &self.log);
            }
            node.tick(&self.config, &self.log);
        }
        // A mark waits for everything below it, so partial batches go out once for each.
        if self.config.resolved_every > 0
            && self.progress.released() >= self.flushed_at + self.config.resolved_every
        {
            self.flush();
        }
    }

    /// Hands the next commit to the nodes, unless they lag; whether it or an earlier one moved on.
    fn read_commit(&mut self) -> bool {
        let backlog: usize = self.nodes.iter().map(Node::backlog).sum();
        let limit = 4 * self.config.nodes * self.config.flush_messages;
        let Some((_, range)) = self.log.commits().get(self.progress.released()).filter(|_| backlog < limit)
        else {
            return self.fill();
        };
        let range = range.clone();
        self.progress.release();
        self.hand_out(range, |_| true);
        self.fill();
        true
    }

    /// Moves what was read into batches; whether anything moved.
    fn fill(&mut self) -> bool {
        let mut moved = false;
        for node in &mut self.nodes {
            let before = node.backlog();
            node.fill(&self.config, &self.log);
            moved |= node.backlog() < before;
        }
        moved
    }

    /// Gives changes to the nodes that own their keys: commit by commit, in any order within a commit.
    fn hand_out(&mut self, range: std::ops::Range<usize>, wanted: impl Fn(usize) -> bool) {
        let mut start = range.start;
        while start < range.end {
            let at = self.log.changes()[start].at;
            let end = start + self.log.changes()[start..range.end].partition_point(|change| change.at == at);
            let mut changes: Vec<usize> = (start..end).filter(|&change| wanted(change)).collect();
            changes.shuffle(&mut self.rng);
            for change in changes {
                self.progress.expect(at);
                let node = self.owner(change);
                self.nodes[node].read(change);
            }
            start = end;
        }
    }

    /// The node that owns the key of a change in this run.
    fn owner(&self, change: usize) -> usize {
        let change = &self.log.changes()[change];
        let table = u64::try_from(change.table).expect("a table number is small");
        // Ranges move between nodes when a job restarts, so the run takes part.
        let mixed = (u64::from(change.key_hash) ^ (table << 32) ^ (u64::from(self.run) << 48))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let nodes = u64::try_from(self.nodes.len()).expect("a node count is small");
        usize::try_from((mixed >> 32) % nodes).expect("below the node count")
    }

    /// Queues all partial batches there is room for; whether there were any.
    fn flush(&mut self) -> bool {
        self.flushed_at = self.progress.released();
        let mut any = false;
        for node in &mut self.nodes {
            any |= node.has_room() && node.flush(&self.config, &self.log);
        }
        any
    }

    fn candidates(&mut self) -> Vec<Candidate> {
        let due = self.requests.iter().filter(|(_, request)| !request.under_way);
        let mut candidates: Vec<Candidate> = due.map(|(id, _)| Candidate::Attempt(*id)).collect();
        for (number, node) in self.nodes.iter().enumerate() {
            let sendable = node.sendable().into_iter();
            candidates.extend(sendable.map(|position| Candidate::Batch { node: number, position }));
        }
        candidates.extend((0..self.strays.ready()).map(Candidate::Stray));
        if let Some(at) = self.periodic_mark() {
            candidates.push(Candidate::Mark(at));
        }
        candidates
    }

    fn mark_under_way(&self) -> bool {
        self.requests.values().any(|request| matches!(request.payload, Payload::Resolved(_)))
    }

    /// The next resolved time, if enough commits are settled since the last one. Marks pass one at a time.
    fn periodic_mark(&mut self) -> Option<HlcTimestamp> {
        let covered = self.log.commits_upto(self.progress.resolved);
        let due = covered + self.config.resolved_every;
        if self.config.resolved_every == 0 || self.progress.settled(&self.log) < due || self.mark_under_way()
        {
            return None;
        }
        let at = self.progress.draw_mark(&mut self.rng, &self.log)?;
        if std::mem::take(&mut self.lose_next_mark) {
            self.progress.mark(at);
            return None;
        }
        Some(at)
    }

    /// When every row is acknowledged, so must be a mark that covers them; whether one had to be made.
    fn begin_last_mark(&mut self) -> bool {
        let covered = self.log.commits_upto(self.strays.highest_mark());
        if covered == self.log.commits().len() {
            return false;
        }
        assert!(self.progress.nothing_unacked(), "the feed stopped with rows to send");
        let at = self.progress.draw_mark(&mut self.rng, &self.log).expect("the scan is settled");
        self.add_mark(at.max(self.progress.resolved));
        true
    }

    fn add_mark(&mut self, at: HlcTimestamp) -> u64 {
        self.progress.mark(at);
        self.add_request(Payload::Resolved(at))
    }

    fn add_request(&mut self, payload: Payload) -> u64 {
        let id = self.next_request;
        self.next_request += 1;
        self.requests.insert(id, Request { payload, attempts: 0, under_way: false });
        id
    }

    fn send(&mut self, candidate: Candidate) -> Delivery {
        let delivery = match candidate {
            Candidate::Attempt(request) => self.attempt(request),
            Candidate::Batch { node, position } => {
                let (batch, worker) = self.nodes[node].take(position);
                let request = self.add_request(Payload::Rows { batch, node, worker });
                self.attempt(request)
            }
            Candidate::Mark(at) => {
                let request = self.add_mark(at);
                self.attempt(request)
            }
            Candidate::Stray(position) => self.send_stray(position),
        };
        if let Some(check) = &mut self.check
            && let Err(violation) = check.sent(&delivery)
        {
            panic!("step {}: {violation}\n{delivery:?}", self.step);
        }
        delivery
    }

    fn attempt(&mut self, id: u64) -> Delivery {
        let delivery = self.new_delivery();
        self.under_way.insert(delivery, Some(id));
        let request = self.requests.get_mut(&id).expect("only requests are attempted");
        request.under_way = true;
        request.attempts += 1;
        let (connection, kind, body) = match &request.payload {
            Payload::Rows { batch, node, worker } => (
                Connection::Worker { node: *node, worker: *worker },
                DeliveryKind::Rows(batch.changes.len()),
                batch.body.clone(),
            ),
            Payload::Resolved(at) => {
                (Connection::Coordinator, DeliveryKind::Resolved(*at), encode::resolved(*at).into())
            }
        };
        let origin = if request.attempts == 1 { Origin::Feed } else { Origin::Retry };
        let attempt = request.attempts;
        Delivery { id: delivery, run: self.run, request: id, attempt, origin, connection, kind, body }
    }

    fn new_delivery(&mut self) -> DeliveryId {
        let id = DeliveryId(self.next_delivery);
        self.next_delivery += 1;
        id
    }

    fn done(&self) -> Step {
        if let Some(Err(violation)) = self.check.as_ref().map(SelfCheck::finished) {
            panic!("at the end: {violation}");
        }
        Step::Done { last_resolved: self.strays.highest_mark() }
    }
}

#[cfg(test)]
mod tests;
