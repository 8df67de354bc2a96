//! Puts events into the order of transactions.
//!
//! Rows are handed on as they come, so a transaction of any size passes through in constant memory. Only what may have to
//! be taken back is held, on disk beyond a limit: rows behind a savepoint where the log keeps what was undone, and
//! prepared transactions until they are decided.

mod held;
mod hold;
mod item;
mod open;
mod statement;
mod stop;
mod tables;
#[cfg(test)]
mod tests;
mod xa;

use std::collections::VecDeque;

use held::Held;
pub use hold::Holds;
pub use item::{Ddl, Item, MappedTable, SentRows, TableName};
use open::{ByXid, Open, Why};
pub use stop::Stop;
use tables::{Tables, Whose};

use crate::binlog::{Event, EventError, Frame, Header, MapHead, PayloadEvents, RowsBody};
use crate::gtid::{Gtid, LogPosition, Progress, Seen};

/// Which part of the source is replicated.
pub trait Scope: Send {
    /// Whether anything of this database is.
    fn has_database(&self, database: &str) -> bool;

    /// Whether this table is. Rows of others are not handed on.
    fn has_table(&self, table: &TableName) -> bool;

    /// Whether rows of this table stay when the transaction that wrote them is rolled back: those of engines without
    /// transactions.
    fn survives_rollback(&self, _table: &TableName) -> bool {
        false
    }
}

/// Longest queue of savepoints in one transaction; nobody has so many.
const MOST_MARKS: usize = 100_000;

/// What becomes of the position at the end of a transaction.
#[derive(Debug)]
enum Ending {
    /// It is behind it, and behind the prepared one that it decides.
    Applied {
        gtid: Gtid,
        decides: Option<Gtid>,
    },
    Prepared(Gtid),
    /// It was before.
    PreparedAgain,
}

#[derive(Debug)]
enum State {
    Between,
    Inside(Box<Open>),
    /// After an error. What follows cannot be trusted.
    Failed,
}

/// Follows one connection's stream. A new connection needs a new one.
///
/// Push one event, then take items until there is none; then push the next.
#[derive(Debug)]
pub struct Assembler<S> {
    scope: S,
    holds: Holds,
    careful: Option<Gtid>,
    state: State,
    progress: Progress,
    tables: Tables,
    prepared: ByXid,
    // What is to be handed on, in this order.
    ready: VecDeque<Item>,
    releasing: Option<Held>,
    ending: Option<(Ending, Item)>,
    payload: Option<PayloadEvents>,
    pushed: VecDeque<Frame>,
}

impl<S: Scope> Assembler<S> {
    /// For a stream that is opened at [`LogPosition::resume`].
    pub fn new(position: LogPosition, scope: S, holds: Holds) -> Self {
        Self {
            scope,
            holds,
            careful: None,
            state: State::Between,
            progress: Progress::new(position),
            tables: Tables::default(),
            prepared: ByXid::new(),
            ready: VecDeque::new(),
            releasing: None,
            ending: None,
            payload: None,
            pushed: VecDeque::new(),
        }
    }

    /// The rows of this transaction are held until its end: it ended the stream before with [`Stop::TakenBack`].
    #[must_use]
    pub fn careful(mut self, gtid: Option<Gtid>) -> Self {
        self.careful = gtid;
        self
    }

    /// Takes the next event.
    pub fn push(&mut self, frame: Frame) {
        self.pushed.push_back(frame);
    }

    /// The next item of what was pushed; none if the next event is needed.
    ///
    /// # Errors
    /// If the stream cannot be followed; from then on everything is refused.
    pub fn next_item(&mut self) -> Result<Option<Item>, Stop> {
        let item = self.step();
        if item.is_err() {
            self.state = State::Failed;
            self.ready.clear();
            (self.releasing, self.ending, self.payload) = (None, None, None);
        }
        item
    }

    /// Behind everything handed over. Only to be asked for between transactions: after `Commit` or `Passed`, before
    /// `Begin`.
    pub fn position(&self) -> &LogPosition {
        self.progress.position()
    }

    /// The transaction under way, if there is one.
    pub fn transaction(&self) -> Option<&Gtid> {
        match &self.state {
            State::Inside(open) => Some(&open.gtid),
            State::Between | State::Failed => None,
        }
    }

    /// How many transactions are prepared and wait for their decision.
    pub fn prepared_count(&self) -> usize {
        self.prepared.len()
    }

    fn step(&mut self) -> Result<Option<Item>, Stop> {
        if matches!(self.state, State::Failed) {
            return Err(Stop::Ended);
        }
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if let Some(held) = &mut self.releasing {
                match held.take() {
                    Ok(Some(rows)) => return Ok(Some(Item::Rows(rows))),
                    Ok(None) => self.releasing = None,
                    Err(source) => return Err(Stop::Hold { source }),
                }
            }
            if let Some((ending, item)) = self.ending.take() {
                self.unpacked()?;
                self.advance(&ending)?;
                return Ok(Some(item));
            }
            if let Some(payload) = &mut self.payload {
                match payload.next_event() {
                    Ok(Some(frame)) => self.event(frame, true)?,
                    Ok(None) => self.payload = None,
                    Err(source) => return Err(Stop::Unpack { gtid: self.transaction().cloned(), source }),
                }
                continue;
            }
            match self.pushed.pop_front() {
                Some(frame) => self.event(frame, false)?,
                None => return Ok(None),
            }
        }
    }

    /// A compressed transaction is only at its end when all of it came out.
    fn unpacked(&mut self) -> Result<(), Stop> {
        let Some(mut payload) = self.payload.take() else { return Ok(()) };
        match payload.next_event() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(self.out_of_order("events behind the end of a compressed transaction")),
            Err(source) => Err(Stop::Unpack { gtid: None, source }),
        }
    }

    fn advance(&mut self, ending: &Ending) -> Result<(), Stop> {
        let moved = match ending {
            Ending::Applied { gtid, decides } => {
                let decided = decides.as_ref().map_or(Ok(()), |gtid| self.progress.decide(gtid));
                decided.and_then(|()| self.progress.pass(gtid)).map_err(|_| gtid)
            }
            Ending::Prepared(gtid) => {
                self.progress.prepare(gtid);
                Ok(())
            }
            Ending::PreparedAgain => Ok(()),
        };
        moved.map_err(|gtid| Stop::OutOfOrder {
            what: "a number that no transaction has",
            gtid: Some(gtid.clone()),
        })
    }

    fn event(&mut self, frame: Frame, packed: bool) -> Result<(), Stop> {
        let (header, body) = (frame.header, frame.body.clone());
        match Event::parse(frame).map_err(|error| self.refuse(&header, error))? {
            Event::Format(format) if format.version == 4 => self.format(),
            Event::Format(_) => Err(self.refuse(&header, EventError::Malformed)),
            Event::MySqlStart(start) => {
                let at = if start.committed_micros > 0 { start.committed_micros } else { header.micros() };
                self.start(Gtid::MySql(start.gtid), at, None, false)
            }
            Event::MariaDbStart(start) => {
                let prepares = start.xa == Some(crate::binlog::Xa::Prepares);
                self.start(Gtid::MariaDb(start.gtid), header.micros(), Some(start.stand_alone), prepares)
            }
            Event::Anonymous => Err(Stop::Anonymous),
            Event::Query(query) => self.query(&query),
            Event::TableMap(head) => self.describe(head, body),
            Event::Rows(rows) => self.rows(rows),
            Event::Xid => self.commit(),
            Event::XaPrepare { one_phase: true, .. } => self.commit(),
            Event::XaPrepare { xid, one_phase: false } => self.prepare(xid),
            Event::Payload(_) if packed => Err(self.refuse(&header, EventError::Malformed)),
            Event::Payload(payload) => {
                if !matches!(self.state, State::Inside(_)) {
                    return Err(self.out_of_order("a compressed transaction"));
                }
                let events = payload.events().map_err(|error| self.refuse(&header, error.into()))?;
                self.payload = Some(events);
                Ok(())
            }
            Event::Incident => Err(Stop::Incident { gtid: self.transaction().cloned() }),
            // What the statement itself does is judged when it comes.
            Event::StatementPart | Event::GtidList(_) | Event::Heartbeat | Event::Ignored => Ok(()),
        }
    }

    fn refuse(&self, header: &Header, error: EventError) -> Stop {
        let (kind, gtid) = (header.kind, self.transaction().cloned());
        match error {
            EventError::Malformed => Stop::Malformed { kind, gtid },
            EventError::Unknown => Stop::UnknownKind { kind, gtid },
            EventError::Unpack(source) => Stop::Unpack { gtid, source },
        }
    }

    fn out_of_order(&self, what: &'static str) -> Stop {
        Stop::OutOfOrder { what, gtid: self.transaction().cloned() }
    }

    /// A file begins. A transaction that is not at its end then has none: the server died while it wrote it, and undid it.
    fn format(&mut self) -> Result<(), Stop> {
        self.tables.forget();
        match std::mem::replace(&mut self.state, State::Between) {
            State::Inside(open) if open.is_told => Err(Stop::TakenBack { gtid: open.gtid }),
            State::Inside(_) | State::Between | State::Failed => Ok(()),
        }
    }

    fn start(&mut self, gtid: Gtid, at: i64, stand_alone: Option<bool>, prepares: bool) -> Result<(), Stop> {
        if matches!(self.state, State::Inside(_)) {
            return Err(self.out_of_order("a transaction that begins inside of another"));
        }
        if !self.progress.is_named_alike(&gtid) {
            return Err(self.out_of_order("a transaction of another product"));
        }
        self.tables.begin();
        let seen = self.progress.see(&gtid).map_err(|missed| Stop::Diverged {
            expected: Gtid::MariaDb(missed.expected),
            found: gtid.clone(),
        })?;
        let mut open = Open::new(gtid, at, seen, stand_alone);
        if prepares || self.careful.as_ref() == Some(&open.gtid) {
            open.holding = Some((Held::new(&self.holds), Why::End));
        }
        self.state = State::Inside(Box::new(open));
        Ok(())
    }

    fn describe(&mut self, head: MapHead, map: bytes::Bytes) -> Result<(), Stop> {
        if !matches!(self.state, State::Inside(_)) {
            return Err(self.out_of_order("a table map outside of a transaction"));
        }
        if self.tables.describe(head, map, &self.scope) {
            return Ok(());
        }
        Err(self.out_of_order("more tables than a transaction can have"))
    }

    fn rows(&mut self, rows: RowsBody) -> Result<(), Stop> {
        /// Numbers in events without rows that only end a statement (read in server source).
        const NONE: [u64; 2] = [0x00ff_ffff, 0xffff_ffff_ffff];
        let State::Inside(open) = &mut self.state else {
            return Err(self.out_of_order("rows outside of a transaction"));
        };
        let table = match self.tables.whose(rows.id) {
            Whose::Table(table) => table,
            Whose::Other => return Ok(()),
            Whose::Unknown if NONE.contains(&rows.id) => return Ok(()),
            Whose::Unknown => return Err(self.out_of_order("rows of a table that was not described")),
        };
        if open.is_applied() {
            return Ok(());
        }
        let sent = SentRows { table, kind: rows.kind, body: rows.body };
        if let Some((held, _)) = &mut open.holding {
            return held.push(&sent).map_err(|source| Stop::Hold { source });
        }
        begin(open, &mut self.ready);
        open.told += u64::from(!self.scope.survives_rollback(&sent.table.name));
        self.ready.push_back(Item::Rows(sent));
        Ok(())
    }

    /// Takes the transaction under way out, at its end.
    fn take_open(&mut self, what: &'static str) -> Result<Box<Open>, Stop> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Inside(open) => Ok(open),
            State::Between | State::Failed => Err(self.out_of_order(what)),
        }
    }

    fn commit(&mut self) -> Result<(), Stop> {
        let open = self.take_open("the end of a transaction that did not begin")?;
        self.finish(*open, None)
    }

    /// Nothing of it was done, but for what cannot be undone.
    fn rollback(&mut self) -> Result<(), Stop> {
        let mut open = self.take_open("the end of a transaction that did not begin")?;
        if open.told > 0 {
            return Err(Stop::TakenBack { gtid: open.gtid });
        }
        let scope = &self.scope;
        if let Some((held, _)) = &mut open.holding {
            let survives = |table: &MappedTable| scope.survives_rollback(&table.name);
            held.cut(0, &self.holds, survives).map_err(|source| Stop::Hold { source })?;
        }
        self.finish(*open, None)
    }

    /// The transaction is at its end; with it the prepared one that it decides, if any.
    fn finish(&mut self, mut open: Open, decides: Option<Gtid>) -> Result<(), Stop> {
        match open.seen {
            Seen::Applied => return Ok(()),
            Seen::PreparedBefore => {
                let what = "a transaction that is not prepared, and was when it was read before,";
                return Err(Stop::OutOfOrder { what, gtid: Some(open.gtid) });
            }
            Seen::New => {}
        }
        if let Some((held, _)) = open.holding.take().filter(|(held, _)| !held.is_empty()) {
            begin(&mut open, &mut self.ready);
            self.releasing = Some(held);
        }
        let at_micros = open.at_micros;
        let item = if open.is_told { Item::Commit { at_micros } } else { Item::Passed { at_micros } };
        self.ending = Some((Ending::Applied { gtid: open.gtid, decides }, item));
        Ok(())
    }
}

/// Says that the transaction begins, once.
fn begin(open: &mut Open, ready: &mut VecDeque<Item>) {
    if !std::mem::replace(&mut open.is_told, true) {
        ready.push_back(Item::Begin { gtid: open.gtid.clone() });
    }
}
