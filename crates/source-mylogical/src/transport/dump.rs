//! The binary log as a server sends it to a replica.
//!
//! A task of its own reads, so that the socket is emptied while changes are decoded. It is ahead by a bounded number of
//! bytes; when that is used up it stops reading, and the server waits.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use mysql_async::binlog::events::Event;
use mysql_async::{BinlogStream, BinlogStreamRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::config::Config;
use super::error::TransportError;
use super::session::Session;
use super::who::Replica;
use crate::gtid::GtidSet;

/// The server says that it is alive this often while it has nothing else to say.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// A connection is dead after this many heartbeats that did not come.
const MISSED: u32 = 3;
/// Events are handed over together, up to about this many bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// The unit in which what is ahead is counted.
const PERMIT_BYTES: usize = 1 << 10;
/// Most chunks ahead; bytes run out before, unless events come one at a time.
const MOST_CHUNKS: usize = 1_024;
/// Longest wait for the answer to a short statement.
const LIMIT: Duration = Duration::from_secs(30);
/// About what the driver keeps with each event, in bytes.
const EVENT_BYTES: usize = 512;

/// What to ask for.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// Who we are to the server.
    pub replica: Replica,
    /// What need not be sent.
    pub from: GtidSet,
    /// How far to read ahead, in bytes; a larger event is read all the same.
    pub read_ahead_bytes: usize,
    /// Longest silence, in place of the usual one: for events that take longer than that to arrive.
    pub silence: Option<Duration>,
}

struct Chunk {
    events: Vec<Event>,
    _room: OwnedSemaphorePermit,
}

/// A log under way.
pub struct Dump {
    chunks: mpsc::Receiver<Result<Chunk, TransportError>>,
    current: std::vec::IntoIter<Event>,
    room: Option<OwnedSemaphorePermit>,
    /// Received while nobody asked.
    held: Option<Result<Chunk, TransportError>>,
    reader: JoinSet<()>,
}

impl Dump {
    /// Asks for the log and waits for the first event of it, so that a refusal is known at once.
    ///
    /// # Errors
    /// The connection's, or the server's refusal.
    pub async fn open(config: &Config, request: DumpRequest) -> Result<Self, TransportError> {
        let silence = request.silence.unwrap_or(HEARTBEAT * MISSED);
        let bytes = request.read_ahead_bytes;
        let mut stream = Box::pin(start(config, request)).await?;
        let first = match timeout(LIMIT, stream.next()).await {
            Err(_) => {
                return Err(TransportError::Timeout { what: "the first event of the log", limit: LIMIT });
            }
            Ok(None) => return Err(TransportError::Ended),
            Ok(Some(event)) => event?,
        };
        let (to, chunks) = mpsc::channel(MOST_CHUNKS);
        let permits = (bytes / PERMIT_BYTES).clamp(CHUNK_BYTES / PERMIT_BYTES, Semaphore::MAX_PERMITS >> 1);
        let room = Arc::new(Semaphore::new(permits));
        let mut reader = JoinSet::new();
        let reading = Reading { stream, to, room, permits, silence };
        reader.spawn(reading.run());
        Ok(Self { chunks, current: vec![first].into_iter(), room: None, held: None, reader })
    }

    /// The next event, if it has been received.
    ///
    /// # Errors
    /// Those of the connection. None can be gone on after.
    pub fn try_next(&mut self) -> Result<Option<Event>, TransportError> {
        loop {
            if let Some(event) = self.current.next() {
                return Ok(Some(event));
            }
            self.room = None;
            let chunk = match self.held.take() {
                Some(chunk) => chunk?,
                None => match self.chunks.try_recv() {
                    Ok(chunk) => chunk?,
                    Err(mpsc::error::TryRecvError::Empty) => return Ok(None),
                    Err(mpsc::error::TryRecvError::Disconnected) => return Err(self.ended()),
                },
            };
            self.current = chunk.events.into_iter();
            self.room = Some(chunk._room);
        }
    }

    /// Waits until there is an event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn ready(&mut self) -> Result<(), TransportError> {
        if self.current.len() == 0 && self.held.is_none() {
            self.room = None;
            match self.chunks.recv().await {
                Some(chunk) => self.held = Some(chunk),
                None => return Err(self.ended()),
            }
        }
        Ok(())
    }

    /// Whether more has been received already.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.current.len() > 0 || self.held.is_some() || !self.chunks.is_empty()
    }

    /// The reader is gone without having said why.
    fn ended(&mut self) -> TransportError {
        match self.reader.try_join_next() {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!("the driver panicked at what the source sent");
                TransportError::Panicked
            }
            Some(Ok(()) | Err(_)) | None => TransportError::Ended,
        }
    }
}

/// What the reading task has.
struct Reading {
    stream: BinlogStream,
    to: mpsc::Sender<Result<Chunk, TransportError>>,
    room: Arc<Semaphore>,
    permits: usize,
    silence: Duration,
}

impl Reading {
    async fn run(mut self) {
        loop {
            let (events, bytes, end) = self.collect().await;
            if !events.is_empty() && !self.hand_over(events, bytes).await {
                return;
            }
            if let Some(error) = end {
                // Nobody may be there to hear it.
                drop(self.to.send(Err(error)).await);
                return;
            }
        }
    }

    /// Waits for an event and takes those that have come with it.
    async fn collect(&mut self) -> (Vec<Event>, usize, Option<TransportError>) {
        let (mut events, mut bytes) = (Vec::new(), 0_usize);
        let mut next = match timeout(self.silence, self.stream.next()).await {
            Ok(next) => Some(next),
            Err(_) => return (events, bytes, Some(TransportError::Silent(self.silence))),
        };
        while let Some(received) = take(&mut next) {
            match received {
                None => return (events, bytes, Some(TransportError::Ended)),
                Some(Err(error)) => return (events, bytes, Some(error.into())),
                Some(Ok(event)) => {
                    bytes = bytes.saturating_add(event.data().len() + EVENT_BYTES);
                    events.push(event);
                }
            }
            if bytes < CHUNK_BYTES {
                next = self.stream.next().now_or_never();
            }
        }
        (events, bytes, None)
    }

    /// Waits for room. Says whether anybody still wants events.
    async fn hand_over(&mut self, events: Vec<Event>, bytes: usize) -> bool {
        let wanted = (bytes / PERMIT_BYTES + 1).min(self.permits);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(wanted) => room,
            () = self.to.closed() => return false,
        };
        let Ok(room) = room else { return false };
        self.to.send(Ok(Chunk { events, _room: room })).await.is_ok()
    }
}

/// Says what a replica says before the log, and asks for it.
async fn start(config: &Config, request: DumpRequest) -> Result<BinlogStream, TransportError> {
    let mut session = Session::connect(config).await?;
    let nanos = HEARTBEAT.as_nanos();
    match &request.from {
        GtidSet::MySql(set) => {
            let uuid = request.replica.uuid();
            let say = format!(
                "SET @source_heartbeat_period = {nanos}, @master_heartbeat_period = {nanos}, @replica_uuid = '{uuid}', \
                 @slave_uuid = '{uuid}'"
            );
            session.run(&say, LIMIT).await?;
            let sids = set.sids().map_err(|e| TransportError::Unsupported(e.to_string()))?;
            let dump = BinlogStreamRequest::new(request.replica.id).with_gtid().with_gtid_set(sids);
            Ok(session.into_conn().get_binlog_stream(dump).await?)
        }
        GtidSet::MariaDb(position) => {
            // Below capability 4 the server hides GTIDs behind other events.
            let say = format!(
                "SET @mariadb_slave_capability = 4, @slave_connect_state = '{position}', @slave_gtid_strict_mode = 0, \
                 @slave_gtid_ignore_duplicates = 0, @master_heartbeat_period = {nanos}"
            );
            session.run(&say, LIMIT).await?;
            let dump = BinlogStreamRequest::new(request.replica.id);
            Ok(session.into_conn().get_binlog_stream(dump).await?)
        }
    }
}
