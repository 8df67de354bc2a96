//! Carries the requests of a simulated changefeed to real processes, as a changefeed would: connections that are
//! kept, a client that gives up after three seconds, retries with the same bytes after anything but 2xx.
//!
//! The feed decides what is sent and what goes wrong at the source; here is only the network, whose own faults
//! (a connection cut before the answer) are drawn by [`Options::cut`]. What the target made of it is judged by
//! [`verdict`].

mod carry;
pub mod observe;
pub mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sink_core::model::HlcTimestamp;
use sink_testkit::feed::{Connection, Delivery, DeliveryKind, Feed, Reply, Step};
use tokio::task::JoinSet;

use crate::harness::http::Client;
use carry::{Carried, Carrier};

/// Refusals kept with their texts; a run that goes wrong repeats itself.
const KEPT_REFUSALS: usize = 8;
/// Idle connections kept per sender.
const KEPT_CONNECTIONS: usize = 2;

/// How requests travel.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where they are posted, such as `/database/schema`.
    pub path: String,
    /// How long the client waits for an answer; a changefeed gives up after 3 s.
    pub patience: Duration,
    /// Pause before a failed request may be sent again.
    pub retry_pause: Duration,
    /// Probability that a connection is cut after a request and before its answer.
    pub cut: f64,
    /// Holds every request back until the newest commit it speaks of has happened, by this machine's clock. For
    /// workloads whose history begins now; without it, everything goes out as fast as it is answered.
    pub live: bool,
    /// Seeds the choice of cuts.
    pub seed: u64,
}

impl Options {
    /// Nothing goes wrong on the network.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            patience: Duration::from_secs(3),
            retry_pause: Duration::from_millis(100),
            cut: 0.0,
            live: false,
            seed: 1,
        }
    }
}

/// What has happened so far; may be read while the driver runs.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests sent, marks included.
    pub requests: AtomicU64,
    /// Rows sent, repetitions included.
    pub rows: AtomicU64,
    /// Resolved marks sent, repetitions included.
    pub marks: AtomicU64,
    /// Requests that were not answered with 2xx, for whatever reason.
    pub failures: AtomicU64,
    /// Connections cut on purpose.
    pub cuts: AtomicU64,
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// Answers other than 2xx, with how often each came; texts beyond the first few are dropped.
    #[must_use]
    pub fn refusals(&self) -> Vec<(String, u64)> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.iter().map(|(text, count)| (text.clone(), *count)).collect()
    }

    fn sent(&self, delivery: &Delivery) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match delivery.kind {
            DeliveryKind::Rows(rows) => {
                self.rows.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed)
            }
            DeliveryKind::Resolved(_) => self.marks.fetch_add(1, Ordering::Relaxed),
        };
    }

    fn carried(&self, carried: &Carried) {
        if carried.reply != Reply::Ok {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        if carried.cut {
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        let Some(refusal) = &carried.refusal else { return };
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = refusals.get_mut(refusal) {
            *count += 1;
        } else if refusals.len() < KEPT_REFUSALS {
            refusals.insert(refusal.clone(), 1);
        }
    }
}

/// Drives the feed to its end and returns its last resolved time, up to which the receiver has promised to apply.
/// Senders are spread over the addresses, as a load balancer would.
///
/// # Errors
/// If the feed is not done within `deadline`. Refusals alone are no error: a changefeed tries for ever.
pub async fn drive(
    feed: &mut Feed,
    addresses: &[SocketAddr],
    options: &Options,
    tally: &Tally,
    deadline: Duration,
) -> Result<HlcTimestamp> {
    ensure!(!addresses.is_empty(), "there is nobody to send to");
    let driver = Driver {
        addresses,
        options,
        tally,
        rng: StdRng::seed_from_u64(options.seed),
        under_way: JoinSet::new(),
        idle: HashMap::new(),
    };
    let run = tokio::time::timeout(deadline, driver.run(feed)).await;
    run.with_context(|| {
        format!("the feed was not done within {deadline:?}; refusals: {:?}", tally.refusals())
    })?
}

struct Driver<'a> {
    addresses: &'a [SocketAddr],
    options: &'a Options,
    tally: &'a Tally,
    rng: StdRng,
    under_way: JoinSet<Carried>,
    /// Connections without a request, by sender.
    idle: HashMap<Connection, Vec<Client>>,
}

impl Driver<'_> {
    async fn run(mut self, feed: &mut Feed) -> Result<HlcTimestamp> {
        loop {
            while let Some(carried) = self.under_way.try_join_next() {
                self.arrived(feed, carried?);
            }
            match feed.next() {
                Step::Send(delivery) => self.send(delivery),
                Step::AwaitReplies => {
                    let carried = self.under_way.join_next().await.context("the feed waits for nothing")?;
                    self.arrived(feed, carried?);
                }
                Step::Done { last_resolved } => return Ok(last_resolved),
            }
        }
    }

    fn send(&mut self, delivery: Delivery) {
        self.tally.sent(&delivery);
        // A sender whose request was given up has no idle connection and makes a new one, as a client would.
        let client = self.idle.get_mut(&delivery.connection).and_then(Vec::pop);
        let carrier = Carrier {
            address: self.addresses[sender_number(delivery.connection) % self.addresses.len()],
            options: self.options.clone(),
            cut: self.rng.random_bool(self.options.cut).then(|| self.rng.random_range(0..=4)),
        };
        self.under_way.spawn(carrier.carry(client, delivery));
    }

    fn arrived(&mut self, feed: &mut Feed, carried: Carried) {
        self.tally.carried(&carried);
        feed.reply(carried.id, carried.reply);
        if let Some(client) = carried.client
            && !matches!(carried.connection, Connection::Stray(_))
        {
            let idle = self.idle.entry(carried.connection).or_default();
            if idle.len() < KEPT_CONNECTIONS {
                idle.push(client);
            }
        }
    }
}

/// Tells senders apart when they are spread over several processes.
fn sender_number(connection: Connection) -> usize {
    match connection {
        Connection::Coordinator => 0,
        Connection::Worker { node, worker } => 1 + node + worker,
        Connection::Stray(request) => usize::try_from(request).unwrap_or(0),
    }
}
