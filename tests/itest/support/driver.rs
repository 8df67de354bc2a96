//! Carries the requests of a simulated changefeed to running processes.
//!
//! Each connection of the simulator is a kept-alive HTTP connection per process. Requests are in flight side by side,
//! and the feed hears of their ends in a random order, though never before they happened.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sink_core::model::HlcTimestamp;
use sink_testkit::feed::{Connection, DeliveryId, DeliveryKind};
use sink_testkit::{Delivery, Feed, Reply, Step};
use tests::harness::http::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::routes::Routes;

/// The source gives up on a request after this time.
const SOURCE_PATIENCE: Duration = Duration::from_secs(3);
/// Pause after a failed attempt, where the source has a backoff; also between two looks for a process that listens.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// What passes a tap while something is waited for: so many rows in so much time.
const TRICKLE_ROWS: u64 = 20;
const TRICKLE_PAUSE: Duration = Duration::from_millis(50);
/// Requests on the way at once, strays included.
const MOST_UNDER_WAY: usize = 32;

/// Feeds everything it has to the processes. See [`Driver::run`].
pub(crate) struct Driver {
    feed: Feed,
    rng: StdRng,
    routes: Arc<Routes>,
    path: String,
    tolerated: Vec<u16>,
    tap: watch::Receiver<u64>,
    sent: watch::Sender<u64>,
    idle: HashMap<(Connection, SocketAddr), Client>,
    under_way: JoinSet<Answered>,
    answered: Vec<Answered>,
    outcome: Outcome,
}

/// Lets a scenario hold a feed back, so that faults are spread over the whole of it. Rows are counted as often as they
/// are sent.
#[derive(Debug)]
pub(crate) struct Tap {
    allowed: watch::Sender<u64>,
    sent: watch::Receiver<u64>,
}

impl Tap {
    /// Lets so many more rows through and waits until they were sent.
    ///
    /// # Errors
    /// If the feed comes to its end before.
    pub(crate) async fn pass(&self, rows: u64) -> Result<()> {
        let goal = self.sent.borrow().saturating_add(rows);
        self.allowed.send_modify(|allowed| *allowed = goal.max(*allowed));
        let mut sent = self.sent.clone();
        sent.wait_for(|sent| *sent >= goal).await.context("the feed ended too early")?;
        Ok(())
    }

    /// Lets a trickle of rows through until something has happened: rows alone prove no progress, because a job that
    /// starts again sends old ones, and the first mark waits for the whole scan.
    pub(crate) async fn until<T>(&self, happened: impl Future<Output = Result<T>>) -> Result<T> {
        let mut happened = std::pin::pin!(happened);
        loop {
            self.allowed.send_modify(|allowed| *allowed = allowed.saturating_add(TRICKLE_ROWS));
            if let Ok(result) = timeout(TRICKLE_PAUSE, &mut happened).await {
                return result;
            }
        }
    }

    /// The feed may run to its end.
    pub(crate) fn open(&self) {
        self.allowed.send_replace(u64::MAX);
    }
}

/// What a run was like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The last mark, at or above the last commit.
    pub(crate) last_resolved: HlcTimestamp,
    /// Deliveries on which a process acted or may have acted.
    pub(crate) deliveries: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// How deliveries ended: `200`, `503`, `lost`, `late`.
    pub(crate) ends: BTreeMap<String, u64>,
    /// Runs of the job, the first included.
    pub(crate) runs: u32,
}

/// A delivery that came to its end.
struct Answered {
    id: DeliveryId,
    connection: Connection,
    /// Where it went, if the connection can be used again.
    client: Option<(SocketAddr, Client)>,
    reply: Reply,
    /// What the process said, if it refused.
    text: String,
}

impl Driver {
    /// A driver of this feed to `path` of the processes.
    pub(crate) fn new(seed: u64, feed: Feed, routes: Arc<Routes>, path: &str) -> Driver {
        Driver {
            feed,
            rng: StdRng::seed_from_u64(seed ^ 0x0D1A_1E12),
            routes,
            path: path.to_owned(),
            tolerated: Vec::new(),
            tap: watch::Sender::new(u64::MAX).subscribe(),
            sent: watch::Sender::new(0),
            idle: HashMap::new(),
            under_way: JoinSet::new(),
            answered: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// Statuses other than 2xx that do not fail the run: the feed tries again.
    pub(crate) fn tolerate(mut self, statuses: &[u16]) -> Driver {
        self.tolerated.extend_from_slice(statuses);
        self
    }

    /// Holds the feed back until the tap is opened.
    pub(crate) fn with_tap(mut self) -> (Driver, Tap) {
        let allowed = watch::Sender::new(0);
        self.tap = allowed.subscribe();
        let sent = self.sent.subscribe();
        (self, Tap { allowed, sent })
    }

    /// Rows the feed would send if nothing went wrong.
    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.feed.log().changes().len()).unwrap_or(u64::MAX)
    }

    /// Runs the feed to its end: everything acknowledged, and a mark above everything too.
    ///
    /// # Errors
    /// If a delivery is refused, or not everything is acknowledged in time.
    pub(crate) async fn run(mut self, deadline: Duration) -> Result<Outcome> {
        let end = Instant::now() + deadline;
        match timeout_at(end, self.drive()).await {
            Ok(done) => done.map(|()| self.outcome),
            Err(_) => bail!("the feed was not done within {deadline:?}: {:?}", self.outcome),
        }
    }

    async fn drive(&mut self) -> Result<()> {
        loop {
            self.wait_for_tap().await?;
            match self.feed.next() {
                Step::Send(delivery) => self.send(delivery),
                Step::AwaitReplies => self.hear(true).await?,
                Step::Done { last_resolved } => {
                    self.outcome.last_resolved = last_resolved;
                    self.outcome.runs = self.feed.run() + 1;
                    return Ok(());
                }
            }
            let full = self.under_way.len() >= MOST_UNDER_WAY;
            if full || self.rng.random_bool(0.5) {
                self.hear(full).await?;
            }
        }
    }

    /// While the tap is closed, replies still come in.
    async fn wait_for_tap(&mut self) -> Result<()> {
        while *self.tap.borrow_and_update() <= self.outcome.rows {
            tokio::select! {
                changed = self.tap.changed() => changed.context("the tap was dropped while closed")?,
                Some(done) = self.under_way.join_next() => self.answered.push(done.context("a request panicked")?),
            }
        }
        Ok(())
    }

    fn send(&mut self, delivery: Delivery) {
        self.outcome.deliveries += 1;
        if let DeliveryKind::Rows(rows) = delivery.kind {
            self.outcome.rows += u64::try_from(rows).unwrap_or(0);
            self.sent.send_replace(self.outcome.rows);
        }
        let order = self.routes.choose(&mut self.rng);
        // Absent after a failure, and while an earlier attempt of the worker is still under way.
        let kept = order.first().and_then(|address| self.idle.remove(&(delivery.connection, *address)));
        let (routes, path) = (Arc::clone(&self.routes), self.path.clone());
        self.under_way.spawn(async move { carry(delivery, order, kept, &routes, &path).await });
    }

    /// Passes some of the replies to the feed, in any order; with `wait`, at least one.
    async fn hear(&mut self, wait: bool) -> Result<()> {
        while let Some(done) = self.under_way.try_join_next() {
            self.answered.push(done.context("a request panicked")?);
        }
        if self.answered.is_empty() && wait {
            let done = self.under_way.join_next().await.context("the feed waits for replies to nothing")?;
            self.answered.push(done.context("a request panicked")?);
        }
        let keep = if wait { self.answered.len().saturating_sub(1) } else { self.answered.len() };
        let keep = self.rng.random_range(0..=keep);
        while self.answered.len() > keep {
            let chosen = self.rng.random_range(0..self.answered.len());
            let answered = self.answered.swap_remove(chosen);
            self.settle(answered)?;
        }
        Ok(())
    }

    fn settle(&mut self, answered: Answered) -> Result<()> {
        let end = match answered.reply {
            Reply::Ok => "200".to_owned(),
            Reply::Status(status) if self.tolerated.contains(&status) => status.to_string(),
            Reply::Status(status) => bail!("a delivery was refused: {status} {}", answered.text),
            Reply::ConnectionLost => "lost".to_owned(),
            Reply::TimedOut => "late".to_owned(),
        };
        *self.outcome.ends.entry(end).or_default() += 1;
        if let Some((address, client)) = answered.client
            && !matches!(answered.connection, Connection::Stray(_))
        {
            self.idle.insert((answered.connection, address), client);
        }
        self.feed.reply(answered.id, answered.reply);
        Ok(())
    }
}

/// Sends a delivery to the first process that listens, and waits for its end as long as the source would.
async fn carry(
    delivery: Delivery,
    order: Vec<SocketAddr>,
    kept: Option<Client>,
    routes: &Routes,
    path: &str,
) -> Answered {
    let Delivery { id, connection, body, .. } = delivery;
    let (address, mut client) = reach(&order, kept, routes).await;
    let body = Bytes::copy_from_slice(body.as_bytes());
    let posted =
        timeout(SOURCE_PATIENCE, client.post(path, &[("content-type", "application/json")], body)).await;
    let (reply, text, client) = match posted {
        Ok(Ok((status, _))) if status.is_success() => (Reply::Ok, String::new(), Some((address, client))),
        Ok(Ok((status, text))) => {
            sleep(FAILURE_PAUSE).await;
            let text = String::from_utf8_lossy(&text).into_owned();
            (Reply::Status(status.as_u16()), text, Some((address, client)))
        }
        Ok(Err(_)) => {
            sleep(FAILURE_PAUSE).await;
            (Reply::ConnectionLost, String::new(), None)
        }
        Err(_) => {
            routes.shun(address);
            (Reply::TimedOut, String::new(), None)
        }
    };
    Answered { id, connection, client, reply, text }
}

/// A connection to the first process that listens; `kept` is one to the first of all. Nothing is sent before, so this
/// may be tried for ever; the run's own deadline ends it.
async fn reach(order: &[SocketAddr], kept: Option<Client>, routes: &Routes) -> (SocketAddr, Client) {
    if let (Some(client), Some(address)) = (kept, order.first()) {
        return (*address, client);
    }
    loop {
        for address in order {
            match Client::connect(*address).await {
                Ok(client) => return (*address, client),
                Err(_) => routes.shun(*address),
            }
        }
        sleep(FAILURE_PAUSE).await;
    }
}

/// Posts one body and insists on 200.
pub(crate) async fn post(client: &mut Client, path: &str, body: impl Into<Bytes>) -> Result<()> {
    let (status, text) = client.post(path, &[], body).await?;
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
