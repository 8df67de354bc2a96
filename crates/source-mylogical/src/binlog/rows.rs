//! The event that holds rows, as far as it can be read without knowing the table.

use super::error::{DecodeError, Problem};
use super::reader::Reader;
use super::table_map::TableMapId;

/// What happened to the rows of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowsKind {
    /// They are new.
    Insert,
    /// They were changed: each comes before and after.
    Update,
    /// The same, and JSON documents after may be given as edits of those before.
    PartialUpdate,
    /// They are gone.
    Delete,
}

impl RowsKind {
    /// By the event's type: 23 to 25 (version 1, written by MariaDB), 30 to 32 and 39 (version 2).
    #[must_use]
    pub fn of_event(event_type: u8) -> Option<Self> {
        Some(match event_type {
            23 | 30 => Self::Insert,
            24 | 31 => Self::Update,
            25 | 32 => Self::Delete,
            39 => Self::PartialUpdate,
            _ => return None,
        })
    }
}

/// Rows of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    kind: RowsKind,
    table: TableMapId,
    flags: u16,
    columns: usize,
    present: Bits<'a>,
    present_after: Bits<'a>,
    rows: &'a [u8],
}

/// Flag of the last rows event of a statement.
const STATEMENT_END: u16 = 1;
/// The first event type of version 2, in which more may come before the columns.
const FIRST_OF_VERSION_2: u8 = 30;

impl<'a> RowsEvent<'a> {
    /// Reads the body of an event: what is between its header and its checksum. Compressed ones must be unpacked.
    ///
    /// # Errors
    /// Anything but an event that holds rows.
    pub fn parse(event_type: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("rows", body);
        let reader = &mut reader;
        let Some(kind) = RowsKind::of_event(event_type) else {
            let found = u64::from(event_type);
            return Err(
                reader.error(0, Problem::Unknown { expected: "the type of an event with rows", found })
            );
        };
        let table = TableMapId(reader.uint(6, "the table's number")?);
        let flags = reader.u16("flags")?;
        if event_type >= FIRST_OF_VERSION_2 {
            let expected = "the length of what else there is";
            // It counts itself.
            let length = usize::from(reader.u16(expected)?);
            let more = length.checked_sub(2);
            let unknown = Problem::Unknown { expected, found: 0 };
            reader.bytes(more.ok_or_else(|| reader.error(2, unknown))?, "what else there is")?;
        }
        let columns = usize::try_from(reader.packed("the number of columns")?).unwrap_or(usize::MAX);
        let bytes = columns.div_ceil(8);
        let present = Bits(reader.bytes(bytes, "which columns are given")?);
        let present_after = match kind {
            RowsKind::Update | RowsKind::PartialUpdate => {
                Bits(reader.bytes(bytes, "which columns are given after")?)
            }
            RowsKind::Insert | RowsKind::Delete => present,
        };
        Ok(Self { kind, table, flags, columns, present, present_after, rows: reader.rest() })
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> RowsKind {
        self.kind
    }

    /// The number of the table map that describes the rows.
    #[must_use]
    pub fn table(&self) -> TableMapId {
        self.table
    }

    /// Whether the statement ends with this event: table maps before it mean nothing any more.
    #[must_use]
    pub fn ends_statement(&self) -> bool {
        self.flags & STATEMENT_END != 0
    }

    /// How many columns the table has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Which columns the rows have, or the rows before a change.
    pub(crate) fn present(&self) -> Bits<'a> {
        self.present
    }

    /// Which columns rows after a change have.
    pub(crate) fn present_after(&self) -> Bits<'a> {
        self.present_after
    }

    pub(crate) fn rows(&self) -> &'a [u8] {
        self.rows
    }
}

/// One bit for each column, the least significant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits<'a>(pub(crate) &'a [u8]);

impl Bits<'_> {
    /// One bit. Outside of the bytes it is not set.
    #[inline]
    pub(crate) fn get(self, at: usize) -> bool {
        self.0.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    /// How many of the first bits are set.
    pub(crate) fn count(self, of: usize) -> usize {
        (0..of).filter(|at| self.get(*at)).count()
    }
}
