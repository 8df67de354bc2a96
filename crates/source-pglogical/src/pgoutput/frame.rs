//! What travels inside `CopyData` while a stream runs: log data and keepalives from the server, our status back.

use bytes::Bytes;

use super::error::{DecodeError, Problem};
use super::message::SourceTime;
use super::reader::Reader;
use crate::Lsn;

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `XLogData`: one message of the plugin.
    Wal(WalData),
    /// Primary keepalive.
    Keepalive(Keepalive),
}

/// One message of the plugin and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct WalData {
    /// Where in the log the change stands. Zero for some messages; not rising between transactions.
    pub start: Lsn,
    /// What the server calls its end of log here. PostgreSQL fills in `start` again: useless as a measure of lag.
    pub end: Lsn,
    /// When the server sent it.
    pub sent_at: SourceTime,
    /// The message, for [`decode`](super::decode). Shares the buffer it was received in.
    pub payload: Bytes,
}

/// The server's sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Up to here the server has decoded and sent everything that we should have.
    pub wal_end: Lsn,
    /// When the server sent it.
    pub sent_at: SourceTime,
    /// The server wants a status now, else it will end the connection.
    pub reply_requested: bool,
}

/// Our answer: how far we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Received.
    pub written: Lsn,
    /// Durable; the server forgets the log before it.
    pub flushed: Lsn,
    /// Visible.
    pub applied: Lsn,
    /// Our clock.
    pub at: SourceTime,
    /// Ask the server to answer at once: tells a silent server from a dead one.
    pub reply_requested: bool,
}

impl std::fmt::Debug for WalData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WalData({}, {} bytes)", self.start, self.payload.len())
    }
}

const WAL_DATA: u8 = b'w';
const KEEPALIVE: u8 = b'k';
const STATUS: u8 = b'r';

impl Frame {
    /// Reads what stands inside one `CopyData`.
    ///
    /// # Errors
    /// Anything but a whole frame of a known kind.
    pub fn parse(data: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("CopyData", data);
        let expected = "a frame's kind";
        match reader.u8(expected)? {
            WAL_DATA => {
                reader.rename("XLogData");
                let start = Lsn::new(reader.u64("the start of the data")?);
                let end = Lsn::new(reader.u64("the end of the log")?);
                let sent_at = SourceTime::from_micros(reader.i64("the time of sending")?);
                let payload = data.slice(data.len() - reader.left()..);
                Ok(Self::Wal(WalData { start, end, sent_at, payload }))
            }
            KEEPALIVE => {
                reader.rename("keepalive");
                let wal_end = Lsn::new(reader.u64("the end of the log")?);
                let sent_at = SourceTime::from_micros(reader.i64("the time of sending")?);
                let reply_requested = reader.u8("whether a reply is wanted")? != 0;
                reader.finish()?;
                Ok(Self::Keepalive(Keepalive { wal_end, sent_at, reply_requested }))
            }
            found => Err(reader.error(1, Problem::Unknown { expected, found })),
        }
    }
}

impl Status {
    /// Length of the encoded form.
    pub const BYTES: usize = 34;

    /// The same position as received, durable and visible.
    #[must_use]
    pub fn at(position: Lsn, at: SourceTime) -> Self {
        Self { written: position, flushed: position, applied: position, at, reply_requested: false }
    }

    /// What to put into `CopyData`.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[0] = STATUS;
        out[1..9].copy_from_slice(&self.written.get().to_be_bytes());
        out[9..17].copy_from_slice(&self.flushed.get().to_be_bytes());
        out[17..25].copy_from_slice(&self.applied.get().to_be_bytes());
        out[25..33].copy_from_slice(&self.at.micros().to_be_bytes());
        out[33] = u8::from(self.reply_requested);
        out
    }
}
