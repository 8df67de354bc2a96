//! A running stream: frames in, statuses out.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ServerError, TransportError};
use super::socket::Socket;
use crate::pgoutput::{Frame, Status};

/// Room that is made for one read, in bytes. What fits is taken at once and handed out without another read.
const READ_BYTES: usize = 256 * 1024;
/// Kind and length of a message.
const HEADER_BYTES: usize = 5;
/// The length counts itself.
const LENGTH_BYTES: usize = 4;
/// Most statuses that may wait to be written, in bytes. They are tiny and the newest says it all.
const UNSENT_BYTES: usize = 4096;

/// A running stream.
///
/// Memory: at most one read's room beyond what makes up the message under way, which is bounded by the limit given at
/// the start; then the buffers of frames that the caller holds on to, since frames share the buffer they were read into.
/// What the caller does not take stays in the server.
pub struct Stream {
    socket: Socket,
    received: BytesMut,
    unsent: BytesMut,
    message_bytes: usize,
    /// Waited before a read, so that more has come.
    pause: Option<Duration>,
    /// Whether the pause before the read under way has passed.
    rested: bool,
    reads: u64,
}

impl Stream {
    /// A good pause for a stream that is behind. The runtime's clock makes about a millisecond of it, a few hundred rows.
    pub const BACKLOG_PAUSE: Duration = Duration::from_micros(300);

    pub(super) fn new(socket: Socket, message_bytes: usize) -> Self {
        let received = BytesMut::with_capacity(READ_BYTES);
        let unsent = BytesMut::new();
        Self { socket, received, unsent, message_bytes, pause: None, rested: false, reads: 0 }
    }

    /// Sets a pause before each read, or none. The server sends each row by itself; waking for each costs both sides
    /// more than the row. For a stream that is behind, [`BACKLOG_PAUSE`](Self::BACKLOG_PAUSE) makes a few hundred rows one
    /// read. For one that is not, it would be latency.
    pub fn set_pause(&mut self, pause: Option<Duration>) {
        self.pause = pause;
    }

    /// Reads from the socket so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// The next frame if it has been received as a whole: no wait, no system call.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<Frame>, TransportError> {
        while let Some((tag, payload)) = split_message(&mut self.received, self.message_bytes)? {
            match tag {
                b'd' => return Ok(Some(Frame::parse(&payload)?)),
                b'E' => {
                    let source = ServerError::parse(&payload);
                    return Err(TransportError::Server { what: "to go on with the stream", source });
                }
                // Notice, parameter.
                b'N' | b'S' => {}
                // Copy done, command complete: what a server says that shuts down.
                b'c' | b'C' => return Err(TransportError::Ended),
                _ => return Err(TransportError::Protocol("an unknown message in the stream")),
            }
        }
        Ok(None)
    }

    /// The next frame. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The network, the server's error or its end of the stream, a message above the limit, a malformed frame. None can
    /// be gone on after.
    pub async fn next(&mut self) -> Result<Frame, TransportError> {
        loop {
            if let Some(frame) = self.try_next()? {
                self.rested = false;
                return Ok(frame);
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), TransportError> {
        if let (Some(pause), false) = (self.pause, self.rested) {
            self.socket.rest()?;
            tokio::time::sleep(pause).await;
            self.rested = true;
        }
        // The buffer grows with what has arrived, never with what a header announces.
        self.received.reserve(READ_BYTES);
        let taken = self.socket.read_buf(&mut self.received).await?;
        self.rested = false;
        self.reads += 1;
        if taken == 0 {
            let end = std::io::ErrorKind::UnexpectedEof;
            return Err(TransportError::Io(std::io::Error::new(end, "the connection was closed")));
        }
        Ok(())
    }

    /// Tells the server how far we are. If the future is dropped, the rest is sent by the next call of this or of
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// The network.
    pub async fn send_status(&mut self, status: Status) -> Result<(), TransportError> {
        if self.unsent.len() > UNSENT_BYTES {
            self.flush().await?;
        }
        put_copy_data(&mut self.unsent, &status.encode());
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        while self.unsent.has_remaining() {
            // Takes out of the buffer exactly what was written.
            if self.socket.write_buf(&mut self.unsent).await? == 0 {
                return Err(TransportError::Io(std::io::ErrorKind::WriteZero.into()));
            }
        }
        Ok(self.socket.flush().await?)
    }

    /// Ends the stream: says so, and waits until the server has freed the slot. Frames that were still under way are
    /// dropped; they come again.
    ///
    /// # Errors
    /// The network, or the limit of time; the slot is then freed when the server notices.
    pub async fn finish(mut self, last: Status, limit: Duration) -> Result<(), TransportError> {
        put_copy_data(&mut self.unsent, &last.encode());
        // CopyDone, Terminate.
        self.unsent.put_slice(b"c\0\0\0\x04X\0\0\0\x04");
        let end = async {
            self.flush().await?;
            loop {
                self.received.clear();
                if self.socket.read_buf(&mut self.received).await? == 0 {
                    return Ok(());
                }
            }
        };
        let ended = tokio::time::timeout(limit, end).await;
        ended.map_err(|_| TransportError::Timeout { what: "ending the stream", limit })?
    }
}

/// Takes the first message out of a buffer, if it is whole: its kind and what follows its length.
fn split_message(buffer: &mut BytesMut, limit: usize) -> Result<Option<(u8, Bytes)>, TransportError> {
    let Some(&[tag, a, b, c, d]) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d]));
    let length = length.ok().and_then(|length| length.checked_sub(LENGTH_BYTES));
    let bytes = length.ok_or(TransportError::Protocol("a message is shorter than its own length"))?;
    if bytes > limit {
        return Err(TransportError::TooLarge { bytes, limit });
    }
    if buffer.len() < HEADER_BYTES + bytes {
        return Ok(None);
    }
    let mut message = buffer.split_to(HEADER_BYTES + bytes).freeze();
    message.advance(HEADER_BYTES);
    Ok(Some((tag, message)))
}

fn put_copy_data(out: &mut BytesMut, payload: &[u8; Status::BYTES]) {
    const LENGTH: u8 = 38;
    const { assert!(LENGTH as usize == Status::BYTES + LENGTH_BYTES) };
    out.put_u8(b'd');
    out.put_slice(&[0, 0, 0, LENGTH]);
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;
    use crate::Lsn;
    use crate::pgoutput::SourceTime;

    const LIMIT: usize = 1024;

    fn keepalive(wal_end: u64) -> Vec<u8> {
        let mut message = vec![b'd', 0, 0, 0, 22, b'k'];
        message.extend(wal_end.to_be_bytes());
        message.extend([0; 9]);
        message
    }

    fn wal_end(frame: &Frame) -> Lsn {
        match frame {
            Frame::Keepalive(keepalive) => keepalive.wal_end,
            Frame::Wal(_) => panic!("not a keepalive"),
        }
    }

    fn on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        on(async {
            let (ours, mut server) = duplex(4096);
            let mut stream = Stream::new(Box::new(ours), LIMIT);
            let bytes = [keepalive(1), keepalive(2), keepalive(3)].concat();
            for byte in &bytes {
                server.write_all(&[*byte]).await.unwrap();
                // Dropped in the middle of a message: nothing is lost.
                let short = Duration::from_millis(0);
                if let Ok(frame) = tokio::time::timeout(short, stream.next()).await {
                    assert!(wal_end(&frame.unwrap()) >= Lsn::new(1));
                }
            }
            server.write_all(&keepalive(9)).await.unwrap();
            let mut last = stream.next().await.unwrap();
            while wal_end(&last) != Lsn::new(9) {
                last = stream.next().await.unwrap();
            }
        });
    }

    #[test]
    fn one_read_takes_what_has_piled_up() {
        on(async {
            let (ours, mut server) = duplex(4096);
            let mut stream = Stream::new(Box::new(ours), LIMIT);
            for at in 1..=50 {
                server.write_all(&keepalive(at)).await.unwrap();
            }
            assert_eq!(wal_end(&stream.next().await.unwrap()), Lsn::new(1));
            let mut more = 1;
            while stream.try_next().unwrap().is_some() {
                more += 1;
            }
            assert_eq!((more, stream.reads()), (50, 1));
        });
    }

    #[test]
    fn a_message_above_the_limit_is_refused_by_its_header() {
        on(async {
            let (ours, mut server) = duplex(4096);
            let mut stream = Stream::new(Box::new(ours), LIMIT);
            server.write_all(&[b'd', 0x40, 0, 0, 0]).await.unwrap();
            let refused = stream.next().await.unwrap_err();
            assert!(
                matches!(refused, TransportError::TooLarge { bytes: 0x3FFF_FFFC, limit: LIMIT }),
                "{refused}"
            );
        });
    }

    #[test]
    fn the_servers_error_its_end_and_a_broken_connection_are_told_apart() {
        on(async {
            let (ours, mut server) = duplex(4096);
            let mut stream = Stream::new(Box::new(ours), LIMIT);
            server.write_all(b"E\0\0\0\x11C57P01\0Mbye\0\0").await.unwrap();
            assert_eq!(stream.next().await.unwrap_err().sqlstate(), Some("57P01"));
            server.write_all(b"c\0\0\0\x04").await.unwrap();
            assert!(matches!(stream.next().await, Err(TransportError::Ended)));
            drop(server);
            assert!(matches!(stream.next().await, Err(TransportError::Io(_))));
        });
    }

    #[test]
    fn a_status_goes_out_as_copy_data() {
        on(async {
            let (ours, mut server) = duplex(4096);
            let mut stream = Stream::new(Box::new(ours), LIMIT);
            stream.send_status(Status::at(Lsn::new(7), SourceTime::from_micros(9))).await.unwrap();
            let mut sent = [0; 39];
            server.read_exact(&mut sent).await.unwrap();
            let seven = 7_u64.to_be_bytes();
            let expected =
                [b"d\0\0\0\x26r", &seven[..], &seven, &seven, &9_u64.to_be_bytes(), b"\0"].concat();
            assert_eq!(sent.as_slice(), expected);
        });
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_are_made_up(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut taken = 0;
            while let Ok(Some((_, payload))) = split_message(&mut buffer, LIMIT) {
                taken += HEADER_BYTES + payload.len();
                let _ = Frame::parse(&payload);
            }
            prop_assert_eq!(taken + buffer.len(), bytes.len());
        }
    }
}
