//! The event that says what the rows after it look like.

mod metadata;

use super::error::{DecodeError, Problem};
use super::reader::Reader;
use crate::Flavor;
use log_type as t;

/// The number under which the rows of a table come. Another table may have it later: after an ALTER, FLUSH TABLES or a
/// restart of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TableMapId(pub u64);

/// A table as the log describes it at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    /// Its number.
    pub id: TableMapId,
    /// The database.
    pub database: String,
    /// The table's name.
    pub table: String,
    /// The columns, in the order in which rows hold them.
    pub columns: Vec<MapColumn>,
    /// The primary key.
    pub key: MapKey,
}

/// A column as the log describes it. What is `None` was not told, which depends on `binlog_row_metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapColumn {
    /// The type in the log: 247 and 248 for ENUM and SET, which the log writes as a kind of 254.
    pub log_type: u8,
    /// What the type needs besides: a length in bytes, digits of a fraction, precision * 256 + scale.
    pub meta: u16,
    /// Can hold NULL.
    pub nullable: bool,
    /// Its name.
    pub name: Option<String>,
    /// Of numbers: without a sign.
    pub unsigned: Option<bool>,
    /// Of text, ENUM and SET: the collation's number, which tells the character set.
    pub collation: Option<u32>,
    /// Of ENUM and SET: the labels, in the column's character set.
    pub labels: Option<Vec<Vec<u8>>>,
    /// Whether it appears in `SELECT *`.
    pub visible: Option<bool>,
}

/// The primary key, or the first unique index over columns that are never NULL where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapKey {
    /// None, or it was not told.
    None,
    /// These columns, by place, in the order in which the key has them.
    Columns(Vec<usize>),
    /// Only the beginnings of some columns are in the key: place, and length in characters (0: the whole value).
    Prefixes(Vec<(usize, u64)>),
}

/// Types of the log, as in the manual's list of column types.
pub(crate) mod log_type {
    pub(crate) const DECIMAL_OLD: u8 = 0;
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const TIMESTAMP_OLD: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME_OLD: u8 = 11;
    pub(crate) const DATETIME_OLD: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP: u8 = 17;
    pub(crate) const DATETIME: u8 = 18;
    pub(crate) const TIME: u8 = 19;
    pub(crate) const TYPED_ARRAY: u8 = 20;
    pub(crate) const BLOB_COMPRESSED: u8 = 140;
    pub(crate) const VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const DECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// More columns no table has (both manuals).
const MAX_COLUMNS: usize = 4096;

impl TableMap {
    /// Reads the body of an event: what is between its header and its checksum.
    ///
    /// # Errors
    /// Anything but one whole table map of the product.
    pub fn parse(body: &[u8], flavor: Flavor) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("table map", body);
        let reader = &mut reader;
        let id = TableMapId(reader.uint(6, "the table's number")?);
        reader.u16("flags")?;
        let database = name(reader, "the database's name")?;
        let table = name(reader, "the table's name")?;
        let count = reader.count(1, "the number of columns")?;
        if count > MAX_COLUMNS {
            let found = u64::try_from(count).unwrap_or(u64::MAX);
            return Err(reader.error(0, Problem::Unknown { expected: "the number of columns", found }));
        }
        let types = reader.bytes(count, "types")?;
        let mut columns = metas(types, reader.counted("what types need besides")?)?;
        let nullable = reader.bytes(count.div_ceil(8), "which columns can be NULL")?;
        for (at, column) in columns.iter_mut().enumerate() {
            column.nullable = nullable[at / 8] >> (at % 8) & 1 == 1;
        }
        let key = metadata::read(reader, &mut columns, flavor)?;
        Ok(Self { id, database, table, columns, key })
    }
}

/// A name behind its length, before a zero byte.
fn name(reader: &mut Reader<'_>, expected: &'static str) -> Result<String, DecodeError> {
    let name = reader.counted_text(expected)?.to_owned();
    reader.u8("the end of a name")?;
    Ok(name)
}

fn metas(types: &[u8], metas: &[u8]) -> Result<Vec<MapColumn>, DecodeError> {
    let mut reader = Reader::new("table map, what types need besides", metas);
    let column = |log_type: &u8| {
        let (log_type, meta) = meta(*log_type, &mut reader)?;
        Ok(MapColumn { log_type, meta, ..MapColumn::default() })
    };
    let columns = types.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(columns)
}

/// The type proper, and what it needs besides. Read in server source (`read_field_metadata` and what writes it).
fn meta(kind: u8, reader: &mut Reader<'_>) -> Result<(u8, u16), DecodeError> {
    let expected = "a column's length or scale";
    let two = |reader: &mut Reader<'_>| reader.array::<2>(expected);
    Ok(match kind {
        t::FLOAT
        | t::DOUBLE
        | t::BLOB
        | t::GEOMETRY
        | t::JSON
        | t::VECTOR
        | t::TIMESTAMP
        | t::DATETIME
        | t::TIME
        | t::BLOB_COMPRESSED => (kind, u16::from(reader.u8(expected)?)),
        t::VARCHAR | t::VARCHAR_COMPRESSED => (kind, reader.u16(expected)?),
        // Bits beyond whole bytes, whole bytes.
        t::BIT => {
            let [bits, bytes] = two(reader)?;
            (kind, u16::from(bytes) * 8 + u16::from(bits))
        }
        t::DECIMAL => (kind, u16::from_be_bytes(two(reader)?)),
        t::STRING | t::VAR_STRING | t::ENUM | t::SET => {
            let [real, length] = two(reader)?;
            match real {
                t::ENUM | t::SET => (real, u16::from(length)),
                // Lengths above 255 have their high bits in the type, inverted.
                _ => (t::STRING, u16::from(length) | u16::from(real & 0x30 ^ 0x30) << 4),
            }
        }
        // The element's type and what that needs.
        t::TYPED_ARRAY => {
            let element = reader.u8(expected)?;
            meta_of_element(element, reader)?;
            (kind, 0)
        }
        _ => (kind, 0),
    })
}

fn meta_of_element(element: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    // An array of arrays does not exist.
    if element != log_type::TYPED_ARRAY {
        meta(element, reader)?;
    }
    Ok(())
}
