//! What statements do to the transaction around them.

use super::held::Held;
use super::item::{Ddl, MappedTable, TableName};
use super::open::{Mark, Why};
use super::{Assembler, Item, MOST_MARKS, Scope, State, Stop, begin};
use crate::binlog::{Definition, Loss, Name, Query, Statement};
use crate::gtid::Gtid;

impl<S: Scope> Assembler<S> {
    pub(super) fn query(&mut self, query: &Query) -> Result<(), Stop> {
        let statement = Statement::parse(&query.text);
        let State::Inside(open) = &mut self.state else {
            // MariaDB puts a comment in place of events that it does not send.
            return if statement == Statement::Empty { Ok(()) } else { Err(Stop::Anonymous) };
        };
        match statement {
            Statement::Begin => open.began = true,
            Statement::Commit => return self.commit(),
            Statement::Rollback => return self.rollback(),
            Statement::Savepoint(name) => return self.savepoint(name),
            Statement::RollbackTo(name) => return self.rollback_to(&name),
            Statement::Release(name) => self.release(&name),
            Statement::XaStart(_) => self.xa_start(),
            Statement::XaEnd => {}
            Statement::XaPrepare(xid) => return self.prepare(xid),
            Statement::XaCommit { one_phase: true, .. } => return self.commit(),
            Statement::XaCommit { xid, one_phase: false } => return self.xa_commit(&xid),
            Statement::XaRollback(xid) => return self.xa_rollback(&xid),
            Statement::Definition(definition) => {
                open.began |= definition.with_rows;
                let ends = open.ends_with_statement();
                self.define(definition, &query.database);
                return if ends { self.commit() } else { Ok(()) };
            }
            Statement::Harmless | Statement::Empty if open.ends_with_statement() => return self.commit(),
            Statement::Harmless | Statement::Empty => {}
            Statement::Change { verb, names } => {
                let ends = open.ends_with_statement();
                if !open.is_applied() {
                    let gtid = open.gtid.clone();
                    self.judge_change(verb, &names, &query.database, gtid)?;
                }
                return if ends { self.commit() } else { Ok(()) };
            }
        }
        Ok(())
    }

    /// Rows that are only described by a statement cannot be followed.
    fn judge_change(
        &self,
        verb: &'static str,
        names: &[Name],
        database: &str,
        gtid: Gtid,
    ) -> Result<(), Stop> {
        let within = |name: &&Name| self.scope.has_database(name.database.as_deref().unwrap_or(database));
        let named = names.iter().find(within);
        if named.is_none() && !self.scope.has_database(database) {
            return Ok(());
        }
        let database = named.and_then(|name| name.database.as_deref()).unwrap_or(database).to_owned();
        Err(Stop::Statement { verb, database, table: named.map(|name| name.table.clone()), gtid })
    }

    fn define(&mut self, definition: Definition, session: &str) {
        let State::Inside(open) = &mut self.state else { return };
        if open.is_applied() {
            return;
        }
        let full = |name: Name| TableName {
            database: name.database.unwrap_or_else(|| session.to_owned()),
            table: name.table,
        };
        let tables: Vec<_> =
            definition.tables.into_iter().map(full).filter(|table| self.scope.has_table(table)).collect();
        let database = definition.database.filter(|database| self.scope.has_database(database));
        if let Some(how) = definition.loss {
            for table in tables.iter().cloned() {
                begin(open, &mut self.ready);
                self.ready.push_back(Item::Emptied { table, how });
            }
            if let Some(database) = database.clone() {
                begin(open, &mut self.ready);
                self.ready.push_back(Item::DatabaseDropped { database });
            }
        }
        let changed = definition.loss != Some(Loss::Truncate) && (!tables.is_empty() || database.is_some());
        if changed {
            self.ready.push_back(Item::Ddl(Ddl { verb: definition.verb, tables, database }));
        }
    }

    /// MariaDB leaves undone rows in its log, behind the mark, where a table without transactions takes part; then they are
    /// held. MySQL hardly ever does: there they are handed on, and read again if it comes to that.
    fn savepoint(&mut self, name: String) -> Result<(), Stop> {
        let State::Inside(open) = &mut self.state else { return Ok(()) };
        open.began = true;
        if open.is_applied() {
            return Ok(());
        }
        if let Some(known) = open.mark(&name) {
            open.marks.remove(known);
        }
        if open.marks.len() >= MOST_MARKS {
            return Err(self.out_of_order("more savepoints than can be followed"));
        }
        if open.holding.is_none() && matches!(open.gtid, Gtid::MariaDb(_)) {
            open.holding = Some((Held::new(&self.holds), Why::Savepoint));
        }
        let held = open.holding.as_ref().map_or(0, |(held, _)| held.mark());
        open.marks.push(Mark { name, held, told: open.told });
        Ok(())
    }

    fn rollback_to(&mut self, name: &str) -> Result<(), Stop> {
        let State::Inside(open) = &mut self.state else { return Ok(()) };
        if open.is_applied() {
            return Ok(());
        }
        let Some((at, mark)) = open.mark(name).and_then(|at| open.marks.get(at).map(|mark| (at, mark)))
        else {
            return Err(self.out_of_order("a way back to a savepoint that was not set,"));
        };
        if open.told > mark.told {
            return Err(Stop::TakenBack { gtid: open.gtid.clone() });
        }
        let scope = &self.scope;
        let survives = |table: &MappedTable| scope.survives_rollback(&table.name);
        if let Some((held, _)) = &mut open.holding {
            held.cut(mark.held, &self.holds, survives).map_err(|source| Stop::Hold { source })?;
        }
        open.marks.truncate(at + 1);
        Ok(())
    }

    /// The mark is gone, with those behind it. Without marks, nothing is taken back any more.
    fn release(&mut self, name: &str) {
        let State::Inside(open) = &mut self.state else { return };
        if let Some(at) = open.mark(name) {
            open.marks.truncate(at);
        }
        let done = open.marks.is_empty();
        if let Some((held, _)) = open.holding.take_if(|(_, why)| done && *why == Why::Savepoint)
            && !held.is_empty()
        {
            begin(open, &mut self.ready);
            open.told += 1;
            self.releasing = Some(held);
        }
    }
}
