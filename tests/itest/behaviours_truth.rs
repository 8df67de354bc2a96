//! Compare-and-set and deadlines against one-by-one application: every history of a small alphabet, under every way of
//! cutting it into requests and marks, must end as the model says.

use anyhow::{Result, ensure};
use tests::harness::Signal;
use tests::harness::runner::{Ctx, Need, Scenario, scenario};
use tests::harness::wait::eventually;

use crate::posting::{Feed, SOON};

/// The scenarios of this file.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario("behaviours_truth_table_under_marks", &[Need::Postgres], |ctx| table(ctx, Mode::Consistent)),
        scenario("behaviours_truth_table_in_immediate_mode", &[Need::Postgres], |ctx| {
            table(ctx, Mode::Immediate)
        }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Consistent,
    Immediate,
}

/// How a history is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// All steps in one request, one mark.
    Whole,
    /// A request for each step, one mark.
    Requests,
    /// A request and a mark for each step.
    Marks,
}

const CUTS: [Cut; 3] = [Cut::Whole, Cut::Requests, Cut::Marks];

impl Cut {
    fn schema(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Requests => "requests",
            Self::Marks => "marks",
        }
    }
}

/// A version number as the feed spells it; NaN and NULL count as less than any other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Null,
    Nan,
    Is(i32),
}

impl Number {
    fn json(self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Nan => "\"NaN\"".into(),
            Self::Is(number) => number.to_string(),
        }
    }

    /// What is compared.
    fn rank(self) -> Option<i32> {
        match self {
            Self::Null | Self::Nan => None,
            Self::Is(number) => Some(number),
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Nan => "NaN".into(),
            Self::Is(number) => number.to_string(),
        }
    }
}

/// When a row says it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Past,
    Future,
    Null,
}

/// One step of a history.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Delete,
    Write { major: Number, minor: Number, at: At },
}

fn write(major: Number, minor: Number, at: At) -> Step {
    Step::Write { major, minor, at }
}

/// A stored row: its values, and the number of the step that wrote it.
type Stored = (Number, Number, At, usize);

/// A table: its behaviours, what can happen to a row, and how it can begin.
struct Kind {
    name: &'static str,
    cas: &'static [&'static str],
    deadline: bool,
    steps: Vec<Step>,
    length: u32,
    beginnings: Vec<Option<Step>>,
}

fn kinds() -> Vec<Kind> {
    use Number::{Is, Nan, Null};
    let numbers = [Null, Nan, Is(1), Is(2)];
    let versions: Vec<Step> = numbers.iter().map(|n| write(*n, Null, At::Future)).collect();
    let pairs = [(Is(1), Null), (Is(1), Is(1)), (Is(2), Null), (Null, Is(5)), (Is(1), Is(2))];
    let pairs: Vec<Step> = pairs.iter().map(|(major, minor)| write(*major, *minor, At::Future)).collect();
    let times = [At::Past, At::Future, At::Null];
    let late: Vec<Step> = times.iter().map(|at| write(Is(1), Null, *at)).collect();
    let both: Vec<Step> = [Null, Is(1), Is(2)]
        .iter()
        .flat_map(|major| times.iter().map(|at| write(*major, Null, *at)))
        .collect();
    let and_gone = |steps: &[Step]| [steps, &[Step::Delete]].concat();
    let from = |steps: &[Step]| -> Vec<Option<Step>> {
        std::iter::once(None).chain(steps.iter().copied().map(Some)).collect()
    };
    let kind = |name, cas, deadline, steps: &[Step], length, beginnings| Kind {
        name,
        cas,
        deadline,
        steps: and_gone(steps),
        length,
        beginnings,
    };
    let one = [write(Is(1), Null, At::Future)];
    vec![
        kind("plain", &[], false, &versions, 2, from(&one)),
        kind("cas", &["major"], false, &versions, 3, from(&versions)),
        kind("pair", &["major", "minor"], false, &pairs, 3, from(&pairs)),
        kind("deadline", &[], true, &late, 4, from(&one)),
        kind("both", &["major"], true, &both, 3, from(&one)),
    ]
}

impl Kind {
    /// Every history: how it begins, and its steps.
    fn histories(&self) -> Vec<(Option<Step>, Vec<Step>)> {
        let mut all = vec![Vec::new()];
        for _ in 0..self.length {
            all = all
                .iter()
                .flat_map(|history: &Vec<Step>| {
                    self.steps.iter().map(move |step| [history.as_slice(), &[*step]].concat())
                })
                .collect();
        }
        let each = self.beginnings.iter().flat_map(|begin| all.iter().map(move |h| (*begin, h.clone())));
        each.collect()
    }

    /// One-by-one application.
    fn after(&self, stored: Option<Stored>, number: usize, step: Step) -> Option<Stored> {
        let Step::Write { major, minor, at } = step else { return None };
        if self.deadline && at != At::Future {
            return stored;
        }
        let ranks = |major: Number, minor: Number| {
            let all = [major.rank(), minor.rank()];
            all[..self.cas.len()].to_vec()
        };
        let beaten = stored.is_some_and(|(old_major, old_minor, ..)| {
            !self.cas.is_empty() && ranks(major, minor) <= ranks(old_major, old_minor)
        });
        if beaten { stored } else { Some((major, minor, at, number)) }
    }
}

async fn table(ctx: Ctx, mode: Mode) -> Result<()> {
    let kinds = kinds();
    let mut ddl = String::new();
    for cut in CUTS {
        let schema = cut.schema();
        ddl.push_str(&format!("CREATE SCHEMA {schema};"));
        for kind in &kinds {
            ddl.push_str(&format!(
                "CREATE TABLE {schema}.{} (id int8 PRIMARY KEY, major float8, minor numeric, at timestamptz, step int4);",
                kind.name
            ));
        }
    }
    let flags: &[&str] = if mode == Mode::Immediate { &["--immediate"] } else { &[] };
    let mut feed = Feed::start(&ctx, &ddl, flags).await?;
    configure(&mut feed, &kinds).await?;
    for cut in CUTS {
        feed.schema = cut.schema().into();
        play(&mut feed, &kinds, mode, cut).await?;
        for kind in &kinds {
            compare(&mut feed, kind, cut).await?;
        }
    }
    let discarded = feed.metric("apply_discarded_total", "reason=\"cas\"").await?;
    let late = feed.metric("apply_discarded_total", "reason=\"deadline\"").await?;
    ensure!(discarded > 0.0 && late > 0.0, "{discarded} and {late} versions were counted as discarded");
    Ok(())
}

async fn configure(feed: &mut Feed, kinds: &[Kind]) -> Result<()> {
    for (cut, kind) in CUTS.iter().flat_map(|cut| kinds.iter().map(move |kind| (cut, kind))) {
        let table = format!("current_database(), '{}', '{}'", cut.schema(), kind.name);
        let into =
            "INSERT INTO _cdc_sink.apply_config (target_db, target_schema, target_table, target_column";
        for (place, column) in kind.cas.iter().enumerate() {
            let sql = format!("{into}, cas_order) VALUES ({table}, '{column}', {})", place + 1);
            feed.execute(&sql).await?;
        }
        if kind.deadline {
            feed.execute(&format!("{into}, deadline) VALUES ({table}, 'at', '1m')")).await?;
        }
    }
    feed.service.signal(Signal::Hup)?;
    eventually(SOON, "the configuration to be read", async || {
        let (_, text) = feed.client.get("/_/config/apply").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(text.matches("CASColumns").count() == 12, "{text}");
        anyhow::Ok(())
    })
    .await
}

/// Posts what all rows do in one step.
fn put(
    feed: &mut Feed,
    kinds: &[Kind],
    number: usize,
    step_of: impl Fn(&(Option<Step>, Vec<Step>)) -> Option<Step>,
) {
    for kind in kinds {
        for (id, history) in kind.histories().iter().enumerate() {
            match step_of(history) {
                None => {}
                Some(Step::Delete) => feed.gone(kind.name, &format!("[{id}]")),
                Some(Step::Write { major, minor, at }) => {
                    let at = match at {
                        At::Past => "\"2001-01-01T00:00:00Z\"",
                        At::Future => "\"2999-01-01T00:00:00Z\"",
                        At::Null => "null",
                    };
                    let (major, minor) = (major.json(), minor.json());
                    let row = format!(
                        r#"{{"at": {at}, "id": {id}, "major": {major}, "minor": {minor}, "step": {number}}}"#
                    );
                    feed.put(kind.name, &format!("[{id}]"), &row);
                }
            }
        }
    }
    feed.tick();
}

async fn play(feed: &mut Feed, kinds: &[Kind], mode: Mode, cut: Cut) -> Result<()> {
    put(feed, kinds, 0, |(begin, _)| *begin);
    feed.settle().await?;
    let longest = kinds.iter().map(|kind| kind.length).max().unwrap_or(0);
    for step in 0..usize::try_from(longest)? {
        put(feed, kinds, step + 1, |(_, steps)| steps.get(step).copied());
        match cut {
            Cut::Whole => {}
            Cut::Requests => feed.send().await?,
            Cut::Marks => feed.settle().await?,
        }
    }
    if mode == Mode::Immediate && cut == Cut::Requests {
        return Ok(());
    }
    feed.settle().await
}

async fn compare(feed: &mut Feed, kind: &Kind, cut: Cut) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(string_agg(concat_ws('|', id, coalesce(major::text, ''), coalesce(minor::text, ''), step), ' ' \
         ORDER BY id), '') FROM {}.{}",
        cut.schema(),
        kind.name
    );
    let found = feed.value(&sql).await?.unwrap_or_default();
    let found: Vec<&str> = found.split(' ').filter(|row| !row.is_empty()).collect();
    let mut expected = Vec::new();
    let histories = kind.histories();
    for (id, (begin, steps)) in histories.iter().enumerate() {
        let begun = begin.and_then(|step| kind.after(None, 0, step));
        let end = steps.iter().enumerate().fold(begun, |row, (at, step)| kind.after(row, at + 1, *step));
        if let Some((major, minor, _, step)) = end {
            expected.push((id, format!("{id}|{}|{}|{step}", major.sql(), minor.sql())));
        }
    }
    for (id, row) in &expected {
        ensure!(
            found.contains(&row.as_str()),
            "{} {cut:?}: expected {row} after {:?}, found {:?}",
            kind.name,
            histories[*id],
            found.iter().find(|found| found.starts_with(&format!("{id}|")))
        );
    }
    ensure!(
        found.len() == expected.len(),
        "{} {cut:?}: {} rows, expected {}",
        kind.name,
        found.len(),
        expected.len()
    );
    Ok(())
}
