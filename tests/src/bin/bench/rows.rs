//! The rows of both sides, rendered before anything is measured.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sink_core::clock::{Clock, SystemClock};

use crate::load::Request;

/// Columns of a narrow table.
pub(crate) const NARROW: &str =
    "(id int8 PRIMARY KEY, a int4 NOT NULL, b text NOT NULL, c float8 NOT NULL, d bool NOT NULL)";

/// How far back histories begin: far enough that no time is ever ahead of the target's clock.
const BEGIN_SECONDS_AGO: i64 = 4 * 3600;
/// Distance of commits.
const STEP_NANOS: i64 = 1_000_000;

/// Commit times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    nanos: i64,
}

impl Times {
    /// Begins some hours ago.
    pub(crate) fn begin() -> Result<Times> {
        let now = i64::try_from(SystemClock.wall().as_nanos()).context("the clock is off")?;
        Ok(Times { nanos: now - BEGIN_SECONDS_AGO * 1_000_000_000 })
    }

    /// Lets time pass without a commit.
    pub(crate) fn pass(&mut self, seconds: f64) {
        self.nanos += i64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap_or(0);
    }

    /// The next commit.
    pub(crate) fn tick(&mut self) -> i64 {
        self.nanos += STEP_NANOS;
        self.nanos
    }

    /// The last commit.
    pub(crate) fn last(self) -> i64 {
        self.nanos
    }
}

/// A narrow row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) a: i32,
    pub(crate) b: String,
    pub(crate) c: f64,
    pub(crate) d: bool,
}

impl Row {
    /// A row with this key.
    pub(crate) fn random(rng: &mut StdRng, id: i64) -> Row {
        Row {
            id,
            a: rng.random_range(0..1_000_000),
            b: letters(rng, 20),
            // Eighths are exact in text as well.
            c: f64::from(rng.random_range(0..8_000_000)) / 8.0,
            d: rng.random_bool(0.5),
        }
    }

    /// As a changefeed sends it.
    pub(crate) fn json(&self) -> String {
        let Row { id, a, b, c, d } = self;
        format!("{{\"a\": {a}, \"b\": \"{b}\", \"c\": {c}, \"d\": {d}, \"id\": {id}}}")
    }
}

/// Random lower-case text.
pub(crate) fn letters(rng: &mut StdRng, length: usize) -> String {
    (0..length).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

/// The same random numbers in every run.
pub(crate) fn random() -> StdRng {
    StdRng::seed_from_u64(42)
}

/// A body under construction.
#[derive(Debug)]
pub(crate) struct Body {
    text: String,
    rows: usize,
    upto: i64,
}

impl Body {
    /// Without rows.
    pub(crate) fn new() -> Body {
        Body { text: "{\"payload\":[".to_owned(), rows: 0, upto: 0 }
    }

    /// Adds a row; `after` is `null` for a deletion.
    pub(crate) fn push(&mut self, topic: &str, id: i64, after: &str, nanos: i64) {
        use std::fmt::Write;
        let comma = if self.rows == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(
            self.text,
            "{comma}{{\"after\": {after}, \"key\": [{id}], \"topic\": \"{topic}\", \"updated\": \"{nanos}.0000000000\"}}"
        );
        self.rows += 1;
        self.upto = self.upto.max(nanos);
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The request, and an empty body in its place.
    pub(crate) fn take(&mut self, path: &str) -> Request {
        let mut body = std::mem::replace(self, Body::new());
        body.text.push_str(&format!("],\"length\":{}}}", body.rows));
        Request::new(path, &body.text, body.rows, body.upto)
    }
}
