//! The events that name a transaction before it comes.

use super::frame::Header;
use super::parts::Parts;
use crate::gtid::{MariaDbGtid, MySqlGtid, Tag, Tsid};

/// What MySQL says before a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySqlStart {
    /// Its name.
    pub gtid: MySqlGtid,
    /// When it was committed on the server where it was made, in microseconds since 1970; 0 if it was not told.
    pub committed_micros: i64,
}

/// What MariaDB says before a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MariaDbStart {
    /// Its name.
    pub gtid: MariaDbGtid,
    /// One statement without an end of its own.
    pub stand_alone: bool,
    /// The prepared transaction that it is, or that it decides.
    pub xa: Option<Xa>,
}

/// What a transaction of MariaDB has to do with a prepared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Xa {
    /// Prepares it.
    Prepares,
    /// Commits it or rolls it back.
    Decides,
}

/// On the server where it was made, unless that is too old to tell; then on the one that wrote the log.
fn committed(original: Option<u64>, immediate: Option<u64>) -> i64 {
    let told = original.filter(|micros| *micros > 0).or(immediate);
    told.and_then(|micros| i64::try_from(micros).ok()).unwrap_or(0)
}

/// Kind 33. Older servers leave out what comes last.
pub(super) fn mysql_start(parts: &mut Parts<'_>) -> Option<MySqlStart> {
    const LOGICAL_TIMESTAMPS: u8 = 2;
    const ORIGINAL_FOLLOWS: u64 = 1 << 55;
    parts.u8()?;
    let tsid = Tsid { uuid: *parts.array()?, tag: None };
    let gtid = MySqlGtid::new(tsid, parts.u64()?)?;
    let (mut immediate, mut original) = (None, None);
    if parts.u8() == Some(LOGICAL_TIMESTAMPS) && parts.bytes(16).is_some() {
        let first = parts.uint(7);
        immediate = first.map(|micros| micros & !ORIGINAL_FOLLOWS);
        if first.is_some_and(|micros| micros & ORIGINAL_FOLLOWS != 0) {
            original = parts.uint(7);
        }
    }
    Some(MySqlStart { gtid, committed_micros: committed(original, immediate) })
}

/// Kind 42: fields by number, in rising order; those that are not needed here follow the others or are passed over.
pub(super) fn tagged_start(parts: &mut Parts<'_>) -> Option<MySqlStart> {
    const VERSION: u64 = 1;
    // The version is written as any other number of this format.
    if parts.varlen()? != VERSION {
        return None;
    }
    let size = usize::try_from(parts.varlen()?).ok()?;
    parts.varlen()?;
    let mut fields = Parts::new(parts.bytes(size.checked_sub(parts.taken())?)?);
    let (mut uuid, mut number, mut tag) = (None, None, None);
    let (mut immediate, mut original) = (None, None);
    while !fields.rest().is_empty() {
        match fields.varlen()? {
            1 => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(fields.varlen()?).ok()?;
                }
                uuid = Some(bytes);
            }
            2 => number = Some(u64::try_from(fields.varlen_signed()?).ok()?),
            3 => {
                let length = usize::try_from(fields.varlen()?).ok()?;
                let name = std::str::from_utf8(fields.bytes(length)?).ok()?;
                tag = if name.is_empty() { None } else { Some(name.parse::<Tag>().ok()?) };
            }
            4 | 5 => drop(fields.varlen_signed()?),
            6 => immediate = Some(fields.varlen()?),
            7 => original = Some(fields.varlen()?),
            0 | 8..=11 => drop(fields.varlen()?),
            // The layout of later fields is not known, and all that is needed came before.
            _ => break,
        }
    }
    let gtid = MySqlGtid::new(Tsid { uuid: uuid?, tag }, number?)?;
    Some(MySqlStart { gtid, committed_micros: committed(original, immediate) })
}

/// Kind 162.
pub(super) fn mariadb_start(header: &Header, parts: &mut Parts<'_>) -> Option<MariaDbStart> {
    const STAND_ALONE: u8 = 1;
    const PREPARES: u8 = 0x40;
    const DECIDES: u8 = 0x80;
    let seq = parts.u64()?;
    let gtid = MariaDbGtid { domain: parts.u32()?, server: header.server, seq };
    let flags = parts.u8()?;
    let xa = match (flags & PREPARES != 0, flags & DECIDES != 0) {
        (true, _) => Some(Xa::Prepares),
        (false, true) => Some(Xa::Decides),
        (false, false) => None,
    };
    let stand_alone = flags & STAND_ALONE != 0;
    Some(MariaDbStart { gtid, stand_alone, xa })
}
