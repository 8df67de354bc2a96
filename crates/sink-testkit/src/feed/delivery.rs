//! What passes between a feed and whoever carries its requests.

use std::sync::Arc;

use sink_core::model::HlcTimestamp;

/// Names one delivery; every attempt is one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub(super) u64);

/// The connection a delivery travels on. Deliveries on one connection are in order, others are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Connection {
    /// One of a node's workers.
    Worker {
        /// The node.
        node: usize,
        /// The worker within it.
        worker: usize,
    },
    /// The node that sends resolved times.
    Coordinator,
    /// A connection of a client that has gone away; nobody waits for the answer.
    Stray(u64),
}

/// Why something is delivered. The receiver cannot see it; logs and tests can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The feed's regular course, a replay after a restart included.
    Feed,
    /// The same bytes once more, after an attempt that did not end in 2xx.
    Retry,
    /// Bytes that were acknowledged before, once more.
    Duplicate,
    /// A duplicate that is older than a resolved time already acknowledged.
    Zombie,
}

/// What a delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// A batch of so many rows.
    Rows(usize),
    /// A resolved time.
    Resolved(HlcTimestamp),
}

/// One request to be carried to the receiver. Each wants exactly one [`Reply`].
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its name in [`Feed::reply`](super::Feed::reply).
    pub id: DeliveryId,
    /// Which run of the job sends it, from zero; a restart begins the next.
    pub run: u32,
    /// The request it is an attempt of; strays have one of their own.
    pub request: u64,
    /// Which attempt of the request this is, from one.
    pub attempt: u32,
    /// Why it is sent.
    pub origin: Origin,
    /// Where it travels.
    pub connection: Connection,
    /// What it says.
    pub kind: DeliveryKind,
    /// The JSON body.
    pub body: Arc<str>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Any 2xx.
    Ok,
    /// Another status.
    Status(u16),
    /// The connection broke; the receiver may have done the work.
    ConnectionLost,
    /// The client gave up; the receiver may still be at work, and finish at any later time.
    TimedOut,
}

/// What a feed does next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Carry this to the receiver. More may follow before its reply.
    Send(Delivery),
    /// Nothing more can be sent before a reply comes.
    AwaitReplies,
    /// Everything was acknowledged, and so was this last resolved time. Nothing is under way.
    Done {
        /// At or above the last commit of the source.
        last_resolved: HlcTimestamp,
    },
}
