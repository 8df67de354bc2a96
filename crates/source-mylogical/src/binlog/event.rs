//! What the body of an event says.

use bytes::Bytes;

use super::frame::Frame;
use super::gtid_event::{MariaDbStart, MySqlStart, mariadb_start, mysql_start, tagged_start};
use super::parts::Parts;
use super::query::Xid;
use super::unpack::{self, Payload, UnpackError};
use crate::gtid::{MariaDbGtid, MariaDbPosition};

/// An event, as far as the order of transactions depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file begins, or the stream.
    Format(Format),
    /// A transaction begins, on MySQL.
    MySqlStart(MySqlStart),
    /// A transaction begins, on MariaDB.
    MariaDbStart(MariaDbStart),
    /// A transaction without a name begins (MySQL).
    Anonymous,
    /// A statement.
    Query(Query),
    /// Part of what a statement depends on: INTVAR, RAND, USER_VAR, or the file of a LOAD DATA.
    StatementPart,
    /// What the rows after it look like.
    TableMap(MapHead),
    /// Rows.
    Rows(RowsBody),
    /// A transaction ends.
    Xid,
    /// A transaction with a name of its own is prepared.
    XaPrepare {
        /// Its name.
        xid: Xid,
        /// It is also committed.
        one_phase: bool,
    },
    /// A compressed transaction (MySQL).
    Payload(Payload),
    /// The last transactions before a file (MariaDB).
    GtidList(MariaDbPosition),
    /// A sign of life.
    Heartbeat,
    /// The source lacks changes.
    Incident,
    /// Nothing that matters.
    Ignored,
}

/// The layout of events, said at the beginning of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Of the binary log: 4.
    pub version: u16,
    /// When the server was started, if this is the first file since then, in seconds since 1970; else 0.
    pub started_secs: u32,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The session's database; may be empty.
    pub database: String,
    /// Its text, in the session's character set.
    pub text: Bytes,
}

/// Of a table map what is needed to tell whose rows come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapHead {
    /// The number under which rows come.
    pub id: u64,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsBody {
    /// The number of the table map.
    pub id: u64,
    /// The kind of event that the body is.
    pub kind: u8,
    /// All of the body.
    pub body: Bytes,
}

/// Why an event is not understood.
#[derive(Debug)]
pub enum EventError {
    /// The body does not follow its layout.
    Malformed,
    /// The kind is not known, and not said to be ignorable.
    Unknown,
    /// It does not unpack.
    Unpack(UnpackError),
}

impl From<UnpackError> for EventError {
    fn from(error: UnpackError) -> Self {
        Self::Unpack(error)
    }
}

impl Event {
    /// Reads an event. Numbers of kinds are those of the MySQL manual and of MariaDB's knowledge base.
    ///
    /// # Errors
    /// If it cannot be understood, and cannot be left out.
    pub fn parse(frame: Frame) -> Result<Self, EventError> {
        let Frame { header, body } = frame;
        let mut parts = Parts::new(&body);
        let event = match header.kind {
            15 => format(&mut parts),
            33 => mysql_start(&mut parts).map(Self::MySqlStart),
            42 => tagged_start(&mut parts).map(Self::MySqlStart),
            34 => Some(Self::Anonymous),
            162 => mariadb_start(&header, &mut parts).map(Self::MariaDbStart),
            2 => query(&body, false).map(Self::Query),
            18 => query(&body, true).map(Self::Query),
            165 => return compressed_query(&body),
            5 | 9 | 10 | 13 | 14 | 17 => Some(Self::StatementPart),
            19 => map_head(&mut parts).map(Self::TableMap),
            23..=25 | 30..=32 | 39 => rows(header.kind, body),
            166..=171 => {
                let (kind, plain) = unpack::rows(header.kind, &body)?;
                rows(kind, plain)
            }
            16 => Some(Self::Xid),
            38 => xa_prepare(&mut parts),
            40 => return Ok(Self::Payload(Payload::parse(&body)?)),
            163 => gtid_list(&mut parts).map(Self::GtidList),
            27 | 41 => Some(Self::Heartbeat),
            26 => Some(Self::Incident),
            // Stop, rotate, the statement's text, what was before, view changes of group replication and its
            // transaction contexts; annotations, checkpoints, the start of encryption.
            3 | 4 | 29 | 35 | 36 | 37 | 160 | 161 | 164 => Some(Self::Ignored),
            _ if header.is_ignorable() => Some(Self::Ignored),
            _ => return Err(EventError::Unknown),
        };
        event.ok_or(EventError::Malformed)
    }
}

fn format(parts: &mut Parts<'_>) -> Option<Event> {
    let version = parts.u16()?;
    parts.bytes(50)?;
    let started_secs = parts.u32()?;
    Some(Event::Format(Format { version, started_secs }))
}

/// Bytes of a query event before its variable parts.
const QUERY_HEAD: usize = 13;
/// What the event of a LOAD DATA has besides.
const LOAD_HEAD: usize = 13;

/// Gives the session's database, and where the text begins.
fn query_head(body: &[u8], load: bool) -> Option<(String, usize)> {
    let mut parts = Parts::new(body);
    let head: &[u8; QUERY_HEAD] = parts.array()?;
    let [_, _, _, _, _, _, _, _, database, _, _, low, high] = *head;
    if load {
        parts.bytes(LOAD_HEAD)?;
    }
    parts.bytes(usize::from(u16::from_le_bytes([low, high])))?;
    let database = text(parts.bytes(usize::from(database))?);
    parts.bytes(1)?;
    Some((database, parts.taken()))
}

fn query(body: &Bytes, load: bool) -> Option<Query> {
    let (database, at) = query_head(body, load)?;
    Some(Query { database, text: body.slice(at..) })
}

fn compressed_query(body: &Bytes) -> Result<Event, EventError> {
    let (database, at) = query_head(body, false).ok_or(EventError::Malformed)?;
    let text = unpack::block(body.get(at..).unwrap_or_default())?;
    Ok(Event::Query(Query { database, text: text.into() }))
}

/// Names are UTF-8 in the log, whatever the session speaks.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn map_head(parts: &mut Parts<'_>) -> Option<MapHead> {
    let id = parts.uint(6)?;
    parts.u16()?;
    let mut name = || {
        let length = parts.u8()?;
        let name = text(parts.bytes(usize::from(length))?);
        parts.bytes(1)?;
        Some(name)
    };
    let (database, table) = (name()?, name()?);
    Some(MapHead { id, database, table })
}

fn rows(kind: u8, body: Bytes) -> Option<Event> {
    let id = Parts::new(&body).uint(6)?;
    Some(Event::Rows(RowsBody { id, kind, body }))
}

fn xa_prepare(parts: &mut Parts<'_>) -> Option<Event> {
    let one_phase = parts.u8()? != 0;
    let format = parts.u32()?;
    let (global, branch) = (usize::try_from(parts.u32()?).ok()?, usize::try_from(parts.u32()?).ok()?);
    let xid = Xid::new(format, parts.bytes(global)?, parts.bytes(branch)?)?;
    Some(Event::XaPrepare { xid, one_phase })
}

fn gtid_list(parts: &mut Parts<'_>) -> Option<MariaDbPosition> {
    const FLAGS: u32 = 0xf000_0000;
    let count = parts.u32()? & !FLAGS;
    let mut list = MariaDbPosition::default();
    for _ in 0..count {
        let (domain, server) = (parts.u32()?, parts.u32()?);
        let gtid = MariaDbGtid { domain, server, seq: parts.u64()? };
        // Several servers of one domain: the last one is the newest.
        list.replace(gtid);
    }
    Some(list)
}
