//! What goes wrong, by script or by chance: strays, given-up attempts, lost marks, restarts.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use sink_core::model::HlcTimestamp;

use super::config::{Fault, RestartFrom};
use super::delivery::{Connection, Delivery, DeliveryKind, Origin};
use super::{Feed, Payload, encode};

/// Acknowledged batches kept for later duplicates: recent ones, and a few that are much older.
const REMEMBERED_BATCHES: usize = 128;
/// Resolved times kept for repetition.
const REMEMBERED_MARKS: usize = 16;

/// Bytes that were acknowledged.
#[derive(Debug, Clone)]
struct Acked {
    body: Arc<str>,
    rows: usize,
    newest: HlcTimestamp,
}

/// Something acknowledged that is delivered again.
#[derive(Debug)]
struct Stray {
    body: Arc<str>,
    kind: DeliveryKind,
    origin: Origin,
}

/// Deliveries that no request of the feed waits for.
#[derive(Debug, Default)]
pub(super) struct Strays {
    batches: Vec<Acked>,
    marks: Vec<HlcTimestamp>,
    highest_mark: HlcTimestamp,
    ready: Vec<Stray>,
    /// Waiting for a mark that covers them.
    held: Vec<Acked>,
}

impl Strays {
    /// Remembers a batch, in place of a random one when there are enough.
    pub(super) fn remember(&mut self, rng: &mut StdRng, body: Arc<str>, rows: usize, newest: HlcTimestamp) {
        let acked = Acked { body, rows, newest };
        if self.batches.len() < REMEMBERED_BATCHES {
            self.batches.push(acked);
        } else {
            self.batches[rng.random_range(0..REMEMBERED_BATCHES)] = acked;
        }
    }

    /// Remembers a mark and frees the zombies it covers.
    pub(super) fn acknowledged(&mut self, mark: HlcTimestamp) {
        self.highest_mark = self.highest_mark.max(mark);
        self.marks.push(mark);
        if self.marks.len() > REMEMBERED_MARKS {
            self.marks.remove(0);
        }
        let covered = self.held.extract_if(.., |acked| acked.newest <= mark);
        self.ready.extend(covered.map(|acked| Stray::rows(acked, Origin::Zombie)));
    }

    /// The highest mark that was ever acknowledged.
    pub(super) fn highest_mark(&self) -> HlcTimestamp {
        self.highest_mark
    }

    /// How many strays may be sent now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    fn draw_batch(&self, rng: &mut StdRng) -> Option<Acked> {
        (!self.batches.is_empty()).then(|| self.batches[rng.random_range(0..self.batches.len())].clone())
    }
}

impl Stray {
    fn rows(acked: Acked, origin: Origin) -> Self {
        Self { body: acked.body, kind: DeliveryKind::Rows(acked.rows), origin }
    }
}

impl Feed {
    /// Makes something go wrong now. Answers whether it could: a duplicate needs an acknowledged batch, a
    /// repeated time an acknowledged one, and only a batch under way with an attempt to spare is given up.
    pub fn inject(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Duplicate => {
                let acked = self.strays.draw_batch(&mut self.rng);
                let possible = acked.is_some();
                self.strays.ready.extend(acked.map(|acked| Stray::rows(acked, Origin::Duplicate)));
                possible
            }
            Fault::Zombie => {
                let acked = self.strays.draw_batch(&mut self.rng);
                let possible = acked.is_some();
                self.strays.held.extend(acked);
                possible
            }
            Fault::Concurrent => self.give_up_an_attempt(),
            Fault::RepeatResolved => {
                let Some(last) = self.strays.marks.len().checked_sub(1) else { return false };
                let at = self.strays.marks[self.rng.random_range(0..=last)];
                let (body, kind) = (encode::resolved(at).into(), DeliveryKind::Resolved(at));
                self.strays.ready.push(Stray { body, kind, origin: Origin::Duplicate });
                true
            }
            Fault::LoseResolved => {
                self.lose_next_mark = true;
                true
            }
            Fault::Restart(from) => {
                self.restart(from);
                true
            }
        }
    }

    /// The faults of this moment: those of the script, then those of chance. Of the script, what is not
    /// possible yet stays due.
    pub(super) fn strike(&mut self) {
        let step = self.step;
        let script = std::mem::take(&mut self.config.script);
        self.config.script =
            script.into_iter().filter(|(at, fault)| *at > step || !self.inject(*fault)).collect();
        let faults = &self.config.faults;
        let chances = [
            (faults.duplicate, Fault::Duplicate),
            (faults.zombie, Fault::Zombie),
            (faults.concurrent, Fault::Concurrent),
            (faults.repeat_resolved, Fault::RepeatResolved),
            (faults.lose_resolved, Fault::LoseResolved),
        ];
        let restart = faults.restart;
        for (chance, fault) in chances {
            if self.rng.random_bool(chance) {
                self.inject(fault);
            }
        }
        if self.rng.random_bool(restart) && self.drawn_restarts < self.config.faults.max_drawn_restarts {
            self.drawn_restarts += 1;
            let from = self.draw_restart();
            self.restart(from);
        }
    }

    /// The next attempt of a batch begins although the one before has no reply. The last attempt is not given
    /// up: that would be a restart.
    fn give_up_an_attempt(&mut self) -> bool {
        let open = self.under_way.iter().filter_map(|(id, request)| Some((*id, (*request)?)));
        let open: Vec<_> = open
            .filter(|(_, request)| {
                let request = &self.requests[request];
                matches!(request.payload, Payload::Rows { .. }) && request.attempts < self.config.max_attempts
            })
            .collect();
        if open.is_empty() {
            return false;
        }
        let (id, request) = open[self.rng.random_range(0..open.len())];
        self.under_way.insert(id, None);
        self.requests.get_mut(&request).expect("the request is open").under_way = false;
        true
    }

    pub(super) fn draw_restart(&mut self) -> RestartFrom {
        match self.rng.random_bool(self.config.faults.restart_earlier) {
            true if self.rng.random_bool(0.2) => RestartFrom::Beginning,
            true => RestartFrom::EarlierCheckpoint,
            false => RestartFrom::LastCheckpoint,
        }
    }

    /// The job stops and begins again. What is under way is nobody's any more, but the receiver may still
    /// finish it. Everything after the checkpoint is sent again, save acknowledged versions that are left out
    /// by chance; nothing unacknowledged is ever left out.
    pub(super) fn restart(&mut self, from: RestartFrom) {
        let checkpoints = &self.progress.checkpoints;
        let to = match from {
            RestartFrom::LastCheckpoint => checkpoints.last().copied(),
            RestartFrom::EarlierCheckpoint if checkpoints.is_empty() => None,
            RestartFrom::EarlierCheckpoint => Some(checkpoints[self.rng.random_range(0..checkpoints.len())]),
            RestartFrom::Beginning => None,
        };
        let to = to.unwrap_or_default();
        self.run += 1;
        self.requests.clear();
        self.under_way.values_mut().for_each(|request| *request = None);
        self.nodes.iter_mut().for_each(|node| *node = super::Node::new(self.config.workers));
        let range = self.progress.rewind(&self.log, to);
        let gap = self.config.faults.replay_gap;
        let left_out: Vec<bool> =
            range.clone().map(|change| self.progress.is_acked(change) && self.rng.random_bool(gap)).collect();
        let first = range.start;
        self.hand_out(range, |change| !left_out[change - first]);
        if to > HlcTimestamp::ZERO && self.rng.random_bool(0.5) {
            self.add_request(Payload::Resolved(to));
        }
    }

    pub(super) fn send_stray(&mut self, position: usize) -> Delivery {
        let stray = self.strays.ready.remove(position);
        let id = self.new_delivery();
        self.under_way.insert(id, None);
        let request = self.next_request;
        self.next_request += 1;
        Delivery {
            id,
            run: self.run,
            request,
            attempt: 1,
            origin: stray.origin,
            connection: Connection::Stray(request),
            kind: stray.kind,
            body: stray.body,
        }
    }
}
