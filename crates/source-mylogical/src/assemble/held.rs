//! Rows that wait until it is known whether they are undone.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::hold::{Hold, Holds};
use super::item::{MappedTable, SentRows};

/// Table, kind and length before each body.
const HEAD_BYTES: usize = 9;

/// Rows in order.
#[derive(Debug)]
pub(super) struct Held {
    hold: Hold,
    tables: Vec<Arc<MappedTable>>,
    /// Place in `tables` by the table's number.
    places: HashMap<u64, u32>,
    /// Read up to here.
    at: u64,
}

impl Held {
    pub(super) fn new(holds: &Holds) -> Self {
        Self { hold: holds.open(), tables: Vec::new(), places: HashMap::new(), at: 0 }
    }

    /// A place to come back to.
    pub(super) fn mark(&self) -> u64 {
        self.hold.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.hold.len()
    }

    pub(super) fn push(&mut self, rows: &SentRows) -> io::Result<()> {
        let new = u32::try_from(self.tables.len()).map_err(io::Error::other)?;
        let tables = &mut self.tables;
        let place = *self.places.entry(rows.table.number).or_insert_with(|| {
            tables.push(Arc::clone(&rows.table));
            new
        });
        let length = u32::try_from(rows.body.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(HEAD_BYTES + rows.body.len());
        record.extend_from_slice(&place.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.push(rows.kind);
        record.extend_from_slice(&rows.body);
        self.hold.append(&record)
    }

    /// Forgets what was pushed after the mark, except for rows of tables that keep them.
    pub(super) fn cut(
        &mut self,
        mark: u64,
        holds: &Holds,
        survives: impl Fn(&MappedTable) -> bool,
    ) -> io::Result<()> {
        let mut kept = Self::new(holds);
        if self.tables.iter().any(|table| survives(table)) {
            let read = std::mem::replace(&mut self.at, mark);
            while let Some(rows) = self.take()? {
                if survives(&rows.table) {
                    kept.push(&rows)?;
                }
            }
            self.at = read;
        }
        self.hold.truncate(mark);
        while let Some(rows) = kept.take()? {
            self.push(&rows)?;
        }
        Ok(())
    }

    /// The next rows; none after the last.
    pub(super) fn take(&mut self) -> io::Result<Option<SentRows>> {
        if self.is_empty() {
            return Ok(None);
        }
        let head = self.hold.read(self.at, HEAD_BYTES)?;
        let [a, b, c, d, e, f, g, h, kind] = *head.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let place = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(io::Error::other)?;
        let length = usize::try_from(u32::from_le_bytes([e, f, g, h])).map_err(io::Error::other)?;
        let body = self.hold.read(self.at + HEAD_BYTES as u64, length)?;
        self.at += HEAD_BYTES as u64 + length as u64;
        let table = self.tables.get(place).map(Arc::clone).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(SentRows { table, kind, body: body.into() }))
    }
}
