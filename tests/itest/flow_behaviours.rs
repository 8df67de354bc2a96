//! What `apply_config` makes of the changes of a log: generated histories against one-by-one application, by a model and
//! by the target itself, under any cutting into batches.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sink_core::flow::Change;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};

use crate::flow_positions::connect;
use crate::support::log::{Log, configure, lines};
use crate::support::seeded;

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![scenario("flow_behaviours_in_batches_end_like_one_by_one", &[Need::Postgres], |ctx| {
        seeded(ctx, histories)
    })]
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

impl Did {
    /// Rows missing, versions beaten, versions late.
    fn counts(self, kind: &Kind) -> [u64; 3] {
        match self {
            Self::Apply => [0, 0, 0],
            Self::Skip if kind.deadline => [0, 0, 1],
            Self::Skip => [1, 0, 0],
            Self::Beat => [0, 1, 0],
            Self::Late => [0, 0, 1],
        }
    }
}

/// A log into tables of every kind.
async fn begun(ctx: &Ctx, kinds: &[Kind], schema: &str) -> Result<Log> {
    // Makes the table for the configuration.
    connect(ctx.target().url()).await?;
    ctx.target().execute(&format!("CREATE SCHEMA {schema}")).await?;
    for kind in kinds {
        ctx.target().execute(&kind.ddl(schema)).await?;
        configure(ctx, schema, kind.name, &kind.rules()).await?;
    }
    let mut log = Log::start(ctx.target().url(), schema).await?;
    for kind in kinds {
        let columns = ["id", "major", "minor", "at", "large", "hat:n", "shoe:j", "note"];
        log.bind(kind.name, &columns).await.with_context(|| kind.name)?;
    }
    Ok(log)
}

/// Both targets have what the model has. What only the target has changes afterwards.
async fn compare(ctx: &Ctx, kind: &Kind, model: &mut Model, step: u32) -> Result<()> {
    for schema in ["single", "batch"] {
        let mut found = lines(ctx, &kind.query(schema)).await?;
        found.sort();
        let expected = kind.shown(model);
        ensure!(
            found == expected,
            "{schema}.{} at step {step} has {found:#?}, expected {expected:#?}",
            kind.name
        );
        if kind.own {
            let sql = format!("UPDATE {schema}.{} SET note = 'at {step}' WHERE big LIKE '%1%'", kind.name);
            ctx.target().execute(&sql).await?;
        }
    }
    for row in model.values_mut().filter(|row| kind.own && row.values[3].contains('1')) {
        row.own = format!("at {step}");
    }
    Ok(())
}

async fn histories(ctx: Ctx, seed: u64) -> Result<()> {
    let kinds = kinds();
    let (mut single, mut batch) = (begun(&ctx, &kinds, "single").await?, begun(&ctx, &kinds, "batch").await?);
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
            let found = [&written.missing, &written.beaten, &written.late];
            let found = found.map(|counts| counts.iter().sum::<u64>());
            let expected = what.counts(kind);
            ensure!(found == expected, "step {step}, {} {op:?}: {what:?}, {found:?}", kind.name);
        }
        pause -= 1;
        if pause == 0 || step + 1 == STEPS {
            pause = [1, 2, 5, 20, 60, 200][rng.random_range(0..6)];
            batch.commit().await.with_context(|| format!("step {step}"))?;
            for (kind, model) in kinds.iter().zip(&mut models) {
                let lines = || history.iter().filter(|line| line.starts_with(&format!("{} ", kind.name)));
                compare(&ctx, kind, model, step)
                    .await
                    .with_context(|| format!("after {:#?}", lines().collect::<Vec<_>>()))?;
            }
            history.clear();
        }
    }
    ensure!(did.len() == 4 && did.values().all(|count| *count > 10), "{did:?}");
    ensure!(batch.at > 5 && batch.folder.skipped() == 0, "{} batches", batch.at);
    Ok(())
}
