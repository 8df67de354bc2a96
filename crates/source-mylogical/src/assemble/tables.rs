//! The tables that a stream has described.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Scope;
use super::item::{MappedTable, TableName};
use crate::binlog::MapHead;

/// Most descriptions kept. Servers give new numbers at every FLUSH TABLES, so old ones have to go.
const MOST: usize = 1 << 14;

#[derive(Debug)]
struct Known {
    table: Arc<MappedTable>,
    /// Rows of it are handed on.
    wanted: bool,
    /// The transaction that described it last.
    transaction: u64,
}

/// Descriptions by the server's number. They hold for one transaction; after that the server describes a table again
/// before it sends rows of it, and the same description is recognised.
#[derive(Debug, Default)]
pub(super) struct Tables {
    known: HashMap<u64, Known>,
    next: u64,
    transaction: u64,
}

/// Whose rows they are.
pub(super) enum Whose {
    /// Not described in this transaction.
    Unknown,
    /// Those of a table that is not replicated.
    Other,
    /// Those of this table.
    Table(Arc<MappedTable>),
}

impl Tables {
    /// Another transaction: what was described before does not hold any more.
    pub(super) fn begin(&mut self) {
        self.transaction += 1;
    }

    /// The server's numbers start again.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// False if one transaction describes more tables than can be.
    pub(super) fn describe(&mut self, head: MapHead, map: Bytes, scope: &impl Scope) -> bool {
        let transaction = self.transaction;
        let name = TableName { database: head.database, table: head.table };
        let wanted = scope.has_table(&name);
        if let Some(known) = self.known.get_mut(&head.id).filter(|known| known.table.map == map) {
            (known.wanted, known.transaction) = (wanted, transaction);
            return true;
        }
        if self.known.len() >= MOST {
            self.known.retain(|_, known| known.transaction == transaction);
            if self.known.len() >= MOST {
                return false;
            }
        }
        self.next += 1;
        let table = Arc::new(MappedTable { number: self.next, name, map });
        self.known.insert(head.id, Known { table, wanted, transaction });
        true
    }

    pub(super) fn whose(&self, id: u64) -> Whose {
        match self.known.get(&id).filter(|known| known.transaction == self.transaction) {
            None => Whose::Unknown,
            Some(known) if known.wanted => Whose::Table(Arc::clone(&known.table)),
            Some(_) => Whose::Other,
        }
    }
}
