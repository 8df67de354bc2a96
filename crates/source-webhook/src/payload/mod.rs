//! The body of a request. Pure: borrows from the body, copies nothing, never panics.
//!
//! Formats as CockroachDB v21.2 to v26.2 document and emit them. Members we do not know are passed over; what would
//! change the meaning of a row is refused with the option to change.
//!
//! * `body`: `{"payload":[row, …],"length":n}` or `{"resolved":"<time>"}`;
//! * `lines`: a file of rows, one per line;
//! * `row`: one row, of the wrapped envelope (query changefeeds included) or of the enriched one.

mod body;
mod lines;
mod row;

use std::borrow::Cow;
use std::fmt;

use serde_json::error::Category;
use sink_core::model::HlcTimestamp;
use sink_core::model::time::HlcError;
use sink_core::staging::admission::IncomingKey;

pub use body::{parse, parse_for_table};
pub use lines::parse_lines;

/// Most rows of a request. Rows of a few bytes cost more in memory than on the wire.
pub const MAX_ROWS: usize = 1_000_000;

/// A parsed body.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    /// Rows in the order in which they came.
    pub rows: Vec<Row<'a>>,
    /// The promise that every row up to this time has been delivered.
    pub resolved: Option<HlcTimestamp>,
    /// The job at the source that sends this, where its rows tell.
    pub job: Option<Cow<'a, str>>,
    /// The first row without a time.
    untimed: Option<At>,
}

/// One row.
#[derive(Debug)]
pub struct Row<'a> {
    /// The table, possibly qualified; `None` where only the URL or the file's name tells.
    pub topic: Option<Cow<'a, str>>,
    /// Commit time; `None` for rows of a feed with `initial_scan='only'`.
    pub time: Option<HlcTimestamp>,
    /// The primary key.
    pub key: IncomingKey<'a>,
    /// The row, as JSON; `None` for a deletion.
    pub after: Option<&'a str>,
    /// The row before the change, as JSON.
    pub before: Option<&'a str>,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// In an array, from 0.
    Row(usize),
    /// In a file, from 1.
    Line(usize),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "row {row}"),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not UTF-8.
    #[error("the body is not UTF-8 (byte {0})")]
    Utf8(usize),
    /// Not JSON of the expected form. Holds the parser's position, never its message, which may quote values.
    #[error("the body is not a changefeed's JSON: {what} at line {line} column {column}")]
    Json {
        /// What kind of problem.
        what: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A time cannot be read.
    #[error("{place}: {error}")]
    Time {
        /// `resolved`, or the row and its member.
        place: String,
        /// What is wrong with it.
        error: HlcError,
    },
    /// A time that no row can have.
    #[error("{0}: a row cannot be of time zero, before every commit")]
    TimeZero(String),
    /// A row lacks a member.
    #[error("{at} has no `{member}`; {advice}")]
    Missing {
        /// Which row.
        at: At,
        /// What it lacks.
        member: &'static str,
        /// What to change.
        advice: &'static str,
    },
    /// A row is of a form that cannot be applied safely.
    #[error(
        "{0} is of the bare envelope; create the changefeed with envelope=wrapped and updated; a query changefeed \
         (AS SELECT) also with format=json and diff, and with the table in its URL: /database/schema/table"
    )]
    Bare(At),
    /// Rows of several tables came to the URL of one.
    #[error(
        "the URL names one table, but the rows have several topics; create one changefeed per table, or let the URL \
         end with the schema: /database/schema"
    )]
    SeveralTopics,
    /// Too many rows to be held in memory.
    #[error(
        "the body has more than {MAX_ROWS} rows; lower Flush.Messages in the feed's webhook_sink_config, or file_size"
    )]
    TooManyRows,
}

impl<'a> Payload<'a> {
    /// No rows, only a mark.
    #[must_use]
    pub fn of_mark(at: HlcTimestamp) -> Self {
        Self { resolved: Some(at), ..Self::default() }
    }

    /// Insists that every row has a commit time: without one it can only be written at once.
    ///
    /// # Errors
    /// With the first row that has none.
    pub fn expect_times(&self) -> Result<(), PayloadError> {
        self.untimed.map_or(Ok(()), |at| Err(row::no_time(at)))
    }

    /// Adds a row, unless it says nothing.
    fn push(&mut self, at: At, raw: row::RawRow<'a>) -> Result<(), PayloadError> {
        if self.rows.len() >= MAX_ROWS {
            return Err(PayloadError::TooManyRows);
        }
        let Some(parsed) = row::parse(at, raw)? else { return Ok(()) };
        self.job = self.job.take().or(parsed.job);
        if parsed.row.time.is_none() {
            self.untimed = self.untimed.or(Some(at));
        }
        self.rows.push(parsed.row);
        Ok(())
    }
}

/// The text of a body.
fn text(body: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(body).map_err(|e| PayloadError::Utf8(e.valid_up_to()))
}

/// What the parser found, without its message. `line` replaces the parser's own count.
fn json_error(error: &serde_json::Error, line: Option<usize>) -> PayloadError {
    PayloadError::Json {
        what: match error.classify() {
            Category::Data => "a member of the wrong kind, or one that occurs twice",
            Category::Eof => "an early end",
            Category::Io | Category::Syntax => "a syntax error",
        },
        line: line.unwrap_or_else(|| error.line()),
        column: error.column(),
    }
}

fn time(text: &str, place: impl FnOnce() -> String) -> Result<HlcTimestamp, PayloadError> {
    text.parse().map_err(|error| PayloadError::Time { place: place(), error })
}

#[cfg(test)]
mod tests;
