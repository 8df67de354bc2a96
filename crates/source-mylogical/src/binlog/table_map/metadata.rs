//! What a table map says beyond types, as far as the server was told to say it (`binlog_row_metadata`).

use super::super::error::{DecodeError, Problem};
use super::super::reader::Reader;
use super::{MapColumn, MapKey, log_type as t};
use crate::Flavor;

/// The parts, by their numbers in the log.
mod part {
    pub(super) const SIGNEDNESS: u8 = 1;
    pub(super) const DEFAULT_COLLATION: u8 = 2;
    pub(super) const COLLATIONS: u8 = 3;
    pub(super) const NAMES: u8 = 4;
    pub(super) const SET_LABELS: u8 = 5;
    pub(super) const ENUM_LABELS: u8 = 6;
    pub(super) const KEY: u8 = 8;
    pub(super) const KEY_PREFIXES: u8 = 9;
    pub(super) const LABELS_DEFAULT_COLLATION: u8 = 10;
    pub(super) const LABELS_COLLATIONS: u8 = 11;
    pub(super) const VISIBILITY: u8 = 12;
}

/// Reads all parts into the columns, and returns the key.
pub(super) fn read(
    reader: &mut Reader<'_>,
    columns: &mut [MapColumn],
    flavor: Flavor,
) -> Result<MapKey, DecodeError> {
    let mut key = MapKey::None;
    while reader.left() > 0 {
        let kind = reader.u8("the kind of a part")?;
        let mut part = Reader::new("table map, optional part", reader.counted("an optional part")?);
        let part = &mut part;
        match kind {
            part::SIGNEDNESS => {
                flags(part, columns, is_number, |column, unsigned| column.unsigned = Some(unsigned))?;
            }
            part::VISIBILITY => {
                flags(part, columns, |_| true, |column, visible| column.visible = Some(visible))?;
            }
            part::DEFAULT_COLLATION => default_collation(part, columns, |column| is_text(column, flavor))?,
            part::COLLATIONS => collations(part, columns, |column| is_text(column, flavor))?,
            part::LABELS_DEFAULT_COLLATION => default_collation(part, columns, is_labelled)?,
            part::LABELS_COLLATIONS => collations(part, columns, is_labelled)?,
            part::NAMES => names(part, columns)?,
            part::SET_LABELS => labels(part, columns, t::SET)?,
            part::ENUM_LABELS => labels(part, columns, t::ENUM)?,
            part::KEY => key = MapKey::Columns(key_columns(part, columns.len())?),
            part::KEY_PREFIXES => key = MapKey::Prefixes(key_prefixes(part, columns.len())?),
            // Kinds of geometries, dimensions of vectors, and what later versions may add for those who care.
            _ => continue,
        }
        part.finish()?;
    }
    Ok(key)
}

/// Columns that have a sign or not. YEAR is among them (seen on MySQL 9.7, MariaDB 10.11 and 11.8).
fn is_number(column: &MapColumn) -> bool {
    matches!(
        column.log_type,
        t::DECIMAL_OLD
            | t::TINY
            | t::SHORT
            | t::LONG
            | t::FLOAT
            | t::DOUBLE
            | t::LONGLONG
            | t::INT24
            | t::YEAR
            | t::DECIMAL
    )
}

/// Columns that have a collation. On MariaDB geometries are among them, on MySQL they are not (seen on 11.8 and 9.7).
fn is_text(column: &MapColumn, flavor: Flavor) -> bool {
    match column.log_type {
        t::STRING | t::VAR_STRING | t::VARCHAR | t::BLOB => true,
        t::GEOMETRY | t::BLOB_COMPRESSED | t::VARCHAR_COMPRESSED => flavor == Flavor::MariaDb,
        _ => false,
    }
}

fn is_labelled(column: &MapColumn) -> bool {
    matches!(column.log_type, t::ENUM | t::SET)
}

/// One bit for each of some columns, the most significant first.
fn flags(
    part: &mut Reader<'_>,
    columns: &mut [MapColumn],
    of: impl Fn(&MapColumn) -> bool,
    mut set: impl FnMut(&mut MapColumn, bool),
) -> Result<(), DecodeError> {
    let expected = "a bit for each column";
    let count = columns.iter().filter(|column| of(column)).count();
    let bits = part.bytes(count.div_ceil(8), expected)?;
    for (at, column) in columns.iter_mut().filter(|column| of(column)).enumerate() {
        set(column, bits[at / 8] << (at % 8) & 0x80 != 0);
    }
    Ok(())
}

fn collation(part: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let expected = "a collation's number";
    let number = part.packed(expected)?;
    u32::try_from(number).map_err(|_| part.error(0, Problem::Unknown { expected, found: number }))
}

/// One collation for most, and exceptions by their place among the columns that have collations.
fn default_collation(
    part: &mut Reader<'_>,
    columns: &mut [MapColumn],
    of: impl Fn(&MapColumn) -> bool,
) -> Result<(), DecodeError> {
    let default = collation(part)?;
    let mut those: Vec<_> = columns.iter_mut().filter(|column| of(column)).collect();
    for column in &mut those {
        column.collation = Some(default);
    }
    while part.left() > 0 {
        let at = place(part, those.len())?;
        those[at].collation = Some(collation(part)?);
    }
    Ok(())
}

fn collations(
    part: &mut Reader<'_>,
    columns: &mut [MapColumn],
    of: impl Fn(&MapColumn) -> bool,
) -> Result<(), DecodeError> {
    for column in columns.iter_mut().filter(|column| of(column)) {
        column.collation = Some(collation(part)?);
    }
    Ok(())
}

fn names(part: &mut Reader<'_>, columns: &mut [MapColumn]) -> Result<(), DecodeError> {
    for column in columns {
        column.name = Some(part.counted_text("a column's name")?.to_owned());
    }
    Ok(())
}

fn labels(part: &mut Reader<'_>, columns: &mut [MapColumn], of: u8) -> Result<(), DecodeError> {
    for column in columns.iter_mut().filter(|column| column.log_type == of) {
        let count = part.count(1, "the number of labels")?;
        let labels = (0..count).map(|_| part.counted("a label").map(<[u8]>::to_vec));
        column.labels = Some(labels.collect::<Result<_, _>>()?);
    }
    Ok(())
}

/// A place among `count` columns.
fn place(part: &mut Reader<'_>, count: usize) -> Result<usize, DecodeError> {
    let expected = "a column's place";
    let found = part.packed(expected)?;
    let at = usize::try_from(found).ok().filter(|at| *at < count);
    at.ok_or_else(|| part.error(0, Problem::Unknown { expected, found }))
}

fn key_columns(part: &mut Reader<'_>, count: usize) -> Result<Vec<usize>, DecodeError> {
    let mut key = Vec::new();
    while part.left() > 0 {
        key.push(place(part, count)?);
    }
    Ok(key)
}

fn key_prefixes(part: &mut Reader<'_>, count: usize) -> Result<Vec<(usize, u64)>, DecodeError> {
    let mut key = Vec::new();
    while part.left() > 0 {
        key.push((place(part, count)?, part.packed("the length of a prefix")?));
    }
    Ok(key)
}
