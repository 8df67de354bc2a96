//! One connection's stream, as steps for the engine.

mod emptied;
mod forms;
mod lookup;
mod memory;
mod rows;
mod scope;

pub use scope::{BadDatabases, Databases};

pub(crate) use memory::Memory;
pub(crate) use scope::{Carried, WithoutTransactions};

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sink_core::failure::{Disposition, Failure, Place};
use sink_core::flow::{
    Binding, ChangeStream, Definition, Form, OldRows, OnTruncate, Position, SourceTable, Step, TableNumber,
};
use sink_core::model::TableId;

use crate::Flavor;
use crate::assemble::{Assembler, Ddl, Holds, Item, MappedTable, SentRows, Stop, TableName};
use crate::binlog::{Frame, TableMap};
use crate::catalog::{Cascades, TableFacts, TableKind};
use crate::charset::Charsets;
use crate::gtid::{GtidSet, LogPosition};
use crate::metrics::Counters;
use crate::policy::Policies;
use crate::row::Images;
use crate::table::{Hints, Plan, TargetColumn};
use crate::transport::{Config, Dump, HEARTBEAT, TransportError};
use lookup::Lookup;

const READ: &str = "read the source's binary log";

/// What the target calls a table, if it has it: asked by schema and name.
pub type FindTarget = Arc<dyn Fn(&str, &str) -> Option<TableId> + Send + Sync>;

/// What a feed does with what it reads.
#[derive(Clone)]
pub struct Carry {
    /// The feed's name, for metrics.
    pub feed: String,
    /// What is carried, and where to.
    pub databases: Arc<Databases>,
    /// What is done with values that the target cannot hold.
    pub policies: Policies,
    /// What becomes of tables that are emptied or dropped.
    pub on_truncate: OnTruncate,
    /// What the target has.
    pub target: FindTarget,
}

/// What belongs to one connection.
pub(crate) struct Opened {
    pub(crate) dump: Dump,
    pub(crate) config: Arc<Config>,
    pub(crate) flavor: Flavor,
    pub(crate) position: LogPosition,
    /// What the source had when the stream was opened.
    pub(crate) opened_at: GtidSet,
    pub(crate) charsets: Arc<Charsets>,
    pub(crate) cascades: Cascades,
    /// What the catalogue says by now.
    pub(crate) facts: HashMap<TableName, TableFacts>,
    pub(crate) scope: Carried,
    /// Where rows wait that may not be handed on yet.
    pub(crate) holds: Holds,
}

/// A table whose rows have been seen, or which was emptied.
struct Known {
    name: TableName,
    shape: Shape,
    /// Where its rows go.
    bound: Option<Bound>,
}

/// What the columns of a table are.
enum Shape {
    /// As the log describes them.
    Logged(TableMap),
    /// As they are called by now: enough for a table that is emptied before any row of it has come.
    Named(Vec<String>),
}

/// Where the rows of a table go, and how they are read.
struct Bound {
    binding: Arc<Binding>,
    /// None if only the columns' names are known.
    plan: Option<Plan>,
}

/// What the catalogue says of a table.
enum Facts {
    /// Not asked yet, or not since the table was changed.
    Unknown,
    /// It has nothing to add: the table is gone by now, or is another.
    Gone,
    /// This.
    Known(Box<TableFacts>),
}

/// A running stream.
pub struct Feed {
    dump: Dump,
    carry: Carry,
    flavor: Flavor,
    assembler: Assembler<Carried>,
    charsets: Arc<Charsets>,
    lookup: Lookup,
    memory: Arc<Memory>,
    facts: HashMap<TableName, Facts>,
    known: HashMap<u64, Known>,
    /// The newest number of each table.
    newest: HashMap<TableName, u64>,
    /// What cannot go on before something else has happened.
    waiting: Option<Item>,
    /// Tables that were changed, to be looked at before anything goes on.
    suspects: VecDeque<TableName>,
    /// Tables of engines without transactions.
    without_transactions: WithoutTransactions,
    queued: VecDeque<Step>,
    images: Images,
    counters: Counters,
    opened_at: GtidSet,
    past_opening: bool,
    inside: bool,
    /// The next number for a table of which only the names are known; the assembler's own do not get there.
    next_named: u64,
}

/// The first of those numbers.
const FIRST_NAMED: u64 = 1 << 62;

impl Feed {
    pub(crate) fn new(opened: Opened, carry: Carry, memory: Arc<Memory>) -> Self {
        let without_transactions = opened.scope.without_transactions.clone();
        let assembler = Assembler::new(opened.position, opened.scope, opened.holds).careful(memory.careful());
        let counters = Counters::of(&carry.feed);
        let facts = opened.facts.into_iter().map(|(name, facts)| (name, Facts::Known(Box::new(facts))));
        Self {
            dump: opened.dump,
            carry,
            flavor: opened.flavor,
            assembler,
            charsets: opened.charsets,
            lookup: Lookup::new(opened.config, opened.cascades),
            memory,
            facts: facts.collect(),
            known: HashMap::new(),
            newest: HashMap::new(),
            waiting: None,
            suspects: VecDeque::new(),
            without_transactions,
            queued: VecDeque::new(),
            images: Images::default(),
            counters,
            opened_at: opened.opened_at,
            past_opening: false,
            inside: false,
            next_named: FIRST_NAMED,
        }
    }

    /// What is next in the order of transactions; none if nothing more has been received.
    fn next_item(&mut self) -> Result<Option<Item>, Failure> {
        loop {
            if let Some(item) = self.waiting.take() {
                return Ok(Some(item));
            }
            let next = self.assembler.next_item();
            if let Some(item) = next.map_err(|stop| self.stopped(stop))? {
                return Ok(Some(item));
            }
            let event = self.dump.try_next();
            let Some(event) = event.map_err(|error| self.broken(error))? else { return Ok(None) };
            self.counters.event(&event);
            let frame = Frame::from_sent(&event).map_err(|error| self.stopped(Stop::from(error)))?;
            let Some(frame) = frame else { continue };
            self.assembler.push(frame);
        }
    }

    /// One step of an item; none if it has none, or has to wait.
    fn step(&mut self, item: Item) -> Result<Option<Step>, Failure> {
        match item {
            Item::Begin { .. } => {
                self.inside = true;
                Ok(Some(Step::Begin))
            }
            Item::Rows(rows) => self.rows(rows),
            Item::Emptied { table, how } => self.emptied(table, how),
            Item::DatabaseDropped { database } => self.database_dropped(&database).map(|()| None),
            Item::Commit { at_micros } => {
                self.inside = false;
                self.memory.moved();
                Ok(Some(Step::Commit { at_micros }))
            }
            Item::Passed { at_micros: _ } => {
                self.memory.moved();
                Ok(Some(Step::Idle { asked: false }))
            }
            Item::Ddl(ddl) => {
                self.ddl(&ddl);
                Ok(None)
            }
        }
    }

    fn rows(&mut self, event: SentRows) -> Result<Option<Step>, Failure> {
        if !self.has_facts(&event.table.name) {
            self.waiting = Some(Item::Rows(event));
            return Ok(None);
        }
        if self.is_no_table(&event.table.name) {
            return Ok(None);
        }
        self.learn(&event.table)?;
        let number = event.table.number;
        let Some(known) = self.known.get(&number) else { return Ok(None) };
        match &known.bound {
            Some(Bound { binding, plan: Some(plan) }) => {
                rows::steps(plan, binding, &event, &mut self.images, &mut self.queued)?;
                self.counters.changed(std::mem::take(&mut self.images.changed));
                Ok(self.queued.pop_front())
            }
            Some(Bound { plan: None, .. }) | None => {
                let step = self.unbound(number);
                self.waiting = Some(Item::Rows(event));
                step.map(Some)
            }
        }
    }

    /// Whether the catalogue has been asked about a table; begins to ask if not.
    fn has_facts(&mut self, name: &TableName) -> bool {
        match self.facts.get(name) {
            Some(Facts::Gone | Facts::Known(_)) => true,
            Some(Facts::Unknown) | None => {
                if !self.lookup.is_asking() {
                    self.lookup.ask(name.clone());
                }
                false
            }
        }
    }

    /// MariaDB logs the values of its sequences like rows.
    fn is_no_table(&self, name: &TableName) -> bool {
        matches!(self.facts.get(name), Some(Facts::Known(facts)) if facts.kind == TableKind::Sequence)
    }

    fn learn(&mut self, table: &MappedTable) -> Result<(), Failure> {
        if self.known.contains_key(&table.number) {
            return Ok(());
        }
        let map = TableMap::parse(&table.map, self.flavor);
        let map = map.map_err(|error| Failure::new(Disposition::Retry, READ, error))?;
        // Rows of a former description do not come any more, except from a session that still has the table open.
        if let Some(before) = self.newest.insert(table.name.clone(), table.number) {
            self.known.remove(&before);
        }
        self.known
            .insert(table.number, Known { name: table.name.clone(), shape: Shape::Logged(map), bound: None });
        Ok(())
    }

    /// Asks where the rows of a table go.
    fn unbound(&self, number: u64) -> Result<Step, Failure> {
        let Some(known) = self.known.get(&number) else { return Ok(Step::Idle { asked: false }) };
        let (columns, forms) = match &known.shape {
            Shape::Named(columns) => (columns.clone(), Vec::new()),
            Shape::Logged(map) => {
                let columns: Option<Vec<String>> =
                    map.columns.iter().map(|column| column.name.clone()).collect();
                let forms = map.columns.iter().map(forms::of).collect();
                (columns.ok_or_else(|| nameless(&known.name))?, forms)
            }
        };
        Ok(Step::Table(TableNumber(number), self.source_table(&known.name, columns, forms)))
    }

    fn source_table(&self, name: &TableName, columns: Vec<String>, forms: Vec<Form>) -> SourceTable {
        let schema = self.carry.databases.schema_of(&name.database).unwrap_or(&name.database).to_owned();
        SourceTable { schema, name: name.table.clone(), columns, forms, old_rows: OldRows::Whole }
    }

    fn hints(&self, name: &TableName, map: &TableMap, binding: &Binding) -> Hints {
        let mut hints = match self.facts.get(name) {
            Some(Facts::Known(facts)) => facts.hints(),
            Some(Facts::Unknown | Facts::Gone) | None => Hints::default(),
        };
        for (at, column) in binding.table().columns.iter().enumerate() {
            let source = binding.source_of(at).and_then(|at| map.columns.get(at));
            let Some(name) = source.and_then(|source| source.name.clone()) else { continue };
            hints.columns.entry(name).or_default().target = Some(TargetColumn::from(column));
        }
        hints
    }

    /// The catalogue is asked again about what was changed.
    fn ddl(&mut self, ddl: &Ddl) {
        self.counters.schema_change();
        let tables: Vec<String> =
            ddl.tables.iter().map(|name| format!("{}.{}", name.database, name.table)).collect();
        tracing::info!(
            statement = ddl.verb,
            tables = tables.join(", "),
            database = ddl.database,
            "the source's tables were changed"
        );
        let concerns = |name: &TableName| {
            ddl.tables.contains(name)
                || ddl.database.as_ref().is_some_and(|database| *database == name.database)
        };
        for (_, facts) in self.facts.iter_mut().filter(|(name, _)| concerns(name)) {
            *facts = Facts::Unknown;
        }
        for known in self.known.values_mut().filter(|known| concerns(&known.name)) {
            known.bound = None;
        }
        // A foreign key may have been added whose changes will never be seen here.
        for name in &ddl.tables {
            if self.target_of(name).is_some() {
                self.suspects.push_back(name.clone());
            }
        }
    }

    /// What the target calls a table.
    fn target_of(&self, name: &TableName) -> Option<TableId> {
        let schema = self.carry.databases.schema_of(&name.database)?;
        (self.carry.target)(schema, &name.table)
    }

    /// Takes over what the catalogue has answered.
    fn answered(&mut self, name: TableName, facts: Option<TableFacts>) {
        if facts.as_ref().is_some_and(|facts| facts.kind == TableKind::Base) {
            let transactional = facts.as_ref().is_none_or(|facts| facts.transactional);
            self.without_transactions.set(&name, !transactional);
        }
        let facts = facts.map_or(Facts::Gone, |facts| Facts::Known(Box::new(facts)));
        self.facts.insert(name, facts);
    }

    fn stopped(&self, stop: Stop) -> Failure {
        if let Stop::TakenBack { gtid } = &stop {
            self.memory.be_careful(gtid.clone());
        }
        stop.into()
    }

    fn broken(&self, error: TransportError) -> Failure {
        if let TransportError::Silent(silence) = &error {
            self.memory.was_silent(*silence);
        }
        let fight = error.is_another_reader() && self.memory.thrown_out();
        let failure = error.failed(READ);
        if fight { failure.with_disposition(Disposition::Halt) } else { failure }
    }
}

impl ChangeStream for Feed {
    fn try_next(&mut self) -> Result<Option<Step>, Failure> {
        loop {
            if let Some(step) = self.queued.pop_front() {
                return Ok(Some(step));
            }
            if self.lookup.is_asking() {
                return Ok(None);
            }
            if let Some(name) = self.suspects.pop_front() {
                self.lookup.ask(name);
                return Ok(None);
            }
            let Some(item) = self.next_item()? else { return Ok(None) };
            if let Some(step) = self.step(item)? {
                return Ok(Some(step));
            }
        }
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        if self.lookup.is_asking() {
            if let Some((name, facts)) = self.lookup.answer().await? {
                self.answered(name, facts);
            }
            return Ok(());
        }
        let ready = self.dump.ready().await;
        ready.map_err(|error| self.broken(error))
    }

    fn bind(&mut self, table: TableNumber, binding: Arc<Binding>) -> Result<(), Failure> {
        let Some(known) = self.known.get(&table.0) else { return Ok(()) };
        let plan = match &known.shape {
            Shape::Named(_) => None,
            Shape::Logged(map) => {
                let hints = self.hints(&known.name, map, &binding);
                let plan = Plan::new(map, &hints, &self.charsets, self.carry.policies);
                Some(plan.map_err(|error| {
                    let place = Place { table: Some(binding.table().id.clone()), ..Place::default() };
                    Failure::new(Disposition::Halt, READ, error).at(place)
                })?)
            }
        };
        if let Some(known) = self.known.get_mut(&table.0) {
            known.bound = Some(Bound { binding, plan });
        }
        Ok(())
    }

    async fn define(&mut self, _table: TableNumber) -> Option<Definition> {
        None
    }

    fn forget_bindings(&mut self) {
        for known in self.known.values_mut() {
            known.bound = None;
        }
    }

    fn position(&self) -> Position {
        Position::new(self.assembler.position().to_string())
    }

    fn is_past_opening(&self) -> bool {
        self.past_opening || self.assembler.position().applied().has_passed(&self.opened_at)
    }

    fn is_behind(&self) -> bool {
        self.dump.has_more()
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<(), Failure> {
        // A server keeps its log by age, not for its readers.
        self.past_opening = self.past_opening || (!self.inside && self.is_past_opening());
        Ok(())
    }

    fn patience(&self) -> Duration {
        HEARTBEAT
    }

    async fn keep_alive(&mut self) -> Result<(), Failure> {
        // The reader knows whether the server is silent, and the server does not ask after us.
        Ok(())
    }

    async fn finish(self) {}
}

fn nameless(name: &TableName) -> Failure {
    let reason = format!(
        "the log does not say what the columns of table {}.{} are called; SET GLOBAL binlog_row_metadata = 'FULL' on the \
         source, then copy the table anew",
        name.database, name.table
    );
    Failure::new(Disposition::Halt, READ, reason)
}
