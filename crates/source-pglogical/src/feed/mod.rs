//! One connection's stream, as steps for the engine.

mod definition;
mod rows;

pub(crate) use definition::Catalogue;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sink_core::clock::{Clock as _, SystemClock};
use sink_core::failure::{Disposition, Failure, Place};
use sink_core::flow::{Binding, Change, ChangeStream, Definition, Position, SourceTable, Step, TableNumber};

use crate::Lsn;
use crate::assemble::{Assembler, Event};
use crate::pgoutput::{Begin, Commit, Frame, Keepalive, SourceTime, Status, WalData, decode};
use crate::position::{is_applied, is_backlog};
use crate::relations::{KeyFit, Relation};
use crate::transport::{Stream, TransportError};

const READ: &str = "read the source's stream";
/// Longest wait for the server to free the slot when we leave.
const FINISH_LIMIT: Duration = Duration::from_secs(2);

/// Tables of which older transactions are left out: their copy holds them already. By schema and name, with the
/// consistent point of the copy.
pub type SkipBefore = HashMap<(String, String), Lsn>;

/// What a feed leaves out.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    /// Transactions that began before a table's copy.
    pub before: SkipBefore,
    /// Transactions that came to the source by replication.
    pub origins: Origins,
    /// Tables of these schemas.
    pub schemas: HashSet<String>,
}

/// Transactions that came to the source by replication from somewhere else, by the name of the origin there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    /// None of them.
    #[default]
    None,
    /// All of them.
    Any,
    /// Those of these names.
    Named(HashSet<String>),
}

impl Origins {
    fn contain(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Named(names) => names.contains(name),
        }
    }
}

struct Bound {
    relation: Arc<Relation>,
    binding: Arc<Binding>,
}

/// A running stream.
pub struct Feed {
    stream: Stream,
    catalogue: Catalogue,
    assembler: Assembler,
    leave: Leave,
    bound: HashMap<u64, Bound, foldhash::fast::RandomState>,
    /// Descriptions by number, for those that are to be bound.
    asked: HashMap<u64, Arc<Relation>>,
    /// Received, and not looked at.
    held: Option<Frame>,
    /// A change of a table that is not bound yet.
    waiting: Option<WalData>,
    queued: VecDeque<Step>,
    /// Of the transaction under way.
    begin: Option<Begin>,
    /// The transaction under way is left out.
    skipped: bool,
    stored: Lsn,
    /// End of the source's log when the stream was opened.
    opened_at: Lsn,
    acknowledged: Lsn,
    position: Lsn,
    behind: bool,
    patience: Duration,
    silence: Duration,
    /// Since when nothing has come although we listen.
    listening_since: Option<Instant>,
}

impl Feed {
    /// Follows a stream that was started at the stored position, when the source's log went as far as `opened_at`.
    pub(crate) fn new(
        stream: Stream,
        (stored, opened_at): (Lsn, Lsn),
        leave: Leave,
        patience: Duration,
        catalogue: Catalogue,
    ) -> Self {
        Self {
            stream,
            catalogue,
            assembler: Assembler::default(),
            leave,
            bound: HashMap::default(),
            asked: HashMap::new(),
            held: None,
            waiting: None,
            queued: VecDeque::new(),
            begin: None,
            skipped: false,
            stored,
            opened_at,
            acknowledged: stored,
            position: stored,
            behind: false,
            patience,
            silence: Duration::MAX,
            listening_since: None,
        }
    }

    /// Gives up when the server has said nothing for this long.
    pub(crate) fn giving_up_after(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    fn step(&mut self, data: WalData) -> Result<Option<Step>, Failure> {
        let message = decode(&data.payload).map_err(|e| halt(&e))?;
        match self.assembler.push(message).map_err(|e| halt(&e))? {
            Event::Begin(begin) => Ok(Some(self.begin(begin, data.sent_at))),
            Event::Commit(commit) => Ok(Some(self.commit(commit))),
            Event::Origin(origin) => {
                self.skipped |= self.leave.origins.contain(origin.name);
                Ok(None)
            }
            Event::Change(relation, _) if self.skips(&relation) => Ok(None),
            Event::Change(relation, change) => match self.bound_to(&relation) {
                Some(binding) => {
                    let change = rows::change(&binding, change)?;
                    Ok(Some(Step::Change(binding, change)))
                }
                None => Ok(Some(self.ask(&relation, data.clone()))),
            },
            Event::Truncate(truncated) => {
                let relations = truncated.relations.iter().filter(|relation| !self.skips(relation));
                let relations: Vec<_> = relations.cloned().collect();
                if let Some(unbound) = relations.iter().find(|relation| self.bound_to(relation).is_none()) {
                    return Ok(Some(self.ask(unbound, data.clone())));
                }
                let bindings = relations.iter().filter_map(|relation| self.bound_to(relation));
                let steps: Vec<_> = bindings.map(|binding| Step::Change(binding, Change::Truncate)).collect();
                self.queued.extend(steps);
                Ok(self.queued.pop_front())
            }
            // Descriptions are looked at when a change needs them. Messages of applications are theirs.
            Event::Relation(_) | Event::Type(_) | Event::Message(_) => Ok(None),
        }
    }

    fn begin(&mut self, begin: Begin, sent_at: SourceTime) -> Step {
        self.behind = is_backlog(begin.commit_time, sent_at);
        self.stream.set_pause(self.behind.then_some(Stream::BACKLOG_PAUSE));
        self.begin = Some(begin);
        // A transaction ends behind its commit record, so one whose record begins before the stored position is in.
        self.skipped = begin.final_lsn < self.stored;
        Step::Begin
    }

    fn commit(&mut self, commit: Commit) -> Step {
        debug_assert!(
            !self.skipped || self.leave.origins != Origins::None || is_applied(commit.end_lsn, self.stored)
        );
        self.begin = None;
        self.position = self.position.max(commit.end_lsn);
        Step::Commit { at_micros: commit.commit_time.unix_micros() }
    }

    fn keepalive(&mut self, keepalive: Keepalive) -> Step {
        // Between transactions everything before has been received; inside of one the number means nothing to us.
        if self.begin.is_none() {
            self.position = self.position.max(keepalive.wal_end);
            self.behind = false;
            self.stream.set_pause(None);
        }
        Step::Idle { asked: keepalive.reply_requested }
    }

    /// Whether the copy of the table holds this transaction, or all of it is left out.
    fn skips(&self, relation: &Relation) -> bool {
        let copied = || {
            let key = (relation.schema.clone(), relation.name.clone());
            let point = self.leave.before.get(&key);
            matches!((point, self.begin), (Some(point), Some(begin)) if begin.final_lsn < *point)
        };
        self.skipped
            || (!self.leave.before.is_empty() && copied())
            || (!self.leave.schemas.is_empty() && self.leave.schemas.contains(&relation.schema))
    }

    fn bound_to(&self, relation: &Arc<Relation>) -> Option<Arc<Binding>> {
        let bound = self.bound.get(&u64::from(relation.oid.0))?;
        Arc::ptr_eq(&bound.relation, relation).then(|| Arc::clone(&bound.binding))
    }

    fn ask(&mut self, relation: &Arc<Relation>, data: WalData) -> Step {
        let number = u64::from(relation.oid.0);
        self.asked.insert(number, Arc::clone(relation));
        self.waiting = Some(data);
        let columns = relation.columns.iter().map(|column| column.name.clone()).collect();
        let relations = self.assembler.relations();
        let forms = relation.columns.iter().map(|column| relations.form(column.type_oid)).collect();
        let (schema, name) = (relation.schema.clone(), relation.name.clone());
        let old_rows = relation.old_rows();
        Step::Table(TableNumber(number), SourceTable { schema, name, columns, forms, old_rows })
    }

    async fn send(&mut self, reply_requested: bool) -> Result<(), Failure> {
        let status = Status { reply_requested, ..Status::at(self.acknowledged, now()) };
        self.stream.send_status(status).await.map_err(|e| failed(READ, e))
    }
}

impl ChangeStream for Feed {
    fn try_next(&mut self) -> Result<Option<Step>, Failure> {
        loop {
            if let Some(step) = self.queued.pop_front() {
                return Ok(Some(step));
            }
            let data = match self.waiting.take() {
                Some(data) => data,
                None => {
                    let held = self.held.take();
                    let frame = match held {
                        Some(frame) => Some(frame),
                        None => self.stream.try_next().map_err(|e| failed(READ, e))?,
                    };
                    match frame {
                        None => return Ok(None),
                        Some(Frame::Keepalive(keepalive)) => return Ok(Some(self.keepalive(keepalive))),
                        Some(Frame::Wal(data)) => data,
                    }
                }
            };
            if let Some(step) = self.step(data)? {
                return Ok(Some(step));
            }
        }
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        if self.held.is_none() {
            self.listening_since.get_or_insert_with(Instant::now);
            self.held = Some(self.stream.next().await.map_err(|e| failed(READ, e))?);
            self.listening_since = None;
        }
        Ok(())
    }

    fn bind(&mut self, table: TableNumber, binding: Arc<Binding>) -> Result<(), Failure> {
        let Some(relation) = self.asked.remove(&table.0) else { return Ok(()) };
        let key: Vec<&str> = binding.key_sources().map(|at| relation.columns[at].name.as_str()).collect();
        check_key(&relation, &key).map_err(|failure| {
            failure.at(Place { table: Some(binding.table().id.clone()), ..Place::default() })
        })?;
        self.bound.insert(table.0, Bound { relation, binding });
        Ok(())
    }

    async fn define(&mut self, table: TableNumber) -> Option<Definition> {
        let relation = self.asked.get(&table.0)?;
        match definition::ask(&self.catalogue, relation).await {
            Ok(definition) => Some(definition),
            Err(error) => {
                tracing::debug!(error = %sink_core::failure::chain(&error), "the source did not define a table");
                None
            }
        }
    }

    fn forget_bindings(&mut self) {
        self.bound.clear();
    }

    fn position(&self) -> Position {
        Position::new(self.position.to_string())
    }

    fn is_past_opening(&self) -> bool {
        self.position >= self.opened_at
    }

    fn is_behind(&self) -> bool {
        self.behind
    }

    async fn acknowledge(&mut self, position: &Position) -> Result<(), Failure> {
        let lsn: Lsn = position.as_str().parse().map_err(|e| halt(&e))?;
        self.acknowledged = self.acknowledged.max(lsn);
        self.send(false).await
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    async fn keep_alive(&mut self) -> Result<(), Failure> {
        let silent = self.listening_since.map_or(Duration::ZERO, |since| since.elapsed());
        if silent > self.silence {
            let reason = "the source has sent nothing for too long, not even an answer; connecting anew";
            return Err(Failure::new(Disposition::Retry, READ, reason));
        }
        self.send(silent >= self.patience).await
    }

    async fn finish(self) {
        let last = Status::at(self.acknowledged, now());
        // The server frees the slot anyway when it finds us gone.
        if let Err(error) = self.stream.finish(last, FINISH_LIMIT).await {
            tracing::debug!(%error, "the stream did not end in good order");
        }
    }
}

/// Whether rows of a relation can be found again by a key of these columns.
fn check_key(relation: &Relation, key: &[&str]) -> Result<(), Failure> {
    let names = |names: &[String]| names.join(", ");
    let reason = match relation.key_fit(key) {
        KeyFit::Covered | KeyFit::WholeRow | KeyFit::InsertOnly => return Ok(()),
        KeyFit::ChangesUnseen(columns) => format!(
            "the source can change {} of the target's key without sending the old value, as its replica identity is \
             another; run on the source: ALTER TABLE {}.{} REPLICA IDENTITY DEFAULT (or FULL)",
            names(&columns),
            crate::transport::identifier(&relation.schema),
            crate::transport::identifier(&relation.name)
        ),
        KeyFit::NotSent(columns) => format!(
            "the source does not send {} of the target's key; add it to the publication's column list",
            names(&columns)
        ),
    };
    Err(Failure::new(Disposition::Halt, "match the replica identity with the target's key", reason))
}

fn now() -> SourceTime {
    SourceTime::from_unix_micros(i64::try_from(SystemClock.wall().as_micros()).unwrap_or(i64::MAX))
}

fn halt(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Disposition::Halt, READ, sink_core::failure::chain(error))
}

/// A failure of the transport, with what to do about it.
pub(crate) fn failed(operation: &'static str, error: TransportError) -> Failure {
    let place = Place { sqlstate: error.sqlstate().map(str::to_owned), ..Place::default() };
    Failure::new(error.disposition(), operation, error).at(place)
}
