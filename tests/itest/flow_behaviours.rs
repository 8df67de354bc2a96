//! What `apply_config` makes of the changes of a log: generated histories against one-by-one application, by a model and
//! by the target itself, under any cutting into batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sink_core::failure::Disposition;
use sink_core::flow::{
    Advance, Binding, Change, FeedName, FlowApplier, Folder, Form, Limits, Position, PositionStore, Row,
    SourceColumn, Value, Written,
};
use sink_core::model::{Ident, SchemaId};
use sink_core::target::Target;
use sqlx::{AssertSqlSafe, Row as _};
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::support::seeded;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("flow_behaviours_in_batches_end_like_one_by_one", &[Need::Postgres], |ctx| {
            seeded(ctx, histories)
        }),
        scenario("flow_behaviours_do_what_the_pages_show", &[Need::Postgres], pages),
        scenario("flow_behaviours_move_unique_values", &[Need::Postgres], unique_values),
    ]
}

/// A feed that applies what it is told.
struct Log {
    target: Target,
    applier: FlowApplier,
    schema: String,
    feed: FeedName,
    epoch: i64,
    at: u64,
    bindings: BTreeMap<String, Binding>,
    folder: Folder,
}

impl Log {
    /// Starts with what is configured by now.
    async fn start(url: &str, schema: &str) -> Result<Log> {
        let target = connect(url).await?;
        let feed = FeedName { feed: "log".into(), scope: schema.into() };
        let store = PositionStore::new(Arc::clone(target.home()));
        let stored = store.take_over(&feed, "{}", &Position::new("0")).await?;
        let log = Log {
            applier: FlowApplier::new(Arc::clone(target.home()))?,
            target,
            schema: schema.into(),
            feed,
            epoch: stored.epoch,
            at: stored.position.as_str().parse()?,
            bindings: BTreeMap::new(),
            folder: Folder::new(Limits::default()),
        };
        log.reload().await?;
        Ok(log)
    }

    /// Reads the configuration again.
    async fn reload(&self) -> Result<()> {
        let home = self.target.home();
        self.target.configs().load(home).await?;
        home.schema().refresh(home).await?;
        Ok(())
    }

    /// Says which columns a table of the source has. `name:n` is a number, `:b` a truth value, `:j` a document.
    async fn bind(&mut self, table: &str, columns: &[&str]) -> Result<()> {
        let home = self.target.home();
        let schema = SchemaId { database: home.name().clone(), schema: Ident::new(&self.schema)? };
        let known = home.schema().current(home).await?;
        let found = known.table(&schema, table).context("the table exists")?;
        let columns = columns.iter().map(|text| {
            let (name, form) = text.split_once(':').unwrap_or((text, ""));
            let form = match form {
                "n" => Form::Number,
                "b" => Form::Bool,
                "j" => Form::Json,
                _ => Form::Text,
            };
            SourceColumn { name, form }
        });
        let binding = Binding::typed(Arc::clone(found), &columns.collect::<Vec<_>>())?;
        self.bindings.insert(table.into(), binding);
        Ok(())
    }

    fn push(&mut self, table: &str, make: impl FnOnce(&Binding) -> Change) {
        let binding = &self.bindings[table];
        self.folder.push(binding, make(binding));
    }

    fn insert(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Insert { key: key(to, &row), row: to.row(&row) });
    }

    fn update(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Update { key: key(to, &row), row: to.row(&row) });
    }

    fn rekey(&mut self, table: &str, from: &[&str], row: &[&str]) {
        let (from, row) = (values(from), values(row));
        self.push(table, |to| Change::Rekey { from: key(to, &from), to: key(to, &row), row: to.row(&row) });
    }

    fn delete(&mut self, table: &str, row: &[&str]) {
        let row = values(row);
        self.push(table, |to| Change::Delete { key: key(to, &row) });
    }

    /// Applies what was collected, again as long as that may help.
    async fn commit(&mut self) -> Result<Written> {
        let nets = self.folder.take();
        let (from, to) = (Position::new(self.at.to_string()), Position::new((self.at + 1).to_string()));
        let advance =
            Advance { feed: &self.feed, from: &from, to: &to, epoch: self.epoch, source_time_micros: None };
        loop {
            match self.applier.apply(&nets, advance).await {
                Ok(written) => {
                    self.at += 1;
                    return Ok(written);
                }
                Err(error) if error.disposition() == Disposition::Retry => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn key(binding: &Binding, row: &[Value<'_>]) -> Row {
    binding.key(row).expect("the key is given")
}

/// `-` is not given, `~` is NULL.
fn values<'a>(texts: &[&'a str]) -> Vec<Value<'a>> {
    let value = |text: &&'a str| match *text {
        "-" => Value::Absent,
        "~" => Value::Null,
        text => Value::Text(text),
    };
    texts.iter().map(value).collect()
}

async fn configure(ctx: &Ctx, schema: &str, table: &str, rows: &[(&str, &str, &str)]) -> Result<()> {
    for (column, name, value) in rows {
        let sql = format!(
            "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column, {name}) \
             VALUES (current_database(), '{schema}', '{table}', '{column}', $v${value}$v$) \
             ON CONFLICT (target_db, target_schema, target_table, target_column) DO UPDATE SET {name} = excluded.{name}"
        );
        ctx.target().execute(&sql).await?;
    }
    Ok(())
}

async fn lines(ctx: &Ctx, query: &str) -> Result<Vec<String>> {
    let mut connection = ctx.target().connect().await?;
    let sql = format!("SELECT r.line::text FROM ({query}) r(line)");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn shows(ctx: &Ctx, query: &str, expected: &[&str]) -> Result<()> {
    let found = lines(ctx, query).await?;
    ensure!(found == expected, "{query} shows {found:?}, expected {expected:?}");
    Ok(())
}

/// A table: its behaviours, and the keys that the source uses.
struct Kind {
    name: &'static str,
    id: &'static str,
    keys: [&'static str; 5],
    key_expr: &'static str,
    cas: bool,
    deadline: bool,
    extras: bool,
    exclaims: bool,
    /// The target has a column of its own.
    own: bool,
}

const NUMBERS: [&str; 5] = ["1", "2", "3", "40", "500"];
const PLAIN: Kind = Kind {
    name: "",
    id: "int8",
    keys: NUMBERS,
    key_expr: "",
    cas: false,
    deadline: false,
    extras: false,
    exclaims: false,
    own: true,
};

fn kinds() -> Vec<Kind> {
    let letters = ["a", "A", "b", "B", "c"];
    let prices = ["1", "1.0", "1.00", "2", "2.0"];
    vec![
        Kind { name: "shaped", extras: true, exclaims: true, ..PLAIN },
        Kind { name: "cas", cas: true, ..PLAIN },
        Kind { name: "cas_shaped", cas: true, extras: true, exclaims: true, ..PLAIN },
        Kind { name: "late", deadline: true, ..PLAIN },
        Kind { name: "both", cas: true, deadline: true, exclaims: true, ..PLAIN },
        Kind { name: "bare", cas: true, deadline: true, own: false, ..PLAIN },
        Kind { name: "price", id: "numeric", keys: prices, cas: true, ..PLAIN },
        Kind { name: "lower", id: "text", keys: letters, key_expr: "lower($0)", extras: true, ..PLAIN },
        Kind {
            name: "lower_both",
            id: "text",
            keys: letters,
            key_expr: "lower($0)",
            cas: true,
            deadline: true,
            ..PLAIN
        },
        Kind { name: "one_row", key_expr: "7", cas: true, ..PLAIN },
    ]
}

impl Kind {
    fn ddl(&self, schema: &str) -> String {
        let rest = if self.extras { "rest jsonb" } else { "hat int4, shoe jsonb" };
        let own = if self.own { ", note text DEFAULT 'n'" } else { "" };
        format!(
            "CREATE TABLE {schema}.{} (id {} PRIMARY KEY, major float8, minor numeric, at timestamptz, big text, \
             stamp text, {rest}{own})",
            self.name, self.id
        )
    }

    fn rules(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let mut rules =
            vec![("big", "src_name", "large"), ("stamp", "expr", "'s'"), ("note", "ignore", "true")];
        let mut when = |wanted: bool, more: &[(&'static str, &'static str, &'static str)]| {
            if wanted {
                rules.extend_from_slice(more);
            }
        };
        when(self.cas, &[("major", "cas_order", "1"), ("minor", "cas_order", "2")]);
        when(self.deadline, &[("at", "deadline", "1m")]);
        when(self.extras, &[("rest", "extras", "true")]);
        when(self.exclaims, &[("big", "expr", "$0 || '!'"), ("minor", "expr", "$0 + 10")]);
        when(!self.key_expr.is_empty(), &[("id", "expr", self.key_expr)]);
        rules
    }

    /// What is the same for equal keys of the target.
    fn identity(&self, key: &str) -> String {
        match (self.id, self.key_expr) {
            (_, "7") => "7".into(),
            ("numeric", _) => key.trim_end_matches('0').trim_end_matches('.').into(),
            (_, "lower($0)") => key.to_lowercase(),
            _ => key.into(),
        }
    }

    /// The key as it is stored.
    fn stored(&self, key: &str) -> String {
        if self.key_expr.is_empty() { key.into() } else { self.identity(key) }
    }

    fn query(&self, schema: &str) -> String {
        let text = |name: &str| format!("COALESCE({name}::text, '~')");
        let rest = if self.extras {
            vec![text("rest")]
        } else {
            vec![text("jsonb_build_object('hat', hat, 'shoe', shoe)")]
        };
        let own = if self.own { text("note") } else { "'-'".into() };
        let all = ["id", "major", "minor", "(at > now())", "big", "stamp"].map(text);
        let all: Vec<String> = all.into_iter().chain(rest).chain([own]).collect();
        format!("SELECT concat_ws('|', {}) FROM {schema}.{}", all.join(", "), self.name)
    }
}

/// What the source sends of major, minor, at, large, hat, shoe. `None` is what it does not.
type Sent = [Option<&'static str>; 6];

/// A stored row: the key, the six values, and what is the target's own.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    key: String,
    values: [String; 6],
    own: String,
}

#[derive(Debug, Clone)]
enum Op {
    Insert(&'static str, Sent),
    Update(&'static str, Sent),
    Rekey(&'static str, &'static str, Sent),
    Delete(&'static str),
    Truncate,
}

/// What one-by-one application did with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Apply,
    /// There was nothing to go on from.
    Skip,
    Beat,
    Late,
}

type Model = BTreeMap<String, Stored>;

impl Kind {
    fn apply(&self, model: &mut Model, op: &Op) -> Did {
        match op {
            Op::Truncate => model.clear(),
            Op::Delete(key) => drop(model.remove(&self.identity(key))),
            Op::Insert(key, sent) => return self.version(model, key, sent, None),
            Op::Update(key, sent) => {
                let stored = model.get(&self.identity(key)).cloned();
                return self.version(model, key, sent, stored);
            }
            // The source's key feeds nothing, so it is the same.
            Op::Rekey(_, to, sent) if self.key_expr == "7" => {
                return self.apply(model, &Op::Update(to, *sent));
            }
            Op::Rekey(from, to, sent) => {
                let stored = model.remove(&self.identity(from));
                return self.version(model, to, sent, stored);
            }
        }
        Did::Apply
    }

    fn version(&self, model: &mut Model, key: &str, sent: &Sent, base: Option<Stored>) -> Did {
        let whole = sent.iter().all(Option::is_some);
        if base.is_none() && !whole {
            return Did::Skip;
        }
        let mut next = base.clone().unwrap_or_else(|| Stored {
            key: String::new(),
            values: Default::default(),
            own: if self.own { "n".into() } else { "-".into() },
        });
        next.key = self.stored(key);
        for (at, value) in sent.iter().enumerate() {
            match (at, value) {
                (_, None) => {}
                (3, Some(text)) if self.exclaims && *text != "~" => next.values[3] = format!("{text}!"),
                (1, Some(text)) if self.exclaims && !["~", "NaN"].contains(text) => {
                    next.values[1] = (text.parse::<i32>().expect("a number") + 10).to_string();
                }
                (_, Some(text)) => next.values[at] = (*text).to_owned(),
            }
        }
        if self.deadline && !next.values[2].starts_with("2999") {
            return Did::Late;
        }
        let there = model.get(&self.identity(key));
        if let Some(there) = there {
            let tuple = |row: &Stored| [0, 1].map(|at| row.values[at].parse::<i32>().ok());
            if self.cas && tuple(&next) <= tuple(there) {
                return Did::Beat;
            }
            // Nothing was said of the target's own columns.
            if base.is_none() {
                next.own = there.own.clone();
            }
        }
        model.insert(self.identity(key), next);
        Did::Apply
    }

    fn shown(&self, model: &Model) -> Vec<String> {
        let each = model.values().map(|row| {
            let [major, minor, at, big, hat, shoe] = &row.values;
            let json = |text: &str| if text == "~" { "null".to_owned() } else { text.to_owned() };
            let at = match at.as_str() {
                "~" => "~",
                at => ["false", "true"][usize::from(at.starts_with("2999"))],
            };
            format!(
                "{}|{major}|{minor}|{at}|{big}|s|{{\"hat\": {}, \"shoe\": {}}}|{}",
                row.key,
                json(hat),
                json(shoe),
                row.own
            )
        });
        let mut all: Vec<String> = each.collect();
        all.sort();
        all
    }
}

/// One of each text, for the time of the test.
fn number(of: u32) -> &'static str {
    const ALL: [&str; 24] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
        "18", "19", "20", "21", "22", "23",
    ];
    ALL[usize::try_from(of).unwrap_or(0) % ALL.len()]
}

fn sent(rng: &mut StdRng, step: u32, whole: bool) -> Sent {
    let late = if rng.random_range(0..3) == 0 { "2001-01-01 00:00:00+00" } else { "2999-01-01 00:00:00+00" };
    let mut any = |given: &'static str| if rng.random_range(0..9) == 0 { "~" } else { given };
    let (major, minor) = (any(number(step / 40)), any(number(step % 5)));
    let values = [major, minor, any(late), any(number(step)), any(number(step % 7)), any("[1]")];
    let major = if rng.random_range(0..12) == 0 { "NaN" } else { values[0] };
    let values = [major, values[1], values[2], values[3], values[4], values[5]];
    values.map(|value| (whole || rng.random_range(0..4) != 0).then_some(value))
}

fn row<'a>(key: &'a str, sent: &Sent) -> Vec<&'a str> {
    let mut row = vec![key];
    row.extend(sent.iter().map(|value| value.unwrap_or("-")));
    row.push("ignored");
    row
}

fn send(log: &mut Log, table: &str, op: &Op) {
    match op {
        Op::Insert(key, sent) => log.insert(table, &row(key, sent)),
        Op::Update(key, sent) => log.update(table, &row(key, sent)),
        Op::Rekey(from, to, sent) => log.rekey(table, &[from], &row(to, sent)),
        Op::Delete(key) => log.delete(table, &[key]),
        Op::Truncate => log.push(table, |_| Change::Truncate),
    }
}

/// What a consistent source may do next. `live` are its keys.
fn next(rng: &mut StdRng, kind: &Kind, live: &mut Vec<&'static str>, step: u32) -> Option<Op> {
    let (at, to) = (kind.keys[rng.random_range(0..5)], kind.keys[rng.random_range(0..5)]);
    let same =
        |a: &str, b: &str| if kind.id == "numeric" { kind.identity(a) == kind.identity(b) } else { a == b };
    let taken = |key: &str, but: &str| live.iter().any(|k| *k != but && same(k, key));
    let whole = rng.random_range(0..2) == 0;
    let place = live.iter().position(|key| *key == at);
    match (rng.random_range(0..60), place) {
        (0, _) => {
            live.clear();
            Some(Op::Truncate)
        }
        (1..=40, None) if !taken(at, "") => {
            live.push(at);
            Some(Op::Insert(at, sent(rng, step, true)))
        }
        (1..=35, Some(_)) => Some(Op::Update(at, sent(rng, step, whole))),
        (36..=48, Some(place)) if to != at && !taken(to, at) => {
            live[place] = to;
            Some(Op::Rekey(at, to, sent(rng, step, whole)))
        }
        (49..=59, Some(place)) => {
            live.remove(place);
            Some(Op::Delete(at))
        }
        _ => None,
    }
}

const STEPS: u32 = 1_000;

async fn histories(ctx: Ctx, seed: u64) -> Result<()> {
    let kinds = kinds();
    let columns = ["id", "major", "minor", "at", "large", "hat:n", "shoe:j", "note"];
    let mut logs = Vec::new();
    // Makes the table for the configuration.
    connect(ctx.target().url()).await?;
    for schema in ["single", "batch"] {
        ctx.target().execute(&format!("CREATE SCHEMA {schema}")).await?;
        for kind in &kinds {
            ctx.target().execute(&kind.ddl(schema)).await?;
            configure(&ctx, schema, kind.name, &kind.rules()).await?;
        }
        let mut log = Log::start(ctx.target().url(), schema).await?;
        for kind in &kinds {
            log.bind(kind.name, &columns).await.with_context(|| kind.name)?;
        }
        logs.push(log);
    }
    let [mut single, mut batch]: [Log; 2] = logs.try_into().ok().context("two logs")?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut models: Vec<Model> = kinds.iter().map(|_| Model::new()).collect();
    let mut live: Vec<Vec<&'static str>> = kinds.iter().map(|_| Vec::new()).collect();
    let mut did: BTreeMap<String, u32> = BTreeMap::new();
    let mut history = Vec::new();
    let mut pause = 1;
    for step in 0..STEPS {
        let at = rng.random_range(0..kinds.len());
        let kind = &kinds[at];
        if let Some(op) = next(&mut rng, kind, &mut live[at], step) {
            send(&mut single, kind.name, &op);
            send(&mut batch, kind.name, &op);
            let what = kind.apply(&mut models[at], &op);
            history.push(format!("{} {op:?}: {what:?}", kind.name));
            *did.entry(format!("{what:?}")).or_default() += 1;
            let written = single.commit().await.with_context(|| format!("step {step}: {op:?}"))?;
            let found =
                [&written.missing, &written.beaten, &written.late].map(|counts| counts.iter().sum::<u64>());
            let expected = match what {
                Did::Apply => [0, 0, 0],
                Did::Skip if kind.deadline => [0, 0, 1],
                Did::Skip => [1, 0, 0],
                Did::Beat => [0, 1, 0],
                Did::Late => [0, 0, 1],
            };
            ensure!(found == expected, "step {step}, {} {op:?}: {what:?}, {found:?}", kind.name);
        }
        pause -= 1;
        if pause == 0 || step + 1 == STEPS {
            pause = [1, 2, 5, 20, 60, 200][rng.random_range(0..6)];
            batch.commit().await.with_context(|| format!("step {step}"))?;
            for (kind, model) in kinds.iter().zip(&mut models) {
                for schema in ["single", "batch"] {
                    let mut found = lines(&ctx, &kind.query(schema)).await?;
                    found.sort();
                    let expected = kind.shown(model);
                    ensure!(
                        found == expected,
                        "{schema}.{} at step {step} has {found:#?}, expected {expected:#?} after {:#?}",
                        kind.name,
                        history
                            .iter()
                            .filter(|line| line.starts_with(&format!("{} ", kind.name)))
                            .collect::<Vec<_>>()
                    );
                    if kind.own {
                        let sql = format!(
                            "UPDATE {schema}.{} SET note = 'at {step}' WHERE big LIKE '%1%'",
                            kind.name
                        );
                        ctx.target().execute(&sql).await?;
                    }
                }
                for row in model.values_mut().filter(|row| kind.own && row.values[3].contains('1')) {
                    row.own = format!("at {step}");
                }
            }
            history.clear();
        }
    }
    ensure!(did.len() == 4 && did.values().all(|count| *count > 10), "{did:?}");
    ensure!(batch.at > 5 && batch.folder.skipped() == 0, "{} batches", batch.at);
    Ok(())
}

/// The examples of the pages, as a log has them, change by change and all at once.
async fn pages(ctx: Ctx) -> Result<()> {
    connect(ctx.target().url()).await?;
    for schema in ["single", "batch"] {
        let ddl = format!(
            "CREATE SCHEMA {schema}; SET search_path = {schema}; \
             CREATE TABLE versions (id int PRIMARY KEY, major int, minor int, patch int, step int); \
             CREATE TABLE late (id int PRIMARY KEY, updated_at timestamptz, step int); \
             CREATE TABLE exprs (id int8 PRIMARY KEY, value int8, twice text, did_migrate bool, city text, at timestamptz, \
             word text, dollar text); \
             CREATE TABLE extra (id int PRIMARY KEY, name text, overflow_data jsonb); \
             CREATE TABLE ignored (id int PRIMARY KEY, name text, note text); \
             CREATE TABLE renamed (id int PRIMARY KEY, here text)"
        );
        ctx.target().execute(&ddl).await?;
        let cas = [("major", "cas_order", "1"), ("minor", "cas_order", "2"), ("patch", "cas_order", "3")];
        configure(&ctx, schema, "versions", &cas).await?;
        configure(&ctx, schema, "late", &[("updated_at", "deadline", "1m")]).await?;
        let exprs = [
            ("value", "expr", "2 * $0"),
            ("twice", "expr", "$0 || $0"),
            ("did_migrate", "expr", "true"),
            ("city", "expr", "$0::jsonb->>'city'"),
            ("at", "expr", "to_timestamp($0::float8)"),
            ("word", "expr", "coalesce($0, 'none')"),
            ("dollar", "expr", "'$0'"),
        ];
        configure(&ctx, schema, "exprs", &exprs).await?;
        configure(&ctx, schema, "extra", &[("overflow_data", "extras", "true")]).await?;
        let ignored = [("dont_care", "ignore", "true"), ("note", "ignore", "true")];
        configure(&ctx, schema, "ignored", &ignored).await?;
        configure(&ctx, schema, "renamed", &[("here", "src_name", "there")]).await?;
        let mut log = Log::start(ctx.target().url(), schema).await?;
        played(&ctx, &mut log, schema == "single").await.with_context(|| schema)?;
    }
    Ok(())
}

async fn played(ctx: &Ctx, log: &mut Log, single: bool) -> Result<()> {
    let schema = log.schema.clone();
    log.bind("versions", &["id", "major", "minor", "patch", "step"]).await?;
    let steps = [["1", "2", "3"], ["1", "1", "9"], ["1", "3", "0"], ["1", "3", "0"], ["~", "9", "9"]];
    for (id, deleted) in [("1", false), ("2", true)] {
        for (at, [major, minor, patch]) in steps.into_iter().enumerate() {
            let step = (at + 1).to_string();
            let row = [id, major, minor, patch, &step];
            match at {
                0 => log.insert("versions", &row),
                4 if deleted => {
                    log.delete("versions", &[id]);
                    log.insert("versions", &row);
                }
                _ => log.update("versions", &row),
            }
            if single {
                log.commit().await?;
            }
        }
    }
    log.bind("late", &["id", "updated_at", "step"]).await?;
    let ago = |seconds: u32| format!("SELECT now() - interval '{seconds} s'");
    let mut times = Vec::new();
    for seconds in [30, 120, 90] {
        times.push(lines(ctx, &ago(seconds)).await?.remove(0));
    }
    log.insert("late", &["1", &times[0], "1"]);
    log.update("late", &["1", &times[1], "2"]);
    log.update("late", &["1", "~", "3"]);
    log.insert("late", &["2", &times[0], "1"]);
    log.delete("late", &["2"]);
    log.insert("late", &["2", &times[2], "6"]);
    log.bind("exprs", &["id", "value", "twice", "city", "at", "word", "dollar"]).await?;
    log.insert("exprs", &["7", "21", "ab", r#"{"city": "Ulm"}"#, "1714979289.5", "~", "x"]);
    log.bind("extra", &["id", "name", "hat:j", "shoe:n"]).await?;
    log.insert("extra", &["1", "a", r#"{"size": 58}"#, "42"]);
    if single {
        log.commit().await?;
    }
    log.bind("extra", &["id", "name"]).await?;
    log.insert("extra", &["2", "b"]);
    ensure!(
        log.bind("extra", &["id", "name", "overflow_data"]).await.is_err(),
        "the extras' own name was taken"
    );
    log.bind("ignored", &["id", "name", "dont_care", "note"]).await?;
    log.insert("ignored", &["1", "a", "5", "x"]);
    log.commit().await?;
    ctx.target().execute(&format!("UPDATE {schema}.ignored SET note = 'mine'")).await?;
    log.bind("ignored", &["id", "name"]).await?;
    log.update("ignored", &["1", "b"]);
    ensure!(log.bind("ignored", &["id", "name", "other"]).await.is_err(), "an unknown column was taken");
    log.bind("renamed", &["id", "there"]).await?;
    log.insert("renamed", &["1", "a"]);
    log.commit().await?;
    ensure!(log.bind("renamed", &["id", "here"]).await.is_err(), "a renamed column took its own name");
    for (query, expected) in [
        ("versions", &["(1,1,3,0,3)", "(2,,9,9,5)"][..]),
        ("exprs", &["(7,42,abab,t,Ulm,\"2024-05-06 07:08:09.5+00\",none,$0)"]),
        ("extra", &[r#"(1,a,"{""hat"": {""size"": 58}, ""shoe"": 42}")"#, "(2,b,{})"]),
        ("ignored", &["(1,b,mine)"]),
        ("renamed", &["(1,a)"]),
    ] {
        // The zone of the session decides how a timestamp is shown.
        let sql = format!("SELECT t FROM {schema}.{query} t ORDER BY t.id");
        shows(ctx, &sql, expected).await?;
    }
    shows(ctx, &format!("SELECT concat(id, ':', step) FROM {schema}.late ORDER BY id"), &["1:1"]).await
}

/// Values move between rows by way of a third; only the order of the source avoids to have one twice.
async fn unique_values(ctx: Ctx) -> Result<()> {
    connect(ctx.target().url()).await?;
    let ddl = "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, u int NOT NULL UNIQUE, v int, own text DEFAULT 'o'); \
               CREATE TABLE app.plain (id int PRIMARY KEY, n int)";
    ctx.target().execute(ddl).await?;
    configure(&ctx, "app", "t", &[("v", "cas_order", "1")]).await?;
    let mut log = Log::start(ctx.target().url(), "app").await?;
    log.bind("t", &["id", "u", "v"]).await?;
    log.bind("plain", &["id", "n"]).await?;
    for id in ["1", "2", "3"] {
        log.insert("t", &[id, id, "1"]);
    }
    log.commit().await?;
    log.update("t", &["1", "9", "2"]);
    log.update("t", &["2", "1", "2"]);
    log.insert("plain", &["1", "1"]);
    log.update("t", &["1", "2", "3"]);
    log.update("t", &["1", "7", "3"]);
    log.rekey("t", &["3"], &["4", "-", "1"]);
    let written = log.commit().await?;
    ensure!(written.beaten.iter().sum::<u64>() == 1, "{written:?}");
    shows(&ctx, "SELECT t FROM app.t ORDER BY id", &["(1,2,3,o)", "(2,1,2,o)", "(4,3,1,o)"]).await?;
    shows(&ctx, "SELECT p FROM app.plain p", &["(1,1)"]).await?;
    // What is there twice is refused as ever, and nothing of it stays.
    log.insert("t", &["8", "1", "1"]);
    let error = log.commit().await.err().context("a value was taken twice")?;
    ensure!(format!("{error:#}").contains("23505"), "{error:#}");
    shows(&ctx, "SELECT count(*) FROM app.t", &["3"]).await
}
