//! The path from a changefeed's bytes to applied rows, without a server: a simulated feed with every fault it may
//! have, a target in memory with scripted faults, two processes that take over from each other. Every state that a
//! reader could see is judged.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sink_core::apply::OnRowError;
use sink_core::checkpoint::{CheckpointStore as _, Standing};
use sink_core::failure::Disposition;
use sink_core::model::{Batch, Behaviours, ColumnSchema, Ident, SchemaId, TableId, TableSchema, ValueClass};
use sink_core::resolver::{CatchUp, Pace};
use sink_core::staging::Stager as _;
use sink_core::staging::admission::{IncomingRow, TableAdmission};
use sink_testkit::feed::{Encoding, Envelope, Faults, Layout, uploads};
use sink_testkit::memory::{ApplyFault, MemoryTarget};
use sink_testkit::workload::Mix;
use sink_testkit::{Config, Delivery, Feed, Reply, Step, Workload, WorkloadConfig, source};
use source_webhook::payload::{self, Payload};
use source_webhook::route::{Content, Route, route};
use tokio_util::sync::CancellationToken;

fn schema() -> SchemaId {
    let ident = |name| Ident::new(name).unwrap();
    SchemaId { database: ident("db"), schema: ident("public") }
}

fn target_table(table: &source::Table) -> TableSchema {
    let column = |column: &source::Column| ColumnSchema {
        name: Ident::new(column.name).unwrap(),
        sql_type: column.sql_type.to_owned(),
        class: ValueClass::Text,
        text_equality: true,
        collation: None,
        generated: false,
        nullable: column.nullable,
        update_has_effects: false,
        identity_always: false,
    };
    TableSchema {
        id: TableId { schema: schema(), table: Ident::new(table.name).unwrap() },
        columns: table.columns.iter().map(column).collect(),
        primary_key: table.key.clone(),
        key_deferrable: false,
        unique_keys: Vec::new(),
        references: Vec::new(),
        delete_has_effects: false,
        behaviours: Behaviours::Plain,
    }
}

/// One process: what it believes, and how fast it goes.
struct Process {
    standing: Option<Standing>,
    pace: Pace,
}

/// What kind of feed it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Wrapped,
    Enriched,
    /// Of one table.
    Query,
    Files,
}

impl Form {
    fn encoding(self, seed: u64) -> Encoding {
        let envelope = match self {
            Self::Wrapped | Self::Files => Envelope::Wrapped,
            Self::Enriched => Envelope::Enriched,
            Self::Query => Envelope::Query,
        };
        let with_schema = self == Self::Enriched && seed.is_multiple_of(2);
        Encoding { envelope, with_schema, diff: seed.is_multiple_of(3), ..Encoding::default() }
    }
}

struct Run {
    form: Form,
    target: MemoryTarget,
    admissions: BTreeMap<&'static str, TableAdmission>,
    rng: StdRng,
    late: Vec<Delivery>,
    stop: CancellationToken,
}

impl Run {
    fn new(workload: &Workload, seed: u64, form: Form) -> Self {
        let source = Arc::clone(workload.source());
        let scan_at = workload.scan_at();
        let target = MemoryTarget::new(Box::new(move |at, rows| {
            let expected: BTreeSet<(String, String)> = if at < scan_at {
                BTreeSet::new()
            } else {
                let tables = source.snapshot_at(at).into_iter().zip(source.tables());
                tables
                    .flat_map(|(rows, table)| {
                        rows.into_values()
                            .map(|row| (table.name.to_owned(), row.json(table)))
                            .collect::<Vec<_>>()
                    })
                    .collect()
            };
            let actual: BTreeSet<(String, String)> =
                rows.iter().map(|((table, _), row)| (table.clone(), row.clone())).collect();
            assert_eq!(actual.len(), rows.len(), "seed {seed}: rows repeat at {at}");
            let differ: Vec<_> = actual.symmetric_difference(&expected).take(3).collect();
            assert!(
                differ.is_empty(),
                "seed {seed}: at {at} target and source differ, for instance in {differ:?}"
            );
        }));
        let admissions = workload.source().tables().iter();
        let admissions =
            admissions.map(|t| (t.name, TableAdmission::new(Arc::new(target_table(t))))).collect();
        Self {
            form,
            target,
            admissions,
            rng: StdRng::seed_from_u64(seed),
            late: Vec::new(),
            stop: CancellationToken::new(),
        }
    }

    /// What the service does with a delivery.
    async fn receive(&self, delivery: &Delivery) {
        if self.form != Form::Files {
            let path = if self.form == Form::Query { "/db/public/wide" } else { "/db/public" };
            return self.receive_at(path, &delivery.body).await;
        }
        let layouts = [Layout::Daily, Layout::Hourly, Layout::Flat];
        let layout = layouts[usize::try_from(delivery.request % 3).unwrap()];
        for upload in uploads(delivery, layout) {
            self.receive_at(&format!("/db/public{}", upload.path), &upload.body).await;
        }
    }

    async fn receive_at(&self, path: &str, body: &str) {
        let Route::Feed(path) = route(path) else { panic!("{path}") };
        assert_eq!(path.schema, schema());
        let (payload, named) = match (&path.content, &path.table) {
            (Content::Webhook, None) => (payload::parse(body.as_bytes()).unwrap(), None),
            (Content::Webhook, Some(table)) => {
                (payload::parse_for_table(body.as_bytes()).unwrap(), Some(table.as_str()))
            }
            (Content::Rows { topic, .. }, _) => {
                (payload::parse_lines(body.as_bytes()).unwrap(), Some(topic.as_str()))
            }
            (Content::Mark(at), _) => (Payload::of_mark(*at), None),
        };
        let mut batches: BTreeMap<&str, Batch<'_>> = BTreeMap::new();
        for row in &payload.rows {
            let topic = row.topic.as_deref().or(named).unwrap();
            let admission = &self.admissions[topic];
            let time = row.time.unwrap();
            let incoming = IncomingRow { time, key: row.key, after: row.after, before: row.before };
            let batch = batches.entry(topic);
            let batch =
                batch.or_insert_with(|| Batch { table: Arc::clone(admission.table()), rows: Vec::new() });
            batch.rows.push(admission.admit(incoming).unwrap());
        }
        let batches: Vec<Batch<'_>> = batches.into_values().collect();
        self.target.stage(&schema(), &batches).await.unwrap();
        if let Some(at) = payload.resolved {
            self.target.mark(&schema(), at).await.unwrap();
        }
    }

    /// Carries one delivery, with the faults of a network.
    async fn carry(&mut self, delivery: Delivery) -> Reply {
        match self.rng.random_range(0..100) {
            0..3 => Reply::Status(503),
            3..5 => Reply::ConnectionLost,
            5..8 => {
                self.receive(&delivery).await;
                Reply::ConnectionLost
            }
            8..10 => {
                self.late.push(delivery);
                Reply::TimedOut
            }
            _ => {
                self.receive(&delivery).await;
                Reply::Ok
            }
        }
    }

    /// One process does one pass, or takes over first.
    async fn resolve(&mut self, process: &mut Process) {
        let schema = schema();
        if process.standing.is_none() || self.rng.random_bool(0.02) {
            process.standing = Some(self.target.take_over(&schema).await.unwrap());
        }
        if self.rng.random_bool(0.2) {
            let faults = [ApplyFault::LoseAnswer, ApplyFault::FailBefore, ApplyFault::Refuse];
            let fault = faults[self.rng.random_range(0..faults.len())];
            self.target.suffer([fault]);
        }
        let catch_up = CatchUp {
            stager: &self.target,
            applier: &self.target,
            checkpoints: &self.target,
            schema: &schema,
            on_row_error: OnRowError::Stop,
            stop: &self.stop,
        };
        let Some(standing) = &mut process.standing else { return };
        if let Err(failure) = catch_up.pass(standing, &mut process.pace).await {
            let fenced =
                failure.disposition() == Disposition::Fenced || catch_up.reread(standing).await.is_err();
            if fenced {
                process.standing = None;
            }
        }
        if self.rng.random_bool(0.3) {
            self.target.retire(&schema, self.target.applied()).await.unwrap();
        }
    }
}

async fn simulate(seed: u64, faults: Faults, max_rows: u32, form: Form) {
    let mut sizes = WorkloadConfig { initial_rows: 60, transactions: 120, ..WorkloadConfig::default() };
    if form == Form::Query {
        sizes.mix = Mix { family: 0, tree: 0, products: 0, accounts: 0, wide: 1 };
    }
    let workload = Workload::generate(seed, &sizes);
    let encoding = form.encoding(seed);
    let config = Config { faults, resolved_every: 7, encoding, ..Config::default() };
    let mut feed = Feed::new(seed, config, &workload);
    let mut run = Run::new(&workload, seed, form);
    let mut processes = [(); 2].map(|()| Process { standing: None, pace: Pace::new(max_rows) });
    let mut under_way: Vec<Delivery> = Vec::new();
    let last = loop {
        match feed.next() {
            Step::Send(delivery) => under_way.push(delivery),
            Step::AwaitReplies => {
                let delivery = under_way.swap_remove(run.rng.random_range(0..under_way.len()));
                let id = delivery.id;
                let reply = run.carry(delivery).await;
                feed.reply(id, reply);
                if !run.late.is_empty() && run.rng.random_bool(0.3) {
                    let late = run.late.swap_remove(0);
                    run.receive(&late).await;
                }
                let which = run.rng.random_range(0..2);
                run.resolve(&mut processes[which]).await;
            }
            Step::Done { last_resolved } => break last_resolved,
        }
    };
    for _ in 0..1_000 {
        if run.target.applied() == last {
            break;
        }
        run.resolve(&mut processes[0]).await;
    }
    assert_eq!(run.target.applied(), last, "seed {seed}: not everything was applied");
    assert_eq!(run.target.pending(), 0, "seed {seed}: rows are left over");
    assert!(run.target.applies() > 3, "seed {seed}: the run is too short to prove anything");
}

#[tokio::test]
async fn every_visible_state_is_one_of_the_sources() {
    for seed in 0..12 {
        simulate(seed, Faults::NONE, 50, Form::Wrapped).await;
    }
}

#[tokio::test]
async fn duplicates_replays_crashes_and_takeovers_lose_and_invent_nothing() {
    for seed in 100..140 {
        simulate(seed, Faults::CHAOS, if seed % 3 == 0 { 1 } else { 40 }, Form::Wrapped).await;
    }
}

#[tokio::test]
async fn every_kind_of_feed_ends_in_the_same_rows() {
    for form in [Form::Enriched, Form::Query, Form::Files] {
        for seed in 200..212 {
            simulate(seed, Faults::CHAOS, 40, form).await;
        }
    }
}
