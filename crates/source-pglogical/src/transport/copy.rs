//! Tables out of the source: the answer to one COPY … TO STDOUT after the other, as bytes.

use std::time::Duration;

use pgwire_replication::protocol::framing::write_query;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::error::{ServerError, TransportError};
use super::session::{Row, Session};
use super::socket::Socket;

/// Read at once, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// Handed out at once if so much has come, in bytes. The last of an answer may be shorter; none is longer than one read
/// and this.
const PORTION_BYTES: usize = 128 * 1024;
/// Kind and length of a message.
const HEADER_BYTES: usize = 5;
/// The length counts itself.
const LENGTH_BYTES: usize = 4;
/// Most bytes of a message that is not data: an error, a completion.
const OTHER_BYTES: usize = 64 * 1024;

/// A session that reads tables.
///
/// Memory: one read and one portion, however large a row is; rows are passed on before they are whole.
pub struct CopySession {
    session: Session,
    received: Box<[u8]>,
    /// What of it is still to be looked at.
    begin: usize,
    end: usize,
    cut: Cutter,
    portion: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Takes a command.
    Ready,
    /// Data come.
    Copying,
    /// Cut off in the middle, or failed.
    Broken,
}

impl CopySession {
    /// Takes a session for copying.
    #[must_use]
    pub fn new(session: Session) -> Self {
        let received = vec![0; READ_BYTES].into_boxed_slice();
        let portion = Vec::with_capacity(PORTION_BYTES + READ_BYTES);
        Self { session, received, begin: 0, end: 0, cut: Cutter::default(), portion, stage: Stage::Ready }
    }

    /// Runs a statement between two copies.
    ///
    /// # Errors
    /// As [`Session::query`], or if a copy was not read to its end.
    pub async fn query(&mut self, statement: &str, limit: Duration) -> Result<Vec<Row>, TransportError> {
        self.ready()?;
        self.session.query(statement, limit).await
    }

    fn ready(&self) -> Result<(), TransportError> {
        if self.stage == Stage::Ready { Ok(()) } else { Err(TransportError::OutOfStep) }
    }

    /// Begins a copy: `statement` is `COPY … TO STDOUT`. Its rows are read by [`next`](Self::next).
    ///
    /// # Errors
    /// As [`Session::query`]. What the server refuses may as well come with the first portion.
    pub async fn begin(&mut self, statement: &str, limit: Duration) -> Result<(), TransportError> {
        self.ready()?;
        if statement.contains('\0') {
            return Err(TransportError::Protocol("a command holds a zero byte"));
        }
        self.stage = Stage::Broken;
        let sent = timeout(limit, write_query(self.session.command_socket(), statement)).await;
        sent.map_err(|_| TransportError::Timeout { what: "a command to the source", limit })??;
        (self.begin, self.end, self.cut) = (0, 0, Cutter::default());
        self.stage = Stage::Copying;
        Ok(())
    }

    /// Rows of the copy that were begun so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.cut.rows
    }

    /// The next bytes, cut anywhere; `None` at the end of the copy. Waits at most `limit` for each read: a server that
    /// filters rows may be silent for long.
    ///
    /// # Errors
    /// The network, the limit, or the server's error. Nothing more can be done with the session.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<&[u8]>, TransportError> {
        match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Copying => {}
            Stage::Ready | Stage::Broken => return Err(TransportError::OutOfStep),
        }
        self.portion.clear();
        loop {
            let taken = self.cut.cut(&self.received[self.begin..self.end], &mut self.portion)?;
            self.begin += taken;
            if self.cut.ended {
                return self.finish();
            }
            if self.portion.len() >= PORTION_BYTES {
                self.stage = Stage::Copying;
                return Ok(Some(&self.portion));
            }
            self.read(limit).await?;
        }
    }

    /// All has come. A last portion is handed out first, the end by the call after.
    fn finish(&mut self) -> Result<Option<&[u8]>, TransportError> {
        if let Some(source) = self.cut.refused.take() {
            return Err(TransportError::Server { what: "to copy a table", source });
        }
        if self.begin != self.end {
            return Err(TransportError::Protocol("more messages after the end of a copy"));
        }
        if self.portion.is_empty() {
            self.stage = Stage::Ready;
            self.session.command_done();
            return Ok(None);
        }
        self.stage = Stage::Copying;
        Ok(Some(&self.portion))
    }

    async fn read(&mut self, limit: Duration) -> Result<(), TransportError> {
        // What is left is the beginning of a message that is not data, hence short.
        self.received.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let socket: &mut Socket = self.session.command_socket();
        let read = timeout(limit, socket.read(&mut self.received[self.end..])).await;
        let taken =
            read.map_err(|_| TransportError::Timeout { what: "the next rows of a copy", limit })??;
        if taken == 0 {
            let end = std::io::ErrorKind::UnexpectedEof;
            return Err(TransportError::Io(std::io::Error::new(end, "the connection was closed")));
        }
        self.end += taken;
        Ok(())
    }
}

/// Takes the frames off the data of a copy. Pure.
#[derive(Debug, Default)]
struct Cutter {
    /// Bytes of the data message under way that are still to come.
    inside: usize,
    rows: u64,
    refused: Option<ServerError>,
    ended: bool,
}

impl Cutter {
    /// Appends the data in `bytes` to `out`; answers how many bytes are done with.
    fn cut(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, TransportError> {
        let mut rest = bytes;
        while !self.ended {
            if self.inside > 0 {
                let (data, after) = rest.split_at(self.inside.min(rest.len()));
                out.extend_from_slice(data);
                self.inside -= data.len();
                rest = after;
            }
            let Some(&[tag, a, b, c, d]) = rest.first_chunk::<HEADER_BYTES>() else { break };
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d]));
            let length = length.ok().and_then(|length| length.checked_sub(LENGTH_BYTES));
            let length =
                length.ok_or(TransportError::Protocol("a message is shorter than its own length"))?;
            if tag == b'd' {
                // A server sends one message for each row.
                self.rows += 1;
                self.inside = length;
                rest = &rest[HEADER_BYTES..];
                continue;
            }
            if length > OTHER_BYTES {
                return Err(TransportError::TooLarge { bytes: length, limit: OTHER_BYTES });
            }
            let Some(payload) = rest.get(HEADER_BYTES..HEADER_BYTES + length) else { break };
            self.other(tag, payload)?;
            rest = &rest[HEADER_BYTES + length..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn other(&mut self, tag: u8, payload: &[u8]) -> Result<(), TransportError> {
        match tag {
            // The beginning and the end of the data, completion, notice, parameter.
            b'H' | b'c' | b'C' | b'N' | b'S' => Ok(()),
            b'E' => {
                self.refused = Some(ServerError::parse(payload));
                Ok(())
            }
            b'Z' => {
                self.ended = true;
                Ok(())
            }
            _ => Err(TransportError::Protocol("an unknown message in a copy")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + LENGTH_BYTES).unwrap();
        [&[tag][..], &length.to_be_bytes(), payload].concat()
    }

    fn copy(rows: &[Vec<u8>]) -> Vec<u8> {
        let data: Vec<u8> = rows.iter().flat_map(|row| message(b'd', row)).collect();
        let end = [message(b'c', b""), message(b'C', b"COPY 1\0"), message(b'Z', b"T")].concat();
        [message(b'H', b"\0\0\x01\0\0"), data, end].concat()
    }

    #[test]
    fn an_error_after_some_rows_is_told() {
        let mut cutter = Cutter::default();
        let bytes =
            [message(b'd', b"1\n"), message(b'E', b"C57014\0Mstop\0\0"), message(b'Z', b"E")].concat();
        let mut out = Vec::new();
        assert_eq!(cutter.cut(&bytes, &mut out).unwrap(), bytes.len());
        assert_eq!(cutter.refused.unwrap().sqlstate, "57014");
    }

    #[test]
    fn messages_that_cannot_be_are_refused() {
        let mut out = Vec::new();
        assert!(Cutter::default().cut(&message(b'?', b""), &mut out).is_err());
        assert!(Cutter::default().cut(b"d\0\0\0\x03", &mut out).is_err());
        assert!(Cutter::default().cut(b"E\x7f\xff\xff\xff", &mut out).is_err());
        assert_eq!(out, b"");
    }

    proptest! {
        #[test]
        fn the_data_are_found_however_the_bytes_are_cut(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1_usize..30, 1..200),
        ) {
            let bytes = copy(&rows);
            let (mut cutter, mut out) = (Cutter::default(), Vec::new());
            let (mut begin, mut end) = (0, 0);
            let mut cuts = cuts.into_iter().cycle();
            while end < bytes.len() {
                end = (end + cuts.next().unwrap()).min(bytes.len());
                begin += cutter.cut(&bytes[begin..end], &mut out).unwrap();
            }
            prop_assert!(cutter.ended && begin == bytes.len());
            prop_assert_eq!(cutter.rows, u64::try_from(rows.len()).unwrap());
            prop_assert_eq!(out, rows.concat());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut out = Vec::new();
            if let Ok(taken) = Cutter::default().cut(&bytes, &mut out) {
                prop_assert!(taken <= bytes.len() && out.len() <= taken);
            }
        }
    }
}
