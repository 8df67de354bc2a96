//! Transactions that are prepared now and decided later, by another.

use super::held::Held;
use super::open::{Prepared, Why};
use super::{Assembler, Ending, Item, Scope, State, Stop, begin};
use crate::binlog::Xid;
use crate::gtid::Seen;

impl<S: Scope> Assembler<S> {
    /// Its rows are held from the beginning.
    pub(super) fn xa_start(&mut self) {
        if let State::Inside(open) = &mut self.state {
            open.began = true;
            if open.holding.is_none() {
                open.holding = Some((Held::new(&self.holds), Why::End));
            }
        }
    }

    pub(super) fn prepare(&mut self, xid: Xid) -> Result<(), Stop> {
        let open = self.take_open("a prepared transaction that did not begin")?;
        if open.is_applied() {
            return Ok(());
        }
        if open.is_told {
            // It did not say in the beginning that it would be prepared.
            return Err(Stop::TakenBack { gtid: open.gtid });
        }
        if self.prepared.contains_key(&xid) {
            let what = "a prepared transaction with the name of one that waits for its decision,";
            return Err(Stop::OutOfOrder { what, gtid: Some(open.gtid) });
        }
        let ending = match open.seen {
            Seen::PreparedBefore => Ending::PreparedAgain,
            Seen::New | Seen::Applied => Ending::Prepared(open.gtid.clone()),
        };
        let held = open.holding.map_or_else(|| Held::new(&self.holds), |(held, _)| held);
        self.prepared.insert(xid, Prepared { gtid: open.gtid, held });
        self.ending = Some((ending, Item::Passed { at_micros: open.at_micros }));
        Ok(())
    }

    pub(super) fn xa_commit(&mut self, xid: &Xid) -> Result<(), Stop> {
        let mut open = self.take_open("the decision on a prepared transaction without a GTID")?;
        if open.is_applied() {
            return Ok(());
        }
        let Some(prepared) = self.prepared.remove(xid) else {
            return Err(Stop::UnknownPrepared { gtid: open.gtid, xid: xid.to_string() });
        };
        if !prepared.held.is_empty() {
            begin(&mut open, &mut self.ready);
        }
        self.releasing = Some(prepared.held);
        self.finish(*open, Some(prepared.gtid))
    }

    /// Of one that is not known nothing was ever handed on.
    pub(super) fn xa_rollback(&mut self, xid: &Xid) -> Result<(), Stop> {
        let open = self.take_open("the decision on a prepared transaction without a GTID")?;
        if open.is_applied() {
            return Ok(());
        }
        let prepared = self.prepared.remove(xid);
        self.finish(*open, prepared.map(|prepared| prepared.gtid))
    }
}
