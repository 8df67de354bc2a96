//! Reads chunks of a table, each by one small question outside of any transaction. While a chunk is written, the next one
//! is read.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Value};
use sink_core::failure::{Disposition, Failure};
use sink_core::flow::Value as TextValue;
use sink_core::flow::copy::{Chunks, Opened, Reached, Rows};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::key::{self, Place};
use super::part::Part;
use crate::binlog::RowsEvent;
use crate::row::{self, Images, RowError};
use crate::transport::{Config, Session, TransportError};

const READ: &str = "read a table of the source";
/// Longest wait for a chunk.
const LIMIT: Duration = Duration::from_secs(600);
/// A chunk that is so many times as large as it should be ends early: rows may be much larger than those before.
const EARLY: usize = 3;
/// Rows of a chunk, at least and at most.
const CHUNK_ROWS: (u64, u64) = (1, 100_000);
/// Rows are decoded when so many bytes of them have been collected.
const BODY_BYTES: usize = 64 << 10;
/// No such database, table.
const GONE: &[u16] = &[1049, 1146];
/// No such column, index.
const CHANGED: &[u16] = &[1054, 1176];

/// A chunk that was read.
#[derive(Default)]
struct Chunk {
    text: Vec<u8>,
    rows: u64,
    reached: Option<Place>,
    last: bool,
}

/// What came of reading.
enum Read {
    Chunk(Chunk),
    /// The table is gone.
    Gone,
}

/// What is being read ahead: which chunk of which part, and by whom.
struct Ahead {
    part: Arc<Part>,
    after: String,
    task: JoinSet<(Conn, Result<Read, Failure>)>,
}

/// Reads chunks by one connection.
pub struct ChunkReader {
    config: Config,
    conn: Option<Conn>,
    ahead: Option<Ahead>,
    /// How many rows to ask for, of the part that was read last.
    rows_wanted: Option<(Arc<Part>, u64)>,
    chunk: Chunk,
    sent: bool,
}

impl ChunkReader {
    /// Connects when it is needed.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, conn: None, ahead: None, rows_wanted: None, chunk: Chunk::default(), sent: true }
    }

    /// The chunk, from what was read ahead if that is the one.
    async fn chunk(&mut self, part: &Arc<Part>, after: Option<&str>) -> Result<Read, Failure> {
        if let Some(mut ahead) = self.ahead.take() {
            let joined = ahead.task.join_next().await;
            let (conn, read) = match joined {
                Some(Ok(done)) => done,
                Some(Err(error)) => return Err(Failure::new(Disposition::Halt, READ, error)),
                None => return Err(Failure::new(Disposition::Retry, READ, "nothing was read ahead")),
            };
            self.conn = Some(conn);
            if Arc::ptr_eq(&ahead.part, part) && after == Some(ahead.after.as_str()) {
                return read;
            }
        }
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => Session::connect(&self.config).await.map_err(|e| e.failed(READ))?.into_conn(),
        };
        let rows = self.rows_of(part);
        let read = read(&mut conn, part, after, rows).await;
        self.conn = Some(conn);
        read
    }

    fn rows_of(&self, part: &Arc<Part>) -> u64 {
        let known = self.rows_wanted.as_ref().filter(|(of, _)| Arc::ptr_eq(of, part));
        known.map_or_else(|| rows_for(part.chunk_bytes, part.row_bytes), |(_, rows)| *rows)
    }

    fn read_ahead(&mut self, part: &Arc<Part>) {
        let (Some(after), false) = (&self.chunk.reached, self.chunk.last) else { return };
        let Some(mut conn) = self.conn.take() else { return };
        let (after, rows) = (key::written(after), self.rows_of(part));
        let mut task = JoinSet::new();
        let (of, from) = (Arc::clone(part), after.clone());
        task.spawn(async move {
            let read = read(&mut conn, &of, Some(&from), rows).await;
            (conn, read)
        });
        self.ahead = Some(Ahead { part: Arc::clone(part), after, task });
    }
}

/// As many as should make a chunk, if each takes so many bytes.
fn rows_for(chunk_bytes: usize, row_bytes: u64) -> u64 {
    let bytes = u64::try_from(chunk_bytes).unwrap_or(u64::MAX);
    (bytes / row_bytes.max(1)).clamp(CHUNK_ROWS.0, CHUNK_ROWS.1)
}

impl Chunks for ChunkReader {
    type Range = Arc<Part>;

    async fn open(&mut self, part: &Arc<Part>, after: Option<&str>) -> Result<Opened, Failure> {
        match self.chunk(part, after).await? {
            Read::Gone => return Ok(Opened::Lost),
            Read::Chunk(chunk) => self.chunk = chunk,
        }
        let bytes = u64::try_from(self.chunk.text.len()).unwrap_or(u64::MAX);
        match bytes.checked_div(self.chunk.rows) {
            None => self.chunk.reached = after.and_then(key::read),
            Some(bytes_each) => {
                self.rows_wanted = Some((Arc::clone(part), rows_for(part.chunk_bytes, bytes_each)));
            }
        }
        self.sent = false;
        self.read_ahead(part);
        Ok(Opened::Ready)
    }

    fn reached(&self) -> Reached {
        Reached { key: self.chunk.reached.as_deref().map(key::written), last: self.chunk.last }
    }
}

impl Rows for ChunkReader {
    async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        if std::mem::replace(&mut self.sent, true) || self.chunk.text.is_empty() {
            return Ok(None);
        }
        Ok(Some(&self.chunk.text))
    }

    fn rows(&self) -> u64 {
        self.chunk.rows
    }
}

async fn read(conn: &mut Conn, part: &Part, after: Option<&str>, rows: u64) -> Result<Read, Failure> {
    let after = match after.map(key::read) {
        None => None,
        Some(Some(place)) => Some(place),
        Some(None) => {
            let reason =
                "the place up to which the table is copied cannot be read; empty the table and begin anew";
            return Err(Failure::new(Disposition::Halt, READ, reason));
        }
    };
    let asked = timeout(LIMIT, ask(conn, part, after.as_deref(), rows)).await;
    let late = TransportError::Timeout { what: "a chunk of a table", limit: LIMIT };
    let asked = asked.unwrap_or(Err(Trouble::Source(late)));
    match asked {
        Ok(chunk) => Ok(Read::Chunk(chunk)),
        Err(Trouble::Source(TransportError::Server(error))) if GONE.contains(&error.code) => Ok(Read::Gone),
        Err(Trouble::Source(error)) => {
            let changed = matches!(&error, TransportError::Server(error) if CHANGED.contains(&error.code));
            let failure = error.failed(READ);
            Err(if changed { failure.with_disposition(Disposition::Retry) } else { failure })
        }
        Err(Trouble::Row(error)) => Err(Failure::new(Disposition::Halt, READ, error)),
        Err(Trouble::Unfit(column)) => {
            let reason = format!(
                "table {}.{}, column {column}: the answer is not of the type that the catalogue says; was it changed just \
                 now? Reading it again",
                part.layout.plan.database(),
                part.layout.plan.table()
            );
            Err(Failure::new(Disposition::Retry, READ, reason))
        }
    }
}

/// Why a chunk could not be read.
enum Trouble {
    Source(TransportError),
    Row(RowError),
    /// A column.
    Unfit(String),
}

impl From<mysql_async::Error> for Trouble {
    fn from(error: mysql_async::Error) -> Self {
        Self::Source(error.into())
    }
}

impl From<RowError> for Trouble {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

async fn ask(conn: &mut Conn, part: &Part, after: Option<&[String]>, rows: u64) -> Result<Chunk, Trouble> {
    let condition = part.statement(after, rows);
    let statement = conn.prep(condition.sql.as_str()).await?;
    let mut result = conn.exec_iter(&statement, Params::Positional(condition.values)).await?;
    let mut texts = Texts::new(part);
    let mut chunk = Chunk::default();
    let columns = part.layout.encoders.len();
    let mut place = Vec::new();
    let (early, mut stopped) = (part.chunk_bytes.saturating_mul(EARLY), false);
    while let Some(row) = result.next().await? {
        let values = row.unwrap();
        let (row, key) = values.split_at(columns.min(values.len()));
        texts.add(row, &mut chunk.text)?;
        chunk.rows += 1;
        place.clear();
        place.extend_from_slice(key);
        if chunk.text.len() + texts.body.len() >= early {
            stopped = true;
            break;
        }
    }
    drop(result);
    texts.flush(&mut chunk.text)?;
    chunk.last = chunk.rows < rows && !stopped;
    if chunk.rows > 0 {
        let place: Option<Place> = place.iter().map(key::text_of).collect();
        chunk.reached = Some(place.ok_or_else(|| Trouble::Unfit(part.key.order()))?);
    }
    Ok(chunk)
}

/// Rows of an answer on their way to text: written as the log would, and read by its decoder.
struct Texts<'a> {
    part: &'a Part,
    header: usize,
    body: Vec<u8>,
    images: Images,
}

/// A rows event of new rows, in the format that has nothing before its columns.
const INSERT: u8 = 23;

impl<'a> Texts<'a> {
    fn new(part: &'a Part) -> Self {
        let columns = part.layout.encoders.len();
        // The table's number, and no flags.
        let mut body = vec![0; 8];
        match u8::try_from(columns) {
            Ok(few) if few < 251 => body.push(few),
            _ => {
                body.push(0xfc);
                body.extend(columns.to_le_bytes().iter().take(2));
            }
        }
        body.resize(body.len() + columns.div_ceil(8), 0xff);
        Self { part, header: body.len(), body, images: Images::default() }
    }

    fn add(&mut self, row: &[Value], out: &mut Vec<u8>) -> Result<(), Trouble> {
        let nulls = self.body.len();
        self.body.resize(nulls + row.len().div_ceil(8), 0);
        for (at, (value, encoder)) in row.iter().zip(&self.part.layout.encoders).enumerate() {
            if *value == Value::NULL {
                self.body[nulls + at / 8] |= 1 << (at % 8);
            } else if encoder.write(value, &mut self.body).is_err() {
                let column = self.part.layout.plan.columns().get(at);
                let column = column.map(|column| column.name().to_owned()).unwrap_or_default();
                return Err(Trouble::Unfit(column));
            }
        }
        if self.body.len() >= BODY_BYTES { self.flush(out) } else { Ok(()) }
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let plan = &self.part.layout.plan;
        let unreadable = |problem| RowError {
            table: format!("{}.{}", plan.database(), plan.table()),
            column: None,
            problem,
        };
        let event = RowsEvent::parse(INSERT, &self.body).map_err(|e| unreadable(e.into()))?;
        let mut rows = row::Rows::new(plan, event)?;
        while rows.next(&mut self.images)? {
            for (at, value) in self.images.after.values().enumerate() {
                if at > 0 {
                    out.push(b'\t');
                }
                match value {
                    TextValue::Null | TextValue::Absent => out.extend(b"\\N"),
                    TextValue::Text(text) => escaped(text.as_bytes(), out),
                }
            }
            out.push(b'\n');
        }
        self.body.truncate(self.header);
        Ok(())
    }
}

/// A value in the text format of COPY.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t')) {
        out.extend(&rest[..at]);
        out.push(b'\\');
        out.push(match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    out.extend(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_copy_is_escaped() {
        let mut out = Vec::new();
        escaped(b"a\\b\tc\nd\re\\N", &mut out);
        assert_eq!(out, b"a\\\\b\\tc\\nd\\re\\\\N");
    }

    #[test]
    fn chunks_are_about_as_large_as_they_should_be() {
        assert_eq!(rows_for(4 << 20, 100), 41_943);
        assert_eq!(rows_for(4 << 20, 0), CHUNK_ROWS.1);
        assert_eq!(rows_for(4 << 20, 1 << 40), 1);
    }
}
