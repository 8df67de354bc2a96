//! The feed under a hostile receiver: it keeps its promises, and what it sends adds up to the source.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use rand::Rng as _;
use serde_json::Value as Json;

use super::*;
use crate::workload::WorkloadConfig;

/// Keeps the newest version of every key of everything it is sent.
#[derive(Default)]
struct NaiveReplay {
    rows: BTreeMap<(String, String), (HlcTimestamp, Json)>,
}

impl NaiveReplay {
    fn apply(&mut self, body: &str) {
        let body: Json = serde_json::from_str(body).unwrap();
        for row in body["payload"].as_array().into_iter().flatten() {
            let at: HlcTimestamp = row["updated"].as_str().unwrap().parse().unwrap();
            let key = (row["topic"].as_str().unwrap().to_owned(), row["key"].to_string());
            let entry = self.rows.entry(key).or_default();
            if at > entry.0 {
                *entry = (at, row["after"].clone());
            }
        }
    }

    fn live(self) -> BTreeMap<(String, String), Json> {
        self.rows
            .into_iter()
            .filter(|(_, (_, after))| !after.is_null())
            .map(|(key, (_, row))| (key, row))
            .collect()
    }
}

fn truth(workload: &Workload, at: HlcTimestamp) -> BTreeMap<(String, String), Json> {
    let source = workload.source();
    let mut rows = BTreeMap::new();
    for (table, keys) in source.tables().iter().zip(source.snapshot_at(at)) {
        for (key, row) in keys {
            let key: Json = serde_json::from_str(key.json()).unwrap();
            let row = serde_json::from_str(&row.json(table)).unwrap();
            rows.insert((table.name.to_owned(), key.to_string()), row);
        }
    }
    rows
}

/// What a run was like.
#[derive(Default, Debug, PartialEq, Eq)]
struct Trace {
    bodies: Vec<(Origin, Arc<str>)>,
    marks: Vec<HlcTimestamp>,
    last_resolved: HlcTimestamp,
    rows: usize,
    runs: u32,
}

/// A receiver that answers in any order, and sometimes not well.
fn drive(feed: &mut Feed, seed: u64, failure: f64, mut receive: impl FnMut(&Delivery)) -> Trace {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut trace = Trace::default();
    let mut under_way = Vec::new();
    loop {
        match feed.next() {
            Step::Send(delivery) => {
                receive(&delivery);
                match delivery.kind {
                    DeliveryKind::Rows(rows) => trace.rows += rows,
                    DeliveryKind::Resolved(at) => trace.marks.push(at),
                }
                trace.bodies.push((delivery.origin, delivery.body));
                under_way.push(delivery.id);
                if rng.random_bool(0.5) {
                    continue;
                }
            }
            Step::AwaitReplies => assert!(!under_way.is_empty(), "the feed waits for nothing"),
            Step::Done { last_resolved } => {
                assert!(under_way.is_empty(), "done before all replies");
                trace.last_resolved = last_resolved;
                trace.runs = feed.run();
                return trace;
            }
        }
        let id = under_way.swap_remove(rng.random_range(0..under_way.len()));
        let bad = [Reply::Status(500), Reply::ConnectionLost, Reply::TimedOut];
        feed.reply(id, if rng.random_bool(failure) { bad[rng.random_range(0..3)] } else { Reply::Ok });
    }
}

fn small() -> WorkloadConfig {
    WorkloadConfig { initial_rows: 60, transactions: 80, ..WorkloadConfig::default() }
}

fn configs() -> impl Strategy<Value = Config> {
    let sizes = (1..5usize, 1..4usize, prop_oneof![Just(1usize), 2..40usize], 1..10u32, 0..20usize);
    (sizes, any::<[bool; 4]>(), any::<bool>()).prop_map(|(sizes, flags, chaos)| {
        let (nodes, workers, flush_messages, flush_steps, resolved_every) = sizes;
        Config {
            nodes,
            workers,
            flush_messages,
            flush_steps,
            resolved_every,
            encoding: Encoding {
                envelope: if flags[0] { Envelope::Enriched } else { Envelope::Wrapped },
                compact: flags[1],
                diff: flags[2],
                mvcc_timestamp: flags[3],
                topic_prefix: flags[2].then(|| "db.public".to_owned()),
                with_schema: flags[3],
            },
            faults: if chaos { Faults::CHAOS } else { Faults::NONE },
            ..Config::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The self-check panics on a broken promise. With more failures, a feed of single rows without marks
    /// would restart from its beginning for ever, as a real one would.
    #[test]
    fn promises_hold_under_any_configuration(seed: u64, config in configs(), failure in 0.0..0.2f64) {
        let workload = Workload::generate(seed, &small());
        let mut feed = Feed::new(seed, config, &workload);
        let trace = drive(&mut feed, seed, failure, |_| {});
        prop_assert!(trace.last_resolved >= workload.source().last_commit());
    }

    #[test]
    fn promises_hold_for_queries_of_one_table(seed: u64, chaos: bool, compact: bool, failure in 0.0..0.2f64) {
        let mix = crate::workload::Mix { family: 0, tree: 0, products: 0, accounts: 0, wide: 1 };
        let workload = Workload::generate(seed, &WorkloadConfig { mix, ..small() });
        let encoding = Encoding { envelope: Envelope::Query, compact, ..Encoding::default() };
        let faults = if chaos { Faults::CHAOS } else { Faults::NONE };
        let mut feed = Feed::new(seed, Config { encoding, faults, ..Config::default() }, &workload);
        let trace = drive(&mut feed, seed, failure, |_| {});
        prop_assert!(trace.last_resolved >= workload.source().last_commit());
    }

    #[test]
    fn everything_emitted_adds_up_to_the_source(seed: u64, failure in 0.0..0.3f64) {
        let workload = Workload::generate(seed, &small());
        let mut feed = Feed::new(seed, Config { faults: Faults::CHAOS, ..Config::default() }, &workload);
        let mut replay = NaiveReplay::default();
        let trace = drive(&mut feed, seed, failure, |delivery| replay.apply(&delivery.body));
        prop_assert_eq!(replay.live(), truth(&workload, trace.last_resolved));
    }

    /// A receiver that stages rows and applies them per mark sees the truth at each mark.
    #[test]
    fn a_mark_covers_everything_at_or_below_it(seed: u64) {
        let workload = Workload::generate(seed, &small());
        let mut feed = Feed::new(seed, Config { faults: Faults::CHAOS, ..Config::default() }, &workload);
        let mut staged: Vec<Arc<str>> = Vec::new();
        drive(&mut feed, seed, 0.0, |delivery| match delivery.kind {
            DeliveryKind::Rows(_) => staged.push(delivery.body.clone()),
            DeliveryKind::Resolved(at) => {
                let mut replay = NaiveReplay::default();
                staged.iter().for_each(|body| replay.apply(&until(body, at)));
                assert_eq!(replay.live(), truth(&workload, at));
            }
        });
    }

    #[test]
    fn a_seed_determines_the_run(seed: u64) {
        let run = || {
            let workload = Workload::generate(seed, &small());
            let mut feed = Feed::new(seed, Config { faults: Faults::CHAOS, ..Config::default() }, &workload);
            drive(&mut feed, seed, 0.1, |_| {})
        };
        prop_assert_eq!(run(), run());
    }
}

/// A batch without its rows above a time.
fn until(body: &str, at: HlcTimestamp) -> String {
    let mut body: Json = serde_json::from_str(body).unwrap();
    let rows = body["payload"].as_array_mut().unwrap();
    rows.retain(|row| row["updated"].as_str().unwrap().parse::<HlcTimestamp>().unwrap() <= at);
    body.to_string()
}

#[test]
fn chance_brings_about_every_fault() {
    let workload = Workload::generate(5, &WorkloadConfig { transactions: 600, ..WorkloadConfig::default() });
    let mut feed = Feed::new(5, Config { faults: Faults::CHAOS, ..Config::default() }, &workload);
    let trace = drive(&mut feed, 5, 0.05, |_| {});
    let mut origins: HashMap<Origin, usize> = HashMap::new();
    trace.bodies.iter().for_each(|(origin, _)| *origins.entry(*origin).or_default() += 1);
    for origin in [Origin::Feed, Origin::Retry, Origin::Duplicate, Origin::Zombie] {
        assert!(origins.contains_key(&origin), "{origin:?} is missing: {origins:?}");
    }
    assert!(trace.runs > 0, "no restart");
    assert!(trace.marks.windows(2).any(|pair| pair[0] > pair[1]), "no mark goes backwards");
    assert!(trace.marks.windows(2).any(|pair| pair[0] == pair[1]), "no mark is repeated");
}

#[test]
fn scripted_faults_happen_when_they_are_due() {
    let workload = Workload::generate(9, &small());
    let script = vec![
        (30, Fault::Restart(RestartFrom::Beginning)),
        (40, Fault::Duplicate),
        (41, Fault::Zombie),
        (42, Fault::RepeatResolved),
        (43, Fault::Concurrent),
        (44, Fault::LoseResolved),
    ];
    let mut feed = Feed::new(9, Config { script, flush_messages: 3, ..Config::default() }, &workload);
    let trace = drive(&mut feed, 9, 0.0, |_| {});
    assert_eq!(trace.runs, 1);
    let count = |wanted| trace.bodies.iter().filter(|(origin, _)| *origin == wanted).count();
    assert_eq!((count(Origin::Duplicate), count(Origin::Zombie)), (2, 1));
}

#[test]
fn failed_attempts_repeat_the_bytes_and_then_restart_the_job() {
    let workload = Workload::generate(2, &small());
    let config = Config { nodes: 1, workers: 1, max_attempts: 3, ..Config::default() };
    let mut feed = Feed::new(2, config, &workload);
    let mut bodies = Vec::new();
    for attempt in 1..=3 {
        let Step::Send(delivery) = feed.next() else { panic!("nothing to send") };
        assert_eq!(delivery.attempt, attempt);
        assert!(matches!(feed.next(), Step::AwaitReplies));
        feed.reply(delivery.id, Reply::Status(503));
        bodies.push(delivery.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(feed.run(), 1);
    let trace = drive(&mut feed, 2, 0.0, |_| {});
    assert!(trace.last_resolved >= workload.source().last_commit());
}

#[test]
fn an_empty_source_sends_marks_only() {
    let config = WorkloadConfig { initial_rows: 0, transactions: 0, transactions_before_scan: 0, ..small() };
    let mix = crate::workload::Mix { family: 1, tree: 0, products: 0, accounts: 0, wide: 0 };
    let workload = Workload::generate(0, &WorkloadConfig { mix, ..config });
    let trace = drive(&mut Feed::new(0, Config::default(), &workload), 0, 0.0, |_| {});
    assert_eq!((trace.rows, trace.marks.len()), (0, 1));
    assert!(trace.last_resolved >= workload.scan_at());
}

/// Receivers must cope with all of these, so runs must contain them.
#[test]
fn legal_oddities_do_occur() {
    let workload = Workload::generate(4, &WorkloadConfig { transactions: 400, ..WorkloadConfig::default() });
    let mut feed = Feed::new(4, Config::default(), &workload);
    let mut seen: BTreeMap<(String, String), HlcTimestamp> = BTreeMap::new();
    let (mut mixed, mut versions, mut orphan, mut overtaken) = (false, false, false, false);
    let mut newest = HlcTimestamp::ZERO;
    drive(&mut feed, 4, 0.0, |delivery| {
        let body: Json = serde_json::from_str(&delivery.body).unwrap();
        let rows: Vec<(String, String, HlcTimestamp)> = body["payload"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                let text = |member: &Json| member.as_str().unwrap().to_owned();
                (text(&row["topic"]), row["key"].to_string(), text(&row["updated"]).parse().unwrap())
            })
            .collect();
        for (i, (topic, key, at)) in rows.iter().enumerate() {
            mixed |= *topic != rows[0].0;
            versions |= rows[..i].iter().any(|row| (&row.0, &row.1) == (topic, key));
            let parent = format!("[{}]", body["payload"][i]["after"]["parent_id"]);
            orphan |= topic == "children" && !seen.contains_key(&("parents".to_owned(), parent));
            overtaken |= *at < newest;
            newest = newest.max(*at);
            seen.insert((topic.clone(), key.clone()), *at);
        }
    });
    assert!(mixed, "no batch mixes tables");
    assert!(versions, "no batch has two versions of a key");
    assert!(orphan, "no child comes before its parent");
    assert!(overtaken, "no older row comes after a newer one");
}

#[test]
fn a_feed_can_move_between_threads() {
    fn assert_send<T: Send + 'static>() {}
    assert_send::<Feed>();
    assert_send::<Delivery>();
}
