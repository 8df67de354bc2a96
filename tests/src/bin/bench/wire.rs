//! The rival's client: just enough of PostgreSQL's protocol (version 3) to run COPY and one prepared statement with
//! binary arrays, over a blocking socket without Nagle's delay. A driver would only make the rival slower.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// Types of array elements, by their numbers in `pg_type`.
pub(crate) const INT8: u32 = 20;
/// `int4`.
pub(crate) const INT4: u32 = 23;
/// `text`.
pub(crate) const TEXT: u32 = 25;
/// `float8`.
pub(crate) const FLOAT8: u32 = 701;
/// `bool`.
pub(crate) const BOOL: u32 = 16;

/// A session.
pub(crate) struct Session {
    stream: TcpStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    have: usize,
}

impl Session {
    /// Connects as the superuser of a server that trusts local clients.
    pub(crate) fn connect(address: SocketAddr, database: &str) -> Result<Session> {
        let stream = TcpStream::connect(address).context("cannot connect to PostgreSQL")?;
        stream.set_nodelay(true)?;
        let mut session = Session { stream, out: Vec::new(), buffer: vec![0; 1 << 16], have: 0 };
        let start = format!("\0\x03\0\0user\0postgres\0database\0{database}\0\0");
        let length = u32::try_from(start.len() + 4)?.to_be_bytes();
        session.stream.write_all(&[&length[..], start.as_bytes()].concat())?;
        session.until(b'Z')?;
        Ok(session)
    }

    /// Runs statements that need no parameters.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<()> {
        self.message(b'Q', |out| text(out, sql))?;
        self.flush()?;
        self.until(b'Z')
    }

    /// One COPY … FROM STDIN in its own transaction.
    pub(crate) fn copy(&mut self, sql: &str, data: &[u8]) -> Result<()> {
        self.message(b'Q', |out| text(out, sql))?;
        self.flush()?;
        self.until(b'G')?;
        self.message(b'd', |out| out.extend_from_slice(data))?;
        self.message(b'c', |_| {})?;
        self.flush()?;
        self.until(b'Z')
    }

    /// Prepares the statement that [`Session::run`] runs.
    pub(crate) fn prepare(&mut self, sql: &str) -> Result<()> {
        self.message(b'P', |out| {
            text(out, "rival");
            text(out, sql);
            out.extend_from_slice(&[0, 0]);
        })?;
        self.message(b'S', |_| {})?;
        self.flush()?;
        self.until(b'Z')
    }

    /// Runs the prepared statement with binary parameters, in its own transaction and one round trip.
    pub(crate) fn run(&mut self, parameters: &[Vec<u8>]) -> Result<()> {
        let count = u16::try_from(parameters.len())?;
        self.message(b'B', |out| {
            text(out, "");
            text(out, "rival");
            // One format code for all of them: binary.
            out.extend_from_slice(&[0, 1, 0, 1]);
            out.extend_from_slice(&count.to_be_bytes());
            for parameter in parameters {
                length(out, parameter.len());
                out.extend_from_slice(parameter);
            }
            out.extend_from_slice(&[0, 0]);
        })?;
        self.message(b'E', |out| out.extend_from_slice(&[0, 0, 0, 0, 0]))?;
        self.message(b'S', |_| {})?;
        self.flush()?;
        self.until(b'Z')
    }

    fn message(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.out.push(kind);
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        fill(&mut self.out);
        let length = u32::try_from(self.out.len() - at)?;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).context("the connection to PostgreSQL broke")?;
        self.out.clear();
        Ok(())
    }

    /// Reads up to a message of this kind, and fails with the server's words if there is an error before it.
    fn until(&mut self, wanted: u8) -> Result<()> {
        loop {
            while self.have < 5 || self.have < self.message_length()? {
                if self.have == self.buffer.len() {
                    self.buffer.resize(2 * self.have, 0);
                }
                let read = self.stream.read(&mut self.buffer[self.have..])?;
                if read == 0 {
                    bail!("PostgreSQL closed the connection");
                }
                self.have += read;
            }
            let (kind, end) = (self.buffer[0], self.message_length()?);
            if kind == b'E' {
                let text = String::from_utf8_lossy(&self.buffer[5..end]).replace('\0', " ");
                bail!("PostgreSQL refuses: {text}");
            }
            self.buffer.copy_within(end..self.have, 0);
            self.have -= end;
            if kind == wanted {
                return Ok(());
            }
        }
    }

    fn message_length(&self) -> Result<usize> {
        let length = [self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]];
        Ok(1 + usize::try_from(u32::from_be_bytes(length))?)
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// A length before bytes. Batches are far below the limit, so what cannot be written fails at the server.
pub(crate) fn length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// An array of one dimension without NULLs, in binary form.
pub(crate) fn array<'a, B: AsRef<[u8]>>(
    element: u32,
    values: impl ExactSizeIterator<Item = B> + 'a,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + values.len() * 12);
    for word in [1, 0, element] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    length(&mut out, values.len());
    length(&mut out, 1);
    for value in values {
        length(&mut out, value.as_ref().len());
        out.extend_from_slice(value.as_ref());
    }
    out
}
