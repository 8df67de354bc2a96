//! A replication session before it streams: commands, one at a time.

use std::time::Duration;

use bytes::{Buf, Bytes};
use pgwire_replication::protocol::BackendMessage;
use pgwire_replication::protocol::framing::{MessageReader, write_query};
use tokio::time::timeout;

use super::auth::Purpose;
use super::config::Config;
use super::error::{ServerError, TransportError};
use super::socket::{self, Socket};
use super::stream::Stream;
use super::{auth, sql};
use crate::Lsn;

/// One row of an answer: texts, or NULL.
pub type Row = Vec<Option<String>>;

/// What the server says to `IDENTIFY_SYSTEM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Made when the cluster was created.
    pub system_id: String,
    /// The current timeline.
    pub timeline: u32,
    /// How far the log is on disk.
    pub end_of_log: Lsn,
    /// The session's database.
    pub database: String,
}

/// What becomes of the snapshot that a new slot makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotAction {
    /// Others may import it by name until this session's next command, which ends it.
    Export,
    /// No snapshot.
    Nothing,
}

/// A slot to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSlot {
    /// Its name: lower-case letters, digits and underscores.
    pub name: String,
    /// Gone when this session ends.
    pub temporary: bool,
    /// Its snapshot.
    pub snapshot: SnapshotAction,
}

/// A slot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// The snapshot holds everything committed before, the stream everything after.
    pub consistent_point: Lsn,
    /// The exported snapshot's name.
    pub snapshot: Option<String>,
}

/// What to stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRequest {
    /// From this slot.
    pub slot: String,
    /// Transactions that end after this. A position beyond the server's log is *not* refused by the server: see
    /// [`check_resume`](crate::position::check_resume), which comes first.
    pub from: Lsn,
    /// Changes in these publications.
    pub publications: Vec<String>,
}

/// A connected, authenticated replication session.
///
/// Dropping the future of a command leaves the session out of step; the next command says so.
pub struct Session {
    socket: Socket,
    reader: MessageReader,
    config: Config,
    /// No answer is under way.
    in_step: bool,
    /// Notices and warnings in answer to the last command.
    notices: Vec<ServerError>,
}

/// Notices kept of one answer; further ones are dropped.
const NOTICES: usize = 16;

impl Session {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// Configuration, network, TLS, authentication, or the limit of time.
    pub async fn connect(config: &Config) -> Result<Self, TransportError> {
        Self::open(config, Purpose::Replication).await
    }

    /// Connects and authenticates as an ordinary client: for [`query`](Self::query) alone, also as a role that may not
    /// replicate.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_for_queries(config: &Config) -> Result<Self, TransportError> {
        Self::open(config, Purpose::Queries).await
    }

    async fn open(config: &Config, purpose: Purpose) -> Result<Self, TransportError> {
        config.check()?;
        let limit = config.limits.connect;
        let connect = async {
            let mut socket = socket::open(config).await?;
            auth::log_in(&mut socket, config, purpose).await?;
            Ok(socket)
        };
        let connected: Result<Result<Socket, TransportError>, _> = timeout(limit, connect).await;
        let socket =
            connected.map_err(|_| TransportError::Timeout { what: "connecting to the source", limit })??;
        let reader = MessageReader::new().with_max_message_size(config.limits.answer_bytes);
        Ok(Self { socket, reader, config: config.clone(), in_step: true, notices: Vec::new() })
    }

    /// Which server this is, and how far its log goes.
    ///
    /// # Errors
    /// As [`query`](Self::query), or an answer that makes no sense.
    pub async fn identify_system(&mut self, limit: Duration) -> Result<SystemIdentity, TransportError> {
        let rows = self.query("IDENTIFY_SYSTEM", limit).await?;
        let nonsense =
            || TransportError::Protocol("IDENTIFY_SYSTEM was not answered with one row of four texts");
        let [row] = rows.as_slice() else { return Err(nonsense()) };
        let [Some(system_id), Some(timeline), Some(end_of_log), Some(database)] = row.as_slice() else {
            return Err(nonsense());
        };
        Ok(SystemIdentity {
            system_id: system_id.clone(),
            timeline: timeline.parse().map_err(|_| nonsense())?,
            end_of_log: end_of_log.parse().map_err(|_| nonsense())?,
            database: database.clone(),
        })
    }

    /// How long the server waits for a status before it ends the connection; zero for ever.
    ///
    /// # Errors
    /// As [`query`](Self::query), or an answer that makes no sense.
    pub async fn wal_sender_timeout(&mut self, limit: Duration) -> Result<Duration, TransportError> {
        // SHOW would give a number with a unit chosen by size.
        let statement = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let rows = self.query(statement, limit).await?;
        let millis = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        millis
            .map(Duration::from_millis)
            .ok_or(TransportError::Protocol("wal_sender_timeout is not a number"))
    }

    /// Makes a slot. Waits for every transaction that is writing at the moment, so the limit should be generous.
    ///
    /// # Errors
    /// As [`query`](Self::query), or an answer that makes no sense.
    pub async fn create_slot(
        &mut self,
        slot: &NewSlot,
        limit: Duration,
    ) -> Result<CreatedSlot, TransportError> {
        let temporary = if slot.temporary { " TEMPORARY" } else { "" };
        let snapshot = match slot.snapshot {
            SnapshotAction::Export => "EXPORT_SNAPSHOT",
            SnapshotAction::Nothing => "NOEXPORT_SNAPSHOT",
        };
        let name = sql::identifier(&slot.name);
        // The old spelling, which every version since 10 takes.
        let command = format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput {snapshot}");
        let rows = self.query(&command, limit).await?;
        let nonsense = || TransportError::Protocol("CREATE_REPLICATION_SLOT was not answered with a slot");
        let [row] = rows.as_slice() else { return Err(nonsense()) };
        let [Some(name), Some(point), snapshot, _] = row.as_slice() else { return Err(nonsense()) };
        Ok(CreatedSlot {
            name: name.clone(),
            consistent_point: point.parse().map_err(|_| nonsense())?,
            snapshot: snapshot.clone(),
        })
    }

    /// What the server remarked in answer to the last command, as far as its first 16 remarks.
    #[must_use]
    pub fn notices(&self) -> &[ServerError] {
        &self.notices
    }

    /// Runs one command or statement and returns all rows of its answer.
    ///
    /// # Errors
    /// The server's refusal, which leaves the session usable; everything else does not.
    pub async fn query(&mut self, command: &str, limit: Duration) -> Result<Vec<Row>, TransportError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(TransportError::OutOfStep);
        }
        if command.contains('\0') {
            return Err(TransportError::Protocol("a command holds a zero byte"));
        }
        let answer = timeout(limit, self.ask(command)).await;
        let answer =
            answer.map_err(|_| TransportError::Timeout { what: "a command to the source", limit })??;
        self.in_step = true;
        answer.map_err(|source| TransportError::Server { what: "a command", source })
    }

    async fn ask(&mut self, command: &str) -> Result<Result<Vec<Row>, ServerError>, TransportError> {
        write_query(&mut self.socket, command).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        self.notices.clear();
        let mut left = self.config.limits.answer_bytes;
        loop {
            let BackendMessage { tag, payload } = self.reader.read(&mut self.socket).await?;
            let limit = self.config.limits.answer_bytes;
            left = left
                .checked_sub(payload.len())
                .ok_or(TransportError::TooLarge { bytes: limit + 1, limit })?;
            match tag {
                b'D' => rows.push(data_row(payload)?),
                b'E' => refused = Some(ServerError::parse(&payload)),
                b'Z' => return Ok(refused.map_or(Ok(rows), Err)),
                b'N' if self.notices.len() < NOTICES => self.notices.push(ServerError::parse(&payload)),
                // Description, completion, nothing to run, notice, parameter.
                b'T' | b'C' | b'I' | b'N' | b'S' => {}
                _ => return Err(TransportError::Protocol("an unknown message in answer to a command")),
            }
        }
    }

    /// The socket, for a command whose answer is read elsewhere. Out of step until [`command_done`](Self::command_done).
    pub(super) fn command_socket(&mut self) -> &mut Socket {
        self.in_step = false;
        &mut self.socket
    }

    /// The answer was read to its end, and not a byte more.
    pub(super) fn command_done(&mut self) {
        self.in_step = true;
    }

    /// Starts the stream. The session's exported snapshot, if any, ends.
    ///
    /// # Errors
    /// The server's refusal, such as `55006` while another reader holds the slot; the network; the limit of time.
    pub async fn start(mut self, request: &StartRequest, limit: Duration) -> Result<Stream, TransportError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(TransportError::OutOfStep);
        }
        let command = sql::start_replication(&request.slot, request.from, &request.publications);
        if command.contains('\0') {
            return Err(TransportError::Protocol("a command holds a zero byte"));
        }
        let started = timeout(limit, self.begin_copy(&command)).await;
        started.map_err(|_| TransportError::Timeout { what: "starting the stream", limit })??;
        // The reader takes no byte beyond the message it returns, so the stream begins with a whole message.
        Ok(Stream::new(self.socket, self.config.limits.message_bytes))
    }

    async fn begin_copy(&mut self, command: &str) -> Result<(), TransportError> {
        write_query(&mut self.socket, command).await?;
        loop {
            let BackendMessage { tag, payload } = self.reader.read(&mut self.socket).await?;
            match tag {
                b'W' => return Ok(()),
                b'E' => {
                    let source = ServerError::parse(&payload);
                    return Err(TransportError::Server { what: "to start the stream", source });
                }
                b'N' | b'S' => {}
                _ => return Err(TransportError::Protocol("an unknown message at the start of the stream")),
            }
        }
    }
}

/// The texts of one row.
fn data_row(mut payload: Bytes) -> Result<Row, TransportError> {
    let malformed = TransportError::Protocol("a row of an answer is malformed");
    let Ok(count) = payload.try_get_u16() else { return Err(malformed) };
    let mut row = Vec::new();
    for _ in 0..count {
        let Ok(length) = payload.try_get_i32() else { return Err(malformed) };
        // Below zero: NULL.
        let Ok(length) = usize::try_from(length) else {
            row.push(None);
            continue;
        };
        if length > payload.len() {
            return Err(malformed);
        }
        let Ok(text) = String::from_utf8(payload.split_to(length).to_vec()) else { return Err(malformed) };
        row.push(Some(text));
    }
    if payload.is_empty() { Ok(row) } else { Err(malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_is_read_with_its_nulls() {
        let row = Bytes::from_static(b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(data_row(row).unwrap(), [Some("ab".to_owned()), None, Some(String::new())]);
    }

    #[test]
    fn a_row_that_is_cut_off_or_too_long_is_refused() {
        for bytes in [&b""[..], b"\0", b"\0\x01", b"\0\x01\0\0\0\x02a", b"\0\0x", b"\0\x01\0\0\0\x01\xff"] {
            assert!(data_row(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_row_panics(bytes: Vec<u8>) {
            let _ = data_row(Bytes::from(bytes));
        }
    }
}
