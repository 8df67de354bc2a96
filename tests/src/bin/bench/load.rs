//! The load generator: rendered requests over plain blocking sockets, one thread per connection. It does as little
//! as a client can, because it shares the processors with what it measures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// How often one request is sent again after 503 before the run fails.
const MOST_REPEATS: u32 = 200;
/// Pause after a 503.
const REPEAT_PAUSE: Duration = Duration::from_millis(50);

/// A rendered request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Rows in it.
    pub(crate) rows: usize,
    /// The newest time in it, in nanoseconds.
    pub(crate) upto: i64,
}

impl Request {
    /// A request with this body.
    pub(crate) fn new(path: &str, body: &str, rows: usize, upto: i64) -> Request {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = Vec::with_capacity(head.len() + body.len());
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(body.as_bytes());
        Request { bytes, rows, upto }
    }

    /// The same request with one more header.
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Request {
        let line = self.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut bytes = self.bytes[..line].to_vec();
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        bytes.extend_from_slice(&self.bytes[line..]);
        Request { bytes, ..*self }
    }

    /// A resolved mark.
    pub(crate) fn mark(path: &str, nanos: i64) -> Request {
        Request::new(path, &format!("{{\"resolved\":\"{nanos}.0000000000\"}}"), 0, nanos)
    }
}

/// One connection.
pub(crate) struct Sender {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Requests that were answered 503 and sent again.
    pub(crate) repeats: u32,
}

impl Sender {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Sender> {
        Ok(Sender { address, stream: dial(address)?, buffer: vec![0; 4096], repeats: 0 })
    }

    /// Sends a request until it is taken.
    pub(crate) fn send(&mut self, request: &Request) -> Result<()> {
        for _ in 0..MOST_REPEATS {
            // Who refuses a large body answers before it has read it, and then closes: the answer may be lost.
            let sent = self.stream.write_all(&request.bytes);
            match self.answer() {
                Ok((200..=299, _)) => return Ok(()),
                Ok((503, _)) => {}
                Ok((status, text)) => bail!("the service answered {status}: {text}"),
                Err(_) if sent.is_err() => {}
                Err(error) => return Err(error),
            }
            self.repeats += 1;
            std::thread::sleep(REPEAT_PAUSE);
            self.stream = dial(self.address)?;
        }
        bail!("the service answered 503 to a request {MOST_REPEATS} times");
    }

    /// Reads one answer; ours always carry a length.
    fn answer(&mut self) -> Result<(u16, String)> {
        let mut have = 0;
        loop {
            if have == self.buffer.len() {
                self.buffer.resize(2 * have, 0);
            }
            let read = self.stream.read(&mut self.buffer[have..]).context("no answer")?;
            ensure!(read > 0, "the service closed the connection");
            have += read;
            let Some(head) = find(&self.buffer[..have], b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
            let status =
                text.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
            let end = head + 4 + length;
            if have >= end {
                let body = String::from_utf8_lossy(&self.buffer[head + 4..end]).trim().to_owned();
                return Ok((status, body));
            }
            self.buffer.resize(end.max(self.buffer.len()), 0);
        }
    }
}

fn dial(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("cannot connect to the service")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    Ok(stream)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Sends one request on a connection of its own.
pub(crate) fn send_one(address: SocketAddr, request: &Request) -> Result<()> {
    Sender::connect(address)?.send(request)
}

/// Sends all requests over so many connections; returns the time from the first byte to the last answer, and how
/// often a request had to be sent again. The connections are made before.
pub(crate) fn send_all(
    address: SocketAddr,
    requests: &[Request],
    connections: usize,
) -> Result<(Duration, u32)> {
    let mut senders = (0..connections).map(|_| Sender::connect(address)).collect::<Result<Vec<_>>>()?;
    let took = in_threads(&mut senders, requests, |sender, request| sender.send(request))?;
    Ok((took, senders.iter().map(|sender| sender.repeats).sum()))
}

/// Works off all items with one thread per connection; returns how long that took.
pub(crate) fn in_threads<C: Send, T: Sync>(
    connections: &mut [C],
    items: &[T],
    work: impl Fn(&mut C, &T) -> Result<()> + Sync,
) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let one = |connection: &mut C| {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(connection, item)?;
        }
        Ok(())
    };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> =
            connections.iter_mut().map(|connection| scope.spawn(move || one(connection))).collect();
        threads.into_iter().try_for_each(joined)
    })?;
    Ok(begin.elapsed())
}

/// The result of a thread.
pub(crate) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread of the load generator panicked"))
}
