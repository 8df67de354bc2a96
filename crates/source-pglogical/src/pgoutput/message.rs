//! The messages themselves.

use std::fmt;

use super::error::{DecodeError, Problem};
use super::reader::Reader;
use super::tuple::Tuple;
use crate::Lsn;

/// The source's number of a table. Means nothing on another server, or after the table was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationOid(pub u32);

/// The source's number of a type. The same on every server for built-in types only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeOid(pub u32);

/// A moment on a PostgreSQL server's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceTime(i64);

/// From 1970-01-01 to 2000-01-01, where PostgreSQL's time begins, in microseconds.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl SourceTime {
    /// From microseconds since 2000-01-01 00:00 UTC, as on the wire.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From microseconds since 1970-01-01 00:00 UTC.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros.saturating_sub(POSTGRES_EPOCH_MICROS))
    }

    /// Microseconds since 2000-01-01 00:00 UTC.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Microseconds since 1970-01-01 00:00 UTC, at the most as many as fit.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0.saturating_add(POSTGRES_EPOCH_MICROS)
    }
}

/// One message of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// It ends.
    Commit(Commit),
    /// Its changes came from another replication origin.
    Origin(Origin<'a>),
    /// What a table looks like from here on.
    Relation(RelationDescription<'a>),
    /// The name of a type that is not built in.
    Type(TypeDescription<'a>),
    /// A new row.
    Insert(Insert<'a>),
    /// A changed row.
    Update(Update<'a>),
    /// A row that is gone.
    Delete(Delete<'a>),
    /// Emptied tables.
    Truncate(Truncate),
    /// What an application wrote with `pg_logical_emit_message`.
    Logical(LogicalMessage<'a>),
}

/// A transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record stands: the `lsn` of the [`Commit`] to come.
    pub final_lsn: Lsn,
    /// When it was committed.
    pub commit_time: SourceTime,
    /// Number of the top-level transaction, without its epoch.
    pub xid: u32,
}

/// A transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record stands. Starting here sends the transaction again.
    pub lsn: Lsn,
    /// Where it ends. This is what a reader stores: starting here continues with the next transaction.
    pub end_lsn: Lsn,
    /// When it was committed.
    pub commit_time: SourceTime,
}

/// Where a transaction's changes come from, if not from this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Where it was committed there.
    pub lsn: Lsn,
    /// The origin's name.
    pub name: &'a str,
}

/// What the old row in updates and deletes consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// Nothing: the source refuses updates and deletes.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of one unique index, which need not be the primary key.
    Index,
}

/// A table as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationDescription<'a> {
    /// Its number.
    pub oid: RelationOid,
    /// Its schema; empty for `pg_catalog`.
    pub schema: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What old rows consist of.
    pub identity: ReplicaIdentity,
    /// The columns that are sent, in the order in which rows hold them.
    pub columns: Vec<RelationColumn<'a>>,
}

/// A column as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// Whether it is part of the replica identity. Every column is with `FULL`.
    pub in_identity: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: TypeOid,
    /// The type's modifier, such as a length; -1 without one.
    pub type_modifier: i32,
}

/// A type's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeDescription<'a> {
    /// Its number, as in relations.
    pub oid: TypeOid,
    /// Its schema; empty for `pg_catalog`.
    pub schema: &'a str,
    /// Its name. For a domain, the name of the type beneath.
    pub name: &'a str,
}

/// A new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert<'a> {
    /// The table.
    pub relation: RelationOid,
    /// The row.
    pub new: Tuple<'a>,
}

/// The row before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldRow<'a> {
    /// Only the columns of the replica identity; the others read as NULL.
    Key(Tuple<'a>),
    /// All columns, with values stored out of line.
    Full(Tuple<'a>),
}

/// A changed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update<'a> {
    /// The table.
    pub relation: RelationOid,
    /// The row before; absent if the replica identity did not change and is not `FULL`.
    pub old: Option<OldRow<'a>>,
    /// The row after.
    pub new: Tuple<'a>,
}

/// A row that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The table.
    pub relation: RelationOid,
    /// The row before.
    pub old: OldRow<'a>,
}

/// Emptied tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The tables, those reached by CASCADE included.
    pub relations: Vec<RelationOid>,
    /// CASCADE was said.
    pub cascade: bool,
    /// RESTART IDENTITY was said.
    pub restart_identity: bool,
}

/// What an application wrote into the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Whether it belongs to the transaction around it. Others come at once, even if their transaction fails.
    pub transactional: bool,
    /// Where it stands.
    pub lsn: Lsn,
    /// Says whom it is for.
    pub prefix: &'a str,
    /// Any bytes.
    pub content: &'a [u8],
}

impl fmt::Debug for LogicalMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.transactional { "transactional" } else { "immediate" };
        write!(f, "LogicalMessage({kind}, {}, {} bytes)", self.lsn, self.content.len())
    }
}

/// Bit of a relation's column: part of the replica identity.
const IN_IDENTITY: u8 = 1;
/// Bits of a truncation.
const CASCADE: u8 = 1;
const RESTART_IDENTITY: u8 = 2;
/// Bit of a logical message.
const TRANSACTIONAL: u8 = 1;
/// Flags, an empty name's end, type and modifier.
const COLUMN_BYTES: usize = 1 + 1 + 4 + 4;
const OID_BYTES: usize = 4;

/// Reads one message of the plugin.
///
/// # Errors
/// Anything but one whole message of protocol version 1.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut reader = Reader::new("pgoutput", bytes);
    let reader = &mut reader;
    let expected = "a message's kind";
    let message = match reader.u8(expected)? {
        b'B' => begin(reader).map(Message::Begin),
        b'C' => commit(reader).map(Message::Commit),
        b'O' => origin(reader).map(Message::Origin),
        b'R' => relation(reader).map(Message::Relation),
        b'Y' => type_name(reader).map(Message::Type),
        b'I' => insert(reader).map(Message::Insert),
        b'U' => update(reader).map(Message::Update),
        b'D' => delete(reader).map(Message::Delete),
        b'T' => truncate(reader).map(Message::Truncate),
        b'M' => logical(reader).map(Message::Logical),
        found => Err(reader.error(1, Problem::Unknown { expected, found })),
    }?;
    reader.finish()?;
    Ok(message)
}

fn begin(reader: &mut Reader<'_>) -> Result<Begin, DecodeError> {
    reader.rename("Begin");
    let final_lsn = Lsn::new(reader.u64("the commit's position")?);
    let commit_time = SourceTime::from_micros(reader.i64("the commit's time")?);
    Ok(Begin { final_lsn, commit_time, xid: reader.u32("the transaction's number")? })
}

fn commit(reader: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    reader.rename("Commit");
    let expected = "no flags";
    // PostgreSQL's own reader refuses others, too: they would mean something.
    match reader.u8(expected)? {
        0 => {}
        found => return Err(reader.error(1, Problem::Unknown { expected, found })),
    }
    let lsn = Lsn::new(reader.u64("the commit's position")?);
    let end_lsn = Lsn::new(reader.u64("the transaction's end")?);
    Ok(Commit { lsn, end_lsn, commit_time: SourceTime::from_micros(reader.i64("the commit's time")?) })
}

fn origin<'a>(reader: &mut Reader<'a>) -> Result<Origin<'a>, DecodeError> {
    reader.rename("Origin");
    let lsn = Lsn::new(reader.u64("the commit's position at the origin")?);
    Ok(Origin { lsn, name: reader.text("the origin's name")? })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<RelationDescription<'a>, DecodeError> {
    reader.rename("Relation");
    let oid = RelationOid(reader.u32("the table's number")?);
    let schema = reader.text("the schema's name")?;
    let name = reader.text("the table's name")?;
    let expected = "the replica identity";
    let identity = match reader.u8(expected)? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        found => return Err(reader.error(1, Problem::Unknown { expected, found })),
    };
    let count = reader.count16(COLUMN_BYTES, "the number of columns")?;
    let mut columns = Vec::with_capacity(count);
    for column in 0..count {
        let read = relation_column(reader);
        columns.push(read.map_err(|error| DecodeError { column: Some(column), ..error })?);
    }
    Ok(RelationDescription { oid, schema, name, identity, columns })
}

fn relation_column<'a>(reader: &mut Reader<'a>) -> Result<RelationColumn<'a>, DecodeError> {
    let in_identity = reader.u8("a column's flags")? & IN_IDENTITY != 0;
    let name = reader.text("a column's name")?;
    let type_oid = TypeOid(reader.u32("a column's type")?);
    Ok(RelationColumn { in_identity, name, type_oid, type_modifier: reader.i32("a type's modifier")? })
}

fn type_name<'a>(reader: &mut Reader<'a>) -> Result<TypeDescription<'a>, DecodeError> {
    reader.rename("Type");
    let oid = TypeOid(reader.u32("the type's number")?);
    let schema = reader.text("the schema's name")?;
    Ok(TypeDescription { oid, schema, name: reader.text("the type's name")? })
}

fn insert<'a>(reader: &mut Reader<'a>) -> Result<Insert<'a>, DecodeError> {
    reader.rename("Insert");
    let relation = RelationOid(reader.u32("the table's number")?);
    let expected = "the new row";
    match reader.u8(expected)? {
        b'N' => Ok(Insert { relation, new: Tuple::read(reader)? }),
        found => Err(reader.error(1, Problem::Unknown { expected, found })),
    }
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Update<'a>, DecodeError> {
    reader.rename("Update");
    let relation = RelationOid(reader.u32("the table's number")?);
    let expected = "the old or the new row";
    let old = match reader.u8(expected)? {
        b'N' => return Ok(Update { relation, old: None, new: Tuple::read(reader)? }),
        b'K' => OldRow::Key(Tuple::read(reader)?),
        b'O' => OldRow::Full(Tuple::read(reader)?),
        found => return Err(reader.error(1, Problem::Unknown { expected, found })),
    };
    let expected = "the new row";
    match reader.u8(expected)? {
        b'N' => Ok(Update { relation, old: Some(old), new: Tuple::read(reader)? }),
        found => Err(reader.error(1, Problem::Unknown { expected, found })),
    }
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Delete<'a>, DecodeError> {
    reader.rename("Delete");
    let relation = RelationOid(reader.u32("the table's number")?);
    let expected = "the old row";
    let old = match reader.u8(expected)? {
        b'K' => OldRow::Key(Tuple::read(reader)?),
        b'O' => OldRow::Full(Tuple::read(reader)?),
        found => return Err(reader.error(1, Problem::Unknown { expected, found })),
    };
    Ok(Delete { relation, old })
}

fn truncate(reader: &mut Reader<'_>) -> Result<Truncate, DecodeError> {
    reader.rename("Truncate");
    // The number of tables comes before the options, the tables after them.
    let count = reader.count32(OID_BYTES, "the number of tables")?;
    let expected = "the options of TRUNCATE";
    let options = reader.u8(expected)?;
    if options & !(CASCADE | RESTART_IDENTITY) != 0 {
        return Err(reader.error(1, Problem::Unknown { expected, found: options }));
    }
    let mut relations = Vec::with_capacity(count);
    for _ in 0..count {
        relations.push(RelationOid(reader.u32("a table's number")?));
    }
    let (cascade, restart_identity) = (options & CASCADE != 0, options & RESTART_IDENTITY != 0);
    Ok(Truncate { relations, cascade, restart_identity })
}

fn logical<'a>(reader: &mut Reader<'a>) -> Result<LogicalMessage<'a>, DecodeError> {
    reader.rename("Message");
    let expected = "the message's flags";
    let flags = reader.u8(expected)?;
    if flags & !TRANSACTIONAL != 0 {
        return Err(reader.error(1, Problem::Unknown { expected, found: flags }));
    }
    let lsn = Lsn::new(reader.u64("the message's position")?);
    let prefix = reader.text("the message's prefix")?;
    let length = reader.count32(1, "the content's length")?;
    let content = reader.bytes(length, "the content")?;
    Ok(LogicalMessage { transactional: flags & TRANSACTIONAL != 0, lsn, prefix, content })
}
