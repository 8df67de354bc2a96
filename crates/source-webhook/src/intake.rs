//! Takes in a parsed delivery: matches rows with tables, then stages them, or writes them at once in immediate mode.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use sink_core::apply::{Applier as _, Changes, OnRowError, SqlApplier, Unit};
use sink_core::checkpoint::{Mode, SqlCheckpoints};
use sink_core::failure::{Disposition, Failure};
use sink_core::metrics::{count_schema, count_tables, observe_tables, retry_begins, retry_failed};
use sink_core::model::{Batch, HlcTimestamp, Ident, Mutation, SchemaId, TableId, TableSchema};
use sink_core::resolver::Resolvers;
use sink_core::staging::admission::{IncomingRow, TableAdmission};
use sink_core::staging::{SqlStager, Stager as _};
use sink_core::target::{Database, ServerClock, Target};

use crate::feed_bindings::{FeedBindings, FeedIdentity};
use crate::mark_series::Note;
use crate::payload::{Payload, Row};
use crate::reply::Refusal;
use crate::schema_states::SchemaStates;

/// First and longest pause between attempts at one delivery.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Least time between two log lines about marks that go backwards.
const BACKWARDS_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Bounds of what is taken in.
#[derive(Debug, Clone, Copy)]
pub struct IntakeConfig {
    /// Longest time spent on one delivery (`--applyTimeout`).
    pub timeout: Duration,
    /// How far ahead of the target's clock a time may be (`--maxClockSkew`).
    pub max_clock_skew: Duration,
    /// Size of a schema's staging tables above which rows are refused (`--maxStagedBytes`).
    pub max_staged_bytes: u64,
}

/// A parsed delivery.
#[derive(Debug)]
pub struct Offer<'a> {
    /// Where it goes.
    pub schema: &'a SchemaId,
    /// The table of every row, where the URL names it.
    pub table: Option<&'a Ident>,
    /// The table of rows that name none themselves: the topic in a file's name.
    pub topic: Option<&'a str>,
    /// The name of the feed, where the URL has it.
    pub feed: Option<&'a str>,
    /// How rows reach their tables.
    pub mode: Mode,
    /// Rows and mark. In consistent mode every row must have a time.
    pub payload: Payload<'a>,
}

/// Which table a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic<'a> {
    /// This one.
    Table(&'a Ident),
    /// The one a changefeed calls so, possibly with database and schema.
    Named(&'a str),
}

impl Offer<'_> {
    fn topic_of<'r>(&'r self, row: &'r Row<'_>) -> Topic<'r> {
        match self.table {
            Some(table) => Topic::Table(table),
            None => Topic::Named(row.topic.as_deref().or(self.topic).unwrap_or_default()),
        }
    }

    fn identity(&self) -> FeedIdentity<'_> {
        FeedIdentity { name: self.feed, job: self.payload.job.as_deref() }
    }
}

/// Everything that taking in needs.
pub struct Intake {
    /// The target.
    pub target: Arc<Target>,
    /// Where rows wait.
    pub stager: Arc<SqlStager>,
    /// Where immediate rows go.
    pub applier: Arc<SqlApplier>,
    /// Where modes are kept.
    pub checkpoints: SqlCheckpoints,
    /// Who is woken by marks.
    pub resolvers: Arc<Resolvers>,
    /// Bounds.
    pub config: IntakeConfig,
    clock: ServerClock,
    states: SchemaStates,
    bindings: FeedBindings,
    admissions: Mutex<HashMap<TableId, Arc<TableAdmission>>>,
    last_backwards_log: Mutex<Option<Instant>>,
}

impl Intake {
    /// Joins the parts.
    #[must_use]
    pub fn new(
        target: Arc<Target>,
        stager: Arc<SqlStager>,
        applier: Arc<SqlApplier>,
        resolvers: Arc<Resolvers>,
        config: IntakeConfig,
    ) -> Self {
        let checkpoints = SqlCheckpoints::new(Arc::clone(&target));
        Self {
            target,
            stager,
            applier,
            checkpoints,
            resolvers,
            config,
            clock: ServerClock::default(),
            states: SchemaStates::default(),
            bindings: FeedBindings::default(),
            admissions: Mutex::default(),
            last_backwards_log: Mutex::default(),
        }
    }

    /// Sizes of what is remembered, for support.
    pub(crate) fn cache_sizes(&self) -> [(&'static str, usize); 2] {
        [("admissions", self.lock_admissions().len()), ("schema_states", self.states.count())]
    }

    /// Takes in rows, then the mark. `Ok` means durable.
    ///
    /// # Errors
    /// With what to answer; rows may be stored all the same, which does no harm because they will come again.
    pub async fn take_in(&self, offer: Offer<'_>) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.config.timeout;
        let (schema, mode, payload) = (offer.schema, offer.mode, &offer.payload);
        let database = self.target.database(&schema.database).await?;
        // Rows without a time claim none.
        let newest = payload.rows.iter().filter_map(|row| row.time).chain(payload.resolved).max();
        if let Some(newest) = newest {
            self.check_skew(newest).await?;
        }
        if !payload.rows.is_empty() {
            let batches = self.admit(&database, &offer).await?;
            self.bindings.check(&self.checkpoints, schema, offer.identity()).await?;
            // Only now is the schema known to exist: a name that anybody may make up must not become a label.
            count_schema(
                "mutations_received_total",
                schema,
                u64::try_from(payload.rows.len()).unwrap_or(u64::MAX),
            );
            if let Some(newest) = payload.rows.iter().filter_map(|row| row.time).max() {
                self.resolvers.note_received(schema, newest);
            }
            self.store(schema, &batches, mode, deadline).await?;
        }
        match payload.resolved {
            Some(at) => {
                self.expect_schema(&database, schema).await?;
                self.bindings.check(&self.checkpoints, schema, offer.identity()).await?;
                self.mark(schema, at, mode, deadline).await
            }
            None => Ok(()),
        }
    }

    /// What operators should know of a schema that its stored state does not tell.
    pub fn warnings(&self, schema: &SchemaId) -> Vec<&'static str> {
        self.states.warnings(schema)
    }

    /// A time from the far future would make every later row late.
    async fn check_skew(&self, newest: HlcTimestamp) -> Result<(), Refusal> {
        let skew = i64::try_from(self.config.max_clock_skew.as_nanos()).unwrap_or(i64::MAX);
        let limit = self.clock.now_nanos(&self.target).await?.saturating_add(skew);
        if newest.nanos() <= limit {
            return Ok(());
        }
        let text = format!(
            "the time {newest} is more than {} s ahead of the target's clock; set the clocks right or raise \
             --maxClockSkew",
            self.config.max_clock_skew.as_secs()
        );
        Err(Refusal::new(StatusCode::BAD_REQUEST, text))
    }

    /// Matches rows with their tables. Upserts come first, because they show how the keys of deletions are ordered.
    async fn admit<'a>(&self, database: &Database, offer: &'a Offer<'_>) -> Result<Vec<Batch<'a>>, Refusal> {
        let mut admitted = Admitted::default();
        let (upserts, deletions): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
            offer.payload.rows.iter().partition(|row| row.after.is_some());
        for row in upserts.into_iter().chain(deletions) {
            let topic = offer.topic_of(row);
            let admission = match admitted.of_topic(topic) {
                Some(admission) => admission,
                None => self.admission(database, offer.schema, topic).await?,
            };
            let (admission, mutation) = self.admit_row(database, offer.schema, topic, admission, row).await?;
            admitted.push(topic, admission, mutation);
        }
        for admission in admitted.admissions() {
            if let Some(alignment) = admission.unstored_alignment() {
                self.stager.store_alignment(admission.table(), alignment).await?;
                admission.note_stored(alignment);
            }
        }
        Ok(admitted.into_batches())
    }

    /// A table or column that we do not know makes us read the schema again before the row is refused.
    async fn admit_row<'a>(
        &self,
        database: &Database,
        schema: &SchemaId,
        topic: Topic<'_>,
        admission: Arc<TableAdmission>,
        row: &'a Row<'_>,
    ) -> Result<(Arc<TableAdmission>, Mutation<'a>), Refusal> {
        let time = row.time.unwrap_or(HlcTimestamp::ZERO);
        let incoming = IncomingRow { time, key: row.key, after: row.after, before: row.before };
        match admission.admit(incoming) {
            Err(error) if error.may_be_stale_schema() => {
                database.schema().refresh_if_stale(database).await?;
                let admission = self.admission(database, schema, topic).await?;
                let mutation = admission.admit(incoming)?;
                Ok((admission, mutation))
            }
            other => Ok((admission, other?)),
        }
    }

    /// The table of a row. A table may have a dot in its name, so the whole topic comes first.
    async fn table(
        &self,
        database: &Database,
        schema: &SchemaId,
        topic: Topic<'_>,
    ) -> Result<Arc<TableSchema>, Refusal> {
        let refuse = |text: String| Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
        let name = match topic {
            Topic::Table(table) => table.as_str(),
            Topic::Named(topic) => {
                let known = database.schema().current(database).await?;
                if let Some(table) = known.table(schema, topic) {
                    return Ok(Arc::clone(table));
                }
                let family = topic.split_once(['.', '+']).map(|(table, _)| table);
                if let Some(table) = family.filter(|table| known.table(schema, table).is_some())
                    && topic.matches(['.', '+']).count() == 1
                {
                    return refuse(format!(
                        "the topic {topic:?} names a column family of table {table:?}; create the changefeed without \
                         split_column_families and without FAMILY"
                    ));
                }
                if topic.split('.').count() > 3 {
                    return refuse(format!(
                        "the topic {topic:?} has more than three parts and is no table of schema {schema}"
                    ));
                }
                topic.rsplit_once('.').map_or(topic, |(_, last)| last)
            }
        };
        match database.schema().table(database, schema, name).await? {
            Some(table) => Ok(table),
            None => {
                refuse(format!("the target has no table {name:?} in schema {schema}; create it there first"))
            }
        }
    }

    /// What is known of the table of a topic. What earlier processes learned of the source's keys is taken over.
    async fn admission(
        &self,
        database: &Database,
        schema: &SchemaId,
        topic: Topic<'_>,
    ) -> Result<Arc<TableAdmission>, Refusal> {
        let table = self.table(database, schema, topic).await?;
        if let Some(known) = self.lock_admissions().get(&table.id).filter(|known| **known.table() == *table) {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(TableAdmission::new(Arc::clone(&table)));
        if let Some(stored) = self.stager.alignment(&table).await? {
            fresh.restore_alignment(stored);
        }
        self.lock_admissions().insert(table.id.clone(), Arc::clone(&fresh));
        Ok(fresh)
    }

    fn lock_admissions(&self) -> std::sync::MutexGuard<'_, HashMap<TableId, Arc<TableAdmission>>> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn store(
        &self,
        schema: &SchemaId,
        batches: &[Batch<'_>],
        mode: Mode,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let mut attempts = 0;
        retry_begins();
        loop {
            attempts += 1;
            let result = match mode {
                Mode::Consistent => self.stage(schema, batches).await,
                Mode::Immediate => self.write_now(schema, batches).await,
            };
            let Err(refusal) = result else { return Ok(()) };
            match refusal {
                StoreError::Refused(refusal) => return Err(refusal),
                StoreError::Failed(failure) if failure.disposition() == Disposition::Halt => {
                    retry_failed(&failure, false);
                    return Err(failure.into());
                }
                StoreError::Failed(failure) => pause_or_give_up(attempts, deadline, failure).await?,
            }
        }
    }

    async fn stage(&self, schema: &SchemaId, batches: &[Batch<'_>]) -> Result<(), StoreError> {
        let state = self.states.get(&self.checkpoints, schema).await?;
        if state.mode == Some(Mode::Immediate) {
            self.switch(schema, Mode::Consistent).await?;
        }
        let staged = self.states.staging_bytes(&self.checkpoints, schema).await?;
        if staged > self.config.max_staged_bytes {
            let text = format!(
                "the staging tables of schema {schema} hold {staged} bytes, more than --maxStagedBytes; see \
                 `cdc-webhook status` for what keeps them from being applied"
            );
            return Err(StoreError::Refused(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)));
        }
        count_late(state.applied, batches);
        let started = Instant::now();
        let result = self.stager.stage(schema, batches).await;
        let tables = || batches.iter().map(|batch| &batch.table.id);
        observe_tables("stage_store_duration_seconds", schema, tables(), started.elapsed());
        if result.is_err() {
            count_tables("stage_store_errors_total", schema, tables());
        }
        result.map(drop).map_err(StoreError::Failed)
    }

    /// The statement itself checks that the schema is in immediate mode; if not, the mode is switched and the rows
    /// are tried again.
    async fn write_now(&self, schema: &SchemaId, batches: &[Batch<'_>]) -> Result<(), StoreError> {
        let state = self.states.get(&self.checkpoints, schema).await?;
        if state.mode != Some(Mode::Immediate) {
            self.switch(schema, Mode::Immediate).await?;
        }
        let changes = Changes::Rows(batches);
        let unit = Unit { schema, changes, advance: None, on_row_error: OnRowError::Stop };
        let result = self.applier.apply(&unit).await;
        if result.as_ref().is_err_and(|e| e.disposition() == Disposition::Fenced) {
            self.states.forget(schema);
        }
        result.map(drop).map_err(StoreError::Failed)
    }

    /// Rows that were written immediately may be newer than any promise, so they stay guarded up to the latest time
    /// that could have been accepted.
    async fn switch(&self, schema: &SchemaId, mode: Mode) -> Result<(), Failure> {
        self.stager.ensure_schema(schema).await?;
        let skew = i64::try_from(self.config.max_clock_skew.as_nanos()).unwrap_or(i64::MAX);
        let latest = self.clock.now_nanos(&self.target).await?.saturating_add(skew);
        let guard_upto = HlcTimestamp::new(latest, 0).unwrap_or(HlcTimestamp::ZERO);
        self.checkpoints.set_mode(schema, mode, guard_upto).await?;
        self.states.forget(schema);
        tracing::info!(%schema, mode = mode.as_str(), "the schema's mode was set");
        Ok(())
    }

    /// Marks of a schema that does not exist would be kept for ever, so they are refused.
    async fn expect_schema(&self, database: &Database, schema: &SchemaId) -> Result<(), Refusal> {
        let exists = database.schema().current(database).await?.has_schema(schema)
            || database.schema().refresh_if_stale(database).await?.has_schema(schema);
        if exists {
            return Ok(());
        }
        let text = format!("the target has no schema {schema}, or no table in it");
        Err(Refusal::new(StatusCode::NOT_FOUND, text))
    }

    async fn mark(
        &self,
        schema: &SchemaId,
        at: HlcTimestamp,
        mode: Mode,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let state = self.states.get(&self.checkpoints, schema).await?;
        let note = self.states.note_mark(schema, at);
        if note != Note::Newest || at <= state.applied {
            self.note_backwards(schema, at);
        }
        if note == Note::Interleaved {
            count_schema("checkpoint_interleaved_total", schema, 1);
        }
        if mode == Mode::Immediate && state.mode != Some(Mode::Immediate) {
            self.switch(schema, mode).await?;
        }
        self.resolvers.note_received(schema, at);
        let mut attempts = 0;
        retry_begins();
        loop {
            attempts += 1;
            match self.stager.mark(schema, at).await {
                Ok(()) => break,
                Err(failure) if failure.disposition() == Disposition::Halt => {
                    retry_failed(&failure, false);
                    return Err(failure.into());
                }
                Err(failure) => pause_or_give_up(attempts, deadline, failure).await?,
            }
        }
        self.resolvers.wake(schema);
        Ok(())
    }

    fn note_backwards(&self, schema: &SchemaId, at: HlcTimestamp) {
        count_schema("checkpoint_backwards_total", schema, 1);
        let mut last = self.last_backwards_log.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= BACKWARDS_LOG_INTERVAL) {
            *last = Some(Instant::now());
            tracing::info!(%schema, mark = %at, "a resolved mark repeats or goes back; this is harmless");
        }
    }
}

/// Rows of one delivery, sorted by table as they are admitted.
#[derive(Default)]
struct Admitted<'a> {
    tables: BTreeMap<TableId, (Arc<TableAdmission>, Batch<'a>)>,
    /// The topic of the row before and its table: the next row is usually of the same.
    last: Option<(Topic<'a>, Arc<TableAdmission>)>,
}

impl<'a> Admitted<'a> {
    fn of_topic(&self, topic: Topic<'_>) -> Option<Arc<TableAdmission>> {
        self.last.as_ref().filter(|(last, _)| *last == topic).map(|(_, admission)| Arc::clone(admission))
    }

    fn push(&mut self, topic: Topic<'a>, admission: Arc<TableAdmission>, mutation: Mutation<'a>) {
        let table = admission.table();
        match self.tables.get_mut(&table.id) {
            Some((_, batch)) => batch.rows.push(mutation),
            None => {
                let batch = Batch { table: Arc::clone(table), rows: vec![mutation] };
                self.tables.insert(table.id.clone(), (Arc::clone(&admission), batch));
            }
        }
        self.last = Some((topic, admission));
    }

    fn admissions(&self) -> impl Iterator<Item = &Arc<TableAdmission>> {
        self.tables.values().map(|(admission, _)| admission)
    }

    fn into_batches(self) -> Vec<Batch<'a>> {
        self.tables.into_values().map(|(_, batch)| batch).collect()
    }
}

/// Why storing failed.
enum StoreError {
    /// For a reason of our own.
    Refused(Refusal),
    /// By the target.
    Failed(Failure),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Waits before the next attempt, or passes the failure on if there is no time for one.
async fn pause_or_give_up(attempts: u32, deadline: Instant, failure: Failure) -> Result<(), Refusal> {
    let pause = RETRY_PAUSE.0.saturating_mul(2_u32.saturating_pow(attempts.min(8) - 1)).min(RETRY_PAUSE.1);
    let again = Instant::now() + pause < deadline;
    retry_failed(&failure, again);
    if !again {
        return Err(failure.into());
    }
    tokio::time::sleep(pause).await;
    Ok(())
}

/// Rows at or below the applied time are redeliveries; they are stored, never applied, and removed.
fn count_late(applied: HlcTimestamp, batches: &[Batch<'_>]) {
    for batch in batches {
        let late = batch.rows.iter().filter(|row: &&Mutation<'_>| row.time <= applied).count();
        sink_core::metrics::count_late(&batch.table.id, u64::try_from(late).unwrap_or(u64::MAX));
    }
}
