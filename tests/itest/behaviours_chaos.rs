//! Behaviours under random histories: several configured tables, rows with members missing, marks, replays and killed
//! processes at random moments. Every table must end as one-by-one application says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests::harness::http::Client;
use tests::harness::process::ServiceProcess;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON, body, row, time, webhook};
use crate::support::seeded;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("behaviours_chaos_under_marks", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| run(ctx, seed, Mode::Consistent).await)
        }),
        scenario("behaviours_chaos_in_immediate_mode", &[Need::Postgres], |ctx| {
            seeded(ctx, async |ctx, seed| run(ctx, seed, Mode::Immediate).await)
        }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Consistent,
    Immediate,
}

/// Transactions of a run.
const TRANSACTIONS: usize = 450;
/// Keys of each table.
const KEYS: i64 = 9;

/// What the rules of a table are.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    /// `hi` and `lo` are the version.
    cas: bool,
    /// `at` must not be older than a minute.
    deadline: bool,
    /// The key is `lower($0)`.
    lower: bool,
    /// `rest` takes what is left over; `v` is `10 * $0` of the member `value`; `w` is ignored.
    shaped: bool,
    /// Members may be missing.
    partial: bool,
    /// The key is a number that is written in several ways.
    numeric: bool,
}

const NAMES: [&str; 8] = ["plain", "cas", "timed", "lowered", "lowercas", "shaped", "numbers", "numcas"];

fn rules(table: usize) -> Rules {
    let none = Rules::default();
    match table {
        0 => Rules { partial: true, ..none },
        1 => Rules { cas: true, partial: true, ..none },
        2 => Rules { cas: true, deadline: true, ..none },
        3 => Rules { lower: true, partial: true, ..none },
        4 => Rules { lower: true, cas: true, deadline: true, ..none },
        5 => Rules { shaped: true, cas: true, partial: true, ..none },
        6 => Rules { numeric: true, partial: true, ..none },
        _ => Rules { numeric: true, cas: true, ..none },
    }
}

/// A stored row: column values as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stored {
    hi: Option<i64>,
    lo: Option<i64>,
    v: Option<i64>,
    w: Option<i64>,
    late: bool,
    rest: Option<String>,
}

/// One change of a row.
#[derive(Debug, Clone)]
struct Change {
    table: usize,
    /// The key as JSON.
    key: String,
    /// Which row of the target it is.
    id: i64,
    /// `None` for a deletion; then the members.
    row: Option<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    hi: Option<i64>,
    lo: Option<i64>,
    v: Option<Option<i64>>,
    w: Option<Option<i64>>,
    late: bool,
    extra: Option<i64>,
}

fn ddl() -> String {
    let mut ddl = String::new();
    for (table, name) in NAMES.iter().enumerate() {
        let rules = rules(table);
        let key = if rules.numeric { "numeric" } else { "text" };
        write!(
            ddl,
            "CREATE TABLE {name} (id {key} PRIMARY KEY, hi float8, lo int4, v int8 DEFAULT -1 CHECK (v < 1000), \
             w int8 DEFAULT -2, at timestamptz, rest jsonb);"
        )
        .ok();
    }
    ddl
}

fn configuration() -> String {
    let mut sql = String::new();
    for (table, name) in NAMES.iter().enumerate() {
        let rules = rules(table);
        let mut set = |column: &str, what: &str, value: &str| {
            write!(
                sql,
                "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, {what}) \
                 VALUES (current_database(), 'public', '{name}', '{column}', {value});"
            )
            .ok();
        };
        if rules.cas {
            set("hi", "cas_order", "1");
            set("lo", "cas_order", "2");
        }
        if rules.deadline {
            set("at", "deadline", "'1m'");
        }
        if rules.lower {
            set("id", "expr", "'lower($0)'");
        }
        if rules.shaped {
            set("rest", "extras", "true");
            set("v", "src_name, expr", "'value', '10 * $0'");
            set("w", "\"ignore\"", "true");
        }
    }
    sql
}

/// One-by-one application.
fn after(rules: Rules, stored: Option<&Stored>, row: &Row) -> Option<Stored> {
    if rules.deadline && row.late {
        return stored.cloned();
    }
    if rules.cas && stored.is_some_and(|stored| (row.hi, row.lo) <= (stored.hi, stored.lo)) {
        return stored.cloned();
    }
    let factor = if rules.shaped { 10 } else { 1 };
    let v = row.v.map(|v| v.map(|v| v * factor));
    // Refused by the target and moved aside.
    if v.flatten().is_some_and(|v| v >= 1000) {
        return stored.cloned();
    }
    let old = stored.cloned().unwrap_or(Stored { v: Some(-1), w: Some(-2), ..Stored::default() });
    let w = if rules.shaped { None } else { row.w };
    let rest =
        rules.shaped.then(|| row.extra.map_or("{}".to_owned(), |extra| format!("{{\"extra\": {extra}}}")));
    Some(Stored {
        hi: row.hi,
        lo: row.lo,
        v: v.unwrap_or(old.v),
        w: w.unwrap_or(old.w),
        late: row.late,
        rest,
    })
}

type Model = Vec<BTreeMap<i64, Stored>>;

fn apply(model: &mut Model, change: &Change) {
    let table = &mut model[change.table];
    let stored = match &change.row {
        None => None,
        Some(row) => after(rules(change.table), table.get(&change.id), row),
    };
    match stored {
        Some(stored) => drop(table.insert(change.id, stored)),
        None => drop(table.remove(&change.id)),
    }
}

fn number(value: Option<i64>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

/// The key of a row, in one of its spellings.
fn key(rng: &mut StdRng, rules: Rules, id: i64) -> String {
    let letter = char::from(b'a' + u8::try_from(id).unwrap_or(0));
    if rules.numeric {
        return format!("{id}{}", ["", ".0", ".00"][rng.random_range(0..3)]);
    }
    let letter = if rules.lower && rng.random() { letter.to_ascii_uppercase() } else { letter };
    format!("\"{letter}\"")
}

fn random(rng: &mut StdRng, mode: Mode, table: usize, id: i64) -> Change {
    let rules = rules(table);
    let key = key(rng, rules, id);
    if rng.random_range(0..5) == 0 {
        return Change { table, key, id, row: None };
    }
    let version = |rng: &mut StdRng| (rng.random_range(0..6) > 0).then(|| rng.random_range(0..12));
    let bad = mode == Mode::Consistent && rng.random_range(0..60) == 0;
    let value = |rng: &mut StdRng| {
        let there = !rules.partial || rng.random_range(0..3) > 0;
        there.then(|| (rng.random_range(0..8) > 0).then(|| if bad { 5_000 } else { rng.random_range(0..99) }))
    };
    let (hi, lo) = (version(rng), version(rng));
    let (v, w) = (value(rng), value(rng));
    let w = w.map(|w| w.map(|w| w % 100));
    let extra = (rules.shaped && rng.random()).then(|| rng.random_range(0..99));
    let row = Row { hi, lo, v, w, late: rng.random_range(0..4) == 0, extra };
    Change { table, key, id, row: Some(row) }
}

fn json(change: &Change, row: &Row) -> String {
    let at = if row.late { "2001-01-01T00:00:00Z" } else { "2999-01-01T00:00:00Z" };
    let hi =
        row.hi.map_or_else(|| if row.late { "\"NaN\"".into() } else { "null".into() }, |hi| hi.to_string());
    let mut json =
        format!("{{\"at\": \"{at}\", \"hi\": {hi}, \"id\": {}, \"lo\": {}", change.key, number(row.lo));
    let name = if rules(change.table).shaped { "value" } else { "v" };
    for (name, value) in [(name, row.v), ("w", row.w), ("extra", row.extra.map(Some))] {
        if let Some(value) = value {
            write!(json, ", \"{name}\": {}", number(value)).ok();
        }
    }
    json + "}"
}

/// The feed so far.
struct History {
    rng: StdRng,
    clock: u64,
    /// Rows not yet delivered, in order.
    waiting: Vec<String>,
    /// Rows that were delivered.
    sent: Vec<String>,
}

impl History {
    /// One transaction.
    fn transact(&mut self, mode: Mode, model: &mut Model) {
        self.clock += 1_000_000;
        for _ in 0..self.rng.random_range(1..5) {
            let table = self.rng.random_range(0..NAMES.len());
            let id = self.rng.random_range(1..=KEYS);
            let stamp = format!("\"updated\": \"{}\"", time(self.clock));
            let topic = format!("\"topic\": \"{}\"", NAMES[table]);
            let marker = format!("\"id{id}\"");
            // A transaction has one version of a row.
            if self
                .waiting
                .iter()
                .rev()
                .take_while(|row| row.contains(&stamp))
                .any(|row| row.contains(&topic) && row.contains(&marker))
            {
                continue;
            }
            let change = random(&mut self.rng, mode, table, id);
            apply(model, &change);
            let after = change.row.as_ref().map(|row| json(&change, row));
            let text =
                row(NAMES[table], &time(self.clock), &format!("[{}]", change.key), after.as_deref(), None);
            // A member of the envelope that nobody reads tells rows of a transaction apart.
            self.waiting.push(text.replacen('{', &format!("{{\"note\": \"id{id}\", "), 1));
        }
    }

    /// The next requests: what waits, cut at random; replays of what was sent between them. Under marks in any order.
    fn requests(&mut self, mode: Mode) -> Vec<String> {
        let mut rows = std::mem::take(&mut self.waiting);
        self.sent.extend(rows.iter().cloned());
        if mode == Mode::Consistent {
            for at in (1..rows.len()).rev() {
                rows.swap(at, self.rng.random_range(0..=at));
            }
        }
        let mut requests = Vec::new();
        while !rows.is_empty() {
            let rest = rows.split_off(self.rng.random_range(1..=rows.len().min(40)));
            requests.push(body(&rows));
            rows = rest;
            if self.rng.random_range(0..3) == 0 {
                // In immediate mode what was not sent yet must not overtake what came before it.
                let until =
                    if mode == Mode::Consistent { self.sent.len() } else { self.sent.len() - rows.len() };
                let from = self.rng.random_range(0..until);
                let until = until.min(from + 60);
                requests.push(body(&self.sent[from..until]));
            }
        }
        requests
    }
}

/// Posts until it is taken.
async fn deliver(processes: &[ServiceProcess], number: usize, path: &str, body: &str) -> Result<()> {
    eventually(SOON, "a delivery to be taken", async || {
        let mut client = Client::connect(processes[number % processes.len()].address()).await?;
        let (status, answer) = client.post(path, &[], body.to_owned()).await?;
        ensure!(status == StatusCode::OK, "{status} {}", String::from_utf8_lossy(&answer));
        anyhow::Ok(())
    })
    .await
}

async fn run(ctx: Ctx, seed: u64, mode: Mode) -> Result<()> {
    let flags: &[&str] = match mode {
        Mode::Consistent => &["--onApplyError=quarantine"],
        Mode::Immediate => &["--immediate"],
    };
    let database = ctx.target();
    let mut feed = Feed::start(&ctx, &ddl(), flags).await?;
    feed.execute(&configuration()).await?;
    feed.service.terminate(SOON).await?;
    feed.service.start_again().await?;
    let other = ServiceProcess::start(webhook(database, flags).named("other"), ctx.folder()).await?;
    let (start, path) = (feed.now(), format!("/{}/public", feed.database));
    let clock = start.split('.').next().context("a time")?.parse()?;
    let mut history =
        History { rng: StdRng::seed_from_u64(seed), clock, waiting: Vec::new(), sent: Vec::new() };
    let mut model: Model = vec![BTreeMap::new(); NAMES.len()];
    let Feed { service, mut sql, .. } = feed;
    let mut processes = vec![service, other];
    let mut done = 0;
    let mut number = 0;
    while done < TRANSACTIONS {
        let burst = history.rng.random_range(1..60);
        for _ in 0..burst {
            history.transact(mode, &mut model);
        }
        done += burst;
        for request in history.requests(mode) {
            // One key's rows come one after the other; only under marks may two processes take them at once.
            number += 1;
            deliver(&processes, number, &path, &request).await?;
        }
        if history.rng.random_range(0..5) == 0 {
            let victim = history.rng.random_range(0..2);
            processes[victim].kill9().await?;
            processes[victim].start_again().await?;
        }
        history.clock += 1_000_000;
        let mark = format!("{{\"resolved\":\"{}\"}}", time(history.clock));
        deliver(&processes, number, &path, &mark).await?;
        if mode == Mode::Consistent && history.rng.random_range(0..3) > 0 {
            continue;
        }
        settled(&mut sql, history.clock).await?;
        compare(&mut sql, &model, mode).await?;
    }
    settled(&mut sql, history.clock).await?;
    compare(&mut sql, &model, mode).await
}

async fn settled(sql: &mut sqlx::PgConnection, clock: u64) -> Result<()> {
    eventually(SOON, "the mark to be applied", async || {
        let query = sqlx::query_scalar::<_, i64>(
            "SELECT applied_nanos FROM _cdc_sink.frontiers WHERE target_schema = 'public'",
        );
        let applied = query.fetch_one(&mut *sql).await?;
        let stall =
            sqlx::query_scalar::<_, String>("SELECT reason FROM _cdc_sink.stalls").fetch_optional(&mut *sql);
        ensure!(u64::try_from(applied)? >= clock, "{applied} of {clock}, {:?}", stall.await?);
        anyhow::Ok(())
    })
    .await
}

async fn compare(sql: &mut sqlx::PgConnection, model: &Model, mode: Mode) -> Result<()> {
    for (table, name) in NAMES.iter().enumerate() {
        let id = if rules(table).numeric { "id::int" } else { "ascii(lower(id)) - 97" };
        let query = format!(
            "SELECT coalesce(string_agg(concat_ws('|', {id}, coalesce(nullif(hi, 'NaN')::text, '-'), coalesce(lo::text, '-'), \
             coalesce(v::text, '-'), coalesce(w::text, '-'), extract(year FROM at) = 2001, rest), E'\\n' ORDER BY {id}), '') \
             FROM {name}"
        );
        let found: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut *sql).await?;
        let text = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
        let expected: Vec<String> = model[table]
            .iter()
            .map(|(id, s)| {
                let late = if s.late { "t" } else { "f" };
                let rest = s.rest.as_ref().map(|rest| format!("|{rest}")).unwrap_or_default();
                format!("{id}|{}|{}|{}|{}|{late}{rest}", text(s.hi), text(s.lo), text(s.v), text(s.w))
            })
            .collect();
        let expected = expected.join("\n");
        ensure!(found == expected, "{mode:?} {name}: expected\n{expected}\nfound\n{found}");
    }
    Ok(())
}
